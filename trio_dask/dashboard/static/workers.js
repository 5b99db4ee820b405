// The workers in a table, and a page for each.
import { at, every, get, h, part, put, say, setBar } from "./dom.js";
import { Curves, ink } from "./draw.js";
import { bytes, count, mib, percent, plural, seconds, short } from "./format.js";
import { live } from "./live.js";
import { code, level } from "./status.js";
import { Table } from "./table.js";
import { eventList, lineList } from "./events.js";
import { orderBar } from "./orders.js";
import { Stacks } from "./stacks.js";
import { runningList, taskList } from "./tasks.js";

function anchor(cell, path, text, most) {
  if (cell.dataset.shows === path) return;
  cell.dataset.shows = path;
  put(cell, h("a", { href: at(path), "data-nav": true, title: text }, short(text, most)));
}

function metered(cell, used, limit, text, kind, label) {
  if (!cell.firstChild) put(cell, h("span"), h("div", { class: "meter", role: "img" }));
  say(cell.firstChild, text);
  setBar(cell.lastChild, [[used, kind]], limit, label);
}

// What a processor has done lately: a line in a cell, drawn when there is a point more.
const LATELY_S = 120, LATELY_WIDE = 90, LATELY_HIGH = 20;
const SVG = "http://www.w3.org/2000/svg";

function lately(cell, { past, nthreads }) {
  const last = past.length ? past[past.length - 1][0] : 0;
  if (cell.dataset.shows === String(last)) return;
  cell.dataset.shows = last;
  if (!cell.firstChild) {
    const svg = document.createElementNS(SVG, "svg");
    for (const [name, value] of [["class", "lately"], ["viewBox", `0 0 ${LATELY_WIDE} ${LATELY_HIGH}`], ["aria-hidden", "true"]]) svg.setAttribute(name, value);
    svg.append(document.createElementNS(SVG, "polyline"));
    cell.append(svg);
  }
  const most = Math.max(100 * (nthreads || 1), ...past.map((each) => each[2]));
  const points = past.filter(([t]) => t > last - LATELY_S).map(([t, , cpu]) => `${(LATELY_WIDE * (1 - (last - t) / LATELY_S)).toFixed(1)},${(LATELY_HIGH - 1 - (LATELY_HIGH - 2) * (cpu / most)).toFixed(1)}`);
  cell.firstChild.firstChild.setAttribute("points", points.join(" "));
}

const status = (each) => (each.silent ? `silent ${seconds(each.silent)}` : each.status);

export class Workers {
  constructor() {
    this.title = "Workers";
    this.table = new Table({
      label: "Workers", sort: "name", down: false, placeholder: "Filter by name, host or address",
      filter: (each) => `${each.name} ${each.host} ${each.address} ${each.status}`,
      columns: [
        { name: "name", title: "Name", value: (each) => each.name, cell: (cell, each) => anchor(cell, `workers/${part(each.name)}`, each.name, 32) },
        { name: "host", title: "Host", value: (each) => each.host, text: (each) => each.host, hide: "mid" },
        { name: "address", title: "Address", value: (each) => each.address, text: (each) => each.address, hide: "low" },
        { name: "status", title: "Status", value: status, cell: (cell, each) => {
          say(cell, status(each));
          cell.classList.toggle("alert", Boolean(each.silent) || !each.slots);
        } },
        { name: "processing", title: "Tasks", about: "Given to it, of them as many as it has slots run", num: true, wide: true, value: (each) => each.processing,
          cell: (cell, each) => metered(cell, Math.min(each.processing, each.slots), each.slots, `${count(each.processing)} on ${count(each.slots)}`, "assigned", `${each.processing} tasks on ${each.slots} slots`) },
        { name: "memory", title: "Memory", num: true, wide: true, value: (each) => each.memory,
          cell: (cell, each) => metered(cell, each.memory, each.memory_limit, each.memory_limit ? `${mib(each.memory)} of ${mib(each.memory_limit)}` : mib(each.memory), level(each.memory, each.memory_limit), `${percent(each.memory, each.memory_limit)} of its memory`) },
        { name: "cpu", title: "CPU", about: "Of one processor", num: true, value: (each) => each.cpu, text: (each) => `${count(each.cpu)} %` },
        { name: "held", title: "Values", about: "That it holds", num: true, hide: "mid", value: (each) => each.held, text: (each) => count(each.held) },
        { name: "lately", title: "Lately", about: "CPU in the last two minutes, sorted by what it is now", hide: "mid", value: (each) => each.cpu, cell: lately },
      ],
    });
    this.empty = h("div", { class: "card empty", hidden: true });
    this.summary = h("p", { class: "lead" });
    this.node = h("div", null, h("h1", null, "Workers"), this.summary, this.empty, this.card = h("section", { class: "card flush" }, this.table.node));
  }

  update() {
    const { totals } = live;
    const workers = [...live.workers.values()];
    say(this.summary, workers.length
      ? `${plural(workers.length, "worker")} with ${plural(totals.slots, "slot")}, ${count(totals.busy)} of them busy; ${bytes(totals.memory)} of ${bytes(totals.memory_limit)} in use.${workers.length < totals.workers ? ` ${count(totals.workers - workers.length)} more are coming.` : ""}`
      : "");
    if (this.empty.hidden !== Boolean(workers.length)) {
      this.empty.hidden = Boolean(workers.length);
      if (!workers.length) put(this.empty, h("h2", null, "No workers"), h("p", null, "Start some:"), code(`trio-dask worker ${live.identity.address} --nworkers 4`));
    }
    this.card.hidden = !workers.length;
    this.table.update(workers);
  }

  close() {}
}

export class Worker {
  constructor(name) {
    this.name = name;
    this.title = name;
    this.facts = h("dl", { class: "facts" });
    this.load = h("div", { class: "card" });
    this.window = h("div", { class: "card flush" });
    this.held = h("div", { class: "card flush" });
    this.running = h("div", { class: "card flush" });
    this.runner = h("dl", { class: "facts" });
    this.events = h("div");
    this.log = h("div");
    this.output = h("div", { class: "card" });
    this.stacks = new Stacks(`worker=${part(name)}`);
    this.note = h("p", { class: "lead" });
    this.orders = orderBar([
      { verb: "Retire it", title: `Retire ${name}?`, text: "It is given no more tasks, what only it holds moves to other workers, and then it ends. Tasks that run get a few seconds, and then run elsewhere.",
        path: "api/v1/retire_workers", body: { workers: [name] }, done: (answer) => { const stayed = Object.values(answer.stayed || {}); return stayed.length ? `It stays: ${stayed[0]}.` : "It has left."; } },
      { verb: "Replace its process", title: `Replace the process of ${name}?`, text: "What runs there runs again, here or elsewhere; results that are only in that process are computed again.",
        path: "api/v1/restart_workers", body: { workers: [name] }, done: () => "It has a new process." },
    ]);
    this.cpuCanvas = h("canvas", { class: "curve", role: "img", "aria-label": "Processor time" });
    this.memoryCanvas = h("canvas", { class: "curve", role: "img", "aria-label": "Memory" });
    this.cpu = new Curves(this.cpuCanvas, (v) => `${Math.round(v)} %`, { span: 120, floor: 100 });
    this.memory = new Curves(this.memoryCanvas, mib, { span: 120, floor: 64, binary: true });
    // Shown when there is something to show: of one that was never there, nothing.
    this.known = h("div", { hidden: true },
      h("div", { class: "grid two" },
        h("section", { class: "card" }, h("header", null, h("h2", null, "CPU")), this.cpuCanvas),
        h("section", { class: "card" }, h("header", null, h("h2", null, "Memory")), this.memoryCanvas),
        h("section", { class: "card" }, h("header", null, h("h2", null, "What it is")), this.facts),
        h("div", { class: "stack" }, h("section", { class: "card" }, h("header", null, h("h2", null, "Its process for tasks")), this.runner), this.load)),
      this.stacks.node,
      h("h2", null, "Running for a second or more"), this.running,
      h("h2", null, "Tasks given to it"), this.window, h("h2", null, "Values it holds"), this.held,
      h("h2", null, "What has happened to it"), h("section", { class: "card flush" }, this.events),
      h("h2", null, "What its tasks have printed"), this.output,
      h("h2", null, "What its process has logged"), h("section", { class: "card flush" }, this.log));
    this.node = h("div", null,
      h("nav", { class: "crumbs", "aria-label": "Where this is" }, h("a", { href: at("workers"), "data-nav": true }, "Workers"), " / "),
      h("h1", null, name), this.note, this.orders, this.known);
  }

  start() { this.stop = every(this.node, 2000, () => this.ask()); this.stacks.start(); this.reading = every(this.node, 5000, () => this.read()); }

  async read() {
    let data;
    try { data = await get(`api/v1/worker_logs?worker=${part(this.name)}`); } catch { return; }
    const what = JSON.stringify([data.output, data.lines.map((each) => each.text)]);
    if (what === this.read_) return;
    this.read_ = what;
    put(this.output, data.output.length ? h("pre", { tabindex: "0" }, data.output.join("\n")) : h("p", { class: "dim" }, "Nothing so far, or not by a process of its own."));
    lineList(this.log, data.lines, data.silent.length ? "It does not say." : "Nothing so far.");
  }

  async ask() {
    let data;
    try { data = await get(`api/v1/workers/${part(this.name)}`); } catch (error) {
      if (error.status === 404) say(this.note, this.known.hidden ? "There is no such worker: it has left, or never was." : "This worker is not here any more. What follows is what was known last.");
      return;
    }
    this.known.hidden = false;
    say(this.note, `${data.status}: ${plural(data.window_count, "task")} given to it, ${plural(data.slots, "slot")}; ${plural(data.held_count, "value")} with ${bytes(data.held_bytes)} held. Heard of ${seconds(data.last_seen_s)} ago.`);
    const facts = [["Address", data.address], ["Host", data.host], ["Process", data.pid], ["Python", data.python],
      ["Slots", data.slots], ["Memory", data.memory_limit ? `${bytes(data.memory)} of ${bytes(data.memory_limit)}` : bytes(data.memory)],
      ["Directory", data.local_directory],
      ["Resources", Object.entries(data.resources || {}).map(([name, units]) => `${name}=${units}`).join(" ")]];
    put(this.facts, facts.filter(([, value]) => value !== undefined && value !== "").map(([name, value]) => [h("dt", null, name), h("dd", null, String(value))]));
    const load = Object.entries(data.load).sort((one, two) => two[1] - one[1]).slice(0, 12);
    const most = Math.max(1, ...load.map(([, each]) => each));
    put(this.load, h("header", null, h("h2", null, "Given to it, by function")), load.length ? load.map(([name, each]) => {
      const meter = h("div", { class: "meter", role: "img" });
      setBar(meter, [[each, "assigned"]], most, `${name}: ${each}`);
      return h("div", { class: "group" }, h("div", { class: "line" }, h("span", { class: "name" }, name), h("span", { class: "num" }, count(each))), meter);
    }) : h("p", { class: "dim" }, "Nothing at the moment."));
    const { runner = {}, books = {} } = data.metrics || {};
    const mine = [["Process", runner.pid || "none at the moment"], ["Memory", runner.rss ? bytes(runner.rss) : ""], ["Processor time", runner.cpu_s === undefined ? "" : seconds(runner.cpu_s)],
      ["Memory of the worker itself", data.metrics && data.metrics.rss ? bytes(data.metrics.rss) : ""], ["Values outside of processes", data.metrics && data.metrics.store_bytes ? bytes(data.metrics.store_bytes) : ""],
      ["Transfers", books.requests === undefined ? "" : `${count(books.requests)} being fetched, ${count((books.exports || 0) + (books.unanswered || 0))} being sent`],
      ["Being stopped", books.stopping ? count(books.stopping) : ""]];
    put(this.runner, mine.filter(([, value]) => value !== "").map(([name, value]) => [h("dt", null, name), h("dd", null, String(value))]));
    runningList(this.running, data.running);
    eventList(this.events, data.events, "Nothing so far.");
    taskList(this.window, data.window, data.window_count, "Nothing has been given to it.", "Tasks given to it");
    taskList(this.held, data.held, data.held_count, "It holds no values.", "Values it holds");
  }

  update() {
    const worker = [...live.workers.values()].find((each) => each.name === this.name || each.address === this.name);
    if (!worker) return;
    this.cpu.set([{ label: "CPU", values: worker.past.map((each) => [each[0], each[2]]), colour: ink("--accent"), fill: true }], live.t);
    this.memory.set([{ label: "memory", values: worker.past.map((each) => [each[0], each[1]]), colour: ink("--accent"), fill: true }], live.t);
  }

  close() { this.stop(); this.reading(); this.stacks.close(); this.cpu.close(); this.memory.close(); }
}
