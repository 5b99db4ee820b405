"""Who may see the dashboard: decided from what a request says, without any state but one.

Reading is open from the same machine. From elsewhere it takes the dashboard's token, which is
made from the cluster's and is not it: who may look may not run code. A scraper sends it as a
bearer token, a browser trades a one-time link for a cookie.

To change something takes another token, made in the same way, from the same machine, too; and
of a browser, beside its cookie, a mark that only our own pages can know.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trio_dask.comm import Keys

#: How long a link may lie about, and how long a browser stays known, seconds.
TICKET_S: Final = 300
SESSION_S: Final = 7 * 24 * 3600
#: The same where it may change something.
ORDER_SESSION_S: Final = 12 * 3600
#: The header with the mark.
MARK: Final = "x-trio-dask-mark"
#: What a proxy adds: then the peer's address says nothing about who asks.
_PROXY_HEADERS: Final = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip")
_NONCE_BYTES: Final = 12
_TICKETS_MAX: Final = 10_000


def dashboard_token(keys: Keys) -> str:
    """What lets people and scrapers look, and do nothing else."""
    return _text(_proof(keys, b"bearer"))


def control_token(keys: Keys) -> str:
    """What lets people and programs look and give orders: cancel, retire, restart."""
    return _text(_proof(keys, b"control"))


def login_ticket(keys: Keys, now: float, *, control: bool = False) -> str:
    """A ticket for one login within `TICKET_S`; `now` is the time of day, in seconds since 1970.

    With `control` the browser may give orders.
    """
    return _signed(keys, b"control ticket" if control else b"ticket", int(now) + TICKET_S)


def login_link(link: str, ticket: str) -> str:
    """A dashboard's link, with a ticket where browsers send it to nobody.

    >>> login_link("http://192.0.2.10:8787/dask/status", "9.x.y")
    'http://192.0.2.10:8787/dask/login#ticket=9.x.y'
    """
    return f"{link.rstrip('/').removesuffix('/status')}/login#ticket={ticket}"


def cookie_name(keys: Keys, *, control: bool = False) -> str:
    """One for each cluster, as cookies do not know ports; another for those who may give orders."""
    name = f"trio_dask_{_proof(keys, b'cookie').hex()[:12]}"
    return f"{name}_control" if control else name


def _mark(keys: Keys, session: str) -> str:
    return _text(_proof(keys, b"mark " + session.encode()))


def _proof(keys: Keys, label: bytes) -> bytes:
    return hmac.digest(keys.dashboard, b"dashboard " + label, hashlib.sha256)


def _signed(keys: Keys, use: bytes, until: int) -> str:
    """A text that only the keys' holder can make, good for one use until some time."""
    said = b"%d.%s" % (until, _text(secrets.token_bytes(_NONCE_BYTES)).encode())
    return f"{said.decode()}.{_text(_proof(keys, use + b' ' + said))}"


def _is_signed(keys: Keys, use: bytes, text: str, now: float) -> bool:
    said, dot, proof = text.rpartition(".")
    until = said.partition(".")[0]
    if not dot or not until.isascii() or not until.isdecimal() or len(until) > _DIGITS_MAX:
        return False
    genuine = _text(_proof(keys, use + b" " + said.encode(errors="replace")))
    same = hmac.compare_digest(proof.encode(errors="replace"), genuine.encode())
    return same and now < int(until)


def _text(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


@dataclass(frozen=True, slots=True)
class Asked:
    """What matters of a request; names of headers in lower case."""

    method: str
    client: str  # the peer's address, without port; empty for none
    headers: Mapping[str, str] = field(default_factory=dict)
    scheme: str = "http"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why not, and what helps."""

    status: int
    why: str


@dataclass(slots=True)
class Door:
    """Who gets in. Remembers tickets that were used, until they are of no use anyway.

    What was made with a token that was replaced is good for as long as that is accepted.
    """

    given: Keys
    _used: dict[str, float] = field(default_factory=dict)

    @property
    def keys(self) -> Keys:
        """Those of now."""
        return self.given.current()

    def order_refusal(self, asked: Asked, now: float) -> Refusal | None:
        """Why this may not change anything; None if it may."""
        bearer = _bearer(asked)
        if bearer and self.is_token(bearer, control=True):
            return None
        session = self._session(asked, now, control=True)
        if session is None:
            known = self.refusal(Asked("GET", asked.client, asked.headers), now) is None
            return Refusal(403 if known else 401, "This needs the token for control.")
        if _host_of(asked.headers.get("origin", "")) != asked.headers.get("host", ""):
            return Refusal(403, "This was sent by another page.")
        mark = asked.headers.get(MARK, "").encode(errors="replace")
        genuine = [_mark(each, session).encode() for each in self.keys.accepted]
        if not any(hmac.compare_digest(mark, each) for each in genuine):
            return Refusal(403, f"This was not sent by our page: {MARK} is missing, or another's.")
        return None

    def mark(self, asked: Asked, now: float) -> str:
        """What a page of ours adds to orders; empty for who may give none."""
        session = self._session(asked, now, control=True)
        return _mark(self.keys, session) if session is not None else ""

    def refusal(self, asked: Asked, now: float) -> Refusal | None:
        """Why this may not be answered; None if it may. `now` is the time of day."""
        if asked.method not in {"GET", "HEAD"}:
            return Refusal(405, "There is nothing to change here.")
        if self.is_known(asked, now):
            return None
        if not is_loopback(asked.client):
            return Refusal(401, "This needs the dashboard's token.")
        if any(name in asked.headers for name in _PROXY_HEADERS):
            return Refusal(401, "This comes through a proxy, and needs the dashboard's token.")
        if not is_loopback_host(asked.headers.get("host", "")):
            # A page from elsewhere whose name has been made to lead here: it would read all.
            return Refusal(421, "This name is not this machine's; use localhost or 127.0.0.1.")
        return None

    def is_known(self, asked: Asked, now: float) -> bool:
        """Whether it has proved something, by a token or a cookie."""
        bearer = _bearer(asked)
        if bearer and (self.is_token(bearer) or self.is_token(bearer, control=True)):
            return True
        found = (self._session(asked, now, control=each) for each in (False, True))
        return any(each is not None for each in found)

    def _session(self, asked: Asked, now: float, *, control: bool) -> str | None:
        """What is in the cookie of a browser that is known."""
        use = b"control session" if control else b"session"
        try:
            cookies = SimpleCookie(asked.headers.get("cookie", ""))
        except CookieError:
            return None
        for keys in self.keys.accepted:
            cookie = cookies.get(cookie_name(keys, control=control))
            if cookie is not None and _is_signed(keys, use, cookie.value, now):
                return cookie.value
        return None

    def is_token(self, given: str, *, control: bool = False) -> bool:
        """Whether it is the dashboard's token, or that for control."""
        token = control_token if control else dashboard_token
        said = given.encode(errors="replace")
        genuine = [token(each).encode() for each in self.keys.accepted]
        return any(hmac.compare_digest(said, each) for each in genuine)

    def _is_ticket(self, use: bytes, given: str, now: float) -> bool:
        return any(_is_signed(each, use, given, now) for each in self.keys.accepted)

    def controls(self, given: str, now: float) -> bool:
        """Whether this ticket, or token, is one for control."""
        given = given.strip()
        return self.is_token(given, control=True) or self._is_ticket(b"control ticket", given, now)

    def login_refusal(self, asked: Asked, given: str, now: float) -> Refusal | None:
        """Why this ticket, or token, does not get a browser in; None if it does, once."""
        origin = asked.headers.get("origin", "")
        if origin and _host_of(origin) != asked.headers.get("host", ""):
            return Refusal(403, "This was sent by another page.")
        given = given.strip()
        if self.is_token(given) or self.is_token(given, control=True):
            return None
        uses = (b"ticket", b"control ticket")
        if not any(self._is_ticket(use, given, now) for use in uses):
            return Refusal(403, "This link, or token, is of no use here, or not any more.")
        if given in self._used:
            return Refusal(403, "This link has been used.")
        for ticket in [ticket for ticket, until in self._used.items() if until < now]:
            del self._used[ticket]
        if len(self._used) >= _TICKETS_MAX:
            return Refusal(403, "Too many links have been used just now; wait a moment.")
        self._used[given] = now + TICKET_S
        return None

    def cookie(self, asked: Asked, path: str, now: float, *, control: bool = False) -> str:
        """The header that makes a browser known."""
        use, lasts_s = b"session", SESSION_S
        if control:
            use, lasts_s = b"control session", ORDER_SESSION_S
        keys = self.keys
        name, value = cookie_name(keys, control=control), _signed(keys, use, int(now) + lasts_s)
        secure = "; Secure" if asked.scheme == "https" else ""
        return (
            f"{name}={value}; Path={path or '/'}; Max-Age={lasts_s}; "
            f"HttpOnly; SameSite=Strict{secure}"
        )


def _bearer(asked: Asked) -> str:
    scheme, _, given = asked.headers.get("authorization", "").partition(" ")
    return given.strip() if scheme.lower() == "bearer" else ""


def _host_of(origin: str) -> str:
    return origin.partition("://")[2]


def is_loopback(host: str) -> bool:
    """Whether a peer's address is this machine's loopback.

    >>> is_loopback("127.0.0.1"), is_loopback("::ffff:127.0.0.1"), is_loopback("192.0.2.1")
    (True, True, False)
    """
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


def is_loopback_host(header: str) -> bool:
    """Whether a ``Host`` header names the loopback.

    >>> is_loopback_host("localhost:8787"), is_loopback_host("[::1]:8787"), is_loopback_host("a.b")
    (True, True, False)
    """
    host = header.strip().lower()
    if host.startswith("["):
        return is_loopback(host[1:].partition("]")[0])
    host = host.partition(":")[0].removesuffix(".")
    return host == "localhost" or host.endswith(".localhost") or is_loopback(host)


_DIGITS_MAX: Final = 12
