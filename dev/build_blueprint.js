// Builds a subgraph in ComfyUI's page from nodes of an API form, and returns it as a blueprint's text: a graph of one node.
// Made into text here: on the way out of the page what is undefined would become null.
async ({ api, blueprint }) => {
  const { graph, canvas } = app
  graph.clear()
  const frame = (id) => ({ id, bounding: [0, 0, 75, 100] })
  const empty = { nodes: [], links: [], reroutes: [], groups: [], inputs: [], outputs: [], widgets: [] }
  const subgraph = graph.createSubgraph({
    ...{ ...empty, id: blueprint.id, name: blueprint.name, version: 1, revision: 0, config: {} },
    ...{ state: { lastNodeId: 0, lastLinkId: 0, lastGroupId: 0, lastRerouteId: 0 } },
    ...{ inputNode: frame(-10), outputNode: frame(-20) },
  })
  const widget = (node, name) => node.widgets?.find((found) => found.name === name)

  for (const { id, pos, size } of blueprint.nodes) {
    const node = LiteGraph.createNode(api[id].class_type)
    node.id = id
    subgraph.add(node)
    node.pos = pos
    node.setSize(size)
    for (const [name, value] of Object.entries(api[id].inputs)) {
      if (!Array.isArray(value)) widget(node, name).value = value
    }
    if (widget(node, 'control_after_generate')) widget(node, 'control_after_generate').value = 'fixed'
  }

  const slotOf = (node, name) => node.inputs.find((input) => input.name === name)
  for (const { name, type, to } of blueprint.inputs) {
    const input = subgraph.addInput(name, type)
    for (const [id, target] of to) {
      const node = subgraph.getNodeById(id)
      input.connect(slotOf(node, target), node)
    }
  }
  for (const { id } of blueprint.nodes) {
    const node = subgraph.getNodeById(id)
    for (const [name, value] of Object.entries(api[id].inputs)) {
      const source = Array.isArray(value) && subgraph.getNodeById(Number(value[0]))
      if (source) source.connect(value[1], node, node.inputs.indexOf(slotOf(node, name)))
    }
  }
  for (const { name, type, from } of blueprint.outputs) {
    const node = subgraph.getNodeById(from[0])
    subgraph.addOutput(name, type).connect(node.outputs[from[1]], node)
  }
  const [left, right] = blueprint.ends
  subgraph.inputNode.pos = left
  subgraph.outputNode.pos = right

  const whole = LiteGraph.createNode(subgraph.id)
  graph.add(whole)
  whole.title = blueprint.name
  whole.pos = [0, 0]
  for (const { name, to } of blueprint.inputs) {
    const own = widget(whole, name)
    if (own) own.value = blueprint.values[name] ?? widget(subgraph.getNodeById(to[0][0]), to[0][1]).value
  }
  whole.setSize(blueprint.size)
  const { nodes, subgraphs } = canvas._serializeItems([whole])
  return JSON.stringify({ nodes, subgraphs })
}
