"""Keys made from the cluster's token, and the proofs made with them."""

from __future__ import annotations

import hashlib
import hmac
import string
from dataclasses import dataclass, field
from typing import Final

from trio_dask.errors import AuthenticationError

TOKEN_BITS_MIN: Final = 128
_DISTINCT_MIN: Final = 8
PROOF_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Keys:
    """One key for each use, so that a proof made for one cannot serve another."""

    connect: bytes = field(repr=False)
    accept: bytes = field(repr=False)
    dashboard: bytes = field(repr=False)


def keys_from_token(token: str) -> Keys:
    """The keys of the cluster with this token.

    Raises:
        AuthenticationError: the token is missing, or could be guessed.
    """
    token = token.strip()
    if not token:
        msg = "there is no token: see `trio-dask token show` on the scheduler's machine"
        raise AuthenticationError(msg)
    bits = len(token) * (4 if set(token) <= set(string.hexdigits) else 6)
    if bits < TOKEN_BITS_MIN or len(set(token)) < _DISTINCT_MIN:
        msg = (
            f"the token is too short: {TOKEN_BITS_MIN} random bits are needed "
            "(32 hexadecimal digits, or 22 letters and digits)"
        )
        raise AuthenticationError(msg)
    secret = token.encode("utf-8", "surrogatepass")

    def key(label: bytes) -> bytes:
        return hmac.digest(secret, b"trio_dask key " + label, "sha256")

    return Keys(connect=key(b"connect"), accept=key(b"accept"), dashboard=key(b"dashboard"))


def connect_proof(keys: Keys, transcript: bytes) -> bytes:
    """What the connecting side shows first."""
    return hmac.digest(keys.connect, b"connect" + transcript, hashlib.sha256)


def accept_proof(keys: Keys, transcript: bytes) -> bytes:
    """What the accepting side shows after it has seen the other's."""
    return hmac.digest(keys.accept, b"accept" + transcript, hashlib.sha256)


def same(one: bytes, other: bytes) -> bool:
    """Whether two proofs are equal, in constant time."""
    return hmac.compare_digest(one, other)
