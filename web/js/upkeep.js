// What is done with the knowledge base that is chosen: another name, a copy, a backup, and its end.
import { element } from "./elements.js";
import { backupUrl, copyBase, deleteBase, renameBase } from "./requests.js";
import { t } from "./words.js";

export const isUsable = (base) => base.state === "ok";
export const labelOf = (base) => (isUsable(base) ? `${base.name} (${base.total})` : `⚠ ${base.name}`);

export class Upkeep {
  // target(): the knowledge base, as it was listed. trying(work): shows what is refused. onDone(name): shows that one.
  constructor({ target, trying, say, onDone }) {
    Object.assign(this, { target, trying, say, onDone });
    const button = (textContent, onclick) => element("button", { textContent, onclick });
    const title = t("Rename, copy, back up or delete");
    this.button = element("button", { textContent: "⋯", title, ariaLabel: title, ariaExpanded: "false" });
    this.button.onclick = () => this.open(this.root.hidden);
    this.name = element("input", { ariaLabel: t("New name"), placeholder: t("New name"), maxLength: 64 });
    this.backup = element("a", { className: "style-rag-button", textContent: t("Back up"), download: "" });
    this.root = element(
      "div",
      { className: "style-rag-row", hidden: true, role: "group", ariaLabel: title },
      this.name,
      button(t("Rename"), () => this.rename()),
      button(t("Copy"), () => this.copy()),
      this.backup,
      button(t("Delete"), () => this.ask()),
    );
  }

  // Shows the buttons or hides them; there are none without a knowledge base.
  open(shown = !this.root.hidden) {
    const base = this.target();
    this.button.disabled = !base;
    this.root.hidden = !base || !shown;
    this.button.ariaExpanded = String(!this.root.hidden);
    if (!base) return;
    if (base.name !== this.shown) this.name.value = this.shown = base.name; // what is being typed stays
    this.backup.href = backupUrl(base.name);
  }

  rename() {
    return this.become(renameBase, t("Renamed to “{name}”.", { name: this.wanted }));
  }

  copy() {
    return this.become(copyBase, t("Copied to “{name}”.", { name: this.wanted }));
  }

  get wanted() {
    return this.name.value.trim();
  }

  become(request, said) {
    return this.trying(async () => {
      const { name } = await request(this.target().name, this.wanted);
      await this.onDone(name);
      this.say(said);
    });
  }

  ask() {
    const { name, total } = this.target();
    const remove = element("button", { textContent: t("Delete for good"), onclick: () => this.delete(name) });
    const keep = element("button", { textContent: t("Keep"), onclick: () => this.onDone(name) });
    const question = t("Delete “{name}” with its {total} styles? Files in source folders stay.", { name, total });
    this.say(`${question} `, remove, " ", keep);
    keep.focus();
  }

  delete(name) {
    return this.trying(async () => {
      await deleteBase(name);
      await this.onDone("");
      this.say(t("Deleted “{name}”.", { name }));
    });
  }
}
