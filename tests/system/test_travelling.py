"""How values travel through a real cluster: of registered types, and to many along a tree."""

from __future__ import annotations

import importlib
import os
import signal
import socket
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import trio

from trio_dask.client import AsyncClient
from trio_dask.comm import keys_from_token, near, parse_address
from trio_dask.eventlog import LogReader
from trio_dask.messages import foreign
from trio_dask.messages.pickling import REGISTERED
from trio_dask.messages.values import Fetch, Store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import ModuleType

    from tests.system.conftest import Cluster, Command

pytestmark = [
    pytest.mark.processes,
    pytest.mark.skipif(sys.platform != "linux", reason="memory files are Linux's"),
]

MIB = 1 << 20

#: What a user has installed where the workers are.
SIGNALS = '''
import os
from trio_dask import register_serialization

class Signal:
    """Samples that no pickle may touch."""

    def __init__(self, rate, samples):
        self.rate, self.samples, self.path = rate, samples, [f"made in {os.getpid()}"]

    def __reduce__(self):
        raise TypeError("signals are not pickled")

def take_apart(signal):
    return (signal.rate, signal.path), [signal.samples]

def put_together(header, buffers):
    signal = Signal(header[0], buffers[0])
    signal.path = [*header[1], f"came to {os.getpid()}"]
    return signal

def mapped(signal):
    """Whether its samples are in shared memory."""
    import ctypes
    at = ctypes.addressof(ctypes.c_char.from_buffer(signal.samples))
    with open("/proc/self/maps") as maps:
        for line in maps:
            start, end = (int(each, 16) for each in line.split()[0].split("-"))
            if start <= at < end:
                return "memfd:trio-dask-value" in line
    return False

def doubled(signal):
    samples = bytearray(2 * each % 256 for each in signal.samples[:10]) + signal.samples[10:]
    signal.samples[:] = bytes(len(signal.samples))  # nobody else sees that
    found = Signal(2 * signal.rate, samples)
    found.path = [*signal.path, f"doubled in {os.getpid()}"]
    return found

register_serialization(Signal, take_apart, put_together)
'''


@pytest.fixture
def signals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The module, for this process and for all that it starts."""
    (tmp_path / "signals_of_a_user.py").write_text(SIGNALS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(foreign, "_known_roots", [])  # they are looked for once in a process
    monkeypatch.delitem(foreign._verdicts, "signals_of_a_user", raising=False)
    yield importlib.import_module("signals_of_a_user")
    sys.modules.pop("signals_of_a_user", None)
    REGISTERED.clear()


@pytest.fixture
def apart() -> Iterator[ExitStack]:
    """Keeps what stands in the way of the local one."""
    with ExitStack() as stack:
        yield stack


def no_local_way(cluster: Cluster, stack: ExitStack) -> int:
    """A port at which a worker is reached by TCP alone: the name of its local socket is taken."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    taken = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
    address = parse_address(f"tcp://127.0.0.1:{port}")
    taken.bind(near.near_name(keys_from_token(cluster.token), address))
    return port


@pytest.mark.parametrize("way", ["local", "tcp"])
async def test_values_of_a_registered_type(
    cluster: Cluster, signals: ModuleType, apart: ExitStack, way: str
) -> None:
    """From a client to a task, its result to one in another worker, and back; changes are private."""
    names = ["one", "other"]
    processes = []
    for name in names:
        port = no_local_way(cluster, apart) if way == "tcp" else 0
        options = (
            "--nthreads",
            "1",
            "--name",
            name,
            "--host",
            "127.0.0.1",
            "--worker-port",
            str(port),
        )
        processes.append(cluster.workers(1, *options))
    one, other = ([child.pid for child in each.children()] for each in processes)
    samples = bytearray(range(256)) * (4 * MIB // 256)
    async with AsyncClient(cluster.address, config=cluster.config) as client:
        sent = await client.scatter(signals.Signal(8000, samples), workers=["one"])
        first = client.submit(signals.doubled, sent, workers=["one"])
        second = client.submit(signals.doubled, first, workers=["other"])
        here = await second
        assert (type(here), here.rate) == (signals.Signal, 32_000)
        assert bytes(here.samples[:10]) == bytes(4 * x for x in range(10))
        assert here.samples[10:] == samples[10:]
        me = os.getpid()
        assert here.path == [
            f"made in {me}", f"came to {one[0]}", f"doubled in {one[0]}",
            f"came to {other[0]}", f"doubled in {other[0]}", f"came to {me}",
        ]  # fmt: skip
        again = await client.gather([sent, first])
        assert again[0].samples == samples
        assert again[1].samples[10:] == samples[10:]
        at = [client.submit(signals.mapped, second, workers=[each]) for each in names]
        assert await client.gather(at) == [True, True]
        assert signals.mapped(here) == (way == "local")
        argument = client.submit(signals.doubled, signals.Signal(1, samples), workers=["other"])
        assert (await argument).rate == 2
        small = client.submit(signals.doubled, signals.Signal(3, bytearray(b"0123456789")))
        assert bytes((await small).samples) == bytes(2 * each for each in b"0123456789")


def asked(logs: list[Path]) -> list[int]:
    """How many large values each worker was asked for by others or was brought, as logs say."""
    counts = []
    for log in logs:
        with log.open("rb") as file:
            told = [each.message for each in LogReader(file) if each.event.what == "on_peer"]
        counts.append(sum(len(each.tids) for each in told if isinstance(each, Fetch)))
    return counts


def brought(logs: list[Path]) -> int:
    """How many values clients have brought."""
    count = 0
    for log in logs:
        with log.open("rb") as file:
            told = [each.message for each in LogReader(file) if each.event.what == "on_peer"]
        count += sum(len(each.tids) for each in told if isinstance(each, Store))
    return count


def many_workers(cluster: Cluster, tmp_path: Path, count: int) -> tuple[list[Command], list[Path]]:
    """Workers of one process each, and what each is told."""
    logs = [tmp_path / f"{number}.log" for number in range(count)]
    options = [
        ("--nthreads", "1", "--name", f"w{n}", "--event-log", str(logs[n])) for n in range(count)
    ]
    return [cluster.workers(1, *each) for each in options], logs


@pytest.mark.parametrize("how", ["broadcast", "replicate"])
async def test_many_get_a_value_along_a_tree(cluster: Cluster, tmp_path: Path, how: str) -> None:
    """It is brought once, each worker fetches it once, and who has it passes it on: no one to all."""
    count = 8
    commands, logs = many_workers(cluster, tmp_path, count)
    array = np.arange(MIB, dtype="u4")
    async with AsyncClient(cluster.address, config=cluster.config) as client:
        if how == "broadcast":
            future = await client.scatter(array, broadcast=True)
        else:
            future = client.submit(np.arange, MIB, dtype="u4")
        await client.replicate(future)
        [places] = (await client.who_has([future])).values()
        assert len(places) == count
        sums = [client.submit(np.sum, future, workers=[each], pure=False) for each in places]
        assert await client.gather(sums) == [array.sum()] * count
        await client.shutdown()
    for command in commands:
        command.wait()
    served = asked(logs)
    assert sum(served) == count - 1
    # Two at a time each, so those that got it first have passed it on before the last ones have it.
    assert max(served) <= 4
    assert len([each for each in served if each]) >= 3
    assert brought(logs) == (1 if how == "broadcast" else 0)


async def test_one_in_the_middle_of_the_tree_dies(cluster: Cluster, tmp_path: Path) -> None:
    """Those that were to get the value from it get it from others; it is waited for no longer."""
    commands, _ = many_workers(cluster, tmp_path, 6)
    array = np.arange(MIB, dtype="u4")
    async with AsyncClient(cluster.address, config=cluster.config) as client:
        future = await client.scatter(array, workers=["w0"])
        await client.replicate(future, workers=["w0", "w1"])

        async def places() -> list[str]:
            [found] = (await client.who_has([future])).values()
            return found

        assert len(await places()) == 2
        os.kill(commands[0].process.pid, signal.SIGSTOP)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.replicate, future)
            while len(await places()) < 4:  # what w1 was to pass on has come; w0 says nothing
                pass
            os.kill(commands[0].process.pid, signal.SIGKILL)
        left = await places()
        assert len(left) == 5
        sums: list[Any] = [
            client.submit(np.sum, future, workers=[each], pure=False) for each in left
        ]
        assert await client.gather(sums) == [array.sum()] * 5
