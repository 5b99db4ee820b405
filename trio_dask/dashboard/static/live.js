// The state of the cluster as the stream tells it: a snapshot, then what changes.
import { at } from "./dom.js";

const WORKER = ["processing", "held", "memory", "cpu", "slots", "status", "silent"];
const FIXED = ["name", "address", "host", "nthreads", "memory_limit", "lanes"];
const GROUP = ["waiting", "ready", "assigned", "done", "failed", "released", "cancelled", "lost",
  "nbytes", "runs", "failures", "seconds"];
const BLOCKS_MAX = 6000;
const POINTS_MAX = 300;
const POINT_S = 2;
const PAST = 150;
// A beat comes every five seconds.
const SILENCE_MS = 13000;

export const live = {
  ready: false, t: 0, heard: 0, identity: {}, totals: {}, workers: new Map(), groups: new Map(),
  names: new Map(), blocks: [], leftOut: 0, history: [], lanes: [],
};
export const state = { link: "connecting", since: Date.now(), again: false };

const readers = new Set();
let source = null;
let watchdog = 0;
let waiting = false;

export function subscribe(reader) { readers.add(reader); return () => readers.delete(reader); }

// Once for all that came since the last frame; what nobody sees waits until somebody does.
function changed() {
  if (waiting) return;
  waiting = true;
  if (!document.hidden) requestAnimationFrame(tell);
}

function tell() {
  if (!waiting) return;
  waiting = false;
  for (const reader of [...readers]) reader();
}
document.addEventListener("visibilitychange", () => { if (waiting && !document.hidden) requestAnimationFrame(tell); });

// The scheduler's time by now, as far as is known.
export const now = () => live.t + (state.link === "live" ? (performance.now() - live.heard) / 1000 : 0);

function assign(target, columns, row) { columns.forEach((name, index) => { target[name] = row[index]; }); }

function takeTables(data) {
  const { workers = {}, groups = {} } = data;
  for (const id of workers.gone || []) { live.workers.delete(String(id)); }
  for (const [id, row] of Object.entries(workers.new || {})) {
    const known = live.workers.get(id) || { id, past: [] };
    assign(known, FIXED, row);
    live.workers.set(id, known);
  }
  for (const [id, row] of Object.entries(workers.set || {})) {
    const worker = live.workers.get(id);
    if (!worker) continue;
    assign(worker, WORKER, row);
    worker.past.push([data.t, worker.memory, worker.cpu, worker.processing]);
    if (worker.past.length > PAST) worker.past.shift();
  }
  if (workers.gone || workers.new) {
    live.lanes = [];
    for (const worker of live.workers.values()) {
      for (let lane = 0; lane < worker.lanes; lane += 1) live.lanes.push([worker.id, lane]);
    }
  }
  for (const id of groups.gone || []) live.groups.delete(String(id));
  for (const [id, name] of Object.entries(groups.new || {})) {
    live.names.set(id, name);
    if (!live.groups.has(id)) live.groups.set(id, { id, name });
  }
  for (const [id, row] of Object.entries(groups.set || {})) {
    if (!live.groups.has(id)) live.groups.set(id, { id, name: live.names.get(id) || "?" });
    assign(live.groups.get(id), GROUP, row);
  }
}

function take(data) {
  live.t = data.t;
  live.heard = performance.now();
  Object.assign(live.totals, data.totals);
  for (const [id, name] of Object.entries(data.names || {})) live.names.set(id, name);
  takeTables(data);
  if (data.blocks) {
    live.blocks.push(...data.blocks);
    if (live.blocks.length > BLOCKS_MAX) live.blocks.splice(0, live.blocks.length - BLOCKS_MAX);
  }
  live.leftOut += data.left_out || 0;
  point();
}

function point() {
  const last = live.history[live.history.length - 1];
  if (last && live.t - last[0] < POINT_S) return;
  const { rate, processing, queued, memory, busy, workers } = live.totals;
  live.history.push([live.t, rate, processing, queued, memory, busy, workers]);
  if (live.history.length > POINTS_MAX) live.history.shift();
}

function onSnapshot(data) {
  const another = live.ready && live.identity.cluster !== data.identity.cluster;
  const past = new Map([...live.workers].map(([id, worker]) => [id, worker.past]));
  Object.assign(live, {
    identity: data.identity, totals: {}, workers: new Map(), groups: new Map(), names: new Map(),
    blocks: [], leftOut: 0, history: data.history || [], lanes: [], ready: true,
  });
  state.another = another;
  take(data);
  if (!another) for (const [id, each] of past) if (live.workers.has(id)) live.workers.get(id).past = each;
}

function setLink(link) {
  if (state.link === link) return;
  state.again = link === "live" && state.link === "lost";
  state.link = link;
  state.since = Date.now();
  changed();
}

function heard() {
  clearTimeout(watchdog);
  watchdog = setTimeout(() => { setLink("lost"); connect(); }, SILENCE_MS);
  setLink("live");
}

export function connect() {
  if (source) source.close();
  source = new EventSource(at("events"));
  const on = (name, act) => source.addEventListener(name, (event) => {
    const data = JSON.parse(event.data);
    heard();
    act(data);
    changed();
  });
  on("snapshot", onSnapshot);
  on("delta", take);
  on("beat", (data) => { live.t = data.t; live.heard = performance.now(); point(); });
  const mine = source;
  source.addEventListener("error", () => {
    setLink("lost");
    clearTimeout(watchdog);
    // The browser tries again by itself, but not after an answer that is no stream.
    watchdog = setTimeout(() => { if (source === mine) connect(); }, mine.readyState === 2 ? 2000 : 6000);
  });
}
