// A grid of styles that has elements for the rows in view alone, however many styles there are.
import { element } from "./elements.js";
import { t } from "./words.js";

const CELL = 116; // pixels, the gap included
const CAPTION = 34;
const SPARE = 2; // rows above and below what is in view

export const STYLE_TYPE = "application/x-style-rag";

// What is said of a style whose picture is gone from the knowledge base's own folder.
export function lostNote() {
  return t("The picture file is lost. Drop the picture here again to repair this style.");
}

export class Grid {
  // itemAt(index): a style, or null while it is fetched. onOpen(style, byKey): Enter or a click. onRemove(style): Delete.
  constructor({ itemAt, thumbnailOf, dragData, onOpen, onRemove }) {
    Object.assign(this, { itemAt, thumbnailOf, dragData, onOpen, onRemove });
    this.list = null;
    this.count = 0;
    this.current = 0;
    this.cells = new Map();
    this.sheet = element("div", { className: "style-rag-sheet" });
    this.root = element(
      "div",
      { className: "style-rag-grid", role: "listbox", tabIndex: 0, "aria-label": t("Styles") },
      this.sheet,
    );
    this.root.addEventListener("scroll", () => this.draw(), { passive: true });
    this.root.addEventListener("keydown", (event) => this.onKey(event));
    this.observer = new ResizeObserver(() => this.draw());
    this.observer.observe(this.root);
  }

  destroy() {
    this.observer.disconnect();
  }

  // Shows a list, which `list` tells from others: the one that is shown already where it is.
  show(list, count) {
    if (list === this.list) this.update(count);
    else this.reset(count, list);
  }

  // Shows another list from its start.
  reset(count, list = null) {
    this.list = list;
    this.current = 0;
    this.root.scrollTop = 0;
    this.update(count);
  }

  // Shows the list again, where it is.
  update(count = this.count) {
    this.count = count;
    this.current = Math.max(0, Math.min(this.current, count - 1));
    for (const cell of this.cells.values()) cell.remove();
    this.cells.clear();
    this.draw();
  }

  get columns() {
    return Math.max(1, Math.floor(this.root.clientWidth / CELL));
  }

  draw() {
    const columns = this.columns;
    const height = CELL + CAPTION;
    this.sheet.style.height = `${Math.ceil(this.count / columns) * height}px`;
    const first = Math.max(0, (Math.floor(this.root.scrollTop / height) - SPARE) * columns);
    const rows = Math.ceil(this.root.clientHeight / height) + 2 * SPARE + 1;
    const last = Math.min(this.count, first + rows * columns);
    for (const [index, cell] of this.cells) {
      if (index < first || index >= last || (!cell.shownStyle && this.itemAt(index))) {
        cell.remove();
        this.cells.delete(index);
      }
    }
    for (let index = first; index < last; index++) {
      if (!this.cells.has(index)) this.cells.set(index, this.sheet.appendChild(this.makeCell(index)));
      const left = (index % columns) * CELL;
      this.cells.get(index).style.transform = `translate(${left}px, ${Math.floor(index / columns) * height}px)`;
    }
    this.mark();
  }

  makeCell(index) {
    const style = this.itemAt(index);
    const cell = element("div", { className: "style-rag-cell", role: "option", id: `style-rag-${index}` });
    cell.shownStyle = style;
    cell.setAttribute("aria-posinset", index + 1);
    cell.setAttribute("aria-setsize", this.count);
    if (!style) return cell;
    const words = style.caption || style.name;
    const source = this.thumbnailOf(style);
    cell.append(
      element("img", { src: source, alt: "", draggable: false, loading: "lazy", decoding: "async" }),
      element("span", { textContent: words }),
    );
    if (style.score !== undefined) {
      cell.append(element("b", { textContent: style.score.toFixed(2), title: reasonOf(style) }));
    }
    cell.title = style.lost ? `${words}\n${lostNote()}` : words;
    cell.classList.toggle("style-rag-lost", style.lost === true);
    cell.draggable = true;
    cell.addEventListener("dragstart", (event) => {
      event.dataTransfer.setData(STYLE_TYPE, JSON.stringify(this.dragData(style)));
      event.dataTransfer.effectAllowed = "copy";
    });
    cell.addEventListener("click", () => this.open(index));
    return cell;
  }

  open(index) {
    this.current = index;
    this.mark();
    const style = this.itemAt(index);
    if (style) this.onOpen(style, false);
  }

  mark() {
    for (const [index, cell] of this.cells) cell.setAttribute("aria-selected", index === this.current);
    this.root.setAttribute("aria-activedescendant", `style-rag-${this.current}`);
  }

  onKey(event) {
    const page = Math.max(1, Math.floor(this.root.clientHeight / (CELL + CAPTION))) * this.columns;
    const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: this.columns, ArrowUp: -this.columns };
    Object.assign(steps, { PageDown: page, PageUp: -page, Home: -this.count, End: this.count });
    const style = this.itemAt(this.current);
    if (event.key in steps) this.goTo(this.current + steps[event.key]);
    else if (event.key === "Enter" && style) this.onOpen(style, true);
    else if (event.key === "Delete" && style) this.onRemove(style);
    else return;
    event.preventDefault();
    event.stopPropagation(); // the editor has keys of its own for nodes
  }

  goTo(index) {
    this.current = Math.max(0, Math.min(index, this.count - 1));
    const top = Math.floor(this.current / this.columns) * (CELL + CAPTION);
    const bottom = top + CELL + CAPTION - this.root.clientHeight;
    this.root.scrollTop = Math.min(top, Math.max(bottom, this.root.scrollTop));
    this.draw();
  }
}

export function reasonOf(match) {
  const ranks = Object.entries(match.ranks).map(([strategy, rank]) => `${strategy} #${rank}`);
  const reasons = match.matched.length ? [...ranks, t("words: {words}", { words: match.matched.join(", ") })] : ranks;
  const numbers = { score: match.score.toFixed(2), cosine: match.cosine.toFixed(3) };
  return `${t("score {score}, cosine {cosine}", numbers)}; ${reasons.join("; ")}`;
}
