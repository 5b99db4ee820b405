// Which page it is, what stands around all of them, and the state of the connection.
import { at, h, hideTip, link, put, root, say } from "./dom.js";
import { dark, themeChanged } from "./draw.js";
import { count, seconds } from "./format.js";
import { connect, live, state, subscribe } from "./live.js";
import { Events, Logs } from "./events.js";
import { Failures } from "./failures.js";
import { Graph } from "./graph.js";
import { Profile } from "./profile.js";
import { Status } from "./status.js";
import { System } from "./system.js";
import { Task, Tasks } from "./tasks.js";
import { Worker, Workers } from "./workers.js";

const PAGES = { status: Status, workers: Workers, tasks: Tasks, graph: Graph, profile: Profile, failures: Failures, "events-log": Events, logs: Logs, system: System };
const NAMES = { "events-log": "Events" };
const called = (name) => NAMES[name] || name[0].toUpperCase() + name.slice(1);
const PARTS = { workers: Worker, tasks: Task, profile: Profile };
const main = document.getElementById("main");
const banner = document.getElementById("banner");
const pill = document.getElementById("link");
const nav = document.getElementById("nav");
const badge = h("b", { class: "badge", hidden: true });
let page = null;
let seenFailures = null;

const links = Object.fromEntries(Object.keys(PAGES).map((name) => [
  name, link(name, called(name), { class: "tab" }),
]));
links.failures.append(badge);
put(nav, Object.values(links));

// ---------------------------------------------------------------- pages

function where() {
  const path = location.pathname.slice(root.pathname.length);
  const [name, ...rest] = path.split("/");
  return [name in PAGES ? name : "status", rest.map(decodeURIComponent).join("/")];
}

// The tabs of a phone are wider than it is.
function inSight() {
  const tab = nav.querySelector("[aria-current]");
  if (tab) tab.scrollIntoView({ block: "nearest", inline: "center" });
}

export function go(address) {
  if (address !== location.href) history.pushState(null, "", address);
  show(true);
}

function show(moved) {
  const [name, rest] = where();
  if (page) page.close();
  hideTip();
  const Kind = rest && PARTS[name] ? PARTS[name] : PAGES[name];
  page = new Kind(rest, go);
  put(main, page.node);
  if (page.start) page.start();
  for (const [each, tab] of Object.entries(links)) {
    if (each === name) tab.setAttribute("aria-current", "page"); else tab.removeAttribute("aria-current");
  }
  inSight();
  document.title = `${page.title || called(name)} · trio_dask`;
  if (moved) { scrollTo(0, 0); main.focus({ preventScroll: true }); }
  update();
}

document.addEventListener("click", (event) => {
  const target = event.target.closest("a[data-nav]");
  if (!target || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey) return;
  event.preventDefault();
  go(target.href);
});
addEventListener("popstate", () => show(true));

// ---------------------------------------------------------------- the connection

function update() {
  document.body.classList.toggle("stale", state.link === "lost");
  const words = { connecting: "connecting", live: "live", lost: "connection lost" };
  say(pill.querySelector("b"), words[state.link]);
  if (pill.dataset.state !== state.link) pill.dataset.state = state.link;
  const failures = live.totals.failures || 0;
  if (seenFailures === null && live.ready) seenFailures = 0;
  const digits = badge.hidden ? 0 : badge.textContent.length;
  badge.hidden = !failures;
  say(badge, count(failures));
  if (digits !== (failures && badge.textContent.length)) inSight();  // a tab has another width now
  if (badge.title !== `${failures} failures`) badge.title = `${failures} failures`;
  tell();
  if (page && live.ready) page.update();
}

let again = 0;
function tell() {
  if (state.link === "lost") {
    again = 0;
    const since = (Date.now() - state.since) / 1000;
    banner.className = "banner bad";
    say(banner, !live.ready ? "The scheduler does not answer; trying again …" : `The connection was lost ${seconds(Math.floor(since))} ago. This is the last that was known; trying again …`);
    banner.hidden = false;
  } else if (state.again) {
    state.again = false;
    again = Date.now();
    banner.className = "banner good";
    say(banner, state.another ? "Connected to another scheduler than before." : "Connected again.");
    banner.hidden = false;
  } else if (again && Date.now() - again > 4000) {
    again = 0;
    banner.hidden = true;
  } else if (!again) {
    banner.hidden = true;
  }
}
setInterval(() => { if (!document.hidden && (state.link !== "live" || again)) update(); }, 1000);

// ---------------------------------------------------------------- light, dark, keys

const theme = document.getElementById("theme");
function themes() {
  theme.textContent = dark() ? "☾" : "☀";
  theme.title = `Light or dark (t): ${document.documentElement.dataset.theme || "as the system"}`;
}
function nextTheme() {
  const system = matchMedia("(prefers-color-scheme: dark)").matches;
  const chosen = document.documentElement.dataset.theme;
  const next = chosen ? "" : system ? "light" : "dark";
  if (next) document.documentElement.dataset.theme = next; else delete document.documentElement.dataset.theme;
  try { if (next) localStorage.setItem("trio_dask.theme", next); else localStorage.removeItem("trio_dask.theme"); } catch { /* no storage */ }
  themeChanged();
  themes();
}
theme.addEventListener("click", nextTheme);

const keys = document.getElementById("keys");
put(keys, h("h2", null, "Keys"), h("dl", null,
  [[`1 … ${Object.keys(PAGES).length}`, "the pages, in their order"], ["/", "search tasks, or filter a table"], ["t", "light or dark"],
    ["?", "this"], ["Esc", "close this"]].map(([key, about]) => [h("dt", null, h("kbd", null, key)), h("dd", null, about)])),
h("form", { method: "dialog" }, h("button", null, "Close")));
document.getElementById("help").addEventListener("click", () => keys.showModal());

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || keys.open) return;
  if (event.target.closest("input, select, textarea")) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  const names = Object.keys(PAGES);
  if (event.key >= "1" && event.key <= String(names.length)) go(at(names[Number(event.key) - 1]));
  else if (event.key === "t") nextTheme();
  else if (event.key === "?") keys.showModal();
  else if (event.key === "/") {
    event.preventDefault();
    if (!main.querySelector("input[type=search]")) go(at("tasks"));
    const field = main.querySelector("input[type=search]");
    if (field) field.focus();
  }
});

themes();
subscribe(update);
show(false);
connect();
