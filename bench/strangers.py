"""``python -m bench.strangers HOST PORT COUNT PER_SECOND``: strangers at a scheduler's door.

They come at a fixed rate, in turns: some say nothing, or a byte a second; some replay what a peer
has said, or send back what they hear; some speak another protocol, another version, or more than
anybody wants to hear; some have another token. The cluster's token comes from the environment: one
handshake is a genuine one, to be recorded. At the end a line says how many came, and what became of
them.
"""

from __future__ import annotations

import json
import os
import platform
import secrets
import sys
from collections import Counter
from dataclasses import dataclass, field
from itertools import cycle
from typing import TYPE_CHECKING, Final

import trio

from trio_dask.comm import Handshake, Hello, Keys, keys_from_token

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

#: Nobody stays for longer, whatever the scheduler does.
STAY_S: Final = 15.0
_HUGE: Final = bytes(1 << 20)


def hello(**other: object) -> Hello:
    """What a client says first."""
    said = {
        "role": "client",
        "python": platform.python_version(),
        "version": "1",
        "nonce": secrets.token_bytes(32),
    }
    return Hello(**(said | other))  # type: ignore[arg-type]


@dataclass(slots=True, eq=False)
class Strangers:
    """All of them; `keys` are the cluster's, to record a handshake, and nothing else."""

    keys: Keys
    recorded: bytes = b""
    ends: Counter[str] = field(default_factory=Counter)

    async def record(self, stream: trio.SocketStream) -> None:
        """A handshake as it should be; what its connecting side has said."""
        handshake = Handshake(hello(), self.keys, connecting=True)
        said = handshake.start()
        self.recorded += said
        await stream.send_all(said)
        while wanted := handshake.wanted:
            answer = handshake.feed(bytes(await stream.receive_some(wanted)))
            self.recorded += answer
            await stream.send_all(answer)
        assert handshake.refusal is None

    async def say_nothing(self, stream: trio.SocketStream) -> None:
        """Wait."""

    async def drip(self, stream: trio.SocketStream) -> None:
        """A byte a second."""
        for each in hello().to_bytes():
            await stream.send_all(bytes([each]))
            await trio.sleep(1)

    async def replay(self, stream: trio.SocketStream) -> None:
        """Say what somebody else has said."""
        await stream.send_all(self.recorded)

    async def reflect(self, stream: trio.SocketStream) -> None:
        """Say what the other side says."""
        while data := await stream.receive_some():
            await stream.send_all(data)

    async def speak_http(self, stream: trio.SocketStream) -> None:
        """Another protocol."""
        await stream.send_all(b"GET / HTTP/1.1\r\nHost: scheduler\r\n\r\n")

    async def be_newer(self, stream: trio.SocketStream) -> None:
        """Another version of ours."""
        await stream.send_all(hello(protocol=99).to_bytes())

    async def say_too_much(self, stream: trio.SocketStream) -> None:
        """A hello that says how large it is, and is."""
        await stream.send_all(hello().to_bytes()[:10] + b"\xff\xff" + _HUGE)

    async def send_a_frame(self, stream: trio.SocketStream) -> None:
        """A huge frame, without any hello."""
        await stream.send_all(b"\xff" * 8 + _HUGE)

    async def guess(self, stream: trio.SocketStream) -> None:
        """Another token."""
        handshake = Handshake(hello(), keys_from_token(secrets.token_hex(16)), connecting=True)
        await stream.send_all(handshake.start())
        while wanted := handshake.wanted:
            data = await stream.receive_some(wanted)
            if not data:
                return
            await stream.send_all(handshake.feed(bytes(data)))

    async def come(
        self, host: str, port: int, act: Callable[[trio.SocketStream], Awaitable[None]]
    ) -> None:
        """One of them, until it is sent away."""
        end = "stayed"
        with trio.move_on_after(STAY_S):
            try:
                async with await trio.open_tcp_stream(host, port) as stream:
                    await act(stream)
                    while await stream.receive_some():
                        pass
                    end = "sent away"
            except (OSError, trio.BrokenResourceError):
                end = "sent away"
        self.ends[end] += 1


async def main(host: str, port: int, count: int, per_second: float) -> None:
    """Let them come."""
    strangers = Strangers(keys_from_token(os.environ["TRIO_DASK_TOKEN"]))
    async with await trio.open_tcp_stream(host, port) as stream:
        await strangers.record(stream)
    ways = [
        strangers.say_nothing, strangers.drip, strangers.replay, strangers.reflect,
        strangers.speak_http, strangers.be_newer, strangers.say_too_much, strangers.send_a_frame,
        strangers.guess,
    ]  # fmt: skip
    print("ready", flush=True)
    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        for number, act in zip(range(count), cycle(ways)):
            await trio.sleep_until(began + number / per_second)
            nursery.start_soon(strangers.come, host, port, act)
        await trio.sleep_until(began + count / per_second)
        print("come", flush=True)
    print(json.dumps(strangers.ends), flush=True)


if __name__ == "__main__":
    trio.run(main, sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
