// A table that is sorted, filtered, and told only what has changed.
import { h, say } from "./dom.js";
import { count } from "./format.js";

const STEP = 200;

// `columns`: [{name, title, about, value(row), text(row), cell?(td, row), num?, hide?}]
export class Table {
  constructor({ label, columns, sort, down = true, filter = null, placeholder = "Filter" }) {
    this.columns = columns;
    this.sort = sort;
    this.down = down;
    this.most = STEP;
    this.rows = new Map();
    this.body = h("tbody");
    this.heads = columns.map((column) => h("th", { scope: "col", class: kinds(column), "aria-sort": "none" },
      h("button", { type: "button", title: column.about, on: { click: () => this.sortBy(column) } }, column.title)));
    this.field = filter ? h("input", { type: "search", placeholder, "aria-label": placeholder, on: { input: () => { this.most = STEP; this.order(); } } }) : null;
    this.filter = filter;
    this.note = h("p", { class: "dim", role: "status" });
    this.more = h("button", { type: "button", hidden: true, on: { click: () => { this.most = Infinity; this.order(); } } }, "Show all");
    this.node = h("div", null, this.field && h("div", { class: "tools" }, this.field, this.note),
      h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label },
        h("table", { "aria-label": label }, h("thead", null, h("tr", null, this.heads)), this.body)), this.more);
    this.data = [];
    this.mark();
  }

  sortBy(column) {
    if (this.sort === column.name) this.down = !this.down;
    else { this.sort = column.name; this.down = Boolean(column.num); }
    this.mark();
    this.order();
  }

  mark() {
    this.columns.forEach((column, index) => {
      const chosen = column.name === this.sort;
      this.heads[index].setAttribute("aria-sort", chosen ? (this.down ? "descending" : "ascending") : "none");
    });
  }

  // `data`: rows with an `id`; they may be the same objects as before.
  update(data) { this.data = data; this.order(); }

  order() {
    const text = this.field ? this.field.value.trim().toLowerCase() : "";
    let data = text ? this.data.filter((row) => this.filter(row).toLowerCase().includes(text)) : [...this.data];
    const { value } = this.columns.find((each) => each.name === this.sort);
    const sign = this.down ? -1 : 1;
    const keyed = data.map((row) => [value(row), row]);
    keyed.sort(([a, one], [b, two]) => sign * (typeof a === "string" ? a.localeCompare(b, undefined, { numeric: true }) : a - b)
      || String(one.id).localeCompare(String(two.id), undefined, { numeric: true }));
    const all = keyed.length;
    data = keyed.slice(0, this.most).map(([, row]) => row);
    if (this.field) say(this.note, all === this.data.length ? `${count(all)}` : `${count(all)} of ${count(this.data.length)}`);
    this.more.hidden = data.length === all;
    say(this.more, `Show all ${count(all)}`);
    const keep = new Set(data.map((row) => row.id));
    for (const [id, row] of this.rows) if (!keep.has(id)) { row.node.remove(); this.rows.delete(id); }
    data.forEach((each, index) => {
      let row = this.rows.get(each.id);
      if (!row) { row = this.make(); this.rows.set(each.id, row); }
      if (this.body.children[index] !== row.node) this.body.insertBefore(row.node, this.body.children[index] || null);
      this.columns.forEach((column, at) => {
        const cell = row.cells[at];
        if (column.cell) column.cell(cell, each); else say(cell, column.text(each));
      });
    });
  }

  make() {
    const cells = this.columns.map((column, index) => h(index ? "td" : "th", { class: kinds(column), scope: index ? null : "row" }));
    return { cells, node: h("tr", null, cells) };
  }
}

function kinds(column) { return [column.num ? "num" : "", column.hide || "", column.wide ? "wide" : ""].filter(Boolean).join(" "); }
