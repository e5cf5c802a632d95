// Builds a workflow in ComfyUI's page from its API form and its layout, and returns both forms of it as text.
// Made into text here: on the way out of the page what is undefined would become null.
async ({ api, layout }) => {
  const { graph } = app
  graph.clear()
  graph.id = layout.id

  const place = (node, { id, title, pos, size, colours, models }) => {
    node.id = id
    graph.add(node)
    if (title) node.title = title
    node.pos = pos
    node.setSize(size)
    Object.assign(node, colours)
    if (models.length) node.properties.models = models
  }

  for (const spot of layout.nodes) {
    place(LiteGraph.createNode(api[spot.id].class_type), spot)
  }
  const note = LiteGraph.createNode('MarkdownNote')
  place(note, layout.note)
  note.widgets[0].value = layout.note.text

  for (const { id } of layout.nodes) {
    const node = graph.getNodeById(id)
    const widget = (name) => node.widgets?.find((found) => found.name === name)
    for (const [name, value] of Object.entries(api[id].inputs)) {
      if (Array.isArray(value)) {
        const slot = node.inputs.findIndex((input) => input.name === name)
        graph.getNodeById(Number(value[0])).connect(value[1], node, slot)
      } else {
        widget(name).value = value
        widget(name).callback?.(value)
      }
    }
    if (widget('control_after_generate')) widget('control_after_generate').value = layout.seed
  }

  for (const { title, color, bounding } of layout.groups) {
    const group = new LiteGraph.LGraphGroup(title)
    graph.add(group)
    group.color = color
    group.pos = bounding.slice(0, 2)
    group.size = bounding.slice(2)
  }

  const { workflow, output } = await app.graphToPrompt()
  return JSON.stringify({ workflow, api: output })
}
