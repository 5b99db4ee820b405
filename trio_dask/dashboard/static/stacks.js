// What running tasks do right now: their calls, asked for every two seconds.
import { at, every, get, h, part, put, say } from "./dom.js";
import { plural, short } from "./format.js";
import { place } from "./profile.js";

// `query`: worker=… or task=…; where there is one task only, its key is not said again.
export class Stacks {
  constructor(query, alone = false) {
    this.query = query;
    this.alone = alone;
    this.note = h("p", { class: "dim" }, "Looking …");
    this.list = h("div");
    this.rows = new Map();
    this.node = h("section", { class: "card apart", "aria-label": "Calls at the moment" },
      h("header", null, h("h2", null, alone ? "What it is doing" : "What its tasks are doing"), h("span", { class: "dim more" }, "asked every 2 s")), this.note, this.list);
  }

  start() { this.stop = every(this.node, 2000, () => this.ask()); }

  async ask() {
    let data;
    try { data = await get(`api/v1/stacks?${this.query}`); } catch (error) { say(this.note, error.message); return; }
    const why = [...Object.values(data.refused), data.silent.length ? "The process does not answer: something in it lets nobody look." : ""].filter(Boolean);
    const more = data.left_out ? ` ${plural(data.left_out, "more task")} not shown.` : "";
    say(this.note, why.join(" ") || (data.stacks.length ? more : "Nothing is running."));
    this.note.hidden = !this.note.textContent;
    const keep = new Set();
    data.stacks.forEach((each, index) => {
      const id = `${each.worker} ${each.key}`;
      keep.add(id);
      let row = this.rows.get(id);
      if (!row) { row = this.make(each); this.rows.set(id, row); }
      if (this.list.children[index] !== row.node) this.list.insertBefore(row.node, this.list.children[index] || null);
      const last = each.frames[each.frames.length - 1];
      say(row.now, `${each.waits ? "waits for other tasks, in " : ""}${last ? `${last.function}  ${place(last.file, last.line)}` : "between two calls"}`);
      const half = each.frames.length / 2;
      say(row.calls, each.frames.map((frame, at_) => `${each.left_out && at_ === half ? `… ${each.left_out} more calls …\n` : ""}${frame.function}\n    ${frame.file}:${frame.line}`).join("\n"));
    });
    for (const [id, row] of this.rows) if (!keep.has(id)) { row.node.remove(); this.rows.delete(id); }
  }

  make(each) {
    const now = h("span", { class: "key" });
    const calls = h("pre", { tabindex: "0" });
    const title = this.alone ? null : h("a", { href: at(`tasks/${part(each.key)}`), "data-nav": true, class: "key", title: each.key }, short(each.key, 44));
    return { now, calls, node: h("div", { class: "stack-row" }, h("div", { class: "line" }, title), h("details", { open: this.alone }, h("summary", null, now), calls)) };
  }

  close() { if (this.stop) this.stop(); }
}
