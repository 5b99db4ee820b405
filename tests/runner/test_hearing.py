"""What tasks say is heard, as theirs, in order, before their end is told; who says nothing pays nothing."""

# ruff: noqa: T201 - tasks print

from __future__ import annotations

import contextlib
import copy
import io
import logging
import socket
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.runner.runner_driver import Runner
from trio_dask.messages.speech import LINES_MAX, STREAMS, Spoken, Voice
from trio_dask.messages.tasks import Done
from trio_dask.runner import hearing
from trio_dask.runner.hearing import Overheard, heard, say
from trio_dask.runner.speech import Speech
from trio_dask.runner.wire import Outbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.processes


@pytest.fixture(params=["process", "threads"], scope="module")
def runner(request: pytest.FixtureRequest) -> Iterator[Runner]:
    """A runner with two slots, for test after test."""
    with Runner(2, hosted=request.param == "threads", profile_interval_s=0.0) as made:
        yield made


def words(runner: Runner, *attempts: int) -> dict[int, list[tuple[str, str]]]:
    """By attempt, what was said when all of these have ended: streams and lines."""
    left = set(attempts)
    while left:
        left.difference_update(runner.expect(Done).attempts)
    voices = dict[int, Voice]()
    for each in runner.spoken:
        for attempt, stream, at, text in zip(
            each.attempts, each.streams, each.times, each.texts, strict=True
        ):
            voices.setdefault(attempt, Voice()).add(stream, at, text)
    runner.spoken.clear()
    return {
        attempt: [(STREAMS[stream], text) for stream, _, text in voice.rows()]
        for attempt, voice in voices.items()
    }


def after(runner: Runner, fn: Callable[..., Any], *args: Any) -> list[tuple[str, str]]:
    """What one task has said."""
    runner.function(1, fn)
    runner.run(11, args=args)
    return words(runner, 11).get(11, [])


def talks(name: str) -> None:
    """In many ways."""
    import logging
    import sys

    print("to", name)
    sys.stderr.write("oh, ")
    sys.stderr.writelines(["dear\n", "me\n"])
    logging.getLogger("my.library").warning("take %s", "care")
    logging.getLogger("my.library").debug("of no interest")
    print("the end", end="")


def test_all_that_a_task_says(runner: Runner) -> None:
    """Lines printed and logged, each once, in order; also the last, that has no end."""
    assert after(runner, talks, "you") == [
        ("stdout", "to you\n"), ("stderr", "oh, dear\n"), ("stderr", "me\n"),
        ("log", "my.library - WARNING - take care\n"), ("stdout", "the end"),
    ]  # fmt: skip


def warns() -> None:
    """Uses what is old."""
    import warnings

    warnings.warn("that is old", stacklevel=1)


def test_a_warning() -> None:
    """As it is written, which is done by a module of Python's."""
    with Runner(profile_interval_s=0.0) as runner:
        said = after(runner, warns)
        assert said[0][1].endswith("UserWarning: that is old\n")
        assert {stream for stream, _ in said} == {"warning"}


def silent() -> int:
    """Says nothing."""
    return 1


def test_who_says_nothing_is_not_spoken_of(runner: Runner) -> None:
    """No message, no record."""
    assert after(runner, silent) == []


def prints(text: str, barrier: str) -> None:
    """Beside another one."""
    for number in range(50):
        print(text, number)


def test_two_at_a_time(runner: Runner) -> None:
    """Each is heard as what it is."""
    runner.function(1, prints)
    runner.run(11, 12, args=("n", ""))
    said = words(runner, 11, 12)
    assert said[11] == said[12] == [("stdout", f"n {number}\n") for number in range(50)]


async def talks_async() -> None:
    """On the loop, and in a thread of it."""
    import trio

    print("on the loop")
    await trio.to_thread.run_sync(print, "in its thread")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.to_thread.run_sync, print, "in another task")
        nursery.start_soon(trio.lowlevel.checkpoint)


def test_a_coroutine(runner: Runner) -> None:
    """Whoever it has started is it."""
    assert after(runner, talks_async) == [
        ("stdout", "on the loop\n"), ("stdout", "in its thread\n"), ("stdout", "in another task\n"),
    ]  # fmt: skip


def floods(count: int) -> None:
    """Prints a lot."""
    for number in range(count):
        print(number)


def test_much_is_bounded(runner: Runner) -> None:
    """The last lines are there."""
    count = 20 * LINES_MAX
    said = after(runner, floods, count)
    assert said[-1] == ("stdout", f"{count - 1}\n")
    assert len(said) == LINES_MAX


def fails() -> None:
    """With words."""
    import logging

    try:
        int("x")
    except ValueError:
        logging.getLogger("mine").exception("it is no number")
    raise KeyError("k")


def test_a_traceback_that_was_logged(runner: Runner) -> None:
    """Is there, line by line."""
    said = after(runner, fails)
    assert said[0] == ("log", "mine - ERROR - it is no number\n")
    assert said[1] == ("log", "Traceback (most recent call last):\n")
    assert said[-1][1].startswith("ValueError: invalid literal")


def logs_what_cannot_be_shown() -> None:
    """A mistake of somebody's."""
    import logging

    class Bad:
        def __str__(self) -> str:
            raise RuntimeError("no text")

    logger = logging.getLogger("mine.quiet")
    logger.propagate = False
    logger.addHandler(logging.NullHandler())
    logger.warning("%s", Bad())


def test_a_record_without_text(runner: Runner) -> None:
    """Is said to be one, and does no harm."""
    [(stream, text)] = after(runner, logs_what_cannot_be_shown)
    assert stream == "log"
    assert text.startswith("mine.quiet - WARNING - a line that cannot be shown: RuntimeError")


def configures() -> int:
    """As libraries do; it takes effect, as nobody has put anything there before."""
    import logging

    root = logging.getLogger()
    before = list(root.handlers)
    root.handlers.clear()
    try:
        logging.basicConfig(level=logging.INFO, format="%(message)s")
        count = len(root.handlers)
        logging.getLogger("mine").info("now it is heard")
        return count
    finally:
        root.handlers[:] = before
        root.setLevel(logging.WARNING)


def test_logging_is_left_as_it_is(runner: Runner) -> None:
    """Nothing is added to any logger, and what is shown by a handler is heard once."""
    runner.function(1, configures)
    runner.run(11)
    assert words(runner, 11)[11] == [("log", "mine - INFO - now it is heard\n")]


def forks() -> int:
    """A child that says something, too."""
    import os
    import sys

    print("before")
    child = os.fork()
    if not child:
        print("in the child", file=sys.stderr)
        os._exit(7)
    _, status = os.waitpid(child, 0)
    print("after")
    return os.waitstatus_to_exitcode(status)


def test_a_forked_child_is_not_heard() -> None:
    """It goes its own way, and disturbs nothing."""
    with Runner(profile_interval_s=0.0) as runner:
        said = after(runner, forks)
        assert said == [("stdout", "before\n"), ("stdout", "after\n")]


def dies() -> None:
    """With last words."""
    import os

    print("farewell")
    os._exit(3)


def test_last_words_are_told() -> None:
    """Before the process ends."""
    with Runner(profile_interval_s=0.0) as runner:
        runner.function(1, dies)
        runner.run(11)
        with pytest.raises(EOFError):
            runner.hear()
        assert runner.spoken[0].texts[0].rstrip() == "farewell"
        assert runner.wait() == 3


class OthersLock:
    """Another thread holds it, and lets go if somebody waits a little."""

    def acquire(self, *, timeout: float) -> bool:
        """Whether it was let go in so many seconds."""
        return timeout > 0

    def release(self) -> None:
        """It is free again."""


def test_last_words_wait_for_who_is_writing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Left to that thread they could be too late; without a reason nobody waits."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        outbox = Outbox(theirs.fileno())
        monkeypatch.setattr(outbox, "_writing", OthersLock())
        ours.setblocking(False)
        outbox.put(Done([7], [0], [0.1], [1], [b"v"]))
        outbox.flush()
        with pytest.raises(BlockingIOError):
            ours.recv(1)
        outbox.flush(0.1)
        assert ours.recv(1)


@contextlib.contextmanager
def unheard() -> Iterator[io.StringIO]:
    """Where it is printed to, in a process in which no runner listens."""
    factory, streams = logging.getLogRecordFactory(), (sys.stdout, sys.stderr)
    listeners, hearing._listeners = hearing._listeners, 0
    logging.setLogRecordFactory(logging.LogRecord)
    sys.stdout = out = io.StringIO()
    try:
        yield out
    finally:
        sys.stdout, sys.stderr = streams
        logging.setLogRecordFactory(factory)
        hearing._listeners = listeners


def test_streams_are_put_back() -> None:
    """In a program's own process all is as it was when the last runner ends."""
    with unheard() as out:
        with heard():
            with heard():
                assert type(sys.stdout) is Overheard
                assert (sys.stdout.getvalue(), list(sys.stdout)) == ("", [])
            print("nobody's")
            assert repr(sys.stdout) == repr(out)
            say(0, "no task")
            with contextlib.redirect_stdout(io.StringIO()) as other:
                print("elsewhere")
        assert id(sys.stdout) == id(out)
        assert (out.getvalue(), other.getvalue()) == ("nobody's\n", "elsewhere\n")
        assert logging.getLogRecordFactory() is logging.LogRecord


def test_a_stream_is_treated_as_streams_are() -> None:
    """Libraries put a method of theirs in the place of one; some copy it."""
    with unheard() as out, heard():
        stream = sys.stdout
        assert copy.copy(stream).encoding == stream.encoding
        write, said = stream.write, list[str]()

        def theirs(text: str) -> int:
            said.append(text)
            return write(text)

        stream.write = theirs  # type: ignore[method-assign]
        print("seen")
        assert (said, out.getvalue()) == (["seen", "\n"], "seen\n")


def test_what_others_have_changed_stays() -> None:
    """Who has put something in the place of ours meanwhile keeps it."""

    class Record(logging.LogRecord):
        pass

    other = io.StringIO()
    with unheard():
        with heard():
            sys.stdout = other
            logging.setLogRecordFactory(Record)
        assert sys.stdout is other
        assert logging.getLogRecordFactory() is Record


def test_what_is_taken_is_bounded() -> None:
    """Much that many have said is told in several messages, and nothing of it is lost."""
    speech = Speech()
    for attempt in range(40):
        for _ in range(50):
            speech.add(attempt, attempt, 0, 1.0, "x" * 1_000 + "\n")
    told = list[Spoken]()
    while speech.voices:
        told.append(speech.take())
    assert len(told) > 1
    assert all(sum(map(len, each.texts)) < 2 << 20 for each in told)
    assert sum(len(each.texts) for each in told) == 40 * 50
