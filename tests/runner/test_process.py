"""The life of a runner's process: how it starts, what it shows, and how it ends."""

from __future__ import annotations

import atexit
import importlib
import os
import select
import signal
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
import trio

from tests.runner.runner_driver import PATIENCE_S, Held, Runner, run_of
from tests.runner.runner_tasks import Ref, inc
from trio_dask.messages.plugins import Plugins
from trio_dask.messages.sealing import Unload
from trio_dask.messages.session import Goodbye
from trio_dask.messages.tasks import Done, Free, Functions, Recall, Returned
from trio_dask.messages.values import Fetch, Prepare, Ready, Values
from trio_dask.runner.wire import Outbox

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from trio_dask.messages import Message

pytestmark = pytest.mark.processes


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """A pipe: reading it waits until the test has written to it."""
    path = tmp_path / "gate"
    os.mkfifo(path)
    return path


def test_the_board_shows_what_runs(gate: Path) -> None:
    """Each slot shows its attempt and since when, and nothing once it is idle."""
    with Runner(2) as runner:
        before = time.monotonic()
        runner.function(1, gate.read_bytes)
        runner.function(2, inc)
        runner.run(1 << 45)
        with gate.open("wb"):  # both are there: it runs
            runner.run(6, fid=2, args=(1,))
            assert runner.outcomes(1) == {6: 2}
            ((attempt, began),) = [each for each in runner.board.running() if each[0] != 6]
            assert attempt == 1 << 45
            assert before <= began <= time.monotonic()
        assert runner.outcomes(1) == {1 << 45: b""}
        assert runner.board.running() == []


def _raises(*_: object) -> None:
    raise MemoryError


def break_what(owner: str, name: str) -> None:
    """From now on this part of a runner raises an error that is no task's."""
    module, _, kind = owner.partition(":")
    setattr(getattr(importlib.import_module(f"trio_dask.runner.{module}"), kind), name, _raises)


BREAKS: list[tuple[str, str, Message | None]] = [
    ("slots:Slots", "_row", None),
    ("wire:Outbox", "_call_all", None),
    ("wire:Outbox", "_send", None),
    ("exports:Exports", "_answer", Fetch(1, [1])),
    ("exports:Exports", "_unload", Unload(1, [1])),
    ("plugins:PluginHost", "_one", Plugins(1, ["p"], [b"x"])),
]


@pytest.mark.parametrize("nthreads", [1, 3])
@pytest.mark.parametrize("hosted", [False, True])
@pytest.mark.parametrize(("owner", "name", "message"), BREAKS, ids=[each[1] for each in BREAKS])
def test_it_ends_when_a_thread_of_its_own_has(
    owner: str, name: str, message: Message | None, nthreads: int, hosted: bool, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Nobody is to wait for tasks that no thread runs any more, values that none packs, and so on."""
    module, _, kind = owner.partition(":")
    broken = getattr(importlib.import_module(f"trio_dask.runner.{module}"), kind)
    monkeypatch.setattr(broken, name, getattr(broken, name))  # put back
    monkeypatch.setattr(sys, "excepthook", lambda *_: None)
    with ExitStack() as stack:
        said = stack.enter_context((tmp_path / "said").open("wb"))
        streams: dict[str, Any] = {} if hosted else {"stderr": said}
        runner = stack.enter_context(Runner(nthreads, hosted=hosted, **streams))
        runner.function(1, break_what)
        if message is None:
            runner.run(*range(1, 9), args=(owner, name))
        else:
            runner.run(1, args=(owner, name))
            assert runner.outcomes(1) == {1: None}
            runner.say(message)
        with pytest.raises(EOFError):
            runner.outcomes(9)
        assert runner.wait() == (None if hosted else 1)
    assert hosted or "MemoryError" in (tmp_path / "said").read_text()


@pytest.mark.parametrize("how", ["exit", "kill"])
def test_the_board_outlives_the_runner(how: str, gate: Path) -> None:
    """After `os._exit` or SIGKILL it still shows the attempt that was running."""
    with Runner() as runner:
        assert runner.process is not None
        runner.function(1, inc)
        runner.function(2, gate.read_bytes if how == "kill" else lambda: os._exit(7))
        runner.run(1, 2, args=(1,))
        assert runner.outcomes(2) == {1: 2, 2: 2}
        runner.run(8, 9, fid=2)
        if how == "kill":
            with gate.open("wb"):
                runner.process.kill()
                assert runner.wait() == -signal.SIGKILL
        else:
            assert runner.wait() == 7
        assert [attempt for attempt, _ in runner.board.running()] == [8]
        with pytest.raises(EOFError):
            runner.hear()


def test_finished_results_are_not_held_up_by_a_task_that_follows(gate: Path) -> None:
    """A result is sent before a task that nobody knows to be short, and beside one that is long."""
    with Runner() as runner:
        runner.function(1, inc)
        runner.function(2, gate.read_bytes)
        runner.say(run_of(1, 2, 3, args=(1,)), run_of(4, fid=2, ranks=(10,)))
        assert runner.outcomes(3) == {1: 2, 2: 2, 3: 2}
        gate.write_bytes(b"x")
        assert runner.outcomes(1) == {4: b"x"}
        # The second time it is known to be short, and is not.
        runner.function(3, lambda wait, path: open(path, "rb").close() if wait else None)  # noqa: PTH123
        runner.run(10, fid=3, args=(False, ""))
        assert runner.outcomes(1) == {10: None}
        runner.say(
            run_of(11, 12, fid=3, args=(False, "")),
            run_of(13, fid=3, args=(True, str(gate)), ranks=(10,)),
        )
        assert runner.outcomes(2) == {11: None, 12: None}
        with gate.open("wb"):
            assert runner.outcomes(1) == {13: None}


def test_recall_gives_back_what_has_not_started(gate: Path) -> None:
    """Each attempt is either returned or done; a running or finished one is not returned."""
    with Runner() as runner:
        runner.function(1, gate.read_bytes)
        runner.function(2, inc)
        runner.run(1)
        runner.run(2, 3, 4, 5, fid=2, args=(1,))
        with gate.open("wb"):
            runner.say(Recall([1, 3, 5, 77]))
            assert sorted(runner.expect(Returned).attempts) == [3, 5]
            runner.say(Recall([3, 1]), Fetch(1, []))
            assert runner.expect(Values).last
        found = runner.outcomes(3)
        assert found == {1: b"", 2: 2, 4: 2}


def test_recall_races_with_the_start() -> None:
    """However recalls and starts fall, every attempt is answered exactly once."""
    with Runner(2) as runner:
        runner.function(1, inc)
        answered: list[int] = []
        for first in range(1, 4001, 40):
            attempts = range(first, first + 40)
            runner.say(run_of(*attempts, args=(1,)))
            runner.say(Recall(list(attempts)[::-3]))
        while len(answered) < 4000:
            found = runner.hear()
            assert isinstance(found, Done | Returned)
            answered += found.attempts
        assert sorted(answered) == list(range(1, 4001))


def test_a_value_in_use_can_be_freed(gate: Path) -> None:
    """A task that was sent with a value has it, whatever is freed meanwhile."""
    with Runner() as runner:
        runner.function(1, lambda path, value: len(path.read_bytes()) + len(value))
        runner.function(2, bytes)
        runner.run(50, fid=2, args=(100_000,))
        assert isinstance(runner.outcomes(1)[50], Held)
        runner.run(1, args=(gate, Ref(50)), here=(50,))
        runner.run(2, args=(gate, Ref(50)), here=(50,), ranks=(5,))
        runner.say(Free([50]))
        assert runner.fetch(50) == {50: None}
        for attempt in (1, 2):
            with gate.open("wb"):
                pass
            assert runner.outcomes(1) == {attempt: 100_000}


def test_slots_run_at_the_same_time() -> None:
    """With three slots three tasks wait for each other, and plain and async ones mix."""
    with Runner(3) as runner:
        barrier = "tests.runner.runner_tasks"

        def meet(name: str) -> str:
            import importlib

            importlib.import_module(name).BARRIER.wait(20)
            return threading.current_thread().name

        async def meet_async(name: str) -> str:
            import importlib

            place = importlib.import_module(name).BARRIER
            await trio.to_thread.run_sync(place.wait, 20)
            return "async"

        runner.function(1, meet)
        runner.function(2, meet_async)
        runner.say(run_of(1, 2, args=(barrier,)), run_of(3, fid=2, args=(barrier,)))
        found = runner.outcomes(3)
        assert found[3] == "async"
        assert len(set(found.values())) == 3


def test_the_first_slot_is_the_main_thread() -> None:
    """Code that insists on the main thread finds itself there."""
    with Runner() as runner:
        assert runner.call(lambda: threading.current_thread() is threading.main_thread())


def test_ctrl_c_does_not_reach_it() -> None:
    """It lives in a session of its own and takes no interrupt; its children do."""
    with Runner() as runner:
        assert runner.call(os.getsid, 0) == runner.pid
        os.kill(runner.pid, signal.SIGINT)
        assert runner.call(inc, 1, attempt=1001) == 2

        def child_disposition() -> str:
            code = "import signal; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
            return subprocess.run(
                [sys.executable, "-c", code], capture_output=True, text=True, check=True
            ).stdout

        assert runner.call(child_disposition, attempt=1002).strip() == "True"


def test_it_ends_at_the_end_of_the_socket() -> None:
    """Without its worker a runner leaves at once, by exit code 0."""
    runner = Runner()
    assert runner.close() == 0


def test_it_ends_while_a_task_runs(gate: Path) -> None:
    """Neither the end of the socket nor `Stop` waits for a task."""
    for stop in (False, True):
        runner = Runner(2)
        runner.function(1, gate.read_bytes)
        runner.run(1, 2)
        with gate.open("wb"):
            if stop:
                runner.stop()
                assert runner.wait() == 0
            assert runner.close() == 0


def test_stop_leaves_the_waiting_alone_and_runs_exit_functions(tmp_path: Path) -> None:
    """Results that are there are sent, what users registered for the exit runs."""
    mark = tmp_path / "mark"
    with Runner(stdout=subprocess.DEVNULL) as runner:
        runner.function(1, lambda path: (atexit.register(path.write_text, "done"), None)[1])
        runner.run(1, args=(mark,))
        runner.outcomes(1)
        runner.stop()
        assert runner.wait() == 0
        with pytest.raises(EOFError):
            runner.hear()
    assert mark.read_text() == "done"


def test_it_dies_with_its_parent() -> None:
    """A runner whose worker was killed ends, even while a task holds the interpreter's lock."""
    code = """
import os, sys, time
from tests.runner.runner_driver import Runner, run_of
from trio_dask.messages.values import Fetch
import re
runner = Runner()
runner.function(1, re.match)
runner.function(2, abs)
runner.run(1, fid=2, args=(1,))
runner.outcomes(1)
print(runner.pid, flush=True)
runner.run(2, args=("(a*)*b", "a" * 40))  # backtracks for ever, holding the lock
while not runner.board.running():
    pass
os.kill(os.getpid(), 9)
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    with process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        fd = os.pidfd_open(pid)
    try:
        assert select.select([fd], [], [], PATIENCE_S)[0]
    finally:
        os.close(fd)


def test_what_tasks_print_is_seen_at_once() -> None:
    """Lines go out as they are printed, before the result."""
    with Runner(stdout=subprocess.PIPE) as runner:
        assert runner.process is not None
        assert runner.process.stdout is not None
        assert runner.call(print, "hello from a task") is None
        assert runner.process.stdout.readline() == b"hello from a task\n"
        runner.process.stdout.close()


def test_forked_children_do_not_speak_for_it() -> None:
    """Neither a child of multiprocessing nor one that comes back from the task says anything."""

    def fork_and_return() -> str:
        return "child" if os.fork() == 0 else "parent"

    def by_multiprocessing() -> int | None:
        import multiprocessing

        process = multiprocessing.get_context("fork").Process(target=abs, args=(1,))
        process.start()
        process.join()
        return process.exitcode

    with Runner() as runner:
        assert runner.call(fork_and_return) == "parent"
        assert runner.call(by_multiprocessing, attempt=2) == 0
        assert runner.call(inc, 1, attempt=3) == 2


@pytest.mark.parametrize("said", [[Ready(1)], [Prepare({}), Goodbye("x")], [Functions([], [], [])]])
def test_a_worker_that_breaks_the_rules_is_told(said: list[Ready]) -> None:
    """What is nothing to say to a runner ends it, with a reason on stderr."""
    with Runner(prepare=False, stderr=subprocess.PIPE) as runner:
        assert runner.process is not None
        assert runner.process.stderr is not None
        runner.say(*said)
        assert runner.wait() == 1
        with runner.process.stderr as stderr:
            assert type(said[-1]).__name__ in stderr.read().decode()


def test_garbage_ends_it() -> None:
    """Bytes that are no frame end the runner, with a reason."""
    with Runner(stderr=subprocess.PIPE) as runner:
        assert runner.process is not None
        assert runner.process.stderr is not None
        runner.sock.sendall(b"\xff" * 100)
        assert runner.wait() == 1
        with runner.process.stderr as stderr:
            assert b"trio_dask.runner: a header of" in stderr.read()


HEAVY = (
    "trio",
    "anyio",
    "asyncio",
    "cyclopts",
    "psutil",
    "cloudpickle",
    "socket",
    "ssl",
    "subprocess",
    "pathlib",
)


def test_it_starts_without_what_it_does_not_need() -> None:
    """A fresh runner has loaded none of what takes long to load."""
    code = f"import sys, trio_dask.runner.__main__; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_hosted_runner_leaves_its_process_alone(
    gate: Path, new_threads: Callable[..., list[threading.Thread]]
) -> None:
    """In threads of another process it ends with its socket, and drops what comes too late."""
    runner = Runner(hosted=True)
    runner.function(1, gate.read_bytes)
    runner.run(1)
    with gate.open("wb"):
        assert runner.close() is None
    for thread in new_threads("slot-0"):
        thread.join(PATIENCE_S)
    assert signal.getsignal(signal.SIGINT) is not None
    assert new_threads("slot-") == []


def test_a_hosted_runner_at_rest_ends_with_all_its_threads(
    monkeypatch: pytest.MonkeyPatch, new_threads: Callable[..., list[threading.Thread]]
) -> None:
    """Also with one that takes its time: who waits for its end finds nothing left."""
    real, moment = Outbox.run_writer, threading.Event()

    def run_writer(outbox: Outbox) -> None:
        real(outbox)
        moment.wait(0.1)

    monkeypatch.setattr(Outbox, "run_writer", run_writer)
    runner = Runner(2, hosted=True)
    assert runner.close() is None
    assert new_threads("slot-", "writer") == []
