// The task stream: a lane for each slot, a block for each task that has ended.
import { at, h, hideTip, part, showTip } from "./dom.js";
import { Canvas, colour, ink } from "./draw.js";
import { count, seconds } from "./format.js";
import { live, now, state } from "./live.js";

const [WORKER, LANE, BEGAN, LASTS, GROUP, COUNT, STATUS, TASK] = [0, 1, 2, 3, 4, 5, 6, 7];
const SPANS = [10, 30, 120, 600];
const AXIS = 20;
const STEP_S = 0.125;

export class Stream {
  constructor(go) {
    this.go = go;
    this.span = 30;
    this.drawnAt = -Infinity;
    this.still = matchMedia("(prefers-reduced-motion: reduce)");
    this.canvas = h("canvas", { class: "stream", role: "img", tabindex: "-1" });
    this.note = h("span", { class: "dim" });
    this.buttons = SPANS.map((span) => h("button", {
      type: "button", "aria-pressed": String(span === this.span),
      on: { click: () => { this.span = span; this.mark(); this.drawing.draw(); } },
    }, seconds(span)));
    this.node = h("section", { class: "card wide", "aria-labelledby": "stream-title" },
      h("header", null, h("h2", { id: "stream-title" }, "Task stream"), this.note,
        h("a", { href: at("api/v1/timeline"), download: "timeline.json", class: "quiet-link", title: "For chrome://tracing, Perfetto and the like" }, "Timeline"),
        h("div", { class: "chips", role: "group", "aria-label": "Time shown" }, this.buttons)),
      this.canvas);
    this.drawing = new Canvas(this.canvas, (...args) => this.paint(...args));
    this.canvas.addEventListener("pointermove", (event) => this.point(event));
    this.canvas.addEventListener("pointerleave", hideTip);
    this.canvas.addEventListener("click", (event) => this.open(event));
    // It glides by as many steps a second as a processor can paint beside its work: not by all that a screen shows.
    this.tick = () => {
      if (!this.canvas.isConnected) return;
      if (this.gliding()) this.drawing.draw();
      this.glide();
    };
  }

  start() { this.glide(); }

  // By a pixel at least: anything less is work that nobody sees.
  glide() {
    const { width } = this.drawing;
    this.timer = setTimeout(() => { this.frame = requestAnimationFrame(this.tick); }, 1000 * Math.max(STEP_S, width ? this.span / width : 0));
  }

  gliding() { return !this.still.matches && state.link === "live" && !document.hidden && now() - this.drawnAt >= this.span / (this.drawing.width || 1) && this.moving(); }

  mark() { this.buttons.forEach((each, index) => each.setAttribute("aria-pressed", String(SPANS[index] === this.span))); }

  moving() {
    const last = live.blocks[live.blocks.length - 1];
    return last && now() - last[BEGAN] - last[LASTS] < this.span + 1;
  }

  update() {
    const slots = live.totals.slots || 0;
    const shown = live.lanes.length;
    let text = "";
    if (shown && shown < slots) text = `${count(shown)} of ${count(slots)} slots`;
    if (live.leftOut) text += `${text ? ", " : ""}${count(live.leftOut)} short tasks not drawn`;
    if (this.note.textContent !== text) this.note.textContent = text;
    const tasks = live.blocks.reduce((sum, each) => sum + (each[BEGAN] > live.t - this.span ? each[COUNT] : 0), 0);
    this.canvas.setAttribute("aria-label", `${count(tasks)} tasks ended in the last ${seconds(this.span)} on ${count(shown)} slots`);
    this.drawing.draw();
  }

  rows() {
    const index = new Map();
    live.lanes.forEach(([worker, lane], row) => index.set(`${worker}/${lane}`, row));
    return index;
  }

  paint(context, width, height) {
    const lanes = Math.max(1, live.lanes.length);
    const row = (height - AXIS) / lanes;
    const gap = row > 6 ? 1.5 : row > 3 ? 0.75 : 0;
    this.drawnAt = now();
    const to = this.drawnAt - 0.25, from = to - this.span;
    const scale = width / this.span;
    const index = this.rows();
    this.drawn = [];
    context.font = "11px system-ui, sans-serif";
    this.axis(context, width, height, from, to);
    if (row > 7) {
      context.fillStyle = ink("--lane");
      for (let lane = 0; lane < live.lanes.length; lane += 1) context.fillRect(0, lane * row + gap, width, row - 2 * gap);
    }
    const bad = ink("--bad");
    for (const block of live.blocks) {
      const end = block[BEGAN] + block[LASTS];
      if (end < from || block[BEGAN] > to) continue;
      const lane = index.get(`${block[WORKER]}/${block[LANE]}`);
      if (lane === undefined) continue;
      const x = (block[BEGAN] - from) * scale, y = lane * row + gap;
      const wide = Math.max(1.2, block[LASTS] * scale - (block[LASTS] * scale > 5 ? 1 : 0));
      const high = Math.max(1, row - 2 * gap);
      context.fillStyle = block[STATUS] === 1 ? bad : colour(block[GROUP]);
      if (block[STATUS] === 2) context.globalAlpha = 0.35;
      context.fillRect(x, y, wide, high);
      if (block[STATUS] === 1 && wide > 4) this.hatch(context, x, y, wide, high);
      context.globalAlpha = 1;
      if (row > 15 && wide > 44) this.label(context, block, x, y, wide, high);
      this.drawn.push([x, y, wide, high, block]);
    }
    if (!live.blocks.length) {
      context.fillStyle = ink("--dim");
      context.textAlign = "center";
      context.fillText("What ends from now on is drawn here.", width / 2, (height - AXIS) / 2);
    }
  }

  // Errors are told apart by more than a colour.
  hatch(context, x, y, wide, high) {
    context.save();
    context.beginPath(); context.rect(x, y, wide, high); context.clip();
    context.strokeStyle = ink("--card");
    context.lineWidth = 1.5;
    context.beginPath();
    for (let at = x - high; at < x + wide; at += 6) { context.moveTo(at, y + high); context.lineTo(at + high, y); }
    context.stroke();
    context.restore();
  }

  label(context, block, x, y, wide, high) {
    context.save();
    context.beginPath(); context.rect(x, y, wide, high); context.clip();
    context.fillStyle = ink("--on-block");
    context.textAlign = "left";
    context.textBaseline = "middle";
    context.fillText(live.names.get(String(block[GROUP])) || "", x + 5, y + high / 2 + 0.5);
    context.restore();
  }

  axis(context, width, height, from, to) {
    const step = this.span / (width < 500 ? 3 : 6);
    context.fillStyle = ink("--dim");
    context.strokeStyle = ink("--line");
    context.textBaseline = "alphabetic";
    for (let ago = 0; ago <= this.span + 0.01; ago += step) {
      const x = width - (ago / this.span) * width;
      context.beginPath(); context.moveTo(Math.round(x) + 0.5, 0); context.lineTo(Math.round(x) + 0.5, height - AXIS + 4); context.stroke();
      context.textAlign = ago === 0 ? "right" : ago >= this.span - 0.01 ? "left" : "center";
      context.fillText(ago ? `−${seconds(ago)}` : "now", x, height - 5);
    }
  }

  hit(event) {
    const box = this.canvas.getBoundingClientRect();
    const x = event.clientX - box.left, y = event.clientY - box.top;
    const hits = (this.drawn || []).filter(([left, top, wide, high]) => x >= left - 1 && x <= left + wide + 1 && y >= top && y <= top + high);
    return hits.length ? hits[hits.length - 1][4] : null;
  }

  key(block) {
    if (!block[TASK]) return "";
    if (block[TASK].startsWith("=")) return block[TASK].slice(1);
    return `${live.names.get(String(block[GROUP]))}-${block[TASK]}`;
  }

  point(event) {
    const block = this.hit(event);
    this.canvas.style.cursor = block && block[TASK] ? "pointer" : "";
    if (!block) { hideTip(); return; }
    const worker = live.workers.get(String(block[WORKER]));
    const name = live.names.get(String(block[GROUP])) || "?";
    const lines = [block[COUNT] > 1 ? `${name} × ${count(block[COUNT])}` : name];
    lines.push(`${seconds(block[LASTS])}${block[COUNT] > 1 ? " together" : ""} on ${worker ? worker.name : "a worker that left"}`);
    if (block[STATUS] === 1) lines.push("failed");
    if (block[STATUS] === 2) lines.push("stopped");
    if (this.key(block)) lines.push(this.key(block));
    showTip(event.clientX, event.clientY, lines);
  }

  open(event) {
    const block = this.hit(event);
    if (block && this.key(block)) { hideTip(); this.go(at(`tasks/${part(this.key(block))}`)); }
  }

  close() { clearTimeout(this.timer); cancelAnimationFrame(this.frame); this.drawing.close(); hideTip(); }
}
