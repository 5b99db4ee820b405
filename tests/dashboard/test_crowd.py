"""Many viewers: what is said is made once, whoever keeps up is written to, and nobody waits."""

from __future__ import annotations

import socket
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import h11
import pytest
import trio

from tests.dashboard.asgi import LOCAL, scope_of
from tests.dashboard.busy import BusyCluster
from tests.dashboard.test_serving import EVENTS, open_site
from trio_dask.dashboard import events
from trio_dask.dashboard.crowd import BEAT_S, Crowd, Viewer
from trio_dask.dashboard.events import Events
from trio_dask.dashboard.feed import TURN_S, Feed
from trio_dask.dashboard.mirror import Lines
from trio_dask.dashboard.wire import WIRE, chunk

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from trio.testing import MockClock


class Socket:
    """What one viewer has got; it takes so much at once, and may be gone."""

    def __init__(self, room: int = 1 << 30) -> None:
        self.room = room
        self.got = b""
        self.writes = 0
        self.gone = False
        self.waits: trio.Event | None = None

    def write(self, data: bytes) -> int:
        self.writes += 1
        if self.gone:
            raise ConnectionResetError
        taken = min(self.room, len(data))
        self.room -= taken
        self.got += data[:taken]
        return taken

    async def send_all(self, data: bytes) -> None:
        """As the connection's own."""
        await trio.lowlevel.checkpoint()
        if self.waits is not None:
            await self.waits.wait()
        if self.gone:
            raise ConnectionError
        self.got += data

    def events(self) -> list[tuple[str, Any]]:
        """All of it that is whole, read as a browser reads it."""
        connection = h11.Connection(h11.CLIENT)
        connection.send(h11.Request(method="GET", target="/events", headers=[("host", "x")]))
        connection.send(h11.EndOfMessage())
        connection.receive_data(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + self.got)
        text, lines = b"", Lines()
        while (part := connection.next_event()) is not h11.NEED_DATA:
            text += bytes(part.data) if isinstance(part, h11.Data) else b""
        heard = [lines.take(line) for line in text.decode().split("\n")]
        return [(each.kind, each.data) for each in heard if each is not None]

    def totals(self) -> dict[str, Any]:
        """What it knows by them."""
        known: dict[str, Any] = {}
        for _, data in self.events():
            known |= data.get("totals", {})
        return known


def viewer(wire: Socket, *, every_s: float = TURN_S, said_at: float = 0.0) -> Viewer:
    """One that has heard nothing."""
    return Viewer(wire.write, every_s, 0, said_at)


def test_who_takes_only_a_part_is_behind_and_keeps_the_rest() -> None:
    """So does who is gone: who sends it the rest will find out."""
    crowd = Crowd()
    fallen: list[tuple[int, Viewer]] = []
    wires = [Socket(), Socket(room=3), Socket(room=0), Socket()]
    wires[3].gone = True
    for number, wire in enumerate(wires):
        one = viewer(wire)
        one.behind = partial(fallen.append, (number, one))
        crowd.join(one, 10.0)
    crowd.tell(10.5, 1, lambda _: b"hello", b"beat")
    assert [(number, one.rest) for number, one in fallen] == [
        (1, b"lo"), (2, b"hello"), (3, b"hello"),
    ]  # fmt: skip
    assert len(crowd) == 1
    crowd.join(fallen[0][1], 11.0)
    assert (fallen[0][1].rest, len(crowd)) == (b"", 2)


def test_those_who_want_it_equally_often_are_due_together() -> None:
    """Whenever they came; so they want the same, and that is made once."""
    crowd, asked, wires = Crowd(), [], [Socket() for _ in range(9)]

    def since(seq: int) -> bytes:
        asked.append((now, seq))
        return b"x"

    for turn in range(1, 60):
        now = turn * TURN_S
        if turn <= len(wires):
            crowd.join(viewer(wires[turn - 1], every_s=5.0), now)
        crowd.tell(now, turn, since, b"beat")
    # The first time each comes from where it was; from then on from the same.
    assert {now for now, _ in asked} == {5.0, 10.0, 15.0, 20.0, 25.0}
    assert {asked[at] for at in range(len(wires), len(asked))} == {
        (now, int(now / TURN_S) - 10) for now in (10.0, 15.0, 20.0, 25.0)
    }


def test_nothing_new_is_said_as_well_now_and_then() -> None:
    """To each when it has heard nothing for a while."""
    crowd, early, late = Crowd(), Socket(), Socket()
    crowd.join(viewer(early, said_at=0.0), 0.0)
    crowd.join(viewer(late, said_at=3.0), 3.0)
    for turn in range(15):
        crowd.tell(turn * TURN_S, 0, lambda _: b"", b"b")
        assert early.writes == (turn * TURN_S >= BEAT_S)
        assert late.writes == 0
    crowd.tell(8.0, 0, lambda _: b"", b"b")
    assert late.got == b"b"


class Watched:
    """A stream of events, and viewers whose connections it has."""

    def __init__(self) -> None:
        self.busy = BusyCluster(2, now=trio.current_time())
        self.busy.client()
        self.events = Events(Feed(self.busy.view))

    @asynccontextmanager
    async def viewer(self, wire: Socket, every: str = "") -> AsyncIterator[trio.Event]:
        """Until the block ends, or it is set that it goes."""
        gone = trio.Event()
        scope = scope_of(f"/events{every and f'?every={every}'}", headers=LOCAL)
        scope["extensions"][WIRE] = wire

        async def receive() -> dict[str, Any]:
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            wire.got += chunk(message.get("body", b""))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.events, scope, receive, send)
            await trio.testing.wait_all_tasks_blocked()
            yield gone
            gone.set()

    async def turns(self, count: int) -> None:
        """Something happens before each, and never at the same moment; the clock is a test's own."""
        await trio.sleep_until(trio.current_time() + TURN_S / 2)
        for _ in range(count):
            self.busy.submit("clean", 3)
            self.busy.run(trio.current_time())
            await trio.sleep_until(trio.current_time() + TURN_S)


async def made_for(count: int, monkeypatch: pytest.MonkeyPatch) -> tuple[int, int]:
    """How often something is encoded for so many viewers in ten turns, and writes to each."""
    made = Watched()
    encoded: list[str] = []
    encode = events._event

    def counted(kind: str, delta: Any) -> bytes:
        encoded.append(kind)
        return encode(kind, delta)

    monkeypatch.setattr(events, "_event", counted)
    wires = [Socket() for _ in range(count)]
    async with trio.open_nursery() as nursery:
        begun = []

        async def stay(wire: Socket) -> None:
            async with made.viewer(wire):
                begun.append(wire)
                await trio.sleep_forever()

        for wire in wires:
            nursery.start_soon(stay, wire)
        while len(begun) < count:
            await trio.testing.wait_all_tasks_blocked()
        await made.turns(10)
        nursery.cancel_scope.cancel()
    monkeypatch.undo()
    writes = {wire.writes for wire in wires}
    assert len(writes) == 1
    assert len({wire.got for wire in wires}) == 1
    return len(encoded), writes.pop()


async def test_what_is_said_is_encoded_once_however_many_hear_it(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And a viewer costs one write a turn, and no encoding."""
    alone = await made_for(1, monkeypatch)
    assert alone == await made_for(100, monkeypatch)
    encoded, writes = alone
    assert encoded <= writes + 1 <= 12


async def test_when_the_one_who_tells_leaves_another_does(autojump_clock: MockClock) -> None:
    """Nobody misses anything; the last to go leaves nobody watching."""
    made, wires = Watched(), [Socket(), Socket()]
    async with made.viewer(wires[0]) as gone:
        async with made.viewer(wires[1]):
            await made.turns(3)
            gone.set()
            await made.turns(6)
    assert len(wires[0].events()) >= 3
    assert len(wires[1].events()) >= 9
    assert wires[1].totals()["tasks"] == len(made.busy.core.state.tasks)
    assert made.busy._listener is None


async def test_one_that_stalls_catches_up_and_holds_nobody_up(autojump_clock: MockClock) -> None:
    """Though it be the one who tells the others: it gets the rest, and then what is new as one."""
    made, stalled, other = Watched(), Socket(room=40), Socket()
    async with made.viewer(stalled), made.viewer(other):
        stalled.waits = trio.Event()
        await made.turns(10)
        assert other.writes >= 9
        assert stalled.writes == 1
        stalled.room = 1 << 30
        stalled.waits.set()
        await made.turns(2)
    assert len(stalled.events()) < len(other.events()) - 5
    assert stalled.totals()["tasks"] == len(made.busy.core.state.tasks)


async def test_one_that_is_gone_ends_its_answer(autojump_clock: MockClock) -> None:
    """Found out by writing, where nothing says that it is gone."""
    made, wire = Watched(), Socket()
    async with made.viewer(wire):
        wire.gone = True
        await made.turns(2)
        assert made.busy._listener is None


async def work(busy: BusyCluster) -> None:
    """Until cancelled."""
    while True:
        busy.submit("clean", 20)
        busy.run(trio.current_time())
        await trio.sleep_until(trio.current_time() + 0.05)  # a cluster has a time of its own


@pytest.mark.network
async def test_a_real_one_that_stalls_and_reads_again() -> None:
    """On wires: what it gets is whole, and goes on with what is new by then."""
    heard = Socket()
    async with open_site(workers=20) as site, trio.open_nursery() as nursery:
        async with await site.connect() as stalled, await site.connect() as other:
            stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
            for stream in (stalled, other):
                await stream.send_all(EVENTS)
            nursery.start_soon(work, site.busy)
            got = b""
            while got.count(b"event: delta") < 3:
                got += await other.receive_some()
            while b"event: delta" not in heard.got:
                heard.got += await stalled.receive_some()
        nursery.cancel_scope.cancel()
    heard.got = heard.got.partition(b"\r\n\r\n")[2]
    assert heard.events()[0][0] == "snapshot"
