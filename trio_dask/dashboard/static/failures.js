// The last failures, those that are alike together.
import { at, get, h, part, put, say } from "./dom.js";
import { ago, count, plural, short } from "./format.js";
import { live } from "./live.js";

const INTERVAL_MS = 1500;

export function failureBody(failure, open = false) {
  const parts = [h("p", { class: "error" }, h("b", null, failure.kind || "Error"), failure.message ? `: ${failure.message}` : "")];
  for (const note of failure.notes || []) parts.push(h("p", { class: "dim" }, note));
  if (failure.traceback) parts.push(h("details", { open }, h("summary", null, "Traceback"), h("pre", { tabindex: "0" }, failure.traceback)));
  for (const cause of failure.causes || []) {
    parts.push(h("details", null, h("summary", null, `Behind it: ${cause.kind}: ${short(cause.message, 90)}`), h("pre", { tabindex: "0" }, cause.traceback || cause.message)));
  }
  return parts;
}

export class Failures {
  constructor() {
    this.title = "Failures";
    this.list = h("div", { class: "stack" });
    this.summary = h("p", { class: "lead" }, "Looking …");
    this.node = h("div", null, h("h1", null, "Failures"), this.summary, this.list);
    this.seen = -1;
    this.asked = 0;
    this.open = new Set();
  }

  update() {
    if (live.totals.failures === this.seen) return;
    const wait = this.asked + INTERVAL_MS - Date.now();
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.ask(), Math.max(0, wait));
  }

  async ask() {
    this.asked = Date.now();
    const seen = live.totals.failures;
    let data;
    try { data = await get("api/v1/failures"); } catch { return; }
    this.seen = seen;
    const groups = new Map();
    for (const each of data.failures) {
      const alike = `${each.name}\n${each.kind}\n${(each.message || "").replace(/[0-9a-f]{3,}|\d+/g, "#").slice(0, 200)}`;
      if (!groups.has(alike)) groups.set(alike, []);
      groups.get(alike).push(each);
    }
    say(this.summary, seen
      ? `${plural(seen, "task")} failed by ${seen === 1 ? "itself" : "themselves"} so far${seen > data.failures.length ? `, of which these are the last ${count(data.failures.length)}` : ""}. What failed for an input's sake is not counted.`
      : "No task has failed so far.");
    put(this.list, [...groups].map(([alike, all]) => this.card(alike, all)));
  }

  card(alike, all) {
    const [last] = all;
    const node = h("section", { class: "card failure" },
      h("header", null, h("h2", null, last.name || "data"), all.length > 1 ? h("span", { class: "badge" }, `× ${all.length}`) : null,
        h("span", { class: "dim" }, [ago(last.ago_s), last.worker ? `on ${last.worker}` : ""].filter(Boolean).join(", "))),
      failureBody(last, this.open.has(alike)),
      h("p", { class: "keys" }, all.slice(0, 12).map((each) => h("a", { href: at(`tasks/${part(each.key)}`), "data-nav": true, class: "key", title: each.key }, short(each.key, 40))),
        all.length > 12 ? h("span", { class: "dim" }, `and ${all.length - 12} more`) : null));
    const details = node.querySelector("details");
    if (details) details.addEventListener("toggle", () => (details.open ? this.open.add(alike) : this.open.delete(alike)));
    return node;
  }

  close() { clearTimeout(this.timer); }
}
