"""Accepting: what is a connection's own trouble, and what is ours."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any

import pytest
import trio

from trio_dask.comm.listening import Secured, accept_socket, is_at_socket, open_listener

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.network


def failing(number: int) -> Callable[[], Any]:
    """What accepts, and fails so."""

    async def accept() -> None:
        await trio.lowlevel.checkpoint()
        raise OSError(number, os.strerror(number))

    return accept


@pytest.mark.parametrize("scheme", ["tcp", "tls"])
async def test_what_comes(scheme: str) -> None:
    """A socket, of which nothing has been read and to which nothing was done."""
    async with await open_listener(f"{scheme}://127.0.0.1:0") as listener:
        [accepting] = listener.accepting
        assert is_at_socket(accepting)
        assert isinstance(accepting, Secured) is (scheme == "tls")
        async with await trio.open_tcp_stream("127.0.0.1", listener.port) as stream:
            sock = await accept_socket(accepting)
            assert sock is not None
            await stream.send_all(b"x")
            assert await sock.recv(2) == b"x"
            sock.close()


@pytest.mark.parametrize("number", [errno.ECONNABORTED, errno.EPROTO, errno.ENETUNREACH])
async def test_who_is_gone_already_is_nobody(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """That is no fault of ours, nor the end of accepting."""
    async with await open_listener("tcp://127.0.0.1:0") as listener:
        [accepting] = listener.accepting
        assert isinstance(accepting, trio.SocketListener)
        monkeypatch.setattr(accepting.socket, "accept", failing(number))
        assert await accept_socket(accepting) is None


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENOMEM, errno.EINVAL])
async def test_what_is_wrong_here_is_said(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who accepts decides what that means."""
    async with await open_listener("tcp://127.0.0.1:0") as listener:
        [accepting] = listener.accepting
        assert isinstance(accepting, trio.SocketListener)
        monkeypatch.setattr(accepting.socket, "accept", failing(number))
        with pytest.raises(OSError, match=os.strerror(number)):
            await accept_socket(accepting)


async def test_a_closed_one_accepts_nobody() -> None:
    """As trio has it."""
    listener = await open_listener("tcp://127.0.0.1:0")
    await listener.aclose()
    with pytest.raises(trio.ClosedResourceError):
        await accept_socket(listener.accepting[0])
