"""The client's connections, on Trio and on asyncio."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest

from tests.comm.comm_driver import KEYS
from trio_dask.comm import AnyioConnection, Hello, Limits, anyio_connection_pair
from trio_dask.comm.anyio_pairs import memory_stream_pair
from trio_dask.errors import CommError, LocalProtocolError, PeerClosed, RemoteProtocolError
from trio_dask.messages.session import RegisterClient
from trio_dask.messages.tasks import Free
from trio_dask.messages.values import Store

if TYPE_CHECKING:
    from trio_dask.messages import Message

pytestmark = pytest.mark.anyio
PEER = Hello("scheduler", "", "")


@pytest.fixture(params=["trio", "asyncio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Both loops."""
    return str(request.param)


def ignore(messages: list[Message]) -> None:
    """What a test does with messages it does not care about."""


async def test_messages_go_both_ways() -> None:
    """Everything sent arrives, large or small, and a goodbye is the end of both sides."""
    one, other = anyio_connection_pair()
    done = anyio.Event()
    got: list[Message] = []
    ends: list[str] = []

    def collect(messages: list[Message]) -> None:
        got.extend(messages)
        if len(got) == 3:
            done.set()

    async def run(connection: AnyioConnection, *, echo: bool) -> None:
        on_messages = (lambda messages: connection.send(*messages)) if echo else collect
        ends.append(await connection.run(on_messages))

    async with anyio.create_task_group() as group:
        group.start_soon(lambda: run(one, echo=False))
        group.start_soon(lambda: run(other, echo=True))
        one.send(RegisterClient("me"))
        one.send(Free([1]), Store(1, [1], [bytes(3_000_000)]))
        await one.drained()
        await done.wait()
        one.close("done")
    assert got[:2] == [RegisterClient("me"), Free([1])]
    assert ends == ["done", "done"]
    assert one.statistics().queued_bytes == 0


async def test_endings() -> None:
    """A peer that closes, garbage, and a cut: each is the same error as on Trio."""
    near, far = memory_stream_pair()
    await far.aclose()
    with pytest.raises(PeerClosed, match="without a goodbye"):
        await AnyioConnection(near, PEER).run(ignore)

    near, far = memory_stream_pair()
    await far.send(b"\xff" * 8)
    await far.send_eof()
    with pytest.raises(RemoteProtocolError):
        await AnyioConnection(near, PEER).run(ignore)

    near, far = memory_stream_pair()
    connection = AnyioConnection(near, PEER)
    connection.cut("no more")
    with pytest.raises(CommError, match="no more"):
        await connection.run(ignore)
    connection.send(Free([1]))
    assert connection.queued_bytes == 0


async def test_errors_of_the_callback() -> None:
    """They come out as they are, not in a group."""
    one, other = anyio_connection_pair()
    other.send(Free([1]))
    other.close("done")

    def fail(messages: list[Message]) -> None:
        msg = "a bug"
        raise LookupError(msg)

    async def run_other() -> None:
        await other.run(ignore)

    async with anyio.create_task_group() as group:
        group.start_soon(run_other)
        with pytest.raises(LookupError, match="a bug"):
            await one.run(fail)


async def test_a_message_that_cannot_be_sent() -> None:
    """The sender gets the error."""
    one, _ = anyio_connection_pair()
    with pytest.raises(LocalProtocolError):
        one.send(Free(["x"]))  # type: ignore[list-item]
    await one.drained()


async def test_a_peer_that_stops_reading_is_cut() -> None:
    """The limit holds here too, before and while the connection runs."""
    one, _ = anyio_connection_pair(limits=Limits(outbox_bytes_max=100))
    for _ in range(20):
        one.send(Free([1] * 10))
    with pytest.raises(CommError, match="does not read"):
        await one.run(ignore)


async def test_cancelled() -> None:
    """Cancelling `run` closes the stream and ends it for good."""
    near, far = memory_stream_pair()
    connection = AnyioConnection(near, PEER)
    async with anyio.create_task_group() as group:
        group.start_soon(connection.run, ignore)
        await anyio.wait_all_tasks_blocked()
        group.cancel_scope.cancel()
    with pytest.raises(anyio.EndOfStream):
        await far.receive()
    with pytest.raises(RuntimeError, match="has run already"):
        await connection.run(ignore)


async def test_nobody_there() -> None:
    """Each step of connecting that can fail says which it is, with the address."""
    from trio_dask.comm import connect_anyio
    from trio_dask.errors import ConfigError

    with pytest.raises(
        CommError, match=r"tcp://127\.0\.0\.1:1: cannot connect: Connection refused"
    ):
        await connect_anyio("tcp://127.0.0.1:1", keys=KEYS, role="client")
    with pytest.raises(CommError, match=r"the host 'nosuch\.invalid' cannot be resolved"):
        await connect_anyio("tcp://nosuch.invalid:1", keys=KEYS, role="client")
    with pytest.raises(ConfigError):
        await connect_anyio("tcp://host", keys=KEYS, role="client")
