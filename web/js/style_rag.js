// Style RAG in ComfyUI's editor: the Styles tab, styles dropped onto the graph, results saved as styles.
import { api } from "../../../scripts/api.js";
import { app } from "../../../scripts/app.js";
import { openAsGraph } from "./apps.js";
import { Gallery, chosenName } from "./gallery.js";
import { addToGraph, dropStyle, middleOfCanvas, pictureOf, pin } from "./graph.js";
import { STYLE_TYPE } from "./grid.js";
import * as requests from "./requests.js";
import { showAgain } from "./shown.js";
import { offerSketches, renameSketch } from "./sketches.js";
import { loadWords, t } from "./words.js";

const FIRST = "my styles"; // the knowledge base that a result is saved to when none was ever opened

let gallery = null;

function notify(severity, summary, detail) {
  app.extensionManager.toast.add({ severity, summary, detail, life: 6000 });
}

function pinToSelected(style) {
  const nodes = Object.values(app.canvas.selected_nodes ?? {}).filter((node) => node.type === "RetrieveStyle");
  if (nodes.length !== 1) throw new Error(t("Select one Retrieve Style node first, or drag the style onto it."));
  pin(nodes[0], style);
}

function render(place) {
  gallery?.destroy();
  gallery = new Gallery({ addToGraph: (style) => addToGraph(style, middleOfCanvas()), pinTo: pinToSelected });
  place.style.height = "100%"; // of the sidebar, so that the grid takes what the rest leaves
  place.replaceChildren(gallery.root);
}

async function saveAsStyle(node) {
  try {
    const { knowledge_bases: bases, encoders } = await requests.listKnowledgeBases();
    const name = chosenName() || FIRST;
    const isNew = !bases.some((base) => base.name === name);
    const { blob, name: file } = await pictureOf(node);
    const report = await requests.addPicture(name, blob, file, file.replace(/\.[^.]*$/, ""), isNew ? encoders[0] : "");
    if (report.failed.length) throw new Error(report.failed[0].reason);
    const isSaved = report.added.length > 0;
    notify("success", isSaved ? t("Saved to “{name}”", { name }) : t("“{name}” has it already", { name }), file);
    await gallery?.refresh();
  } catch (error) {
    notify("error", t("Not saved as a style"), error.message);
  }
}

// Ours before the editor's, which would take what is dropped for a workflow.
function takeDrops() {
  const graph = "#graph-canvas, .dom-widget, .lg-node"; // the canvas, and what lies over it as part of a node
  const isOurs = (event) => event.dataTransfer?.types.includes(STYLE_TYPE) && event.target.closest?.(graph);
  const on = (type, act) =>
    window.addEventListener(
      type,
      (event) => {
        if (!isOurs(event)) return;
        event.preventDefault();
        event.stopImmediatePropagation();
        act(event);
      },
      true,
    );
  on("dragover", (event) => (event.dataTransfer.dropEffect = "copy"));
  on("drop", (event) => dropStyle(JSON.parse(event.dataTransfer.getData(STYLE_TYPE)), event));
}

app.registerExtension({
  name: "StyleRag.Gallery",
  init: loadWords, // before the nodes are registered
  beforeRegisterNodeDef: (_, definition) => offerSketches(definition),
  refreshComboInNodes: (definitions) => offerSketches(definitions.LoadImage),
  beforeConfigureGraph: (graph) => openAsGraph(graph, app.extensionManager.command),
  loadedGraphNode: renameSketch,
  setup() {
    const sheet = new URL("./style_rag.css", import.meta.url).href;
    document.head.append(Object.assign(document.createElement("link"), { rel: "stylesheet", href: sheet }));
    app.extensionManager.registerSidebarTab({
      id: "style-rag",
      icon: "pi pi-palette",
      title: t("Styles"),
      tooltip: t("Styles"),
      type: "custom",
      render,
      destroy() {
        gallery?.destroy();
        gallery = null;
      },
    });
    api.addEventListener("reconnected", () => gallery?.refresh());
    api.addEventListener("execution_success", () => gallery?.refreshIfChanged());
    takeDrops();
    showAgain();
  },
  getNodeMenuItems(node) {
    if (!node.imgs?.length) return [];
    const content = t("Save as style in “{name}”", { name: chosenName() || FIRST });
    return [{ content, callback: () => saveAsStyle(node) }];
  },
});
