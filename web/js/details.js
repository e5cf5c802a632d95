// The style that is chosen: what is known of it, its words to edit, and what can be done with it.
import { element } from "./elements.js";
import { lostNote, reasonOf } from "./grid.js";
import { t } from "./words.js";

export class Details {
  constructor({ thumbnailOf, onSave, onRemove, onAdd, onPin, onClose }) {
    this.thumbnailOf = thumbnailOf;
    this.onClose = onClose;
    this.image = element("img", { alt: "" });
    this.about = element("p");
    const caption = { ariaLabel: t("Caption"), placeholder: t("Caption") };
    this.caption = element("textarea", { rows: 2, maxLength: 2000, ...caption });
    this.tags = element("input", { ariaLabel: t("Tags"), placeholder: t("Tags, separated by commas") });
    const button = (textContent, title, onclick) => element("button", { textContent, title, onclick });
    const tags = () => this.tags.value.split(",").filter((tag) => tag.trim());
    this.root = element(
      "section",
      { className: "style-rag-details", hidden: true, ariaLabel: t("Chosen style") },
      element("div", { className: "style-rag-row" }, this.image, this.about),
      this.caption,
      this.tags,
      element(
        "div",
        { className: "style-rag-row" },
        button(t("Save"), t("Save caption and tags"), () => onSave(this.style, this.caption.value, tags())),
        button(t("Add to graph"), t("Add a Retrieve Style node with this style"), () => onAdd(this.style)),
        button(t("Pin"), t("Pin it to the selected Retrieve Style node"), () => onPin(this.style)),
        button(t("Remove"), t("Remove it from the knowledge base"), () => onRemove(this.style)),
        button(t("Close"), t("Close (Escape)"), () => this.hide()),
      ),
    );
    this.root.addEventListener("keydown", (event) => event.key === "Escape" && this.hide());
  }

  show(style, takesFocus = false) {
    this.style = style;
    this.root.hidden = false;
    if (takesFocus) this.caption.focus();
    this.image.src = this.thumbnailOf(style);
    this.caption.value = style.caption;
    this.tags.value = style.tags.join(", ");
    const size = style.width ? `${style.width} × ${style.height}` : reasonOf(style);
    this.about.textContent = [style.lost && lostNote(), style.name, size, style.licence, style.file].filter(Boolean).join("\n");
  }

  hide() {
    if (this.root.hidden) return;
    this.root.hidden = true;
    this.onClose();
  }
}
