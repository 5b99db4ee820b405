// A one-time link carries its ticket behind the "#", which browsers tell no server and no proxy.
const root = new URL(document.querySelector('meta[name=root]').content, location.href);
const ticket = new URLSearchParams(location.hash.slice(1)).get("ticket");
if (ticket) {
  history.replaceState(null, "", location.pathname);
  document.getElementById("ticket").value = ticket;
  document.querySelector("form").submit();
} else if (!location.pathname.endsWith("/login")) {
  // Who followed a link from elsewhere is known, but the cookie stayed behind: ask again from here.
  const answer = await fetch(new URL("api/v1/cluster", root)).catch(() => null);
  if (answer && answer.ok && !sessionStorage.getItem("asked")) {
    sessionStorage.setItem("asked", "1");
    location.replace(location.href);
  }
}
