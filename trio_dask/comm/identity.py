"""How this process introduces itself."""

from __future__ import annotations

import platform
import secrets
from typing import Final

import trio_dask
from trio_dask.comm.compression import NONE, offered
from trio_dask.comm.handshake import NONCE_BYTES, Hello

#: It is worked out anew with each question, and strangers ask often.
_PYTHON: Final = platform.python_version()


def local_hello(role: str, compression: str = NONE) -> Hello:
    """A fresh `Hello` for one connection; by default of one on which nothing is compressed."""
    return Hello(
        role=role,
        python=_PYTHON,
        version=trio_dask.__version__,
        nonce=secrets.token_bytes(NONCE_BYTES),
        unpacks=offered(compression),
    )
