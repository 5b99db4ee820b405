// The page of a worker's process as it is by now, every five seconds; whoever reads on or marks something is left alone.
const EVERY_MS = 5000;
const main = document.querySelector("main");

async function now() {
  const answer = await fetch(location.href, { cache: "no-store" });
  if (!answer.ok) throw new Error(answer.status);
  return new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("main");
}

async function again() {
  const inUse = () => main.contains(document.activeElement) || !getSelection().isCollapsed;
  if (!document.hidden && !inUse()) {
    try {
      const fresh = await now();
      if (!inUse()) {
        const across = [...main.querySelectorAll(".scroll")].map((each) => each.scrollLeft);
        main.replaceChildren(...fresh.childNodes);
        main.querySelectorAll(".scroll").forEach((each, at) => { each.scrollLeft = across[at] || 0; });
      }
      document.body.classList.remove("stale");
    } catch (error) { document.body.classList.add("stale"); }
  }
  setTimeout(again, EVERY_MS);
}

setTimeout(again, EVERY_MS);
