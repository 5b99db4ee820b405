// The scheduler's own process, and the routes for programs.
import { at, every, get, h, put, say } from "./dom.js";
import { Curves, ink } from "./draw.js";
import { bytes, count, rate, seconds } from "./format.js";
import { live } from "./live.js";
import { allowed, orderBar } from "./orders.js";
import { code } from "./status.js";

const PAST = 300;
const ROUTES = [
  ["metrics", "Prometheus reads this."],
  ["health", "Says ok as long as the scheduler lives."],
  ["ready", "Says ok when there is a worker that runs tasks."],
  ["api/v1/openapi.json", "What there is under api/v1, for programs."],
  ["api/v1/cluster", "The cluster in a few numbers."],
  ["json/counts.json", "The same in the words of Dask's tools."],
];

/** What comes from workers and clients, and goes to them. */
function traffic(data, before) {
  const past = before ? data.uptime_s - before.uptime_s : 0;
  const row = (label, name, shown) => h("tr", null, h("th", { scope: "row" }, label),
    h("td", { class: "num" }, past > 0 ? shown((data[name] - before[name]) / past) : "–"), h("td", { class: "num" }, shown(data[name])));
  return [row("Messages in", "messages_in", rate), row("Messages out", "messages_out", rate), row("Bytes in", "bytes_in", bytes), row("Bytes out", "bytes_out", bytes),
    h("tr", null, h("th", { scope: "row" }, "Bytes that wait for peers"), h("td"), h("td", { class: "num" }, bytes(data.queued_bytes)))];
}

export class System {
  constructor() {
    this.title = "System";
    this.facts = h("dl", { class: "facts" });
    this.traffic = h("tbody");
    this.clients = h("div");
    const canvases = ["Processor time", "Memory", "Rounds that came late"].map((label) => h("canvas", { class: "curve", role: "img", "aria-label": label }));
    this.cpu = new Curves(canvases[0], (v) => `${Math.round(v)} %`, { floor: 100, span: 300 });
    this.memory = new Curves(canvases[1], (v) => bytes(v), { floor: 16777216, span: 300, binary: true });
    this.lag = new Curves(canvases[2], (v) => `${Math.round(v)} ms`, { floor: 20, span: 300 });
    this.cpus = [];
    this.memories = [];
    this.lags = [];
    this.note = h("p", { class: "lead" });
    const orders = h("section", { class: "card" }, h("header", null, h("h2", null, "Orders")));
    allowed().then(({ orders: yes }) => orders.append(yes
      ? h("p", null, "This browser may cancel tasks, on their pages, retire workers, on theirs, and:")
      : h("p", null, "This browser may look, and change nothing. To cancel tasks, retire workers and restart, make it a link where the scheduler runs:"),
    yes ? orderBar([{ verb: "Forget all tasks", title: "Forget all tasks?", text: "Futures of all clients are cancelled, all values are dropped, and all processes that run tasks are replaced.", path: "api/v1/restart", done: () => "Done: all workers have new processes." }])
      : code(`trio-dask token link --control ${at("status")}`)));
    this.node = h("div", null, h("h1", null, "System"), this.note,
      h("div", { class: "grid three" },
        h("section", { class: "card" }, h("header", null, h("h2", null, "CPU of the scheduler")), canvases[0]),
        h("section", { class: "card" }, h("header", null, h("h2", null, "Its memory")), canvases[1]),
        h("section", { class: "card" }, h("header", null, h("h2", null, "How late its loop was")), canvases[2])),
      h("div", { class: "grid two" },
        h("section", { class: "card" }, h("header", null, h("h2", null, "Process")), this.facts),
        h("section", { class: "card" }, h("header", null, h("h2", null, "Traffic")),
          h("table", { "aria-label": "Traffic" }, h("thead", null, h("tr", null, h("td"), ["a second", "so far"].map((each) => h("th", { class: "num", scope: "col" }, each)))), this.traffic)),
        h("section", { class: "card" }, h("header", null, h("h2", null, "Clients")), this.clients), orders,
        h("section", { class: "card" }, h("header", null, h("h2", null, "For programs")),
          h("dl", { class: "facts" }, ROUTES.map(([path, about]) => [h("dt", null, h("a", { href: at(path) }, `/${path}`)), h("dd", null, about)])))));
  }

  start() { this.stop = every(this.node, 2000, () => this.ask()); }

  async ask() {
    let data, clients;
    try { [data, { clients }] = await Promise.all([get("api/v1/system"), get("api/v1/clients")]); } catch { return; }
    const { before } = this;
    put(this.traffic, traffic(data, before));
    if (before && data.uptime_s > before.uptime_s) {
      this.keep(this.cpus, [data.uptime_s, (100 * (data.cpu_s - before.cpu_s)) / (data.uptime_s - before.uptime_s)]);
    }
    this.before = data;
    this.keep(this.memories, [data.uptime_s, data.rss]);
    this.last = this.cpus.length ? this.cpus[this.cpus.length - 1][1] : 0;
    say(this.note, `trio_dask ${data.version} for ${seconds(data.uptime_s)}: ${rate(live.totals.rate)} tasks/s, ${Math.round(this.last)} % of a processor, ${bytes(data.rss)}.`);
    this.tell(data);
    put(this.clients, clients.length ? h("ul", { class: "plain-list" }, clients.slice(0, 50).map((each) => h("li", { class: "key" }, each.name))) : h("p", { class: "dim" }, "None at the moment."));
    this.draw();
  }

  // Some of it comes by another way, and may come first, or later.
  tell(data) {
    this.told = live.ready;
    put(this.facts, [["Cluster", live.identity.cluster], ["Address", live.identity.address], ["Epoch", live.identity.epoch], ["Host", data.host], ["Process", data.pid],
      ["Python", data.python], ["Processor time", seconds(data.cpu_s)], ["Threads", data.threads], ["Open files", data.descriptors], ["Viewers", data.viewers],
      ["Garbage", `${count(data.garbage_searches)} searches, ${count(data.garbage_found)} objects`],
      ["Workers so far", count(live.totals.workers_ever)], ["Clients so far", count(live.totals.clients_ever)]].map(([name, value]) => [h("dt", null, name), h("dd", null, String(value ?? "–"))]));
  }

  keep(list, point) { list.push(point); if (list.length > PAST) list.shift(); }

  draw() {
    const t = this.before ? this.before.uptime_s : live.t;
    const stroke = ink("--accent");
    this.cpu.set([{ label: "CPU", values: this.cpus, colour: stroke, fill: true }], t);
    this.memory.set([{ label: "memory", values: this.memories, colour: stroke, fill: true }], t);
    this.lag.set([{ label: "late", values: this.lags, colour: stroke, fill: true }], live.t);
  }

  update() {
    if (this.before && !this.told) this.tell(this.before);
    const last = this.lags[this.lags.length - 1];
    if (!last || live.t > last[0]) this.keep(this.lags, [live.t, live.totals.lag_ms || 0]);
    this.lag.set([{ label: "late", values: this.lags, colour: ink("--accent"), fill: true }], live.t);
  }

  close() { this.stop(); this.cpu.close(); this.memory.close(); this.lag.close(); }
}
