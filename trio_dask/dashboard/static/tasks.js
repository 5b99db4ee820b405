// Tasks by function, found by key, and a page for each.
import { at, every, get, h, part, put, say, setBar } from "./dom.js";
import { colour } from "./draw.js";
import { ago, bytes, count, plural, seconds, short } from "./format.js";
import { failureBody } from "./failures.js";
import { live } from "./live.js";
import { orderBar } from "./orders.js";
import { Stacks } from "./stacks.js";
import { groupParts, legend, pending } from "./status.js";
import { Table } from "./table.js";

const STATES = ["waiting", "ready", "assigned", "done", "failed", "released", "cancelled", "lost"];
export const stateMark = (state) => h("span", { class: `state ${state}` }, state);

export function taskList(node, tasks, all, none, label = "Tasks") {
  if (!tasks.length) { put(node, h("p", { class: "dim pad" }, none)); return; }
  const placed = tasks.some((task) => task.worker);
  put(node, h("div", { class: "scroll list", tabindex: "0", role: "region", "aria-label": label }, h("table", null,
    h("thead", null, h("tr", null, h("th", { scope: "col" }, "Key"), h("th", { scope: "col" }, "State"), placed && h("th", { scope: "col", class: "mid" }, "Worker"), h("th", { scope: "col", class: "num" }, "Size"))),
    h("tbody", null, tasks.map((task) => h("tr", null,
      h("th", { scope: "row" }, h("a", { href: at(`tasks/${part(task.key)}`), "data-nav": true, class: "key", title: task.key }, short(task.key, 48))),
      h("td", null, stateMark(task.state)), placed && h("td", { class: "mid" }, task.worker), h("td", { class: "num" }, task.nbytes ? bytes(task.nbytes) : "")))))),
  all > tasks.length ? h("p", { class: "dim pad" }, `${count(tasks.length)} of ${count(all)}`) : null);
}

export function runningList(node, tasks) {
  if (!tasks.length) { put(node, h("p", { class: "dim pad" }, "Nothing has been running for that long.")); return; }
  put(node, h("div", { class: "scroll list", tabindex: "0", role: "region", "aria-label": "Running" }, h("table", null,
    h("thead", null, h("tr", null, h("th", { scope: "col" }, "Key"), h("th", { scope: "col" }, "Function"), h("th", { scope: "col", class: "num" }, "For"))),
    h("tbody", null, tasks.map((task) => h("tr", null,
      h("th", { scope: "row" }, h("a", { href: at(`tasks/${part(task.key)}`), "data-nav": true, class: "key", title: task.key }, short(task.key, 48))),
      h("td", null, task.name), h("td", { class: "num" }, seconds(task.ran_s))))))));
}

export class Tasks {
  constructor(rest, go) {
    this.title = "Tasks";
    this.go = go;
    const query = new URLSearchParams(location.search);
    this.text = h("input", { type: "search", id: "find", placeholder: "Key, or part of one", value: query.get("text") || "", autocomplete: "off", spellcheck: "false" });
    this.name = h("input", { type: "text", id: "of", placeholder: "Any", value: query.get("name") || "", list: "functions", autocomplete: "off", spellcheck: "false" });
    this.names = h("datalist", { id: "functions" });
    this.state = h("select", { id: "in" }, h("option", { value: "" }, "any"), STATES.map((each) => h("option", { value: each, selected: each === query.get("state") }, each)));
    this.found = h("div");
    this.note = h("p", { class: "dim pad", role: "status" });
    this.result = h("section", { class: "card flush", hidden: true, "aria-label": "Found" }, this.note, this.found);
    this.form = h("form", { class: "card find", role: "search" },
      h("label", { for: "find" }, "Find tasks", this.text), h("label", { for: "of" }, "Function", this.name, this.names),
      h("label", { for: "in" }, "State", this.state), h("button", { type: "submit" }, "Find"));
    this.form.addEventListener("submit", (event) => { event.preventDefault(); this.search(); });
    this.table = new Table({
      label: "Functions", sort: "pending", placeholder: "Filter functions", filter: (each) => each.name,
      columns: [
        { name: "name", title: "Function", value: (each) => each.name, cell: (cell, each) => {
          if (cell.dataset.shows !== each.name) {
            cell.dataset.shows = each.name;
            put(cell, h("i", { class: "dot", "aria-hidden": "true" }), h("a", { href: at(`tasks?name=${part(each.name)}`), "data-nav": true, title: each.name }, short(each.name, 40)));
          }
          cell.firstChild.style.background = colour(each.id);
        } },
        { name: "progress", title: "Progress", wide: true, value: (each) => { const [, all] = groupParts(each); return all ? 1 - pending(each) / all : 0; },
          cell: (cell, each) => {
            if (!cell.firstChild) put(cell, h("div", { class: "meter tall", role: "img" }));
            const [parts, all] = groupParts(each);
            setBar(cell.firstChild, parts, all, `${count(all - pending(each))} of ${count(all)}`);
          } },
        { name: "pending", title: "To do", num: true, value: pending, text: (each) => count(pending(each)) },
        { name: "runs", title: "Runs", num: true, value: (each) => each.runs || 0, text: (each) => count(each.runs || 0) },
        { name: "done", title: "In memory", num: true, hide: "mid", value: (each) => each.done || 0, text: (each) => count(each.done || 0) },
        { name: "failures", title: "Failed", num: true, value: (each) => each.failures || 0, cell: (cell, each) => {
          say(cell, count(each.failures || 0));
          cell.classList.toggle("alert", each.failures > 0);
        } },
        { name: "mean", title: "Mean", num: true, value: (each) => (each.runs ? each.seconds / each.runs : -1), text: (each) => (each.runs ? seconds(each.seconds / each.runs) : "–") },
        { name: "seconds", title: "In all", about: "Running time of all runs together", num: true, hide: "mid", value: (each) => each.seconds || 0, text: (each) => seconds(each.seconds || 0) },
        { name: "nbytes", title: "Bytes", about: "Of the values in memory", num: true, hide: "mid", value: (each) => each.nbytes || 0, text: (each) => bytes(each.nbytes || 0) },
      ],
    });
    this.nothing = h("p", { class: "dim pad" }, "No tasks so far.");
    this.node = h("div", null, h("h1", null, "Tasks"), this.form, this.result,
      h("section", { class: "card flush" }, h("header", { class: "pad" }, h("h2", null, "By function")), this.table.node, this.nothing, h("div", { class: "pad" }, legend())));
    if (["text", "name", "state"].some((each) => query.get(each))) this.search(false);
  }

  async search(remember = true) {
    const query = new URLSearchParams();
    for (const [name, field] of [["text", this.text], ["name", this.name], ["state", this.state]]) if (field.value.trim()) query.set(name, field.value.trim());
    if (remember) history.replaceState(null, "", at(`tasks${query.size ? `?${query}` : ""}`));
    this.result.hidden = !query.size;
    if (!query.size) return;
    say(this.note, "Looking …");
    query.set("limit", "100");
    try {
      const { tasks, complete, seen } = await get(`api/v1/tasks?${query}`);
      say(this.note, complete ? `${plural(tasks.length, "task")} found.` : `The first ${count(tasks.length)} found, among ${count(seen)} looked at.`);
      taskList(this.found, tasks, tasks.length, "There is no such task: nobody needs it any more, or it never was.");
    } catch (error) { say(this.note, error.message); }
  }

  update() {
    const groups = [...live.groups.values()].filter((each) => each.runs || pending(each) || each.done || each.failed);
    this.table.node.hidden = !groups.length;
    this.nothing.hidden = Boolean(groups.length);
    this.table.update(groups);
    if (this.names.children.length !== Math.min(50, groups.length)) put(this.names, groups.slice(0, 50).map((each) => h("option", { value: each.name })));
  }

  close() {}
}

export class Task {
  constructor(key) {
    this.key = key;
    this.title = short(key, 30);
    this.body = h("div", null, h("p", { class: "dim" }, "Looking …"));
    this.history = h("ol", { class: "steps" });
    this.seen = [];
    this.stacks = null;
    this.words = h("section", { class: "card", hidden: true }, h("header", null, h("h2", null, "What it has said"), h("span", { class: "dim more" }, "asked every 4 s")));
    this.lines = h("pre", { tabindex: "0", "aria-label": "What it has said" });
    this.words.append(this.lines);
    this.orders = orderBar([
      { verb: "Cancel it", title: "Cancel this task?", text: "It is stopped for everybody who wants it, also while it runs, and what waits for its value is cancelled with it.",
        path: `api/v1/tasks/${part(key)}/cancel`, done: (answer) => (answer.stopped.length ? "It is being stopped." : "It had ended already.") },
    ]);
    this.node = h("div", null,
      h("nav", { class: "crumbs", "aria-label": "Where this is" }, h("a", { href: at("tasks"), "data-nav": true }, "Tasks"), " / "),
      h("h1", { class: "key" }, key), this.orders, this.body);
  }

  start() { this.stop = every(this.node, 2000, () => this.ask()); this.listening = every(this.node, 4000, () => this.listen()); }

  async listen() {
    let data;
    try { data = await get(`api/v1/task_logs?task=${part(this.key)}`); } catch { return; }
    const before = data.dropped ? [`… ${plural(data.dropped, "line")} before these are not kept`] : [];
    say(this.lines, [...before, ...data.lines.map((each) => plain(each.text))].join("\n"));
    this.words.hidden = !data.lines.length;
  }

  async ask() {
    let data;
    try { data = await get(`api/v1/tasks/${part(this.key)}`); } catch (error) {
      if (error.status === 404) {
        put(this.body, h("div", { class: "card" }, h("p", null, this.shown ? "The task is gone by now: nobody needs its value any more." : "There is no such task: nobody needs it any more, or it never was."),
          h("p", { class: "dim" }, "If it failed, it may still be among the ", h("a", { href: at("failures"), "data-nav": true }, "failures"), ".")));
      }
      return;
    }
    const last = this.seen[this.seen.length - 1];
    if (!last || last[0] !== data.state || last[1] !== data.worker) this.seen.push([data.state, data.worker, Date.now()]);
    const text = JSON.stringify({ ...data, history: 0, ran_s: data.ran_s === null ? 0 : 1 }) + this.seen.length;
    if (text === this.shown) {
      this.tell(data);
      return;
    }
    this.shown = text;
    if (data.state === "assigned" && !this.stacks) {
      this.stacks = new Stacks(`task=${part(this.key)}`, true);
      setTimeout(() => this.stacks && this.stacks.start());
    } else if (data.state !== "assigned" && this.stacks) {
      this.stacks.close();
      this.stacks = null;
    }
    const facts = [["Function", [h("a", { href: at(`tasks?name=${part(data.name)}`), "data-nav": true }, data.name), " · ", h("a", { href: at(`profile/${part(data.name)}`), "data-nav": true }, "profile")]],
      ["Size", data.nbytes ? bytes(data.nbytes) : ""],
      ["Where", data.inline ? "small, kept by the scheduler" : data.where.length ? data.where.map((name, index) => [index ? ", " : "", h("a", { href: at(`workers/${part(name)}`), "data-nav": true }, name)]) : ""],
      ["Worker", data.worker ? h("a", { href: at(`workers/${part(data.worker)}`), "data-nav": true }, data.worker) : ""],
      ["Running for", data.ran_s === null ? "" : seconds(data.ran_s)],
      ["Expected to take", data.expected_s === null ? "not known yet" : seconds(data.expected_s)],
      ["Retries", data.retries ? `${data.retried} of ${data.retries} used` : ""],
      ["Only on", data.workers.length ? data.workers.join(", ") + (data.allow_other_workers ? ", or else others" : "") : ""],
      ["Needs", Object.entries(data.resources).map(([name, units]) => `${name}=${units}`).join(" ")]];
    const inputs = h("section", { class: "card flush" }), outputs = h("section", { class: "card flush" });
    taskList(inputs, data.inputs, data.inputs_count, "It takes no other task's value.", "Inputs");
    taskList(outputs, data.outputs, data.outputs_count, "No other task takes its value.", "Used by");
    put(this.body,
      h("section", { class: "card why" }, h("header", null, h("h2", null, "Why"), stateMark(data.state)), data.why.map((line) => h("p", null, line))),
      this.stacks ? this.stacks.node : null,
      data.failure ? h("section", { class: "card bad" }, h("header", null, h("h2", null, "Error")), failureBody(data.failure, true)) : null,
      data.deaths.length ? h("section", { class: "card" }, h("header", null, h("h2", null, "Processes that died under it")), data.deaths.map(certificate)) : null,
      this.words,
      h("section", { class: "card" }, h("header", null, h("h2", null, "History")), this.history),
      h("section", { class: "card" }, h("dl", { class: "facts" }, facts.filter(([, value]) => value !== "" && value !== undefined).map(([name, value]) => [h("dt", null, name), h("dd", null, value)]))),
      h("h2", null, "Inputs"), inputs, h("h2", null, "Used by"), outputs);
    this.tell(data);
  }

  // What the scheduler remembers, and the changes since this page was opened.
  tell(data) {
    const seen = this.seen.slice(1).map(([state, worker, at]) => `${ago((Date.now() - at) / 1000)}: ${state}${worker ? ` on ${worker}` : ""}`);
    put(this.history, [...data.history, ...seen].map((line) => h("li", null, line)));
  }

  update() {}

  close() { this.stop(); this.listening(); if (this.stacks) this.stacks.close(); }
}

// Without colours, and what else is meant for a terminal.
function plain(text) { return text.replace(/\x1b\[[0-?]*[ -/]*[@-~]/g, ""); }

// A death certificate: how, where, with how much memory, and the last that it wrote.
function certificate(each) {
  const how = each.reason || (each.signal ? `killed by signal ${each.signal}` : each.exit_code === undefined ? "ended" : `exit code ${each.exit_code}`);
  const facts = [["How", each.oom ? `${how}, for want of memory` : how], ["Where", `${each.worker || "a worker"}${each.host ? `, on ${each.host}, process ${each.pid}` : ""}`],
    ["It had run for", typeof each.ran_s === "number" ? seconds(each.ran_s) : ""],
    ["Memory", [typeof each.rss === "number" ? `${bytes(each.rss)} when last seen` : "", typeof each.peak_rss === "number" ? `${bytes(each.peak_rss)} at most` : ""].filter(Boolean).join(", ")],
    ["Before that", (each.memory || []).map(([before, rss]) => `${bytes(rss)} ${seconds(before)} before`).slice(-4).join(", ")]];
  return h("div", { class: "death" }, h("dl", { class: "facts" }, facts.filter(([, value]) => value).map(([name, value]) => [h("dt", null, name), h("dd", null, value)])),
    each.output && each.output.length ? h("details", { open: true }, h("summary", null, "The last lines that it wrote"), h("pre", { tabindex: "0" }, each.output.join("\n"))) : null);
}
