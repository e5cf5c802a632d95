// The bundled sketches in Load Image, which lists no folder below ComfyUI's input folder by itself.
const FOLDER = "style_rag";
const FILES = [
  "bridge_photo.jpg",
  "car_ink.png",
  "castle_pencil.png",
  "cat_lineart.png",
  "city_white_on_black.png",
  "face_pencil.png",
  "factory_lineart.png",
  "forest_pencil.png",
  "harbour_transparent.png",
  "house_lineart.png",
  "lighthouse_ink.png",
  "mountains_ink.png",
  "pagoda_transparent.png",
  "village_photo.jpg",
  "windmill_small.png",
];
const SKETCHES = FILES.map((file) => `${FOLDER}/${file}`); // nodes/host/sketches.py copies one when it is asked for

// The page takes a picture that the list does not have for a missing one.
export function offerSketches(definition) {
  if (definition?.name !== "LoadImage") return;
  const [type, options] = definition.input?.required?.image ?? [];
  const list = Array.isArray(type) ? type : options?.options;
  list?.push(...SKETCHES.filter((sketch) => !list.includes(sketch)));
}

// Workflows that were saved with version 0.1.0 name the copy in ComfyUI's temp folder.
export function renameSketch(node) {
  if (node.type !== "LoadImage") return;
  const widget = node.widgets?.find((widget) => widget.name === "image");
  const sketch = String(widget?.value).replace(/ \[temp\]$/, "");
  if (!SKETCHES.includes(sketch) || widget.value === sketch) return;
  widget.value = sketch;
  widget.callback?.(sketch);
}
