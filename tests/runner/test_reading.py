"""Who reads: the main thread while it has no task, and else a thread of its own."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import pytest

from tests.runner.runner_driver import PATIENCE_S, Runner
from tests.runner.test_cancelling import alive, begin, stop
from trio_dask.messages.inquiring import CALL_STACK, Inquire, Told
from trio_dask.messages.tasks import STOPPED
from trio_dask.runner.reading import Reading
from trio_dask.runner.seats import Seat, Seats
from trio_dask.runner.slots import Queue

if TYPE_CHECKING:
    from collections.abc import Iterator


class Slots:
    """One slot, in which tasks are words that the test takes out."""

    def __init__(self) -> None:
        self.queue = Queue()
        self.seats: Seats[str] = Seats(1, self._has_work, lambda _seat: None)
        self.work: list[str] = []
        self.rested: SimpleQueue[None] = SimpleQueue()  # each time the main thread begins to

    def _has_work(self) -> bool:
        if not self.work:
            self.rested.put(None)
        return bool(self.work)


class Room:
    """A reader, and a main thread that does what it is told to."""

    def __init__(self, look_s: float) -> None:
        self.slots = Slots()
        self.lines: SimpleQueue[str | None] = SimpleQueue()
        self.acted: SimpleQueue[tuple[str, str]] = SimpleQueue()  # what, and who has read it
        self.begun: SimpleQueue[str] = SimpleQueue()
        self.end_task: SimpleQueue[None] = SimpleQueue()
        self.error: BaseException | None = None
        incoming: Any = self._incoming()
        act: Any = self._act
        slots: Any = self.slots
        self.reading = Reading(lambda: incoming, act, slots, look_s)
        self.reading.shared = True
        self.seat = Seat(0, 0)
        self.seat.rest = self.reading.rest
        self.main = threading.Thread(target=self._run_main, name="main", daemon=True)
        self.reader = threading.Thread(target=self._run_reader, name="reader", daemon=True)

    def start(self) -> None:
        """The reader begins, when the main thread rests."""
        self.main.start()
        self.slots.rested.get(timeout=PATIENCE_S)
        self.reader.start()

    def _incoming(self) -> Iterator[list[str]]:
        while (line := self.lines.get()) is not None:
            yield [line]

    def _act(self, lines: list[str]) -> None:
        [line] = lines
        if line == "nonsense":
            raise ValueError(line)
        if line == "hold":
            self.slots.queue.hold()
        if line.startswith("tasks"):
            self.slots.queue.heap[:] = [()] * 2  # type: ignore[list-item]
        if line.startswith("task"):
            self.slots.work.append(line)
            self.slots.seats.wake(1)
        self.acted.put((line, threading.current_thread().name))

    def _run_main(self) -> None:
        while self.slots.seats.rest(self.seat):
            while self.slots.work:
                self.begun.put(self.slots.work.pop())
                self.end_task.get()

    def _run_reader(self) -> None:
        try:
            self.reading.run()
        except ValueError as error:
            self.error = error

    def say(self, line: str) -> str:
        """Who has read it."""
        self.lines.put(line)
        said, reader = self.acted.get(timeout=PATIENCE_S)
        assert said == line
        return reader

    def task(self, line: str) -> str:
        """A task begins: who has read it."""
        reader = self.say(line)
        assert self.begun.get(timeout=PATIENCE_S) == line
        return reader

    def end(self) -> None:
        """The task ends, and there is no other."""
        self.end_task.put(None)
        self.slots.rested.get(timeout=PATIENCE_S)

    def until_main_reads(self) -> None:
        """A task has been read by the main thread, and is done."""
        for _ in range(1000):
            reader = self.task("task")
            self.end()
            if reader == "main":
                return
        raise AssertionError("the reader does not hand over")


@pytest.fixture
def room(request: pytest.FixtureRequest) -> Iterator[Room]:
    """In which the reader has been the first to read, and has handed over."""
    made = Room(getattr(request, "param", 3600.0))
    made.start()
    assert made.task("task 0") == "reader"
    made.end()
    made.until_main_reads()
    yield made
    made.slots.seats.stop()
    made.lines.put(None)
    made.end_task.put(None)
    made.reader.join(PATIENCE_S)
    made.main.join(PATIENCE_S)
    assert not made.reader.is_alive()
    assert not made.main.is_alive()


looks_often = pytest.mark.parametrize("room", [0.001], indirect=True)


def test_the_main_thread_reads_its_next_task_itself(room: Room) -> None:
    """No other thread has to be woken for it."""
    for number in range(1, 4):
        assert room.say(f"word {number}") == "main"
        assert room.task(f"task {number}") == "main"
        room.end()


@looks_often
def test_while_a_task_runs_the_reader_reads(room: Room) -> None:
    """Until it has woken the main thread with another one, and that has nothing more to do."""
    room.task("task 1")
    assert room.say("stop it") == "reader"
    assert room.say("once more") == "reader"
    room.end()
    assert room.task("task 2") == "reader"
    room.end()
    room.until_main_reads()


def test_while_many_tasks_run_the_reader_reads_from_the_first(room: Room) -> None:
    """It does not look for that: more is about to come, and it is worth waking somebody."""
    assert room.task("tasks") == "main"
    assert room.say("word") == "reader"
    room.end()
    assert room.task("tasks") == "reader"
    room.end()
    assert room.say("word") == "reader"


@looks_often
def test_a_reader_that_looks_no_more_is_told_to(room: Room) -> None:
    """Nothing happened for a while, so it sleeps; then a task begins."""
    while not room.reading._asleep:
        pass
    assert room.task("task 1") == "main"
    assert room.say("stop it") == "reader"
    room.end_task.put(None)


def test_where_another_thread_may_have_something_to_do_the_main_thread_waits_for_that(
    room: Room,
) -> None:
    """A plugin is set up: the tasks behind it begin when its thread says so."""
    assert room.say("hold") == "main"
    assert room.say("word") == "reader"
    room.slots.work.append("held back")
    room.slots.queue.let_go()
    room.slots.seats.wake(1)
    assert room.begun.get(timeout=PATIENCE_S) == "held back"
    room.end_task.put(None)


def test_the_end_is_the_readers_business(room: Room) -> None:
    """The main thread has found out; it waits to be told to end."""
    room.lines.put(None)
    room.reader.join(PATIENCE_S)
    assert not room.reader.is_alive()
    assert room.main.is_alive()


def test_what_goes_wrong_in_the_main_thread_ends_the_reader(room: Room) -> None:
    """It is raised where an error of its own would be."""
    room.lines.put("nonsense")
    room.reader.join(PATIENCE_S)
    assert str(room.error) == "nonsense"
    assert room.main.is_alive()


def echo(value: int) -> int:
    """The value."""
    return value


def wait_for_more(begun: str) -> None:
    """Only a signal ends it."""
    Path(begun).touch()
    signal.pause()


def alarm() -> None:
    """A handler that raises something, some time after the task."""

    def raise_it(*_: object) -> None:
        raise TimeoutError("too late")

    signal.signal(signal.SIGALRM, raise_it)
    signal.setitimer(signal.ITIMER_REAL, 0.05)


def test_a_process_is_asked_about_its_task_and_stops_it(tmp_path: Path) -> None:
    """The task was read by the thread that runs it."""
    with Runner() as runner:
        for number in range(5):
            assert runner.call(echo, number) == number
        begin(runner, wait_for_more, tmp_path)
        runner.say(Inquire(1, CALL_STACK, {"attempts": [1], "bytes_max": 10_000}))
        told = runner.expect(Told)
        assert told.ok
        assert b"wait_for_more" in b"".join(map(bytes, told.said))
        assert stop(runner, 1, strike=True).statuses == [STOPPED]
        assert alive(runner)


def test_a_process_ends_where_a_handler_raises_while_it_reads() -> None:
    """It is seen, instead of a process that is deaf."""
    with Runner() as runner:
        assert runner.call(echo, 1) == 1
        assert runner.call(alarm) is None
        assert runner.process is not None
        assert runner.process.wait(PATIENCE_S) == 1
