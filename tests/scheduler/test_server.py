"""The scheduler on real sockets: whoever misbehaves is let go, nobody else notices."""

from __future__ import annotations

import logging
import socket
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import trio

from trio_dask.comm import connect, keys_from_token
from trio_dask.config import Config
from trio_dask.errors import AuthenticationError, CommError
from trio_dask.messages import Message, session, tasks as words
from trio_dask.messages.ids import first_id
from trio_dask.scheduler import SchedulerHandle, run_scheduler

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from trio_dask.comm import Connection

TOKEN = "0123456789abcdef" * 4
KEYS = keys_from_token(TOKEN)


class Peer:
    """One end of a connection to the scheduler, and what came out of it."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.heard: list[Message] = []
        self.ended: str | Exception | None = None
        self._news = trio.Event()

    async def run(self) -> None:
        """Listen until the end."""
        try:
            self.ended = await self.connection.run(self._receive)
        except CommError as error:
            self.ended = error
        self._news.set()

    def _receive(self, messages: list[Message]) -> None:
        self.heard += messages
        self._news.set()

    async def wait_for(self, kind: type[Message]) -> Message:
        """The next message of this kind, whatever comes before it."""
        while True:
            for index, each in enumerate(self.heard):
                if isinstance(each, kind):
                    del self.heard[: index + 1]
                    return each
            assert self.ended is None, self.ended
            await self._news.wait()
            self._news = trio.Event()

    async def wait_end(self) -> str | Exception:
        """How the connection ended."""
        while self.ended is None:
            await self._news.wait()
            self._news = trio.Event()
        return self.ended


class Cluster:
    """A scheduler, and peers of it."""

    def __init__(self, nursery: trio.Nursery, handle: SchedulerHandle) -> None:
        self.nursery = nursery
        self.handle = handle

    async def peer(self, role: str, *messages: Message) -> Peer:
        """Somebody who holds the token, and says this first."""
        peer = Peer(await connect(self.handle.address, keys=KEYS, role=role))
        self.nursery.start_soon(peer.run)
        peer.connection.send(*messages)
        return peer

    async def client(self) -> tuple[Peer, int]:
        """A registered client and its first task id."""
        peer = await self.peer(session.CLIENT, session.RegisterClient("c"))
        welcome = await peer.wait_for(session.Welcome)
        assert isinstance(welcome, session.Welcome)
        return peer, first_id(welcome.number)

    async def worker(self, name: str) -> Peer:
        """A registered worker."""
        register = session.RegisterWorker(name, f"tcp://127.0.0.1:{len(name)}", 1, 0, {}, {})
        peer = await self.peer(session.WORKER, register)
        await peer.wait_for(session.Welcome)
        return peer


@asynccontextmanager
async def open_cluster(host: str = "127.0.0.1") -> AsyncIterator[Cluster]:
    """A scheduler on a free port, ended at the end."""
    config = Config()
    config = replace(config, scheduler=replace(config.scheduler, host=host, port=0))
    async with trio.open_nursery() as nursery:
        handle = await nursery.start(run_scheduler, config, KEYS)
        yield Cluster(nursery, handle)
        nursery.cancel_scope.cancel("the test is over")


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_a_task_goes_round(host: str) -> None:
    """Submitted, run, reported: over IPv4 and IPv6."""
    async with open_cluster(host) as cluster:
        client, first = await cluster.client()
        worker = await cluster.worker("a")
        client.connection.send(
            words.Functions([first], ["inc"], [b"INC"]),
            words.Submit(first, [first], [b"args"], [], [], [], [], wanted=True, options={}),
        )
        run = await worker.wait_for(words.Run)
        assert isinstance(run, words.Run)
        worker.connection.send(words.Done(run.attempts, [words.OK_INLINE], [0.1], [2], [b"11"]))
        finished = await client.wait_for(words.Finished)
        assert isinstance(finished, words.Finished)
        assert finished.values == [b"11"]


async def test_traffic_of_who_has_gone_is_counted_too() -> None:
    """What has been said grows, also when the connection that it went through has ended."""
    async with open_cluster() as cluster:
        view = cluster.handle.view
        assert not any(view.traffic().values())
        await cluster.client()
        before = view.traffic()
        assert (before["messages_in"], before["messages_out"]) == (1, 1)
        assert before["bytes_in"] > 0
        assert before["bytes_out"] > 0
    after = view.traffic()  # of sessions that have ended with the scheduler
    assert after["messages_in"] >= 1
    assert after["bytes_in"] >= before["bytes_in"]
    assert after["bytes_out"] >= before["bytes_out"]
    assert after["queued_bytes"] == 0


async def test_everyone_is_told_when_it_ends() -> None:
    """Cancelling the scheduler says goodbye to all peers."""
    async with trio.open_nursery() as peers:
        async with open_cluster() as cluster:
            cluster.nursery, inner = peers, cluster.nursery
            client, _ = await cluster.client()
            worker = await cluster.worker("a")
            inner.cancel_scope.cancel("enough")
        assert await client.wait_end() == await worker.wait_end() == "the scheduler is closing"


async def test_a_wrong_token_gets_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    """Neither side learns anything but that it does not fit; others go on."""
    caplog.set_level(logging.CRITICAL)
    async with open_cluster() as cluster:
        with pytest.raises(AuthenticationError):
            await connect(
                cluster.handle.address, keys=keys_from_token("fedcba9876543210" * 4), role="client"
            )
        await cluster.client()


async def test_garbage_drops_the_one_who_sent_it() -> None:
    """Bytes that are no handshake close that connection, and only that one."""
    async with open_cluster() as cluster:
        client, _ = await cluster.client()
        host, port = cluster.handle.address.removeprefix("tcp://").split(":")
        for garbage in (b"GET / HTTP/1.1\r\n\r\n" * 20, b"\xff" * 4096, b"\x00\x00\x00\xff" * 64):
            stream = await trio.open_tcp_stream(host, int(port))
            async with stream:
                await stream.send_all(garbage)
                heard = b""
                while data := await _receive(stream):
                    heard += data
        client.connection.send(session.Ask(1, "flush", {}))
        await client.wait_for(session.Answer)


async def _receive(stream: trio.SocketStream) -> bytes:
    try:
        return bytes(await stream.receive_some())
    except trio.BrokenResourceError:
        return b""


@pytest.mark.parametrize(
    ("role", "message"),
    [
        ("worker", session.RegisterClient("c")),
        ("client", session.RegisterWorker("w", "tcp://h:1", 1, 0, {}, {})),
        ("client", words.Release([1])),
        ("worker", session.RegisterWorker("w", "tcp://h:1", 0, 0, {}, {})),
    ],
    ids=["worker as client", "client as worker", "no registration", "no slots"],
)
async def test_a_bad_start_is_refused(role: str, message: Message) -> None:
    """Roles are not exchangeable, and registration comes first."""
    async with open_cluster() as cluster:
        other, _ = await cluster.client()
        peer = await cluster.peer(role, message)
        refused = await peer.wait_for(session.Refused)
        assert isinstance(refused, session.Refused)
        assert await peer.wait_end() == refused.reason
        assert other.ended is None


async def test_nonsense_ends_that_session_only() -> None:
    """A client that submits what makes no sense is told why and let go, with its tasks."""
    async with open_cluster() as cluster:
        good, first = await cluster.client()
        bad, other = await cluster.client()
        bad.connection.send(words.Functions([other], ["f"], [b"F"]))
        submit = words.Submit(
            other, [other], [b"x"] * 5000, [], [], [], [], wanted=True, options={}
        )
        bad.connection.send(submit, words.Release([first]))
        reason = await bad.wait_end()
        assert f"{first:x}" in str(reason)
        left = -1
        while left:  # it is forgotten in slices, with looks at other peers in between
            good.connection.send(session.Ask(1, "counts", {}))
            answer = await good.wait_for(session.Answer)
            assert isinstance(answer, session.Answer)
            left = sum(answer.data.values())
        assert good.ended is None


async def test_a_taken_name_is_refused() -> None:
    """The second worker of a name is told, the first stays."""
    async with open_cluster() as cluster:
        first = await cluster.worker("same")
        register = session.RegisterWorker("same", "tcp://127.0.0.1:9", 1, 0, {}, {})
        second = await cluster.peer(session.WORKER, register)
        assert "same" in str(await second.wait_end())
        assert first.ended is None


async def test_a_worker_that_vanishes_is_made_up_for() -> None:
    """Its connection breaks without a word: its tasks go to another worker."""
    async with open_cluster() as cluster:
        client, first = await cluster.client()
        one = await cluster.worker("a")
        client.connection.send(
            words.Functions([first], ["inc"], [b"INC"]),
            words.Submit(first, [first], [b"args"], [], [], [], [], wanted=True, options={}),
        )
        await one.wait_for(words.Run)
        two = await cluster.worker("bb")
        one.connection.cut("the test pulls the plug")
        run = await two.wait_for(words.Run)
        assert isinstance(run, words.Run)
        assert run.tids == [first]


async def test_a_busy_port_is_said_clearly() -> None:
    """The error names the address."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        config = Config()
        config = replace(config, scheduler=replace(config.scheduler, host="127.0.0.1", port=port))
        with pytest.raises(OSError, match=str(port)):
            await run_scheduler(config, KEYS)
