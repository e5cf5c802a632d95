// The Styles tab: knowledge bases, search and filters, the grid, the style that is chosen, and what is added.
import { Adding } from "./adding.js";
import { Details } from "./details.js";
import { element, option } from "./elements.js";
import { Grid } from "./grid.js";
import { Labels } from "./labels.js";
import * as requests from "./requests.js";
import { isUsable, labelOf, Upkeep } from "./upkeep.js";
import { t } from "./words.js";

const PAGE = 100;
const TYPING = 150; // milliseconds without a key before a search
const CHOSEN = "style_rag.knowledge_base"; // where the browser remembers the one that is open
const NEW = "\n"; // an option's value that no knowledge base can have as its name

export const chosenName = () => localStorage.getItem(CHOSEN) ?? "";

export class Gallery {
  constructor({ addToGraph, pinTo }) {
    this.bases = [];
    this.encoders = [];
    this.pages = new Map();
    this.matches = null; // of a search; null: all styles
    this.build(addToGraph, pinTo);
    this.refresh();
  }

  build(addToGraph, pinTo) {
    this.base = element("select", { ariaLabel: t("Knowledge base"), onchange: () => this.choose(this.base.value) });
    this.words = element("input", { type: "search", placeholder: t("Search styles"), ariaLabel: t("Search styles") });
    this.words.oninput = () => this.later();
    const how = { ariaLabel: t("Strategy"), title: t("How to search") };
    this.strategy = element("select", { ...how, onchange: () => this.load() });
    this.strategy.append(...["hybrid", "semantic", "keyword"].map((name) => option(name, name)));
    this.labels = new Labels(() => this.load());
    const naming = { placeholder: t("Name of the new knowledge base"), ariaLabel: t("Name") };
    this.newName = element("input", { ...naming, maxLength: 64 });
    this.encoder = element("select", { ariaLabel: t("Encoder"), title: t("Encoder") });
    this.making = element("div", { className: "style-rag-row", hidden: true }, this.newName, this.encoder);
    this.status = element("p", { className: "style-rag-status", role: "status" });
    this.adding = new Adding({
      target: () => ({ name: this.name, encoder: this.making.hidden ? "" : this.encoder.value }),
      say: (text) => this.say(text),
      onDone: (name) => this.refresh(name),
    });
    this.upkeep = new Upkeep({
      target: () => this.bases.find((base) => base.name === this.base.value),
      trying: (work) => this.trying(work),
      say: (text, ...more) => this.say(text, ...more),
      onDone: (name) => this.refresh(name),
    });
    this.grid = new Grid({
      itemAt: (index) => this.itemAt(index),
      thumbnailOf: (style) => requests.thumbnailUrl(this.name, style.id),
      dragData: (style) => this.withBase(style),
      onOpen: (style, byKey) => this.details.show(style, byKey),
      onRemove: (style) => this.remove(style),
    });
    this.details = new Details({
      thumbnailOf: (style) => requests.thumbnailUrl(this.name, style.id),
      onSave: (style, caption, tags) => this.save(style, caption, tags),
      onRemove: (style) => this.remove(style),
      onAdd: (style) => this.trying(() => addToGraph(this.withBase(style))),
      onPin: (style) => this.trying(() => pinTo(this.withBase(style))),
      onClose: () => this.grid.root.focus(),
    });
    this.root = element(
      "div",
      { className: "style-rag" },
      element("div", { className: "style-rag-row" }, this.base, this.adding.button, this.upkeep.button),
      this.upkeep.root,
      this.making,
      element("div", { className: "style-rag-row" }, this.words, this.strategy),
      this.labels.root,
      this.status,
      this.adding.root,
      this.grid.root,
      this.details.root,
    );
    this.adding.takeDrops(this.root);
    this.root.addEventListener("keydown", (event) => event.stopPropagation()); // the editor's keys are not meant
  }

  destroy() {
    this.grid.destroy();
    clearTimeout(this.typing);
    this.asked?.abort();
    this.root.remove();
  }

  get name() {
    return this.making.hidden ? this.base.value : this.newName.value.trim().normalize("NFC");
  }

  withBase(style) {
    const encoder = this.bases.find((base) => base.name === this.name)?.encoder;
    return { ...style, knowledgeBase: this.name, encoder };
  }

  // Asks for everything anew: at first, after a restart of the server, and when a workflow has run.
  async refresh(wanted) {
    await this.trying(async () => {
      ({ knowledge_bases: this.bases, encoders: this.encoders } = await requests.listKnowledgeBases());
      const chosen = wanted ?? (this.name || chosenName()); // by now
      const names = this.bases.map((base) => option(base.name, labelOf(base)));
      this.base.replaceChildren(...names, option(NEW, t("New knowledge base …")));
      this.encoder.replaceChildren(...this.encoders.map((name) => option(name, name)));
      const known = this.bases.some((base) => base.name === chosen);
      await this.choose(known ? chosen : ((this.bases.find(isUsable) ?? this.bases[0])?.name ?? NEW));
    });
  }

  // Refreshes when a knowledge base has changed since.
  async refreshIfChanged() {
    const told = await requests.listKnowledgeBases().catch(() => null);
    if (told && JSON.stringify(told.knowledge_bases) !== JSON.stringify(this.bases)) await this.refresh();
  }

  async choose(name) {
    if (name !== this.shown) {
      this.details.hide();
      this.forget(); // what still comes of the old one must not be drawn as the new one's
      this.grid.reset(0);
      if (this.shown !== NEW) this.adding.forget();
      this.upkeep.root.hidden = true;
    }
    this.shown = this.base.value = name;
    this.upkeep.open();
    this.making.hidden = name !== NEW;
    if (name !== NEW) localStorage.setItem(CHOSEN, name);
    const { asked } = this;
    const { filter } = this.labels;
    await this.loadLabels();
    // Who types meanwhile has what is asked for already: to load it again would take away what is chosen in it.
    if (this.asked === asked || this.labels.filter !== filter) await this.load();
  }

  async loadLabels() {
    await this.trying(() => this.labels.load(this.making.hidden ? this.name : ""));
  }

  later() {
    clearTimeout(this.typing);
    this.typing = setTimeout(() => this.load(), TYPING);
  }

  // Forgets what is shown; an answer that comes too late is dropped.
  forget() {
    this.asked?.abort();
    this.asked = new AbortController();
    this.pages.clear();
    this.matches = null;
  }

  // Shows what the search and the filters ask for: another list from its start, the same one where it is.
  async load() {
    this.forget();
    if (!this.making.hidden) {
      this.grid.reset(0);
      this.say(t("Name it, choose its encoder, and drop pictures here."));
      return;
    }
    const { signal } = this.asked;
    const words = this.words.value.trim();
    const filter = this.labels.filter;
    const list = JSON.stringify([this.name, words, this.strategy.value, filter]);
    await this.trying(async () => {
      if (words) {
        const { matches } = await requests.search(this.name, words, this.strategy.value, filter, signal);
        this.matches = matches;
        this.grid.show(list, matches.length);
        this.say(t("{total} best of “{words}”", { total: matches.length, words }));
      } else {
        this.filter = filter;
        const { total } = await this.fetchPage(0, signal);
        this.grid.show(list, total);
        const empty = t("Nothing here yet: drop pictures here, or run StyleKnowledgeBase.");
        this.say(total ? t("{total} styles", { total }) : empty);
      }
    });
  }

  itemAt(index) {
    if (this.matches) return this.matches[index] ?? null;
    const number = Math.floor(index / PAGE);
    const page = this.pages.get(number);
    if (page === undefined) {
      const { signal } = this.asked;
      this.trying(() => this.fetchPage(number, signal).then(() => this.grid.draw()));
    }
    return page?.[index % PAGE] ?? null;
  }

  async fetchPage(number, signal) {
    this.pages.set(number, null); // on its way
    try {
      const page = await requests.listStyles(this.name, number * PAGE, PAGE, this.filter, signal);
      if (!signal.aborted) this.pages.set(number, page.styles);
      return page;
    } catch (error) {
      if (!signal.aborted) this.pages.delete(number);
      throw error;
    }
  }

  async save(style, caption, tags) {
    await this.trying(async () => {
      const changed = await requests.describeStyle(this.name, style.id, caption, tags);
      await this.loadLabels();
      await this.load();
      this.details.show({ ...style, ...changed });
      this.say(t("Saved."));
    });
  }

  async remove(style) {
    const name = this.name;
    await this.trying(async () => {
      const { file_stays: stays } = await requests.removeStyle(name, style.id);
      this.details.hide();
      const place = this.grid.current;
      await this.refresh();
      this.grid.goTo(place);
      const undo = element("button", { textContent: t("Undo"), onclick: () => this.restore(name, style) });
      const where = stays ? t("Its file stays in its folder; sync leaves it out until it changes.") : "";
      this.say(`${t("Removed “{style}”.", { style: style.caption || style.name })} ${where} `, undo);
    });
  }

  async restore(name, style) {
    await this.trying(async () => {
      await requests.restoreStyle(name, style.id);
      await this.refresh();
      this.say(t("“{style}” is back.", { style: style.caption || style.name }));
    });
  }

  say(text, ...more) {
    this.status.classList.remove("style-rag-error");
    this.status.replaceChildren(text, ...more);
  }

  // Does something, and shows the sentence of what is refused.
  async trying(work) {
    try {
      return await work();
    } catch (error) {
      if (error.name === "AbortError") return undefined;
      this.say(error.message);
      this.status.classList.add("style-rag-error");
      return undefined;
    }
  }
}
