"""What tasks say is shown where they were submitted."""

# ruff: noqa: T201 - tasks print

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from trio_dask import AsyncClient, Client, LocalCluster
from trio_dask.client.task_logs import TaskLog
from trio_dask.messages.speech import LogLine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    """Two workers in this process."""
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=False) as made:
        yield made


def talks(text: str, times: int = 1) -> str:
    """So often."""
    for _ in range(times):
        print(text)
    return text


def talks_and_waits(text: str, gate: str) -> None:
    """Until somebody writes."""
    print(text)
    with open(gate, "rb") as waiting:  # noqa: PTH123 - as short as can be
        print("and", len(waiting.read()))


def talks_twice(path: str) -> None:
    """Fails the first time."""
    import logging

    if os.path.exists(path):  # noqa: PTH110 - as short as can be
        logging.getLogger("mine").error("the second time")
        raise ValueError("again")
    with open(path, "w"):  # noqa: PTH123
        print("the first time")
    raise ValueError("once")


def texts(log: TaskLog) -> list[str]:
    """Without the rest."""
    return [line.text for line in log]


def test_after_its_end(cluster: LocalCluster) -> None:
    """By future and by key; the last lines, if one wants no more."""
    with Client(cluster) as client:
        one, two = client.submit(talks, "hello", 3), client.submit(talks, "you", key="mine")
        silent = client.submit(len, "abc")
        client.gather([one, two, silent])
        log = one.logs()
        assert texts(log) == ["hello"] * 3
        assert {line.stream for line in log} == {"stdout"}
        assert log[0].time <= log[2].time
        assert (log.dropped, log.silent) == (0, ())
        assert log.worker in client.nthreads()
        assert one.logs() == client.logs(one.key) == log
        assert (texts(one.logs(1)), one.logs(1).dropped) == (["hello"], 2)
        assert str(client.logs("mine")) == str(two.logs()) == "you"
        assert client.logs(silent) == ()
        one.release()
        assert texts(one.logs()) == ["hello"] * 3


def test_while_it_runs(cluster: LocalCluster, tmp_path: Path) -> None:
    """As far as it has come."""
    gate = str(tmp_path / "gate")
    os.mkfifo(gate)
    with Client(cluster) as client:
        future = client.submit(talks_and_waits, "so far", gate)
        while not (log := future.logs()):
            pass
        assert texts(log) == ["so far"]
        with open(gate, "wb") as go:  # noqa: PTH123
            go.write(b"abc")
        future.result()
        assert texts(future.logs()) == ["so far", "and 3"]


def test_of_the_last_attempt(cluster: LocalCluster, tmp_path: Path) -> None:
    """Wherever that was."""
    with Client(cluster) as client:
        future = client.submit(talks_twice, str(tmp_path / "file"), retries=1)
        assert isinstance(future.exception(), ValueError)
        assert future.logs()[0][1:] == ("log", "mine - ERROR - the second time")
        assert len(future.logs()) == 1


def test_much(cluster: LocalCluster) -> None:
    """Is said to have been more."""
    with Client(cluster) as client:
        future = client.submit(talks, "again", 1234)
        future.result()
        log = future.logs()
        assert (len(log), log.dropped) == (500, 734)
        assert repr(log).startswith("… 734 lines before these are not kept\n")


def test_what_is_no_task(cluster: LocalCluster) -> None:
    """Is an error that says so."""
    with Client(cluster) as client:
        with pytest.raises(ValueError, match="there is no task 'nobody'"):
            client.logs("nobody")
        with pytest.raises(TypeError, match="a future or a key, not int"):
            client.logs(7)  # type: ignore[arg-type]
        for n in (0, -1, True, "x"):
            with pytest.raises(ValueError, match="a whole number of lines"):
                client.logs("x", n)  # type: ignore[arg-type]


@pytest.mark.anyio
async def test_the_same_for_who_awaits(cluster: LocalCluster) -> None:
    """On both loops."""
    async with AsyncClient(cluster.scheduler_address) as client:
        future = client.submit(talks, "here")
        await future
        assert texts(await future.logs()) == texts(await client.logs(future.key, 5)) == ["here"]


def test_how_it_looks() -> None:
    """Text is text, and for eyes there are times and streams; a broken clock does no harm."""
    log = TaskLog.of([LogLine(0.0, "stdout", "one"), LogLine(1e300, "log", "two")], 3, "w")
    assert str(log) == "one\ntwo"
    before, first, second = repr(log).splitlines()
    assert before == "… 3 lines before these are not kept"
    assert first.endswith("stdout   one")
    assert second == "1e+300  log      two"
    assert repr(TaskLog.of([])) == "nothing was said"
