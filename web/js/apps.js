// Workflows that newer pages open as apps. A page without app mode shows every widget of every node for them instead.
const knowsApps = ({ commands }) => /\bapp\b/i.test(commands.find(({ id }) => id === "Comfy.ToggleLinear")?.label);

// On such a page the graph is what can be worked with.
export function openAsGraph(graph, command) {
  if (graph.extra?.linearMode && graph.extra.linearData && !knowsApps(command)) delete graph.extra.linearMode;
}
