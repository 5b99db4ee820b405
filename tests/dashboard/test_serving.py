"""The dashboard's port on real sockets: nobody who looks, or only seems to, holds anything up."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import subprocess
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import trio

from tests.comm.comm_driver import read_to_end
from tests.dashboard.busy import BusyCluster
from trio_dask.comm import Security, Tls, keys_from_token
from trio_dask.dashboard import (
    Dashboard,
    DashboardOptions,
    Source,
    dashboard_token,
    run_dashboard,
    source_at,
)
from trio_dask.dashboard.mirror import Lines
from trio_dask.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

KEYS = keys_from_token("0123456789abcdef" * 4)
EVENTS = b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n"

pytestmark = pytest.mark.network


class Site:
    """A dashboard over a busy cluster, on a port."""

    def __init__(self, busy: BusyCluster, dashboard: Dashboard) -> None:
        self.busy = busy
        self.dashboard = dashboard

    async def connect(self) -> trio.SocketStream:
        """Somebody comes."""
        return await trio.open_tcp_stream("127.0.0.1", self.dashboard.port)

    async def get(self, path: str, *, host: str = "localhost") -> bytes:
        """The whole answer to a request."""
        stream = await self.connect()
        async with stream:
            request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
            await stream.send_all(request.encode())
            answer = b""
            async for data in stream:
                answer += data
        return answer


@asynccontextmanager
async def open_site(address: str = "127.0.0.1:0", workers: int = 2) -> AsyncIterator[Site]:
    """Until the block ends; then nothing may hold it up."""
    busy = BusyCluster(workers, now=trio.current_time())
    busy.client()
    async with trio.open_nursery() as nursery:
        options = DashboardOptions(address=address, host="127.0.0.1")
        dashboard = await nursery.start(run_dashboard, busy.view, KEYS, options)
        yield Site(busy, dashboard)
        nursery.cancel_scope.cancel()


#: It takes a fraction of a second; a sender that is stuck would take for ever.
END_S = 10.0


@asynccontextmanager
async def stuck() -> AsyncIterator[trio.CancelScope]:
    """A limit for the end of a block; a test sets its deadline where the end begins."""
    with trio.CancelScope() as scope:
        yield scope
        await trio.lowlevel.checkpoint()
    assert not scope.cancelled_caught, "the end was held up"


@asynccontextmanager
async def encrypted(workers: int = 2) -> AsyncIterator[tuple[Dashboard, Source]]:
    """One by https, and what looks at it with certificates of the same authority."""
    pytest.importorskip("cryptography", reason="certificates are made with it")
    keys = keys_from_token("0123456789abcdef" * 4, tls=Tls(Security.temporary()))
    busy = BusyCluster(workers, now=trio.current_time())
    async with trio.open_nursery() as nursery:
        options = DashboardOptions(address="127.0.0.1:0", https=True)
        dashboard = await nursery.start(run_dashboard, busy.view, keys, options)
        yield dashboard, source_at(dashboard.link, dashboard_token(keys), keys.tls)
        nursery.cancel_scope.cancel()


async def open_https(dashboard: Dashboard, source: Source) -> trio.SSLStream[trio.SocketStream]:
    """Somebody comes, and knows the authority."""
    assert source.tls is not None
    plain = await trio.open_tcp_stream("127.0.0.1", dashboard.port)
    return trio.SSLStream(plain, source.tls.connecting("").context)


async def test_https_for_who_knows_the_authority() -> None:
    """Routes and cookies; neither without encryption nor for who does not know it."""
    async with encrypted() as (dashboard, source):
        assert dashboard.link == f"https://127.0.0.1:{dashboard.port}/status"
        system = await trio.to_thread.run_sync(source.get, "api/v1/system")
        assert system["pid"] == os.getpid()
        strange = source_at(dashboard.link, "")
        with pytest.raises(ssl.SSLCertVerificationError):
            await trio.to_thread.run_sync(strange.get, "health")
        plain = await trio.open_tcp_stream("127.0.0.1", dashboard.port)
        async with plain:
            await plain.send_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert b"HTTP/1.1" not in await read_to_end(plain)


async def test_the_end_of_https_waits_for_nobody() -> None:
    """Neither for one in the middle of a handshake, nor for one that does not read."""
    async with stuck() as limit:
        async with encrypted() as (dashboard, source):
            silent = await trio.open_tcp_stream("127.0.0.1", dashboard.port)
            await silent.send_all(b"\x16\x03")
            viewer = await open_https(dashboard, source)
            await viewer.send_all(EVENTS)
            assert b"200" in await viewer.receive_some(1000)
            limit.deadline = trio.current_time() + END_S
        await trio.aclose_forcefully(silent)
        await trio.aclose_forcefully(viewer)


async def test_https_without_certificates_is_an_error() -> None:
    """Before anything is listened at."""
    view = BusyCluster(1, now=trio.current_time()).view
    with pytest.raises(ConfigError, match="https takes a certificate"):
        await run_dashboard(view, KEYS, DashboardOptions(address="127.0.0.1:0", https=True))


async def test_it_answers_at_its_link() -> None:
    """The first answer takes the import of all that speaks HTTP."""
    async with open_site() as site:
        assert site.dashboard.link == f"http://127.0.0.1:{site.dashboard.port}/status"
        assert (await site.get("/health")).startswith(b"HTTP/1.1 200")
        assert b"<!doctype html>" in await site.get("/status")
        assert (await site.get("/status", host="evil.example")).startswith(b"HTTP/1.1 421")
        assert (await site.get("/nothing")).startswith(b"HTTP/1.1 404")


async def test_a_port_in_use_is_replaced(caplog: pytest.LogCaptureFixture) -> None:
    """And it says so."""
    caplog.set_level("INFO", "trio_dask.dashboard")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        async with open_site(f":{port}") as site:
            assert site.dashboard.port not in {0, port}
            assert (await site.get("/health")).endswith(b"ok")
    assert f"Port {port} is in use" in caplog.text


@pytest.mark.parametrize("address", ["http://x/y", "a b", "localhost:99999", "[::1"])
async def test_odd_addresses_are_refused(address: str) -> None:
    """With what is wrong."""
    with pytest.RaisesGroup(ConfigError, allow_unwrapped=True, flatten_subgroups=True):
        async with open_site(address):
            pass


async def test_a_thousand_who_say_nothing() -> None:
    """They take the place of one another, not of somebody who asks; and do not delay the end."""
    streams: list[trio.SocketStream] = []
    try:
        async with stuck() as end, open_site() as site:
            await site.get("/health")
            for _ in range(1_000):
                stream = await site.connect()
                streams.append(stream)
            assert (await site.get("/health")).endswith(b"ok")
            end.deadline = trio.current_time() + END_S
    finally:
        for stream in streams:
            await trio.aclose_forcefully(stream)


async def test_a_thousand_streams_opened_and_abandoned() -> None:
    """By viewers that are still there, and do not read, or have gone without a word."""
    kept: list[trio.SocketStream] = []
    try:
        async with stuck() as end, open_site() as site:
            for number in range(1_000):
                stream = await site.connect()
                await stream.send_all(EVENTS)
                if number % 2:
                    kept.append(stream)
                else:
                    await trio.aclose_forcefully(stream)
            assert (await site.get("/health")).endswith(b"ok")
            end.deadline = trio.current_time() + END_S
    finally:
        for stream in kept:
            await trio.aclose_forcefully(stream)


async def test_viewers_that_never_read_do_not_delay_the_end() -> None:
    """Their sockets are full, and what is sent to them is given up."""
    streams: list[trio.SocketStream] = []
    try:
        async with stuck() as end, open_site(workers=200) as site:
            for _ in range(20):
                stream = await site.connect()
                stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
                await stream.send_all(EVENTS * 40)
                streams.append(stream)
            assert (await site.get("/health")).endswith(b"ok")
            await trio.testing.wait_all_tasks_blocked(0.05)
            end.deadline = trio.current_time() + END_S
    finally:
        for stream in streams:
            await trio.aclose_forcefully(stream)


@pytest.mark.processes
@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl here")
async def test_curl_reads_the_stream() -> None:
    """As the reference says, from the first event to the next."""
    async with open_site() as site:
        command = ["curl", "-sN", f"http://localhost:{site.dashboard.port}/events"]
        curl = await trio.lowlevel.open_process(command, stdout=subprocess.PIPE)
        assert curl.stdout is not None
        heard = b""
        while b"event: delta" not in heard:
            site.busy.submit("clean", 1)
            heard += await curl.stdout.receive_some()
        curl.terminate()
        await curl.wait()
        await curl.stdout.aclose()
    lines = Lines()
    kinds = [event.kind for line in heard.decode().split("\n") if (event := lines.take(line))]
    assert kinds[0] == "snapshot"


async def test_a_viewer_sees_the_end_at_once() -> None:
    """Its stream ends with the scheduler."""
    async with stuck() as end, open_site() as site:
        stream = await site.connect()
        await stream.send_all(EVENTS)
        answer = b""
        while b"snapshot" not in answer:
            answer += await stream.receive_some()
        end.deadline = trio.current_time() + END_S
    with trio.fail_after(5):
        try:
            while await stream.receive_some():
                pass
        except trio.BrokenResourceError:
            pass
    await stream.aclose()


async def test_who_leaves_is_forgotten() -> None:
    """Nobody watches when nobody is there any more."""
    async with open_site() as site:
        for _ in range(3):
            stream = await site.connect()
            await stream.send_all(EVENTS)
            answer = b""
            while b"snapshot" not in answer:
                answer += await stream.receive_some()
            assert site.busy._listener is not None
            await stream.aclose()
        with trio.fail_after(10):
            while site.busy._listener is not None:
                await trio.testing.wait_all_tasks_blocked(0.01)


@pytest.mark.parametrize(
    "said",
    [
        b"\0" * 100, b"GET\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\n\r\n", b"POST /login HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /status HTTP/1.1\r\nHost: \xff\xfe\r\nCookie: \xff=\r\n\r\n",
        b"GET /events HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
    ],
)  # fmt: skip
async def test_whatever_is_said_the_next_one_is_answered(said: bytes) -> None:
    """Garbage costs its sender the connection."""
    async with open_site() as site:
        stream = await site.connect()
        await stream.send_all(said)
        await stream.send_eof()
        with trio.move_on_after(2):
            try:
                while await stream.receive_some():
                    pass
            except trio.BrokenResourceError:
                pass
        await trio.aclose_forcefully(stream)
        assert (await site.get("/health")).endswith(b"ok")


@pytest.mark.processes
async def test_nothing_of_http_is_loaded_before_somebody_comes() -> None:
    """In a fresh process: a port that is bound costs no import."""
    script = (
        "import sys, trio\n"
        "from trio_dask.comm import keys_from_token\n"
        "from trio_dask.dashboard import DashboardOptions, run_dashboard\n"
        "from tests.dashboard.busy import BusyCluster\n"
        "async def main():\n"
        "    async with trio.open_nursery() as nursery:\n"
        "        options = DashboardOptions(address='127.0.0.1:0')\n"
        "        keys = keys_from_token('0123456789abcdef' * 4)\n"
        "        await nursery.start(run_dashboard, BusyCluster(1).view, keys, options)\n"
        "        print(*{'starlette', 'hypercorn', 'h11', 'anyio', 'http.cookies'} & set(sys.modules))\n"
        "        nursery.cancel_scope.cancel()\n"
        "trio.run(main)\n"
    )
    done = await trio.run_process([sys.executable, "-c", script], capture_stdout=True)
    assert done.stdout.split() in ([], [b"http.cookies"])
