"""Who may see the dashboard: decided from what a request says, without any state but one.

Reading is open from the same machine. From elsewhere it takes the dashboard's token, which is
made from the cluster's and is not it: who may look may not run code. A scraper sends it as a
bearer token, a browser trades a one-time link for a cookie.
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
#: What a proxy adds: then the peer's address says nothing about who asks.
_PROXY_HEADERS: Final = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip")
_NONCE_BYTES: Final = 12
_TICKETS_MAX: Final = 10_000


def dashboard_token(keys: Keys) -> str:
    """What lets people and scrapers look, and do nothing else."""
    return _text(_proof(keys, b"bearer"))


def login_ticket(keys: Keys, now: float) -> str:
    """A ticket for one login within `TICKET_S`; `now` is the time of day, in seconds since 1970."""
    return _signed(keys, b"ticket", int(now) + TICKET_S)


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
    """Who gets in. Remembers tickets that were used, until they are of no use anyway."""

    keys: Keys
    _used: dict[str, float] = field(default_factory=dict)

    @property
    def cookie_name(self) -> str:
        """One for each cluster: cookies do not know ports."""
        return f"trio_dask_{_proof(self.keys, b'cookie').hex()[:12]}"

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
        scheme, _, given = asked.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self.is_token(given.strip()):
            return True
        try:
            cookie = SimpleCookie(asked.headers.get("cookie", "")).get(self.cookie_name)
        except CookieError:
            return False
        return cookie is not None and _is_signed(self.keys, b"session", cookie.value, now)

    def is_token(self, given: str) -> bool:
        """Whether it is the dashboard's token."""
        return hmac.compare_digest(
            given.encode(errors="replace"), dashboard_token(self.keys).encode()
        )

    def login_refusal(self, asked: Asked, given: str, now: float) -> Refusal | None:
        """Why this ticket, or token, does not get a browser in; None if it does, once."""
        origin = asked.headers.get("origin", "")
        if origin and origin.partition("://")[2] != asked.headers.get("host", ""):
            return Refusal(403, "This was sent by another page.")
        given = given.strip()
        if self.is_token(given):
            return None
        if not _is_signed(self.keys, b"ticket", given, now):
            return Refusal(403, "This link, or token, is of no use here, or not any more.")
        if given in self._used:
            return Refusal(403, "This link has been used.")
        for ticket in [ticket for ticket, until in self._used.items() if until < now]:
            del self._used[ticket]
        if len(self._used) >= _TICKETS_MAX:
            return Refusal(403, "Too many links have been used just now; wait a moment.")
        self._used[given] = now + TICKET_S
        return None

    def cookie(self, asked: Asked, path: str, now: float) -> str:
        """The header that makes a browser known."""
        value = _signed(self.keys, b"session", int(now) + SESSION_S)
        secure = "; Secure" if asked.scheme == "https" else ""
        return (
            f"{self.cookie_name}={value}; Path={path or '/'}; Max-Age={SESSION_S}; "
            f"HttpOnly; SameSite=Strict{secure}"
        )


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
