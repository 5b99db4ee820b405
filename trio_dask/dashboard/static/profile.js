// Where time went: a tree of calls as wide as it took, and the same as a table.
import { at, every, get, h, hideTip, part, put, say, showTip } from "./dom.js";
import { Canvas, colour, ink } from "./draw.js";
import { count, percent, plural, seconds, short } from "./format.js";
import { Table } from "./table.js";

const ROW = 21;
const DEEP = 60;

// What a file belongs to: a package, Python itself, or the user's own code.
export function home(file) {
  const packaged = file.match(/(?:site|dist)-packages\/([^/.]+)/);
  if (packaged) return packaged[1];
  if (/\/lib\/python3[^/]*\//.test(file) || file.startsWith("<frozen")) return "Python";
  return file.includes("/trio_dask/") ? "trio_dask" : "";
}

const brief = (file) => file.split("/").slice(-2).join("/");
export const place = (file, line) => (file ? `${brief(file)}:${line}` : "");

function hue(node) {
  if (!node.file) return ink("--accent");
  const name = home(node.file) || node.file;
  let sum = 7;
  for (const each of name) sum = (sum * 31 + each.charCodeAt(0)) % 9973;
  return colour((sum % 9) + 1);
}

// Black or white, whichever is read better on a colour.
const inks = new Map();
function inkOn(fill) {
  if (!inks.has(fill)) {
    const [r, g, b] = [1, 3, 5].map((index) => (parseInt(fill.slice(index, index + 2), 16) / 255) ** 2.2);
    inks.set(fill, 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.2 ? "#10171a" : "#ffffff");
  }
  return inks.get(fill);
}

// The tree that the columns of an answer are.
function grow(data) {
  const tree = { function: data.name || "all tasks", file: "", line: 0, count: 0, depth: 0, children: [], above: null };
  const nodes = [];
  data.parents.forEach((above, index) => {
    const frame = data.frames[index];
    const parent = above < 0 ? tree : nodes[above];
    const node = { function: data.functions[frame], file: data.files[frame], line: data.lines[frame], count: data.counts[index], depth: parent.depth + 1, children: [], above: parent };
    if (above < 0) tree.count += node.count;
    parent.children.push(node);
    nodes.push(node);
  });
  for (const each of [tree, ...nodes]) {
    each.children.sort((one, two) => one.function.localeCompare(two.function) || one.line - two.line);
    each.own = each.count - each.children.reduce((sum, child) => sum + child.count, 0);
  }
  return [tree, nodes];
}

const path = (node) => (node ? [...path(node.above), `${node.function}\n${node.file}\n${node.line}`] : []);

class Flames {
  constructor(unit, chosen) {
    this.unit = unit;
    this.chosen = chosen;
    this.node = h("canvas", { class: "flames", role: "img", tabindex: "0", "aria-describedby": "flames-keys" });
    this.canvas = new Canvas(this.node, (...all) => this.paint(...all));
    this.tree = null;
    this.zoom = null;
    this.mark = null;
    this.boxes = [];
    this.node.addEventListener("pointermove", (event) => this.point(event));
    this.node.addEventListener("pointerleave", hideTip);
    this.node.addEventListener("click", (event) => { const hit = this.hit(event); if (hit) this.into(hit === this.zoom && hit.above ? hit.above : hit); });
    this.node.addEventListener("keydown", (event) => this.key(event));
  }

  set(tree) {
    const [zoom, mark] = [path(this.zoom), path(this.mark)];
    this.tree = tree;
    this.zoom = this.find(zoom) || tree;
    this.mark = this.find(mark);
    this.fit();
  }

  find(names) {
    let node = names.length ? this.tree : null;
    for (const name of names.slice(1)) node = node && node.children.find((each) => `${each.function}\n${each.file}\n${each.line}` === name);
    return node;
  }

  fit() {
    let deepest = this.zoom.depth;
    const look = (node) => { deepest = Math.max(deepest, node.depth); if (node.depth < this.zoom.depth + DEEP) node.children.forEach(look); };
    look(this.zoom);
    const height = `${(deepest + 1) * ROW + 2}px`;
    if (this.node.style.height !== height) this.node.style.height = height;
    this.node.setAttribute("aria-label", `Flame graph of ${this.zoom.function}: ${this.unit(this.zoom.count)}. The table below has the same numbers.`);
    this.canvas.draw();
  }

  into(node) { this.zoom = node; this.mark = node; this.fit(); this.chosen(node, this.tree); }

  paint(context, width) {
    this.boxes = [];
    if (!this.tree || !this.tree.count) return;
    context.font = "12px system-ui, sans-serif";
    context.textBaseline = "middle";
    context.textAlign = "left";
    for (let above = this.zoom.above; above; above = above.above) this.box(context, above, 0, width, true);
    this.spread(context, this.zoom, 0, width);
    if (this.mark) {
      const box = this.boxes.find(([, , , , node]) => node === this.mark);
      if (box) {
        context.strokeStyle = ink("--text");
        context.lineWidth = 2;
        context.strokeRect(box[0] + 1, box[1] + 1, Math.max(2, box[2] - 3), ROW - 3);
      }
    }
  }

  spread(context, node, x, wide) {
    this.box(context, node, x, wide, false);
    if (node.depth >= this.zoom.depth + DEEP) return;
    let from = x;
    for (const child of node.children) {
      const part = (wide * child.count) / node.count;
      if (part >= 1) this.spread(context, child, from, part);
      from += part;
    }
  }

  box(context, node, x, wide, above) {
    const y = node.depth * ROW;
    const fill = node.above ? hue(node) : ink("--waiting");
    context.globalAlpha = above ? 0.45 : 1;
    context.fillStyle = fill;
    context.fillRect(x, y, Math.max(1, wide - 1), ROW - 1);
    if (wide > 26) {
      context.save();
      context.beginPath(); context.rect(x, y, wide - 4, ROW - 1); context.clip();
      context.fillStyle = node.above ? inkOn(fill) : ink("--text");
      if (above) { context.globalAlpha = 1; context.fillStyle = ink("--text"); }
      context.fillText(node.function, x + 5, y + ROW / 2);
      context.restore();
    }
    context.globalAlpha = 1;
    this.boxes.push([x, y, wide, ROW, node]);
  }

  hit(event) {
    const box = this.node.getBoundingClientRect();
    const x = event.clientX - box.left, y = event.clientY - box.top;
    const found = this.boxes.find(([left, top, wide, high]) => x >= left && x <= left + wide && y >= top && y < top + high);
    return found ? found[4] : null;
  }

  point(event) {
    const node = this.hit(event);
    this.node.style.cursor = node ? "pointer" : "default";
    if (!node) { hideTip(); return; }
    showTip(event.clientX, event.clientY, [node.function, ...this.about(node)]);
  }

  about(node) {
    return [node.file ? `${node.file}:${node.line}` : "", `${this.unit(node.count)}, ${percent(node.count, this.tree.count)} of all`, node.children.length ? `${this.unit(node.own)} of it in itself` : ""].filter(Boolean);
  }

  key(event) {
    if (!this.tree) return;
    const from = this.mark || this.zoom;
    const beside = from.above ? from.above.children : [from];
    const step = (by) => beside[(beside.indexOf(from) + by + beside.length) % beside.length];
    const largest = () => from.children.reduce((best, each) => (best && best.count >= each.count ? best : each), null);
    const moves = { ArrowUp: () => from.above, ArrowDown: largest, ArrowLeft: () => step(-1), ArrowRight: () => step(1) };
    if (event.key === "Enter") this.into(from);
    else if (event.key === "Escape") this.into(this.tree);
    else if (moves[event.key]) {
      this.mark = moves[event.key]() || from;
      if (this.mark.depth < this.zoom.depth) this.zoom = this.mark;
      this.fit();
      this.chosen(this.mark, this.tree);
    } else return;
    event.preventDefault();
  }

  close() { this.canvas.close(); hideTip(); }
}

// Ten minutes in pieces; who draws over it chooses some.
class Strip {
  constructor(chosen) {
    this.chosen = chosen;
    this.pieces = [];
    this.window = null;
    this.node = h("canvas", { class: "strip", role: "img", "aria-label": "How much was seen, over the last ten minutes. Draw over it to choose a window of time." });
    this.canvas = new Canvas(this.node, (...all) => this.paint(...all));
    this.node.addEventListener("pointerdown", (event) => { this.node.setPointerCapture(event.pointerId); this.from = this.at(event); this.choose(event); });
    this.node.addEventListener("pointermove", (event) => { if (this.from !== undefined) this.choose(event); });
    this.node.addEventListener("pointerup", (event) => { if (this.from === undefined) return; this.choose(event); this.from = undefined; this.chosen(this.window); });
  }

  set(pieces, piece, window) { this.pieces = pieces; this.piece = piece; if (this.from === undefined) this.window = window; this.canvas.draw(); }

  at(event) {
    const box = this.node.getBoundingClientRect();
    const pieces = this.pieces.length - 1;
    return Math.max(0, Math.min(pieces - 1, pieces - 1 - Math.floor(((event.clientX - box.left) / box.width) * pieces)));
  }

  choose(event) {
    const to = this.at(event);
    const [newest, oldest] = [Math.min(this.from, to), Math.max(this.from, to)];
    this.window = [(oldest + 1) * this.piece, newest * this.piece];
    this.canvas.draw();
  }

  paint(context, width, height) {
    const pieces = this.pieces.slice(0, -1);
    const most = Math.max(...pieces, 1e-9), wide = width / Math.max(1, pieces.length), foot = 15;
    pieces.forEach((value, ago) => {
      const x = width - (ago + 1) * wide;
      const inside = !this.window || ((ago + 0.5) * this.piece <= this.window[0] && (ago + 0.5) * this.piece >= this.window[1]);
      context.fillStyle = ink("--lane");
      context.fillRect(x, 0, wide - 1, height - foot);
      const high = value ? Math.max(1.5, (value / most) * (height - foot)) : 0;
      context.fillStyle = ink(inside ? "--accent" : "--gone");
      context.fillRect(x, height - foot - high, wide - 1, high);
    });
    context.font = "11px system-ui, sans-serif";
    context.fillStyle = ink("--dim");
    context.textAlign = "left";
    context.fillText("10 min ago", 0, height - 3);
    context.textAlign = "right";
    context.fillText("now", width, height - 3);
  }

  close() { this.canvas.close(); }
}

const WINDOWS = [["All", null], ["10 min", [600, 0]], ["1 min", [60, 0]]];

export class Profile {
  constructor(name, go) {
    this.name = name;
    this.title = name ? `Profile of ${short(name, 30)}` : "Profile";
    this.window = null;
    const unit = (times) => seconds(times * (this.interval || 0.01));
    this.flames = new Flames(unit, (node, tree) => this.tell(node, tree));
    this.strip = new Strip((window) => { this.window = window; this.ask(); });
    this.of = h("select", { id: "profile-of", on: { change: () => go(at(this.of.value ? `profile/${part(this.of.value)}` : "profile")) } });
    this.chips = WINDOWS.map(([text, window]) => h("button", { type: "button", "aria-pressed": "false", on: { click: () => { this.window = window; this.ask(); } } }, text));
    this.note = h("p", { class: "lead", role: "status" });
    this.chosen = h("p", { class: "dim", role: "status" });
    this.table = new Table({
      label: "Time by code", sort: "own", placeholder: "Filter by function or file", filter: (each) => `${each.function} ${each.file}`,
      columns: [
        { name: "function", title: "Function", value: (each) => each.function, text: (each) => short(each.function, 60) },
        { name: "file", title: "Where", value: (each) => each.file, cell: (cell, each) => { say(cell, place(each.file, each.line)); if (cell.title !== each.file) cell.title = each.file; } },
        { name: "own", title: "In itself", about: "Without what it called", num: true, value: (each) => each.own, text: (each) => unit(each.own) },
        { name: "all", title: "In all", about: "With what it called", num: true, value: (each) => each.all, text: (each) => unit(each.all) },
      ],
    });
    this.empty = h("section", { class: "card empty apart", hidden: true });
    this.shown = h("div", { hidden: true, class: "apart" },
      h("section", { class: "card" }, h("header", null, h("h2", null, "Calls"), h("span", { class: "dim more" }, "as wide as they took")), h("div", { class: "flame-box", tabindex: "0", role: "region", "aria-label": "Calls" }, this.flames.node), this.chosen,
        h("p", { class: "dim", id: "flames-keys" }, "Click to go into a call, and again to go back. Keys: arrows move, Enter goes into, Escape shows all.")),
      h("section", { class: "card flush" }, h("header", { class: "pad" }, h("h2", null, "By code")), this.table.node));
    this.node = h("div", null, h("h1", null, "Profile"), this.note,
      h("section", { class: "card" },
        h("header", null, h("label", { for: "profile-of", class: "dim" }, "Function"), this.of, h("div", { class: "chips", role: "group", "aria-label": "Window of time" }, this.chips)), this.strip.node),
      this.empty, this.shown);
  }

  start() { this.stop = every(this.node, 4000, () => this.ask()); }

  async ask() {
    const query = new URLSearchParams();
    if (this.name) query.set("name", this.name);
    if (this.window) { query.set("since", this.window[0]); if (this.window[1]) query.set("until", this.window[1]); }
    let data;
    try { data = await get(`api/v1/profile?${query}`); } catch (error) { say(this.note, error.message); return; }
    const [tree, nodes] = grow(data);
    this.interval = data.interval_s;
    const what = JSON.stringify(data.names);
    if (what !== this.names && document.activeElement !== this.of) {
      this.names = what;
      const names = this.name && !(this.name in data.names) ? { [this.name]: 0, ...data.names } : data.names;
      put(this.of, h("option", { value: "" }, "all"), Object.entries(names).map(([name, took]) => h("option", { value: name, selected: name === this.name }, `${short(name, 40)} (${seconds(took)})`)));
    }
    this.chips.forEach((chip, index) => chip.setAttribute("aria-pressed", String(JSON.stringify(WINDOWS[index][1]) === JSON.stringify(this.window))));
    const silent = data.silent ? `; ${plural(data.silent, "worker")} ${data.silent === 1 ? "does" : "do"} not say` : "";
    const when = !this.window ? "since the workers began" : this.window[1] ? `from ${seconds(this.window[0])} to ${seconds(this.window[1])} ago` : `in the last ${seconds(this.window[0])}`;
    say(this.note, !data.seconds ? `Nothing has been seen running${this.name ? ` of ${this.name}` : ""} ${when}${silent}.` : `${seconds(data.seconds)} of running${this.name ? ` of ${this.name}` : ""} seen on ${plural(data.workers, "worker")} ${when}${silent}.`);
    this.strip.set(data.pieces, data.piece_s, this.window);
    const nothing = !tree.count;
    this.empty.hidden = !nothing;
    this.shown.hidden = nothing;
    if (nothing) {
      put(this.empty, h("h2", null, "Nothing seen"), h("p", null, data.workers && !data.interval_s
        ? "Workers do not look at what tasks do: worker.profile-interval is 0." : "While tasks run, it is looked at every few milliseconds what they do. What was seen comes here after some seconds."));
      return;
    }
    this.flames.set(tree);
    this.table.update(codes(nodes));
    if (!this.chosen.textContent) this.tell(tree, tree);
  }

  tell(node, tree) { say(this.chosen, [node.function, ...this.flames.about(node)].join(" · ")); if (node === tree) say(this.chosen, `${count(tree.count)} looks in all.`); }

  update() {}

  close() { this.stop(); this.flames.close(); this.strip.close(); }
}

// Each function with its time; of one that calls itself the outermost counts.
function codes(nodes) {
  const found = new Map();
  for (const node of nodes) {
    const id = `${node.function}\n${node.file}\n${node.line}`;
    let row = found.get(id);
    if (!row) { row = { id, function: node.function, file: node.file, line: node.line, own: 0, all: 0 }; found.set(id, row); }
    row.own += node.own;
    let above = node.above;
    while (above && !(above.function === node.function && above.file === node.file && above.line === node.line)) above = above.above;
    if (!above) row.all += node.count;
  }
  return [...found.values()];
}
