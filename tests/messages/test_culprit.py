"""What cannot be pickled is named so that who reads it finds it."""

from __future__ import annotations

import functools
import operator
import threading
import traceback
import types
from typing import TYPE_CHECKING, Any

import pytest

from trio_dask.errors import SubmitError
from trio_dask.messages.payload import pack, pack_call, pack_function

if TYPE_CHECKING:
    from collections.abc import Callable

LOCK = threading.Lock()


class Raising:
    """Cannot be pickled, in an unusual way."""

    def __reduce__(self) -> Any:
        raise SystemError("no")


def twice(x: int) -> int:
    """Two times as much."""
    return 2 * x


def test_what_cannot_be_pickled_is_named() -> None:
    """The error says where in the value the culprit is, and of what type."""
    with pytest.raises(SubmitError, match=r"the value of 'a' → item 1, .*generator"):
        pack({"a": [1, (each for each in [1])]})
    with pytest.raises(SubmitError, match=r"_thread\.lock"):
        pack_call((threading.Lock(),), {})
    with pytest.raises(SubmitError, match="SystemError: no"):
        pack(Raising())


def test_the_argument_is_named_as_its_caller_knows_it() -> None:
    """By position or name, then the way to the culprit, its type, and what to do about it."""
    lock = threading.Lock()

    def message(*args: Any, **kwargs: Any) -> str:
        with pytest.raises(SubmitError) as caught:
            pack_call(args, kwargs)
        return str(caught.value)

    assert message({"guard": lock}) == (
        "argument 0 cannot be pickled because of the value of 'guard', "
        "a value of type _thread.lock: TypeError: cannot pickle '_thread.lock' object; "
        "make it where it is used, in the function that runs on the cluster"
    )
    assert message(1, lock).startswith("argument 1, a value of type _thread.lock, cannot be")
    assert message(1, key=[lock]).startswith("argument 'key' cannot be pickled because of item 0,")


def test_only_users_own_frames_are_behind_the_error() -> None:
    """The picklers' tracebacks add nothing; one that leads into a user's method does."""
    attempts: list[Callable[[], object]] = [
        lambda: pack_call((LOCK,), {}),
        lambda: pack([LOCK]),
        lambda: pack_function(functools.partial(operator.add, LOCK)),
    ]
    for attempt in attempts:
        with pytest.raises(SubmitError) as caught:
            attempt()
        assert caught.value.__cause__ is caught.value.__context__ is None
        assert "\n\n" not in "".join(traceback.format_exception(caught.value))
    with pytest.raises(SubmitError) as caught:
        pack_call((Raising(),), {})
    assert type(caught.value.__cause__) is SystemError
    assert "in __reduce__" in "".join(traceback.format_exception(caught.value))


def test_too_deep_is_told() -> None:
    """A value too deep for any pickler is an error of ours."""
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(SubmitError, match=r"recursion required\.$"):
        pack_call((deep,), {})
    while deep:  # or its end would recurse as deeply
        deep = deep.pop()


def test_the_culprit_in_a_function_is_named() -> None:
    """The error names the variable, however indirectly it is used."""

    def uses_lock() -> Any:
        return LOCK

    def calls_another() -> Any:
        return uses_lock()

    with pytest.raises(SubmitError, match=r"function .*uses_lock .*the global 'LOCK'"):
        pack_function(uses_lock)
    with pytest.raises(SubmitError, match=r"its variable 'uses_lock' → the global 'LOCK'"):
        pack_function(calls_another)
    generator = (each for each in [1])
    with pytest.raises(SubmitError, match=r"its variable 'generator', .*generator"):
        pack_function(lambda: generator)
    with pytest.raises(SubmitError, match="argument 1"):
        pack_function(functools.partial(operator.add, 1, LOCK))
    with pytest.raises(SubmitError, match="its object"):
        pack_function(types.MethodType(twice, LOCK))
    with pytest.raises(SubmitError, match="default 0"):
        pack_function(lambda lock=LOCK: lock)
