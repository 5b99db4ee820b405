// Canvases: sharp on every screen, in the page's own colours, drawn only when something is new.
import { hideTip, showTip } from "./dom.js";
import { seconds } from "./format.js";

// Told apart with any kind of sight, which a test computes; the colour of errors is not among them.
const LIGHT = ["#559bd0", "#7d2c04", "#006e4b", "#662d80", "#2b72c1", "#8b8b0f", "#5043ad", "#587214", "#b38e60", "#6d8c8c"];
const DARK = ["#2cc1fc", "#b78968", "#9fe9d8", "#dba1b4", "#2091ff", "#e6df33", "#9a67c7", "#b6d08b", "#c96100", "#7a8da4"];

export function dark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

export const colour = (id) => (dark() ? DARK : LIGHT)[(Number(id) - 1 + 10) % 10];

// Asked of the browser once: it would look whether styles have changed, each time.
const inks = new Map();
export function ink(name) {
  if (!inks.size) inks.set("", getComputedStyle(document.documentElement));
  if (!inks.has(name)) inks.set(name, inks.get("").getPropertyValue(name).trim());
  return inks.get(name);
}

const redraws = new Set();
export function themeChanged() { inks.clear(); for (const each of [...redraws]) each(); }
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", themeChanged);

// A canvas as large as its box; `paint(context, width, height)` is called when either changes.
export class Canvas {
  constructor(node, paint) {
    this.node = node;
    this.paint = paint;
    this.width = 0;
    this.height = 0;
    this.redraw = () => this.draw();
    this.sizes = new ResizeObserver(() => { this.fit(); this.draw(); });
    this.sizes.observe(node);
    redraws.add(this.redraw);
  }

  fit() {
    const box = this.node.getBoundingClientRect();
    const scale = devicePixelRatio || 1;
    this.width = box.width;
    this.height = box.height;
    this.node.width = Math.round(box.width * scale);
    this.node.height = Math.round(box.height * scale);
    this.context = this.node.getContext("2d");
    this.context.setTransform(scale, 0, 0, scale, 0, 0);
  }

  draw() {
    if (!this.context || !this.width) return;
    this.context.clearRect(0, 0, this.width, this.height);
    this.paint(this.context, this.width, this.height);
  }

  close() { this.sizes.disconnect(); redraws.delete(this.redraw); }
}

const LEFT = 54;
const FONT = "11px system-ui, sans-serif";

function nice(most, binary) {
  if (most <= 0) return 1;
  if (binary) {
    const power = 1024 ** Math.floor(Math.log2(most) / 10);
    return power * nice(most / power);
  }
  const power = 10 ** Math.floor(Math.log10(most));
  return [1, 2, 2.5, 5, 10].map((each) => each * power).find((each) => each >= most);
}

// Curves over time. `series`: [{label, values: [[t, value]], colour, fill}], `unit(value)`.
export class Curves {
  constructor(node, unit, { span = 600, floor = 0, binary = false } = {}) {
    this.node = node; this.unit = unit; this.span = span; this.floor = floor; this.binary = binary;
    this.series = [];
    this.canvas = new Canvas(node, (...args) => this.paint(...args));
    node.addEventListener("pointermove", (event) => this.point(event));
    node.addEventListener("pointerleave", () => { this.at = null; hideTip(); this.canvas.draw(); });
  }

  set(series, t) { this.series = series; this.t = t; this.canvas.draw(); }

  shown() {
    let first = this.t;
    for (const { values } of this.series) if (values.length) first = Math.min(first, values[0][0]);
    return Math.max(20, Math.min(this.span, this.t - first));
  }

  paint(context, width, height) {
    const left = LEFT, bottom = 18, top = 6;
    const span = this.shown();
    let most = this.floor;
    for (const { values } of this.series) for (const [t, v] of values) if (t >= this.t - span && v > most) most = v;
    most = nice(most, this.binary);
    const x = (t) => left + ((t - this.t + span) / span) * (width - left - 4);
    const y = (v) => top + (1 - v / most) * (height - top - bottom);
    context.font = FONT;
    context.fillStyle = ink("--dim");
    context.strokeStyle = ink("--line");
    context.lineWidth = 1;
    context.textAlign = "right";
    context.textBaseline = "middle";
    for (const part of [0, 0.5, 1]) {
      const row = Math.round(y(most * part)) + 0.5;
      context.beginPath(); context.moveTo(left, row); context.lineTo(width, row); context.stroke();
      context.fillText(this.unit(most * part), left - 6, row);
    }
    context.textBaseline = "alphabetic";
    context.textAlign = "left";
    context.fillText(`${seconds(span)} ago`, left, height - 4);
    context.textAlign = "right";
    context.fillText("now", width - 4, height - 4);
    context.save();
    context.beginPath(); context.rect(left, 0, width - left, height); context.clip();
    for (const { values, colour: stroke, fill } of this.series) {
      if (!values.length) continue;
      context.beginPath();
      values.forEach(([t, v], index) => (index ? context.lineTo(x(t), y(v)) : context.moveTo(x(t), y(v))));
      context.strokeStyle = stroke;
      context.lineWidth = 1.75;
      context.lineJoin = "round";
      context.stroke();
      if (fill) {
        context.lineTo(x(values[values.length - 1][0]), y(0));
        context.lineTo(x(values[0][0]), y(0));
        context.globalAlpha = 0.13;
        context.fillStyle = stroke;
        context.fill();
        context.globalAlpha = 1;
      }
    }
    if (this.at !== null && this.at !== undefined) {
      context.strokeStyle = ink("--dim");
      context.beginPath(); context.moveTo(this.at, top); context.lineTo(this.at, height - bottom); context.stroke();
    }
    context.restore();
  }

  point(event) {
    const box = this.node.getBoundingClientRect();
    this.at = event.clientX - box.left;
    const span = this.shown();
    const t = this.t - span + ((this.at - LEFT) / (box.width - LEFT - 4)) * span;
    const lines = [`${seconds(Math.max(0, this.t - t))} ago`];
    for (const { label, values } of this.series) {
      const found = values.filter(([when]) => when <= t).pop();
      if (found) lines.push(`${label}: ${this.unit(found[1])}`);
    }
    showTip(event.clientX, event.clientY, lines);
    this.canvas.draw();
  }

  close() { this.canvas.close(); }
}

// A small curve in a tile, without scales.
export class Spark {
  constructor(node) {
    this.values = [];
    this.canvas = new Canvas(node, (context, width, height) => {
      const values = this.values;
      if (values.length < 2) return;
      const most = Math.max(...values, 1e-9);
      context.beginPath();
      values.forEach((v, index) => {
        const x = (index / (values.length - 1)) * width, y = height - 2 - (v / most) * (height - 4);
        if (index) context.lineTo(x, y); else context.moveTo(x, y);
      });
      context.strokeStyle = ink("--accent");
      context.lineWidth = 1.5;
      context.lineJoin = "round";
      context.stroke();
      context.lineTo(width, height); context.lineTo(0, height);
      context.globalAlpha = 0.12;
      context.fillStyle = ink("--accent");
      context.fill();
      context.globalAlpha = 1;
    });
  }

  set(values) {
    if (values.length === this.values.length && values.every((each, index) => each === this.values[index])) return;
    this.values = values;
    this.canvas.draw();
  }

  close() { this.canvas.close(); }
}
