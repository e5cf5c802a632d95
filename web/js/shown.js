// Brings back what a node showed when ComfyUI has it in its cache: older versions send that of output nodes alone.
import { api } from "../../../scripts/api.js";
import { app } from "../../../scripts/app.js";

const SHOWING = new Set(["RetrieveStyle", "CannyFromSketch"]);
const LOOKED_AT = 200; // workflows that ran before
const PATIENCE = 20; // looks, 250 ms apart: ComfyUI writes its history a moment after it says that a workflow ended

const ran = { cached: [], shown: new Set() }; // node ids, of the workflow that runs

export function showAgain() {
  api.addEventListener("execution_cached", ({ detail }) => Object.assign(ran, { cached: detail.nodes, shown: new Set() }));
  api.addEventListener("executed", ({ detail }) => ran.shown.add(String(detail.node)));
  api.addEventListener("execution_success", ({ detail }) => restore(detail.prompt_id));
}

async function restore(promptId) {
  const silent = ran.cached.map(String).filter((id) => !ran.shown.has(id));
  if (!silent.length || !isShowing()) return;
  const history = await historyWith(promptId);
  const prompt = history[promptId]?.prompt[2];
  if (!prompt) return; // the history was cleared
  for (const node of silent.filter((id) => SHOWING.has(prompt[id]?.class_type))) {
    const output = lastOutput(Object.values(history).reverse(), signature(prompt, node));
    if (output) api.dispatchCustomEvent("executed", { node, display_node: node, output, prompt_id: promptId });
  }
  app.canvas.setDirty(true, true); // nothing follows that would draw it
}

function isShowing() {
  const graphs = [app.graph.rootGraph ?? app.graph, ...(app.graph.subgraphs?.values() ?? [])];
  return graphs.some((graph) => graph.nodes.some((node) => SHOWING.has(node.type)));
}

async function historyWith(promptId) {
  for (let look = 0; look < PATIENCE; look++) {
    const history = await (await api.fetchApi(`/history?max_items=${LOOKED_AT}`)).json();
    if (history[promptId]) return history;
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
  return {};
}

// What the same node, fed by the same, showed when it ran last: that is what ComfyUI has kept.
function lastOutput(entries, wanted) {
  for (const { prompt, outputs } of entries) {
    const node = Object.keys(outputs).find((id) => SHOWING.has(prompt[2][id]?.class_type) && signature(prompt[2], id) === wanted);
    if (node) return outputs[node];
  }
}

// Tells a node, and all that leads to it, from others; their ids do not count.
function signature(prompt, id) {
  const { class_type: type, inputs = {} } = prompt[id];
  const isLink = (value) => Array.isArray(value) && value.length === 2 && value[0] in prompt;
  const sign = (value) => (isLink(value) ? [signature(prompt, value[0]), value[1]] : value);
  return JSON.stringify([type, Object.keys(inputs).sort().map((name) => [name, sign(inputs[name])])]);
}
