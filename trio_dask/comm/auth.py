"""Keys made from the cluster's token, and the proofs made with them."""

from __future__ import annotations

import hashlib
import hmac
import string
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from trio_dask.errors import AuthenticationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_dask.comm.tls import Tls

TOKEN_BITS_MIN: Final = 128
_DISTINCT_MIN: Final = 8
PROOF_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Keys:
    """One key for each use, so that a proof made for one cannot serve another."""

    connect: bytes = field(repr=False)
    accept: bytes = field(repr=False)
    dashboard: bytes = field(repr=False)
    #: For the names of local sockets.
    near: bytes = field(default=b"", repr=False)
    #: What ``tls://`` takes: certificates; None where there are none.
    tls: Tls | None = field(default=None, repr=False, compare=False)
    #: How values may be compressed on their way to other hosts, as of `CommConfig`.
    compression: str = field(default="none", repr=False, compare=False)
    #: Those of tokens that were replaced, and are accepted for a while.
    former: tuple[Keys, ...] = field(default=(), repr=False, compare=False)
    #: Where they are from may have others by now: what tells.
    renew: Callable[[], Keys] | None = field(default=None, repr=False, compare=False)

    def current(self) -> Keys:
        """These, or those that have taken their place."""
        return self if self.renew is None else self.renew()

    @property
    def accepted(self) -> tuple[Keys, ...]:
        """All with which somebody may prove to belong here."""
        return (self, *self.former)

    @property
    def shown(self) -> tuple[Keys, ...]:
        """All with which we may prove it, in the order in which that is tried.

        What is replaced everybody knows until the new one is everywhere.
        """
        return (*reversed(self.former), self)


def keys_from_token(
    token: str,
    origin: str = "the token",
    *,
    tls: Tls | None = None,
    compression: str = "none",
) -> Keys:
    """The keys of the cluster with this token.

    Args:
        token: What all parts of the cluster share.
        origin: Where it came from, as errors say it.
        tls: Certificates, for addresses that begin with ``tls://``.
        compression: ``auto``, ``none``, or the name of a way to compress.

    Raises:
        AuthenticationError: the token is missing, or could be guessed, or is none.
    """
    token = token.strip()
    weakness = _weakness(token)
    if weakness:
        msg = f"{origin} {weakness}"
        raise AuthenticationError(msg)
    secret = token.encode("ascii")

    def key(label: bytes) -> bytes:
        return hmac.digest(secret, b"trio_dask key " + label, "sha256")

    return Keys(
        connect=key(b"connect"), accept=key(b"accept"), dashboard=key(b"dashboard"),
        near=key(b"near"), tls=tls, compression=compression,
    )  # fmt: skip


def _weakness(token: str) -> str:
    """Why it cannot be used; empty if it can."""
    if not token:
        return "is empty: see `trio-dask token show` on the scheduler's machine"
    strange = next((each for each in token if not "!" <= each <= "~"), None)
    if strange is not None:
        return f"has a character that no token has, {strange!a}: was something else pasted?"
    if len(token) * (4 if set(token) <= set(string.hexdigits) else 6) < TOKEN_BITS_MIN:
        return (
            f"is too short: {TOKEN_BITS_MIN} random bits are needed "
            "(32 hexadecimal digits, or 22 letters and digits)"
        )
    if len(set(token)) < _DISTINCT_MIN:
        return (
            f"could be guessed: it has only {len(set(token))} different characters; "
            "`trio-dask token new` makes a good one"
        )
    return ""


def connect_proof(keys: Keys, transcript: bytes) -> bytes:
    """What the connecting side shows first."""
    return hmac.digest(keys.connect, b"connect" + transcript, hashlib.sha256)


def accept_proof(keys: Keys, transcript: bytes) -> bytes:
    """What the accepting side shows after it has seen the other's."""
    return hmac.digest(keys.accept, b"accept" + transcript, hashlib.sha256)


def same(one: bytes, other: bytes) -> bool:
    """Whether two proofs are equal, in constant time."""
    return hmac.compare_digest(one, other)
