// Orders: buttons for those who may give them, each asked about before it is carried out.
import { at, get, h, say } from "./dom.js";

let may = null;

// What this browser may do; asked once.
export function allowed() {
  may = may || get("api/v1/may").catch(() => ({ orders: false }));
  return may;
}

async function send(path, body) {
  const { mark } = await allowed();
  const answer = await fetch(at(path), { method: "POST", headers: { "content-type": "application/json", accept: "application/json", "x-trio-dask-mark": mark }, body: JSON.stringify(body) });
  const data = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(data.error || `${answer.status}`);
  return data;
}

// Each question has a dialog of its own: that one is closed is only heard some time later.
function confirmed(title, text, verb) {
  return new Promise((resolve) => {
    const dialog = h("dialog", { class: "order", "aria-labelledby": "order-title" }, h("h2", { id: "order-title" }, title), h("p", null, text),
      h("form", { method: "dialog", class: "choices" }, h("button", { value: "no", autofocus: true }, "No, go back"), h("button", { value: "yes", class: "danger" }, verb)));
    dialog.onclose = () => { dialog.remove(); resolve(dialog.returnValue === "yes"); };
    document.body.append(dialog);
    dialog.showModal();
  });
}

// `orders`: [{verb, title, text, path, body, done(answer)}]; hidden from those who may not.
export function orderBar(orders) {
  const note = h("span", { class: "dim", role: "status" });
  const buttons = orders.map((order) => h("button", { type: "button", class: "danger", on: { click: async (event) => {
    if (!await confirmed(order.title, order.text, order.verb)) return;
    event.target.disabled = true;
    say(note, "Under way …");
    try {
      const answer = await send(order.path, order.body || {});
      say(note, answer.under_way ? "It is under way, and takes a while." : order.done(answer));
    } catch (error) { say(note, error.message); }
    event.target.disabled = false;
  } } }, order.verb));
  const node = h("div", { class: "orders", hidden: true }, buttons, note);
  allowed().then(({ orders: yes }) => { node.hidden = !yes; });
  return node;
}
