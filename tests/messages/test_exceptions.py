from __future__ import annotations

import os
import threading
import traceback
from typing import Any, Self

import pytest

from trio_dask import errors
from trio_dask.errors import DataLost, RemoteError
from trio_dask.messages.exceptions import describe, rebuild
from trio_dask.messages.failure import NODES_MAX, Failure, walk


class TwoArguments(Exception):
    """Hands another number of arguments on than it takes."""

    def __init__(self, a: int, b: int) -> None:
        super().__init__(f"{a} and {b}")
        self.a, self.b = a, b


class Holding(Exception):
    """Has an attribute that cannot be pickled."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.lock = threading.Lock()
        self.code = 7


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError


class Irreducible(Exception):
    def __reduce__(self) -> Any:
        raise SystemExit


class Stateful(Exception):
    def __setstate__(self, state: Any) -> None:
        raise RuntimeError


class BadNotes(Exception):
    __notes__ = 5  # type: ignore[assignment]


class Pair(Exception):
    """Wants keywords."""

    def __init__(self, *, left: int) -> None:
        super().__init__()
        self.left = left


class MyGroup(ExceptionGroup[Exception]):  # noqa: ASYNC126 - as users write them
    def __new__(cls, message: str, members: list[Exception], code: int = 0) -> Self:
        made = super().__new__(cls, message, members)
        made.code = code
        return made

    def __init__(self, message: str, members: list[Exception], code: int = 0) -> None:
        self.code = code


class OwnBase(BaseException):
    pass


def raised(exc: BaseException) -> BaseException:
    """The exception, once raised, so that it has a traceback."""
    try:
        raise exc
    except BaseException as caught:  # noqa: BLE001
        return caught


def sent(exc: BaseException, **origin: Any) -> BaseException:
    """What a client raises when a task raised `exc`."""
    return rebuild(Failure.from_bytes(describe(raised(exc), origin=origin).to_bytes()))


@pytest.mark.parametrize(
    "exc",
    [
        ValueError("a", 2),
        KeyError("k"),
        OSError(2, "no such thing", "/file"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "why"),
        StopIteration(5),
        RecursionError("deep"),
        OwnBase("x"),
        TwoArguments(1, 2),
        Stateful("x"),
        errors.KilledWorker("died"),
        errors.RemoteError("m", "some.Kind", "tb"),
        errors.CancelledError("c"),
    ],
    ids=lambda each: type(each).__name__,
)
def test_exceptions_are_raised_again_as_themselves(exc: BaseException) -> None:
    """Type, arguments and text are the original's."""
    found = sent(exc)
    assert type(found) is type(exc)
    assert found.args == exc.args
    assert str(found) == str(exc)


def test_attributes_survive() -> None:
    """What an exception carries comes along, also where its constructor cannot be called."""
    found = sent(TwoArguments(3, 4))
    assert isinstance(found, TwoArguments)
    assert (found.a, found.b) == (3, 4)
    wanted = sent(Pair(left=5))
    assert isinstance(wanted, Pair)
    assert wanted.left == 5
    remote = sent(RemoteError("m", "some.Kind", "tb"))
    assert isinstance(remote, RemoteError)
    assert (remote.kind, remote.remote_traceback) == ("some.Kind", "tb")


def test_an_attribute_that_cannot_be_pickled_stays_behind() -> None:
    """The others come along, and so does the type."""
    exc = Holding("text")
    exc.code = 8
    found = sent(exc)
    assert isinstance(found, Holding)
    assert found.code == 8
    assert found.lock is not exc.lock  # its constructor made another one


def test_arguments_that_cannot_be_pickled_leave_type_and_text() -> None:
    """A built-in exception is made of its text; another one becomes a RemoteError."""
    lock = threading.Lock()
    found = sent(ValueError(lock))
    assert type(found) is ValueError
    assert "lock" in str(found)
    other = sent(Mute(lock))
    assert isinstance(other, RemoteError)
    assert other.kind.endswith("Mute")


def test_broken_exceptions_are_described_all_the_same() -> None:
    """One whose str or reduce raises, or whose notes are no list, still says its type."""
    mute = sent(Mute("x"))
    assert type(mute) is Mute
    broken = sent(Irreducible("the text"))
    assert isinstance(broken, RemoteError)
    assert str(broken).endswith("Irreducible: the text")
    assert "in raised" in broken.remote_traceback
    assert describe(BadNotes("x")).notes == ()
    assert isinstance(sent(BadNotes("x")), BadNotes)


@pytest.mark.parametrize("exc", [SystemExit(3), KeyboardInterrupt(), GeneratorExit()])
def test_what_would_steer_the_client_is_wrapped(exc: BaseException) -> None:
    """A task's SystemExit does not end the process that asks for its result."""
    found = sent(exc)
    assert type(found) is RemoteError
    assert found.kind == type(exc).__name__


def fail_thrice() -> None:
    """Raise an exception with a context that has a cause."""
    try:
        try:
            os.environ["NO_SUCH"]
        except KeyError as error:
            raise TwoArguments(1, 2) from error
    except TwoArguments:
        raise ValueError("last")  # noqa: B904


def test_a_chain_of_causes_survives() -> None:
    """Cause, context and their suppression are as they were, each with its own traceback."""
    with pytest.raises(ValueError, match="last") as caught:
        fail_thrice()
    found = rebuild(Failure.from_bytes(describe(caught.value).to_bytes()))
    context = found.__context__
    assert isinstance(context, TwoArguments)
    assert isinstance(context.__cause__, KeyError)
    assert context.__suppress_context__
    assert not found.__suppress_context__
    text = "".join(traceback.format_exception(found))
    assert text.index("KeyError") < text.index("direct cause") < text.index("During handling")
    assert text.count("Traceback (most recent call last)") >= 3
    assert 'os.environ["NO_SUCH"]' in text


def test_notes_survive_and_the_remote_traceback_is_one() -> None:
    """Notes come in order; the last one says where it happened and shows the frames."""
    exc = ValueError("x")
    exc.add_note("first")
    found = sent(exc, key="f-1", worker="w-0", host="node", pid=5)
    assert found.__notes__[0] == "first"
    assert "Raised in task f-1 on worker w-0 (node, pid 5):\nTraceback" in found.__notes__[1]
    assert "raise exc" in found.__notes__[1]
    again = sent(found)
    assert again.__notes__[:2] == found.__notes__


def test_what_is_behind_an_error_was_raised_in_the_same_task() -> None:
    """Only the error itself says where that is; its causes came earlier, its members with it."""
    group = BaseExceptionGroup("g", [raised(ValueError("v"))])
    group.__cause__ = raised(KeyError("k"))
    found = sent(group, key="f-1", worker="w-0", host="node", pid=5)
    assert isinstance(found, ExceptionGroup)
    cause = found.__cause__
    assert cause is not None
    heads = [each.__notes__[-1].splitlines()[0] for each in (found, cause, found.exceptions[0])]
    assert heads == [
        "Raised in task f-1 on worker w-0 (node, pid 5):",
        "Raised earlier in the same task:",
        "Raised in the same task:",
    ]


def test_groups_stay_groups() -> None:
    """Nested groups and their members are rebuilt, of their own types."""
    inner = ExceptionGroup("inner", [KeyError("k")])
    found = sent(MyGroup("outer", [TwoArguments(1, 2), inner], 9))
    assert isinstance(found, MyGroup)
    assert found.message == "outer"
    assert found.code == 9
    assert isinstance(found.exceptions[0], TwoArguments)
    assert isinstance(found.exceptions[1], ExceptionGroup)
    assert isinstance(found.exceptions[1].exceptions[0], KeyError)


def test_a_group_with_what_steers_is_a_group_of_errors() -> None:
    """Its SystemExit is wrapped; the others are themselves."""
    found = sent(BaseExceptionGroup("g", [SystemExit(1), ValueError("v")]))
    assert isinstance(found, ExceptionGroup)
    assert [type(each) for each in found.exceptions] == [RemoteError, ValueError]


def test_very_large_groups_and_chains_are_cut() -> None:
    """No exception is too large to be told: what was left out is counted."""
    group = sent(ExceptionGroup("g", [ValueError(each) for each in range(1000)]))
    assert isinstance(group, ExceptionGroup)
    assert len(group.exceptions) < NODES_MAX
    assert "more" in str(group.exceptions[-1])
    chain = ValueError(0)
    for number in range(5000):
        later = ValueError(number)
        later.__context__ = chain
        chain = later
    assert len(list(walk(describe(chain)))) < NODES_MAX
    wide = ExceptionGroup("w", [ExceptionGroup(str(i), [chain, KeyError(i)]) for i in range(300)])
    assert len(list(walk(describe(wide)))) <= NODES_MAX
    Failure.from_bytes(describe(wide).to_bytes())


def test_cycles_end() -> None:
    """Exceptions that are each other's context are described once each."""
    one, two = ValueError("one"), ValueError("two")
    one.__context__, two.__context__ = two, one
    found = sent(one)
    assert str(found) == "one"
    assert str(found.__context__) == "two"


def test_long_texts_are_cut_in_the_middle() -> None:
    """A message of megabytes keeps its beginning and its end."""
    failure = describe(ValueError("a" + "x" * 10_000_000 + "z"), pickle_limit=1000)
    assert failure.message[0] == "a"
    assert failure.message[-1] == "z"
    assert len(failure.to_bytes()) < 200_000
    assert failure.pickled == b""


def test_recursion_errors_are_told_briefly() -> None:
    """A thousand equal frames are not a thousand lines."""

    def again() -> None:
        again()

    with pytest.raises(RecursionError) as caught:
        again()
    failure = describe(caught.value)
    assert "previous line repeated" in failure.traceback.lower()
    assert isinstance(rebuild(failure), RecursionError)


def test_the_schedulers_failures_become_our_errors() -> None:
    """A failure that was made without an exception, by name, is that error here."""
    found = rebuild(Failure(kind="trio_dask.errors.DataLost", message="x is lost"))
    assert type(found) is DataLost
    assert str(found) == "x is lost"


@pytest.mark.parametrize(
    "kind",
    ["nowhere.Error", "trio_dask.errors.annotations", "trio_dask.errors.Nope", "int", "", "."],
)
def test_unknown_kinds_become_remote_errors(kind: str) -> None:
    """A name that is no exception here is told by a RemoteError."""
    found = rebuild(
        Failure(kind=kind, message="m", pickled=b"not a pickle" if "." in kind else b"")
    )
    assert type(found) is RemoteError
    assert found.kind == kind


def test_exceptions_of_dynamic_types_keep_their_type() -> None:
    """A class that cannot be imported travels by value, and is the same class where it came from."""
    kind = type("Dynamic", (Exception,), {"__module__": "__main__"})
    assert type(sent(kind("x"))) is kind
