// All of it at a glance.
import { at, h, hideTip, part, put, say, setBar, showTip } from "./dom.js";
import { Curves, Spark, colour, ink } from "./draw.js";
import { bytes, count, mib, percent, rate, seconds, short } from "./format.js";
import { live } from "./live.js";
import { Stream } from "./stream.js";

const FEW = 24;
const GROUPS = 14;
const AT_WORK_S = 15;

export const PARTS = [
  ["done", "in memory"], ["gone", "done and let go of"], ["assigned", "given to workers"],
  ["ready", "queued"], ["waiting", "waiting for inputs"], ["failed", "failed"],
];

// What a bar of a group is made of; what has run and is forgotten counts as well.
export function groupParts(group) {
  const failed = (group.failed || 0) + (group.lost || 0) + (group.cancelled || 0);
  const here = (group.done || 0) + failed;
  const gone = Math.max(0, (group.runs || 0) - here);
  const parts = [[group.done || 0, "done"], [gone, "gone"], [group.assigned || 0, "assigned"],
    [group.ready || 0, "ready"], [group.waiting || 0, "waiting"], [failed, "failed"]];
  return [parts, parts.reduce((sum, [value]) => sum + value, 0)];
}

export const pending = (group) => (group.assigned || 0) + (group.ready || 0) + (group.waiting || 0);

function tile(title, extra) {
  const value = h("strong", null, "–"), unit = h("span", { class: "unit" }), note = h("p", { class: "note" });
  const node = h("section", { class: "tile" }, h("h2", null, title), h("p", { class: "figure" }, value, unit), extra, note);
  return { node, value, unit, note };
}

export class Status {
  constructor(rest, go) {
    this.title = "Status";
    this.go = go;
    this.spark = h("canvas", { class: "spark", "aria-hidden": "true" });
    this.rate = tile("Throughput", this.spark);
    this.busyBar = h("div", { class: "meter", role: "img" });
    this.busy = tile("Slots", this.busyBar);
    this.tasks = tile("Tasks");
    this.memoryBar = h("div", { class: "meter", role: "img" });
    this.memory = tile("Memory", this.memoryBar);
    this.failures = tile("Failures");
    this.stream = new Stream(go);
    this.groups = h("div", { class: "groups" });
    this.groupNote = h("span", { class: "dim" });
    this.workers = h("div");
    this.workerNote = h("span", { class: "dim" });
    this.rateCanvas = h("canvas", { class: "curve", role: "img", "aria-label": "Throughput over time" });
    this.memoryCanvas = h("canvas", { class: "curve", role: "img", "aria-label": "Memory over time" });
    this.empty = h("section", { class: "card empty", hidden: true });
    this.node = h("div", { class: "status" },
      h("h1", { class: "hidden" }, "Status"),
      h("div", { class: "tiles" }, this.rate.node, this.busy.node, this.tasks.node, this.memory.node, this.failures.node),
      this.empty,
      h("div", { class: "grid" },
        this.stream.node,
        h("section", { class: "card", "aria-labelledby": "progress-title" },
          h("header", null, h("h2", { id: "progress-title" }, "Progress"), this.groupNote,
            h("a", { href: at("tasks"), "data-nav": true, class: "more" }, "All functions")),
          this.groups, legend()),
        h("section", { class: "card", "aria-labelledby": "workers-title" },
          h("header", null, h("h2", { id: "workers-title" }, "Workers"), this.workerNote,
            h("a", { href: at("workers"), "data-nav": true, class: "more" }, "Table")), this.workers),
        h("section", { class: "card" }, h("header", null, h("h2", null, "Tasks a second")), this.rateCanvas),
        h("section", { class: "card" }, h("header", null, h("h2", null, "Memory of the workers")), this.memoryCanvas)));
    this.curve = new Spark(this.spark);
    this.rates = new Curves(this.rateCanvas, (v) => rate(v), { floor: 1 });
    this.memories = new Curves(this.memoryCanvas, (v) => bytes(v), { floor: 1048576, binary: true });
    this.rows = new Map();
    this.cells = new Map();
  }

  start() { this.stream.start(); }

  update() {
    const { totals } = live;
    say(this.rate.value, rate(totals.rate));
    say(this.rate.unit, "tasks/s");
    say(this.rate.note, `${count(totals.finished)} have run`);
    this.curve.set(live.history.slice(-90).map((each) => each[1]));
    say(this.busy.value, count(totals.busy));
    say(this.busy.unit, ` of ${count(totals.slots)}`);
    setBar(this.busyBar, [[totals.busy, "assigned"]], totals.slots, `${totals.busy} of ${totals.slots} slots are busy`);
    say(this.busy.note, `on ${count(totals.workers)} ${totals.workers === 1 ? "worker" : "workers"}`);
    say(this.tasks.value, count(totals.processing + totals.queued));
    say(this.tasks.unit, " to run");
    say(this.tasks.note, `${count(totals.processing)} given out, ${count(totals.queued)} queued, ${count(totals.tasks)} known`);
    say(this.memory.value, bytes(totals.memory));
    say(this.memory.unit, totals.memory_limit ? ` of ${bytes(totals.memory_limit)}` : "");
    setBar(this.memoryBar, [[totals.memory, level(totals.memory, totals.memory_limit)]], totals.memory_limit,
      `${percent(totals.memory, totals.memory_limit)} of memory`);
    say(this.memory.note, `${count(totals.held)} values held`);
    say(this.failures.value, count(totals.failures));
    this.failures.node.classList.toggle("bad", totals.failures > 0);
    say(this.failures.note, totals.failures ? "see Failures" : "none so far");
    this.showEmpty();
    this.stream.update();
    this.showGroups();
    this.showWorkers();
    const { history } = live;
    this.rates.set([{ label: "tasks/s", values: history.map((each) => [each[0], each[1]]), colour: ink("--accent"), fill: true }], live.t);
    this.memories.set([{ label: "memory", values: history.map((each) => [each[0], each[4]]), colour: ink("--accent"), fill: true }], live.t);
  }

  showEmpty() {
    const { workers, tasks, finished } = live.totals;
    const want = !workers ? "workers" : !tasks && !finished ? "tasks" : "";
    if (this.wanted === want) return;
    this.wanted = want;
    this.empty.hidden = !want;
    const { address } = live.identity;
    if (want === "workers") {
      put(this.empty, h("h2", null, "No workers yet"), h("p", null, "Start some, on this machine or any other that reaches this one:"),
        code(`trio-dask worker ${address} --nworkers 4`),
        h("p", { class: "dim" }, "Elsewhere, set ", h("code", null, "TRIO_DASK_TOKEN"), " to what ", h("code", null, "trio-dask token show"), " prints here."));
    } else if (want === "tasks") {
      put(this.empty, h("h2", null, "Nothing to do yet"), h("p", null, "From Python:"),
        code(`from trio_dask import Client\n\nclient = Client("${address}")\nprint(client.submit(sum, [1, 2, 3]).result())`));
    }
  }

  showGroups() {
    const groups = [...live.groups.values()].filter((each) => each.runs || pending(each) || each.done || each.failed);
    // In the order in which they came, those at work first: rows that change places cannot be read.
    for (const each of groups) {
      if (pending(each) || each.runs !== each.ran) each.busyAt = live.t;
      each.ran = each.runs;
    }
    const idle = (each) => Number(live.t - (each.busyAt || 0) > AT_WORK_S);
    groups.sort((one, two) => idle(one) - idle(two) || one.id - two.id);
    const shown = groups.slice(0, GROUPS);
    say(this.groupNote, groups.length > GROUPS ? `${GROUPS} of ${count(groups.length)} functions` : "");
    const keep = new Set(shown.map((each) => each.id));
    for (const [id, row] of this.rows) if (!keep.has(id)) { row.node.remove(); this.rows.delete(id); }
    shown.forEach((group, index) => {
      let row = this.rows.get(group.id);
      if (!row) { row = groupRow(group); this.rows.set(group.id, row); }
      if (this.groups.children[index] !== row.node) this.groups.insertBefore(row.node, this.groups.children[index] || null);
      const [parts, all] = groupParts(group);
      const finished = all - pending(group);
      say(row.counts, `${count(finished)} / ${count(all)}`);
      say(row.mean, group.runs ? `${seconds(group.seconds / group.runs)} each` : "");
      setBar(row.meter, parts, all, `${group.name}: ${finished} of ${all}, ${group.failed || 0} failed`);
      row.dot.style.background = colour(group.id);
    });
    if (!shown.length && !this.groups.children.length) put(this.groups, h("p", { class: "dim quiet" }, "No tasks."));
    if (shown.length) for (const each of this.groups.querySelectorAll(".quiet")) each.remove();
  }

  showWorkers() {
    const workers = [...live.workers.values()];
    say(this.workerNote, workers.length ? count(workers.length) : "");
    const kind = workers.length > FEW ? "many" : "few";
    if (this.kind !== kind) {
      this.kind = kind;
      this.cells.clear();
      put(this.workers);
      this.workers.className = kind === "many" ? "heat" : "bars";
    }
    const keep = new Set(workers.map((each) => each.id));
    for (const [id, cell] of this.cells) if (!keep.has(id)) { cell.node.remove(); this.cells.delete(id); }
    for (const worker of workers) {
      let cell = this.cells.get(worker.id);
      if (!cell) {
        cell = kind === "many" ? heatCell(worker) : workerBar(worker);
        this.cells.set(worker.id, cell);
        this.workers.append(cell.node);
      }
      cell.update(worker);
    }
    if (!workers.length && !this.workers.children.length) put(this.workers, h("p", { class: "dim quiet" }, "None."));
    if (workers.length) for (const each of this.workers.querySelectorAll(".quiet")) each.remove();
  }

  close() {
    this.stream.close();
    this.curve.close();
    this.rates.close();
    this.memories.close();
  }
}

export const level = (used, limit) => (!limit || used < 0.6 * limit ? "memory" : used < 0.8 * limit ? "memory near" : "memory full");

export function legend() {
  return h("ul", { class: "legend" }, PARTS.map(([kind, about]) => h("li", null, h("i", { class: kind, "aria-hidden": "true" }), about)));
}

function groupRow(group) {
  const dot = h("i", { class: "dot", "aria-hidden": "true" });
  const counts = h("span", { class: "num" }), mean = h("span", { class: "dim num" }), meter = h("div", { class: "meter", role: "img" });
  const name = h("a", { href: at(`tasks?name=${part(group.name)}`), "data-nav": true, title: group.name, class: "name" }, short(group.name, 28));
  return { node: h("div", { class: "group" }, h("div", { class: "line" }, dot, name, mean, counts), meter), counts, mean, meter, dot };
}

function workerBar(worker) {
  const memory = h("div", { class: "meter", role: "img" }), busy = h("div", { class: "meter", role: "img" });
  const text = h("span", { class: "num dim" }), tasks = h("span", { class: "num dim" });
  const name = h("a", { href: at(`workers/${part(worker.name)}`), "data-nav": true, class: "name", title: worker.name }, short(worker.name, 24));
  const node = h("div", { class: "worker" }, h("div", { class: "line" }, name, tasks, text), h("div", { class: "pair" }, busy, memory));
  return {
    node,
    update(each) {
      const { processing, slots } = each;
      say(tasks, each.silent ? `silent for ${seconds(each.silent)}` : slots ? `${count(Math.min(processing, slots))}/${slots} busy${processing > slots ? ` +${count(processing - slots)}` : ""}` : each.status);
      say(text, `${mib(each.memory)}${each.memory_limit ? ` / ${mib(each.memory_limit)}` : ""}`);
      setBar(busy, [[Math.min(processing, slots), "assigned"]], slots, `${Math.min(processing, slots)} of ${slots} slots busy`);
      setBar(memory, [[each.memory, level(each.memory, each.memory_limit)]], each.memory_limit, `${percent(each.memory, each.memory_limit)} of memory`);
      node.classList.toggle("bad", Boolean(each.silent) || !slots);
    },
  };
}

function heatCell(worker) {
  const node = h("a", { href: at(`workers/${part(worker.name)}`), "data-nav": true, class: "cell" }, h("i", { class: "fill" }));
  let now = worker;
  node.addEventListener("pointerenter", (event) => showTip(event.clientX, event.clientY, [
    now.name, `${count(now.processing)} tasks given, ${now.slots} slots`,
    `${mib(now.memory)}${now.memory_limit ? ` of ${mib(now.memory_limit)}` : ""}, ${now.cpu} % CPU`, now.silent ? `silent for ${seconds(now.silent)}` : now.status,
  ]));
  node.addEventListener("pointerleave", hideTip);
  return {
    node,
    update(each) {
      now = each;
      const busy = each.slots ? Math.min(1, each.processing / each.slots) : 0;
      const kind = `cell b${Math.round(busy * 4)}${each.silent || !each.slots ? " bad" : ""}`;
      if (node.className !== kind) node.className = kind;
      const share = each.memory_limit ? Math.min(100, Math.round((100 * each.memory) / each.memory_limit)) : 0;
      const height = `${share}%`;
      if (node.firstChild.style.height !== height) node.firstChild.style.height = height;
      const label = `${each.name}: ${each.processing} tasks, ${share} % of memory`;
      if (node.getAttribute("aria-label") !== label) node.setAttribute("aria-label", label);
    },
  };
}

export function code(text) {
  const button = h("button", { type: "button", class: "copy" }, "Copy");
  button.addEventListener("click", async () => {
    try { await navigator.clipboard.writeText(text); button.textContent = "Copied"; } catch { button.textContent = "Select and copy"; }
  });
  return h("div", { class: "code" }, h("pre", null, text.split(" ").flatMap((word) => [" ", h("span", { class: "word" }, word)]).slice(1)), button);
}
