// As much of a framework as these pages need.
export function h(tag, props, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props || {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "class") node.className = value;
    else if (name === "on") for (const [event, act] of Object.entries(value)) node.addEventListener(event, act);
    else if (name === "style") for (const [key, each] of Object.entries(value)) node.style.setProperty(key, each);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(3).filter((each) => each !== null && each !== undefined && each !== false));
  return node;
}

// Sets a text only if it is another one, so that the browser has nothing to do.
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function put(node, ...children) {
  node.replaceChildren(...children.flat(3).filter((each) => each !== null && each !== undefined && each !== false));
}

export const root = new URL(document.querySelector("meta[name=root]").content, location.href);
// Addresses in the page are relative to where it was loaded, and it goes on to others without loading.
for (const each of document.querySelectorAll("link[href], a[data-nav]")) each.setAttribute("href", each.href);
export const at = (path) => new URL(path, root).href;
export const part = (text) => encodeURIComponent(text);

export function link(path, text, props = {}) {
  return h("a", { href: at(path), "data-nav": true, ...props }, text);
}

export async function get(path) {
  const answer = await fetch(at(path), { headers: { accept: "application/json" } });
  if (answer.status === 401) { location.reload(); }
  const data = await answer.json().catch(() => ({}));
  if (!answer.ok) throw Object.assign(new Error(data.error || `${answer.status}`), { status: answer.status });
  return data;
}

// Calls `act` now and then while the page shows; a slow answer delays the next question.
export function every(page, interval, act) {
  let timer = 0;
  async function again() {
    if (!document.hidden) await act();
    if (page.isConnected) timer = setTimeout(again, interval);
  }
  again();
  return () => clearTimeout(timer);
}

// A bar of parts: [value, class, title], out of a whole.
export function bar(parts, all, label) {
  const node = h("div", { class: "meter", role: "img", "aria-label": label });
  setBar(node, parts, all, label);
  return node;
}

export function setBar(node, parts, all, label) {
  if (label !== undefined && node.getAttribute("aria-label") !== label) node.setAttribute("aria-label", label);
  while (node.children.length < parts.length) node.append(h("i"));
  while (node.children.length > parts.length) node.lastChild.remove();
  parts.forEach(([value, kind], index) => {
    const piece = node.children[index];
    const width = `${all > 0 ? Math.max(0, Math.min(100, (100 * value) / all)) : 0}%`;
    if (piece.className !== kind) piece.className = kind;
    if (piece.style.width !== width) piece.style.width = width;
  });
}

const tip = document.getElementById("tip");

export function showTip(x, y, lines) {
  put(tip, lines.map((line, index) => h("div", { class: index ? "" : "strong" }, line)));
  tip.hidden = false;
  const box = tip.getBoundingClientRect();
  tip.style.left = `${Math.max(4, Math.min(x + 14, innerWidth - box.width - 8))}px`;
  tip.style.top = `${y + box.height + 24 > innerHeight ? y - box.height - 10 : y + 16}px`;
}

export function hideTip() { tip.hidden = true; }
