// What the gallery does in the editor's graph: wired nodes for a style, a style pinned, a node's picture saved.
import { app } from "../../../scripts/app.js";
import { t } from "./words.js";

const widgetOf = (node, name) => node.widgets?.find((widget) => widget.name === name);

function setWidget(node, name, value) {
  const widget = widgetOf(node, name);
  widget.value = value;
  widget.callback?.(value, app.canvas, node);
}

function makeNode(type, [x, y], values) {
  const node = LiteGraph.createNode(type);
  node.pos = [x, y];
  app.canvas.graph.add(node);
  for (const [name, value] of Object.entries(values)) setWidget(node, name, value);
  return node;
}

// Pins a style to a RetrieveStyle node; with `more`, beside what is pinned already.
export function pin(node, style, more = false) {
  const lines = more ? String(widgetOf(node, "pinned").value).split("\n").map((line) => line.trim()) : [];
  const before = lines.filter((line) => line && line !== "none" && line.split(/\s+/)[0] !== style.id);
  setWidget(node, "pinned", [...before, style.id].join("\n"));
  app.canvas.setDirty(true, true);
}

// Adds a RetrieveStyle with the style pinned, wired to the knowledge base's node, which is added unless it is there.
export function addToGraph(style, at) {
  const graph = app.canvas.graph;
  app.canvas.emitBeforeChange?.();
  const isBase = (node) => node.type === "StyleKnowledgeBase" && widgetOf(node, "name")?.value === style.knowledgeBase;
  const base =
    graph.nodes.find(isBase) ??
    makeNode("StyleKnowledgeBase", [at[0] - 460, at[1]], {
      name: style.knowledgeBase,
      sources: "",
      encoder: style.encoder,
      update: "open",
    });
  const node = makeNode("RetrieveStyle", at, { prompt: style.caption });
  base.connect(0, node, 0);
  pin(node, style);
  app.canvas.selectNode?.(node);
  app.canvas.emitAfterChange?.();
  return node;
}

// Drops a style where the pointer is: onto a RetrieveStyle to pin it, anywhere else for wired nodes.
export function dropStyle(style, event) {
  const at = app.canvas.convertEventToCanvasOffset(event);
  const node = app.canvas.graph.getNodeOnPos(at[0], at[1]);
  if (node?.type === "RetrieveStyle") pin(node, style, event.shiftKey);
  else addToGraph(style, at);
}

export function middleOfCanvas() {
  const { left, top, width, height } = app.canvas.canvas.getBoundingClientRect();
  return app.canvas.convertEventToCanvasOffset({ clientX: left + width / 2, clientY: top + height / 3 });
}

// The picture that a node shows, as {blob, name}: whole, where the editor shows a smaller one.
export async function pictureOf(node) {
  const shown = node.imgs[node.imageIndex ?? 0] ?? node.imgs[0];
  const url = new URL(shown.src);
  url.searchParams.delete("preview");
  const answer = await fetch(url);
  if (!answer.ok) {
    const about = { node: node.title };
    throw new Error(t("The picture of {node} is not on the server any more: run the workflow again.", about));
  }
  const blob = await answer.blob();
  const called = (url.searchParams.get("filename") ?? "picture").replace(/ \[\w+\]$/, ""); // LoadImage's "a.png [temp]"
  return { blob, name: `${called.split("/").pop().replace(/\.[^.]*$/, "")}.${blob.type.replace("image/", "")}` };
}
