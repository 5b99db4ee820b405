"""What the tests of this room share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio
import trio.testing

from trio_dask.comm import Handshake, Hello, Keys, Listener, keys_from_token

if TYPE_CHECKING:
    from trio_dask.messages import Message

TOKEN = "0123456789abcdef" * 4
KEYS = keys_from_token(TOKEN)
OTHER_KEYS = keys_from_token("fedcba9876543210" * 4)


def hello(role: str, *, python: str = "3.11.4", nonce: bytes = b"") -> Hello:
    """A peer's introduction; each role has a nonce of its own."""
    return Hello(role, python, "1.0", nonce or role.encode().ljust(32, b"."))


def hands(role: str, *, connecting: bool, keys: Keys = KEYS, expect: str = "") -> Handshake:
    """One side of a handshake."""
    return Handshake(hello(role), keys, connecting=connecting, expect=expect)


class MemoryListener(trio.abc.Listener[trio.abc.Stream]):
    """Accepts what the test gives it: streams, or errors to raise."""

    def __init__(self) -> None:
        self.give, self._taken = trio.open_memory_channel[trio.abc.Stream | OSError](10_000)

    async def accept(self) -> trio.abc.Stream:
        given = await self._taken.receive()
        if isinstance(given, OSError):
            raise given
        return given

    async def aclose(self) -> None:
        self._taken.close()
        await trio.lowlevel.checkpoint()

    def dial(self) -> trio.abc.Stream:
        """The far end of a new connection."""
        near, far = trio.testing.memory_stream_pair()
        self.give.send_nowait(near)
        return far

    def listener(self) -> Listener:
        """What `serve` takes."""
        return Listener([self], "tcp://memory:1")


class Heard:
    """A place for messages."""

    def __init__(self, count: int = 1) -> None:
        self.messages: list[Message] = []
        self.reads = 0
        self._count = count
        self.enough = trio.Event()

    def __call__(self, messages: list[Message]) -> None:
        self.messages += messages
        self.reads += 1
        if len(self.messages) >= self._count:
            self.enough.set()


async def read_to_end(stream: trio.abc.Stream) -> bytes:
    """Everything up to the end of the stream, however it ends."""
    data = b""
    try:
        while more := await stream.receive_some(65536):
            data += more
    except trio.BrokenResourceError:
        pass
    return data
