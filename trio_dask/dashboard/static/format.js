// Numbers for people: with units, and no more digits than one reads.
const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });

export function count(n) {
  if (n === undefined || n === null) return "–";
  if (Math.abs(n) < 1e6) return whole.format(n);
  return n < 1e9 ? `${(n / 1e6).toFixed(n < 1e7 ? 2 : 1)} M` : `${(n / 1e9).toFixed(2)} G`;
}

export function rate(n) {
  if (n === undefined || n === null) return "–";
  if (n > 0 && n < 10) return n.toFixed(1);
  return count(Math.round(n));
}

export function bytes(n) {
  if (!n) return "0 B";
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  let at = 0;
  while (n >= 1000 && at < units.length - 1) { n /= 1024; at += 1; }
  return `${at && n < 10 && Math.round(n * 10) % 10 ? n.toFixed(1) : Math.round(n)} ${units[at]}`;
}

export const mib = (n) => bytes(n * 1048576);

export function seconds(s) {
  if (s === undefined || s === null || Number.isNaN(s)) return "–";
  if (s < 0.001) return `${Math.round(s * 1e6)} µs`;
  if (s < 1) return `${s < 0.01 ? (s * 1000).toFixed(1) : Math.round(s * 1000)} ms`;
  if (s < 60) return `${s < 10 && Math.round(s * 10) % 10 ? s.toFixed(1) : Math.round(s)} s`;
  if (s < 3600) return two(s, 60, "min", 1, "s");
  if (s < 86400) return two(s, 3600, "h", 60, "min");
  return two(s, 86400, "d", 3600, "h");
}

function two(s, large, first, small, second) {
  const rest = Math.floor((s % large) / small);
  return `${Math.floor(s / large)} ${first}${rest ? ` ${rest} ${second}` : ""}`;
}

export const ago = (s) => (s === null || s === undefined ? "" : s < 2 ? "just now" : `${seconds(s)} ago`);

export function percent(part, all) {
  return all > 0 ? `${Math.round((100 * part) / all)} %` : "–";
}

// A key in the middle of which something is left out; the full one is at hand as its title.
export function short(text, most = 36) {
  if (text.length <= most) return text;
  const end = Math.floor(most / 3);
  return `${text.slice(0, most - end - 1)}…${text.slice(-end)}`;
}

export const plural = (n, word) => `${count(n)} ${word}${n === 1 ? "" : "s"}`;
