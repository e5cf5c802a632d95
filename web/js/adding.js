// Pictures that are chosen or dropped: sent one by one, with progress, and a list of those that were refused.
import { element } from "./elements.js";
import { addPicture } from "./requests.js";
import { t } from "./words.js";

export class Adding {
  // target(): {name, encoder} of the knowledge base. onDone(name): when all were sent.
  constructor({ target, say, onDone }) {
    Object.assign(this, { target, say, onDone });
    const files = element("input", { type: "file", multiple: true, accept: "image/*", hidden: true });
    files.onchange = () => this.add([...files.files]).then(() => (files.value = ""));
    this.button = element("button", { textContent: t("Add pictures"), onclick: () => files.click() });
    this.progress = element("progress", { hidden: true, ariaLabel: t("Pictures added") });
    this.failures = element("ul", { className: "style-rag-failures", hidden: true });
    this.root = element("div", {}, files, this.progress, this.failures);
  }

  takeDrops(place) {
    const on = (type, act) =>
      place.addEventListener(type, (event) => {
        if (!event.dataTransfer.types.includes("Files")) return;
        event.preventDefault();
        event.stopPropagation();
        place.classList.toggle("style-rag-drop", type === "dragover");
        act?.(event);
      });
    on("dragover");
    on("dragleave");
    on("drop", (event) => this.add([...event.dataTransfer.files]));
  }

  // Leaves out what was refused before.
  forget() {
    this.failures.hidden = true;
  }

  // One that fails holds up no other, and the progress is true.
  async add(files) {
    const { name, encoder } = this.target();
    if (!name) return this.say(t("Name the knowledge base first."));
    const failed = [];
    Object.assign(this.progress, { hidden: false, max: files.length, value: 0 });
    for (const [number, file] of files.entries()) {
      const place = { file: file.name, number: number + 1, total: files.length };
      this.say(t("Adding {file} ({number} of {total}) …", place));
      try {
        const report = await addPicture(name, file, file.name, file.name.replace(/\.[^.]*$/, ""), encoder);
        failed.push(...report.failed);
      } catch (error) {
        failed.push({ file: file.name, reason: error.message });
      }
      this.progress.value = number + 1;
    }
    this.progress.hidden = true;
    this.failures.hidden = !failed.length;
    this.failures.replaceChildren(
      ...failed.map(({ file, reason }) => element("li", { textContent: `${file}: ${reason}` })),
    );
    await this.onDone(name);
    this.say(t("Added {number} of {total}.", { number: files.length - failed.length, total: files.length }));
  }
}
