// What has happened to the cluster, and the last lines of the scheduler's log.
import { at, every, get, h, part, put, say } from "./dom.js";
import { ago, count } from "./format.js";

const KINDS = ["worker", "client", "death", "failure", "cluster"];
const LEVELS = ["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"];

export function eventList(node, events, none) {
  if (!events.length) { put(node, h("p", { class: "dim pad" }, none)); return; }
  put(node, h("div", { class: "scroll list tall", tabindex: "0", role: "region", "aria-label": "Events" }, h("table", null,
    h("thead", null, h("tr", null, ["When", "Kind", "Who", "What"].map((each, index) => h("th", { scope: "col", class: index === 1 ? "mid" : null }, each)))),
    h("tbody", null, events.map((each) => h("tr", null,
      h("td", { class: "dim when" }, ago(each.ago_s)), h("td", { class: "mid" }, h("span", { class: `state ${each.kind === "death" || each.kind === "failure" ? "failed" : ""}` }, each.kind)),
      h("th", { scope: "row", class: "who" }, each.kind === "worker" || each.kind === "death" ? h("a", { href: at(`workers/${part(each.who)}`), "data-nav": true }, each.who) : each.who),
      h("td", { class: "text" }, each.text, each.times > 1 ? h("b", { class: "dim" }, ` × ${count(each.times)}`) : null)))))));
}

// Lines of a log, the newest first.
export function lineList(node, lines, none) {
  if (!lines.length) { put(node, h("p", { class: "dim pad" }, none)); return; }
  put(node, h("div", { class: "scroll list tall", tabindex: "0", role: "region", "aria-label": "Log" }, h("table", null,
    h("thead", null, h("tr", null, ["When", "Level", "Text"].map((each) => h("th", { scope: "col" }, each)))),
    h("tbody", null, lines.map((each) => h("tr", null, h("td", { class: "dim when" }, ago(each.ago_s)),
      h("td", null, h("span", { class: `state ${each.level === "ERROR" || each.level === "CRITICAL" ? "failed" : ""}` }, each.level.toLowerCase())),
      h("td", { class: "text" }, each.text)))))));
}

class Lines {
  constructor({ title, about, path, name, choices, label, chosen }) {
    this.title = title;
    this.path = path;
    this.name = name;
    this.all = [];
    this.list = h("div");
    this.note = h("p", { class: "dim", role: "status" });
    this.field = h("input", { type: "search", placeholder: "Filter", "aria-label": "Filter", on: { input: () => this.show() } });
    this.choice = h("select", { "aria-label": label, on: { change: () => this.show() } }, h("option", { value: "" }, "all"), choices.map((each) => h("option", { value: each, selected: each === chosen }, each.toLowerCase())));
    this.node = h("div", null, h("h1", null, title), h("p", { class: "lead" }, about),
      h("section", { class: "card flush" }, h("div", { class: "tools" }, this.field, this.choice, this.note), this.list));
  }

  start() { this.stop = every(this.node, 2000, () => this.ask()); }

  async ask() {
    try { this.all = (await get(this.path))[this.name]; } catch { return; }
    this.show();
  }

  show() {
    const text = this.field.value.trim().toLowerCase();
    const some = this.all.filter((each) => this.fits(each, this.choice.value) && (!text || this.words(each).toLowerCase().includes(text)));
    say(this.note, some.length === this.all.length ? count(some.length) : `${count(some.length)} of ${count(this.all.length)}`);
    this.draw(some);
  }

  update() {}

  close() { this.stop(); }
}

export class Events extends Lines {
  constructor() {
    super({ title: "Events", about: "What has happened to workers, clients and their processes; tasks that are done are not told here.",
      path: "api/v1/events", name: "events", choices: KINDS, label: "Kind", chosen: "" });
  }

  fits(each, kind) { return !kind || each.kind === kind; }

  words(each) { return `${each.who} ${each.text}`; }

  draw(some) { eventList(this.list, some, this.all.length ? "None of them fits." : "Nothing so far."); }
}

export class Logs extends Lines {
  constructor() {
    super({ title: "Logs", about: "The last lines that the scheduler has logged.", path: "api/v1/logs", name: "lines", choices: LEVELS, label: "Level, at least", chosen: "" });
  }

  fits(each, level) { return LEVELS.indexOf(each.level) >= LEVELS.indexOf(level); }

  words(each) { return `${each.logger} ${each.text}`; }

  draw(some) {
    if (!some.length) { put(this.list, h("p", { class: "dim pad" }, this.all.length ? "None of them fits." : "Nothing has been logged.")); return; }
    put(this.list, h("div", { class: "scroll list tall", tabindex: "0", role: "region", "aria-label": "Log" }, h("table", null,
      h("thead", null, h("tr", null, ["When", "Level", "What"].map((each) => h("th", { scope: "col" }, each)))),
      h("tbody", null, some.map((each) => h("tr", null, h("td", { class: "dim when" }, ago(each.ago_s)),
        h("td", null, h("span", { class: `state ${LEVELS.indexOf(each.level) > 1 ? "failed" : ""}`, title: each.logger }, each.level.toLowerCase())), h("td", { class: "text" }, each.text)))))));
  }
}
