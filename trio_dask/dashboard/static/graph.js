// Who takes whose values: functions with their progress, or tasks one by one.
import { at, every, get, h, hideTip, part, put, say, setBar, showTip } from "./dom.js";
import { Canvas, ink } from "./draw.js";
import { count, plural, short } from "./format.js";
import { live } from "./live.js";
import { groupParts, legend, pending } from "./status.js";

const TASKS_MAX = 5000;
const ROWS = 25;
const WIDE = 220, HIGH = 62, GAP_X = 44, GAP_Y = 18;
const FIRST = ["waiting", "ready", "assigned", "done", "failed", "released", "cancelled", "lost"];
const INKS = { waiting: "--dim", ready: "--ready", assigned: "--assigned", done: "--done", failed: "--bad", released: "--gone", cancelled: "--bad", lost: "--bad" };

// Columns from left to right: each node behind all it takes from; what goes round in a circle is cut.
export function layers(size, links) {
  const after = Array.from({ length: size }, () => []);
  const entering = new Array(size).fill(0);
  for (const [from, to] of links) if (from !== to) { after[from].push(to); entering[to] += 1; }
  const level = new Array(size).fill(0), done = new Array(size).fill(false);
  const open = [];
  for (let node = 0; node < size; node += 1) if (!entering[node]) open.push(node);
  let next = 0, left = size;
  while (left) {
    if (!open.length) {
      while (done[next]) next += 1;
      open.push(next);
    }
    const node = open.pop();
    if (done[node]) continue;
    done[node] = true;
    left -= 1;
    for (const other of after[node]) {
      if (done[other]) continue;
      level[other] = Math.max(level[other], level[node] + 1);
      entering[other] -= 1;
      if (!entering[other]) open.push(other);
    }
  }
  return level;
}

// A column that nobody would scroll through becomes several beside each other.
export const wrapped = (columns) => columns.flatMap((nodes) => {
  const beside = Math.ceil(nodes.length / ROWS), rows = Math.ceil(nodes.length / beside);
  return Array.from({ length: beside }, (_, index) => nodes.slice(index * rows, (index + 1) * rows));
});

// Within each column near to what they are linked with, so that few lines cross.
function places(level, links) {
  const columns = [];
  level.forEach((column, node) => { while (columns.length <= column) columns.push([]); columns[column].push(node); });
  const row = new Array(level.length).fill(0);
  const beside = Array.from(level, () => []);
  for (const [from, to] of links) { beside[from].push(to); beside[to].push(from); }
  const set = () => columns.forEach((nodes) => nodes.forEach((node, index) => { row[node] = (index + 0.5) / nodes.length; }));
  set();
  for (let round = 0; round < 4; round += 1) {
    for (const nodes of columns) {
      const mean = new Map(nodes.map((node) => [node, beside[node].length ? beside[node].reduce((sum, each) => sum + row[each], 0) / beside[node].length : row[node]]));
      nodes.sort((one, other) => mean.get(one) - mean.get(other) || one - other);
    }
    set();
  }
  return { columns, row };
}

export class Graph {
  constructor(rest, go) {
    this.title = "Graph";
    this.go = go;
    this.kind = new URLSearchParams(location.search).get("tasks") ? "tasks" : "functions";
    this.note = h("p", { class: "lead", role: "status" }, "Looking …");
    this.buttons = ["functions", "tasks"].map((kind) => h("button", { type: "button", "aria-pressed": "false", on: { click: () => this.choose(kind) } }, kind === "tasks" ? "Tasks" : "Functions"));
    this.box = h("div", { class: "scroll graph", tabindex: "0", role: "region", "aria-label": "Graph" });
    this.node = h("div", null, h("header", { class: "headed" }, h("h1", null, "Graph"), h("div", { class: "chips", role: "group", "aria-label": "What is drawn" }, this.buttons)), this.note,
      this.card = h("section", { class: "card flush" }, this.box, h("div", { class: "pad" }, this.legends = h("div"))));
    this.boxes = new Map();
  }

  start() { this.choose(this.kind); }

  choose(kind) {
    this.kind = kind;
    history.replaceState(null, "", at(kind === "tasks" ? "graph?tasks=1" : "graph"));
    this.buttons.forEach((each, index) => each.setAttribute("aria-pressed", String((index ? "tasks" : "functions") === kind)));
    if (this.stop) this.stop();
    if (this.canvas) { this.canvas.close(); this.canvas = null; }
    this.shape = "";
    this.boxes.clear();
    put(this.box);
    put(this.legends, kind === "functions" ? legend() : dots());
    this.stop = every(this.node, kind === "tasks" ? 2000 : 3000, () => this.ask());
  }

  async ask() {
    const { kind } = this;
    let data;
    try { data = await get(kind === "tasks" ? `api/v1/graph?tasks=${TASKS_MAX}` : "api/v1/graph"); } catch { return; }
    if (kind !== this.kind) return;
    this.card.hidden = !data.groups.length && !(data.tasks || []).length;
    if (kind === "tasks") this.showTasks(data); else this.showGroups(data);
  }

  // ------------------------------------------------------------ functions

  showGroups(data) {
    const groups = boxes(data);
    say(this.note, data.groups.length ? `${plural(data.groups.length + data.others.groups, "function")} with ${plural(data.count, "task")} that somebody needs, left to right as values go.${data.others.groups ? ` The ${count(data.groups.length)} with the most tasks are drawn; one box is for the others together.` : ""}${data.edges_left_out ? ` ${plural(data.edges_left_out, "line")} for the fewest values ${data.edges_left_out === 1 ? "is" : "are"} left out.` : ""}` : "There are no tasks at the moment: a graph is drawn of what is there.");
    const shape = JSON.stringify([groups.map((each) => each.name).sort(), data.edges.map(([one, other]) => [one, other]).sort()]);
    if (shape === this.shape) { this.counts(groups); return; }
    this.shape = shape;
    this.boxes.clear();
    const names = groups.map((each) => each.name), index = new Map(names.map((name, number) => [name, number]));
    const titles = groups.map((each) => each.title || each.name);
    const links = data.edges.filter(([one, other]) => one !== other && index.has(one) && index.has(other)).map(([one, other, n]) => [index.get(one), index.get(other), n]);
    const level = layers(names.length, links), columns = wrapped(places(level, links).columns);
    const most = Math.max(1, ...columns.map((each) => each.length));
    const width = Math.max(1, columns.length) * (WIDE + GAP_X) - GAP_X + 32, height = most * (HIGH + GAP_Y) + 14;
    const spot = names.map(() => null);
    columns.forEach((nodes, column) => nodes.forEach((node, row) => {
      spot[node] = [16 + column * (WIDE + GAP_X), 14 + (row + (most - nodes.length) / 2) * (HIGH + GAP_Y)];
    }));
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("width", width);
    svg.setAttribute("height", height);
    svg.setAttribute("aria-hidden", "true");
    for (const [from, to, n] of links) {
      const [x1, y1] = spot[from], [x2, y2] = spot[to];
      const line = document.createElementNS("http://www.w3.org/2000/svg", "path");
      const [a, b, c, d] = [x1 + WIDE, y1 + HIGH / 2, x2, y2 + HIGH / 2], bend = Math.max(30, Math.abs(c - a) / 2);
      line.setAttribute("d", `M${a} ${b}C${a + bend} ${b} ${c - bend} ${d} ${c} ${d}`);
      line.style.strokeWidth = String(1 + Math.min(4, Math.log10(n + 1)));
      const title = document.createElementNS("http://www.w3.org/2000/svg", "title");
      title.textContent = `${titles[from]} → ${titles[to]}: ${n}`;
      line.append(title);
      svg.append(line);
    }
    const nodes = names.map((name, node) => {
      const meter = h("div", { class: "meter", role: "img" }), counts = h("span", { class: "num dim" }), title = h("b", null, short(titles[node], 24));
      this.boxes.set(name, { meter, counts, title });
      return h("a", { class: name === null ? "node others" : "node", href: at(name === null ? "tasks" : `tasks?name=${part(name)}`), "data-nav": true, title: titles[node], style: { left: `${spot[node][0]}px`, top: `${spot[node][1]}px` } },
        title, counts, meter);
    });
    put(this.box, h("div", { class: "sheet", style: { width: `${width}px`, height: `${height}px` } }, svg, nodes));
    this.counts(groups);
  }

  counts(groups) {
    const known = new Map([...live.groups.values()].map((each) => [each.name, each]));
    for (const { name, states, title } of groups) {
      const box = this.boxes.get(name);
      if (!box) continue;
      if (title) { say(box.title, title); box.title.parentNode.title = title; }
      const group = { ...known.get(name), ...Object.fromEntries(FIRST.map((each) => [each, states[each] || 0])) };
      const [parts, all] = groupParts(group);
      say(box.counts, `${count(all - pending(group))} / ${count(all)}${states.failed ? `, ${count(states.failed)} failed` : ""}`);
      setBar(box.meter, parts, all, `${title || name}: ${all - pending(group)} of ${all}`);
    }
  }

  // ------------------------------------------------------------ tasks

  showTasks(data) {
    if (!data.tasks) {
      say(this.note, `${plural(data.count, "task")} are too many to draw one by one; up to ${count(TASKS_MAX)} can be seen.`);
      put(this.box);
      this.shape = "";
      return;
    }
    say(this.note, data.tasks.length ? `${plural(data.tasks.length, "task")} that somebody needs; click on one for its page.${data.links_left_out ? ` ${count(data.links_left_out)} of the lines are left out.` : ""}` : "There are no tasks at the moment: a graph is drawn of what is there.");
    this.tasks = data.tasks;
    const shape = `${data.tasks.map(([key]) => key).join()} ${data.links.join()}`;
    if (shape !== this.shape) {
      this.shape = shape;
      this.links = data.links;
      this.spots = places(layers(data.tasks.length, data.links), data.links);
      const most = Math.max(1, ...this.spots.columns.map((each) => each.length));
      if (this.canvas) this.canvas.close();
      const drawn = h("canvas", { class: "dots", role: "img", "aria-label": `${count(data.tasks.length)} tasks and what they take from each other`, style: { height: `${Math.max(240, Math.min(900, most * 14))}px`, "min-width": `${Math.min(3000, this.spots.columns.length * 26)}px` } });
      drawn.addEventListener("pointermove", (event) => { const found = this.hit(event); drawn.style.cursor = found === null ? "" : "pointer"; if (found === null) hideTip(); else showTip(event.clientX, event.clientY, [this.tasks[found][0], `${this.tasks[found][1]}, ${this.tasks[found][2]}`]); });
      drawn.addEventListener("pointerleave", hideTip);
      drawn.addEventListener("click", (event) => { const found = this.hit(event); if (found !== null) { hideTip(); this.go(at(`tasks/${part(this.tasks[found][0])}`)); } });
      put(this.box, drawn);
      this.canvas = new Canvas(drawn, (...args) => this.paint(...args));
    }
    this.canvas.draw();
  }

  paint(context, width, height) {
    const { columns } = this.spots;
    const x = [], y = [];
    columns.forEach((nodes, column) => nodes.forEach((node, index) => {
      x[node] = 12 + ((column + 0.5) * (width - 24)) / columns.length;
      y[node] = 8 + ((index + 0.5) * (height - 16)) / nodes.length;
    }));
    this.drawn = [x, y];
    context.strokeStyle = ink("--dim");
    context.globalAlpha = Math.max(0.05, Math.min(0.5, 60 / (this.links.length + 1)));
    context.beginPath();
    for (const [from, to] of this.links) { context.moveTo(x[from], y[from]); context.lineTo(x[to], y[to]); }
    context.stroke();
    context.globalAlpha = 1;
    const size = Math.max(1.5, Math.min(6, (height - 16) / Math.max(...columns.map((each) => each.length)) / 2.4));
    this.tasks.forEach(([, , state], node) => {
      context.fillStyle = ink(INKS[state]);
      context.beginPath();
      if (state === "failed" || state === "lost" || state === "cancelled") context.rect(x[node] - size, y[node] - size, 2 * size, 2 * size);
      else context.arc(x[node], y[node], size, 0, 7);
      if (state === "waiting") { context.strokeStyle = ink("--dim"); context.stroke(); } else context.fill();
    });
  }

  hit(event) {
    if (!this.drawn) return null;
    const box = event.target.getBoundingClientRect();
    const [xs, ys] = this.drawn, x = event.clientX - box.left, y = event.clientY - box.top;
    let best = null, near = 100;
    for (let node = 0; node < xs.length; node += 1) {
      const far = (xs[node] - x) ** 2 + (ys[node] - y) ** 2;
      if (far < near) { near = far; best = node; }
    }
    return best;
  }

  update() {}

  close() { this.stop(); if (this.canvas) this.canvas.close(); hideTip(); }
}

// What is drawn as a box; that of the others together has no name.
function boxes({ groups, others }) {
  return others.groups ? [...groups, { name: null, title: `… and ${count(others.groups)} more`, states: others.states }] : groups;
}

function dots() {
  return h("ul", { class: "legend" }, ["waiting", "ready", "assigned", "done", "failed", "released"].map((state) => h("li", null, h("i", { class: state === "released" ? "gone" : state, "aria-hidden": "true" }), state)));
}
