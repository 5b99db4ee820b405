"""How this process introduces itself."""

from __future__ import annotations

import platform
import secrets

import trio_dask
from trio_dask.comm.compression import NONE, offered
from trio_dask.comm.handshake import NONCE_BYTES, Hello


def local_hello(role: str, compression: str = NONE) -> Hello:
    """A fresh `Hello` for one connection; by default of one on which nothing is compressed."""
    return Hello(
        role=role,
        python=platform.python_version(),
        version=trio_dask.__version__,
        nonce=secrets.token_bytes(NONCE_BYTES),
        unpacks=offered(compression),
    )
