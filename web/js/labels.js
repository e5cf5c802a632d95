// The filters by tag and licence, with how many styles have each.
import { element, option } from "./elements.js";
import { filterOf, listLabels } from "./requests.js";
import { t } from "./words.js";

export class Labels {
  constructor(onChange) {
    this.tag = element("select", { ariaLabel: t("Tag"), onchange: onChange });
    this.licence = element("select", { ariaLabel: t("Licence"), onchange: onChange });
    this.root = element("div", { className: "style-rag-row" }, this.tag, this.licence);
  }

  get filter() {
    return filterOf(this.tag.value, this.licence.value);
  }

  // Offers what a knowledge base has, or nothing without a name; what was chosen stays where it can.
  // An answer for the one before, which comes too late, is dropped.
  async load(name) {
    this.asked?.abort();
    const { signal } = (this.asked = new AbortController());
    let labels = null;
    try {
      labels = name && (await listLabels(name, signal));
    } finally {
      if (!signal.aborted) {
        this.offer(this.tag, t("All tags"), labels?.tags ?? {});
        this.offer(this.licence, t("All licences"), labels?.licences ?? {});
      }
    }
  }

  offer(select, title, counts) {
    const before = select.value;
    const options = Object.entries(counts).map(([label, count]) => option(label, `${label} (${count})`));
    select.replaceChildren(option("", title), ...options);
    select.value = before in counts ? before : "";
  }
}
