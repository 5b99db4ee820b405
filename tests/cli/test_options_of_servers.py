"""What options of a server do that are not Dask's, or need a closer look, on the running server."""

from __future__ import annotations

import json
import logging
import random
import re
import sys
from typing import TYPE_CHECKING, Final

import pytest
import trio

from tests.cli.commands import in_pipes
from tests.cli.commands_here import Here, Said
from trio_dask import AsyncClient
from trio_dask.cli.logs import log_to_stderr
from trio_dask.comm import Security, Tls, keys_from_token
from trio_dask.config import Config, new_token

if TYPE_CHECKING:
    from pathlib import Path

    from trio_dask.scheduler import SchedulerHandle

pytestmark = pytest.mark.network

LOOPBACK = ("--host", "127.0.0.1")
#: The other one of loopback, where there are others.
OTHER = "127.0.0.2" if sys.platform == "linux" else "127.0.0.1"


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Here:
    """Runs commands in this process."""
    return Here(monkeypatch)


def test_where_a_worker_listens_and_how(
    here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At another address, and encrypted, though its scheduler is not; its page is by https."""
    pytest.importorskip("cryptography", reason="certificates are made with it")
    made = Security.temporary().written_to(tmp_path)
    monkeypatch.setattr(
        Here, "keys", property(lambda here: keys_from_token(here.token, tls=Tls(made)))
    )

    async def check(said: Said, scheduler: SchedulerHandle) -> None:
        await said.wait_for("Registered to:")
        [worker] = scheduler.core.state.workers.values()
        assert worker.address.startswith(f"tls://{OTHER}:")
        [link] = await said.wait_for("dashboard at:")
        assert link.startswith("https://")

    words = [f"--tls-ca-file={made.tls_ca_file}", f"--tls-cert={made.tls_cert}", "--no-nanny"]
    words += [f"--tls-key={made.tls_key}", f"--host={OTHER}", "--protocol=tls", "--nthreads=1"]
    words += ["--dashboard", "--tls-dashboard"]
    assert here.worker(tmp_path / "c.json", *words, check=check) == 0


def test_workers_do_not_leave_together(
    here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each at a time of its own around that which was said: here by chance at once."""
    drawn: list[tuple[float, float]] = []

    def uniform(low: float, high: float) -> float:
        drawn.append((low, high))
        return low

    monkeypatch.setattr(random, "uniform", uniform)

    async def check(said: Said, _: SchedulerHandle) -> None:
        await said.wait_for("Drained worker early")

    words = ["--lifetime=1h", "--lifetime-stagger=2h", "--name=early", "--no-nanny", "--nthreads=1"]
    assert here.worker(tmp_path / "c.json", *words, check=check) == 0
    assert (-7200.0, 7200.0) in drawn


@pytest.mark.processes
def test_processes_that_are_old_or_big(here: Here, tmp_path: Path) -> None:
    """Make room for fresh ones; what they have computed stays."""

    async def check(said: Said, scheduler: SchedulerHandle) -> None:
        await said.wait_for("(it has been there for")
        config = Config(token=here.token)
        async with AsyncClient(scheduler.address, config=config) as client:
            while not any("of memory" in line for line in said.lines):
                assert await client.submit(abs, -1) == 1

    words = ["--max-age=0.2s", "--max-rss=1", "--nthreads=1"]
    assert here.worker(tmp_path / "c.json", *words, check=check) == 0


# ---------------------------------------------------------------------- the log


async def talk(address: str, token: str) -> list[str]:
    """A task that says something in each of the ways there are; what is kept of that."""

    def says() -> None:
        import logging

        print("printed by a task")  # noqa: T201 - that is what it is for
        logging.getLogger("users.own").warning("logged by a task")
        logging.getLogger("trio_dask.users").warning("logged as if it were us")

    async with AsyncClient(address, config=Config(token=token)) as client:
        await client.wait_for_workers(1)
        future = client.submit(says)
        await future
        return [line.text for line in await future.logs()]


SAID: Final = ("printed by a task", "logged by a task", "logged as if it were us")
LOG_LINE: Final = r"[\d-]{10} [\d:,]{12} - trio_dask\.\w+ - [A-Z]+ - .+"


@pytest.mark.processes
def test_lines_of_a_log() -> None:
    """Each is text, or an object with fields; what is less important is left out. What a task says
    is kept with the task, and goes where it would go anyway: there it is once, as it was said.
    """
    token = new_token()
    words = [*LOOPBACK, "--port=0", "--no-dashboard", "--log-level=info", "--log-format=text"]
    of_worker = ["--nthreads=1", "--worker-class=x", "--log-level=warning", "--log-format=json"]
    with in_pipes("scheduler", *words, TRIO_DASK_TOKEN=token) as scheduler:
        said = scheduler.read_until("Scheduler at:")
        [address] = re.findall(r"Scheduler at: +(tcp://[\d.:]+)", said)
        with in_pipes("worker", address, *of_worker, TRIO_DASK_TOKEN=token) as worker:
            kept = trio.run(talk, address, token)
            worker.process.terminate()
            assert worker.wait() == 0
        scheduler.process.terminate()
        assert scheduler.wait() == 0
    lines = scheduler.said.decode().splitlines()
    assert len(lines) > 2
    assert [line for line in lines if not re.fullmatch(LOG_LINE, line)] == []
    ours, *theirs = worker.said.decode().splitlines()
    told = json.loads(ours)
    assert set(told) == {"time", "level", "logger", "message", "pid"}
    assert (told["level"], told["logger"]) == ("warning", "trio_dask.worker")
    assert told["message"].startswith("--worker-class changes nothing")
    assert told["pid"] == worker.process.pid
    assert sorted(theirs) == sorted(SAID)
    assert [sum(each in line for line in kept) for each in SAID] == [1, 1, 1]


def test_what_a_scheduler_shows_of_its_log(
    here: Here, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """From a level on."""
    monkeypatch.setattr("trio_dask.cli.scheduler.log_to_stderr", log_to_stderr)
    monkeypatch.setattr(logging.getLogger("trio_dask"), "handlers", [])
    monkeypatch.setattr(logging, "raiseExceptions", True)

    async def check(said: Said) -> None:
        await said.wait_for("Scheduler at:")

    words = ["--port=0", "--no-dashboard", "--log-level=warning", "--log-format=json", "--jupyter"]
    assert here.scheduler(*LOOPBACK, *words, check=check) == 0
    [line] = capsys.readouterr().err.splitlines()
    assert json.loads(line)["message"].startswith("--jupyter changes nothing")
