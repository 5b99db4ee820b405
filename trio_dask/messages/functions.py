"""Functions to bytes and back: by name where any process can import them, else by value."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

from trio_dask.errors import SubmitError
from trio_dask.messages.foreign import by_value, refers_to_foreign
from trio_dask.messages.inputs import finding
from trio_dask.messages.pickling import dumps
from trio_dask.messages.unpickling import loads


def pack_function(fn: object) -> bytes:
    """A function as bytes, for `unpack_function` in another process.

    Raises:
        SubmitError: it is no function, or cannot be pickled; the message names the culprit.
    """
    if not callable(fn):
        msg = f"{fn!r:.100} is no function: {type(fn).__name__} cannot be called"
        raise SubmitError(msg)
    with finding() as found:
        data = _pickled(fn)
    if found:
        msg = f"{function_name(fn)} holds a future; pass futures as arguments"
        raise SubmitError(msg)
    return data


def _pickled(fn: Callable[..., Any]) -> bytes:
    errors: list[Exception] = []
    try:
        data = _pickled_somehow(fn, errors)
        if data is not None:
            return data
        from trio_dask.messages.culprit import advice, find_culprit, worth_telling

        # cloudpickle's first error is about the contents: pickle stops at the name.
        why = errors[-2] if len(errors) > 1 else errors[-1]
        raise SubmitError(find_culprit(fn, why) + advice(why)) from worth_telling(why)
    finally:
        # An error and the frames of its traceback, which lead to the user's, hold each other.
        errors.clear()


def _pickled_somehow(fn: Callable[..., Any], errors: list[Exception]) -> bytes | None:
    try:
        data = dumps(fn)
        if not refers_to_foreign(data):
            return data
    except Exception as error:  # noqa: BLE001 - users' reducers raise what they like
        errors.append(error)
    from trio_dask.messages import cloud  # a runner seldom gets here, and starts faster without

    # A foreign module that cannot travel as a whole may still be importable over there.
    for modules in (by_value(), nullcontext()):
        try:
            with modules:
                return cloud.dumps(fn)
        except Exception as error:  # noqa: BLE001 - users' reducers raise what they like
            errors.append(error)
    return None


def unpack_function(blob: bytes) -> Callable[..., Any]:
    """The function in `blob`. Raises whatever importing or unpickling it raises."""
    fn = loads(blob)
    if not callable(fn):
        msg = f"{type(fn).__name__} is no function"
        raise TypeError(msg)
    return fn  # type: ignore[no-any-return]


def function_name(fn: Callable[..., Any]) -> str:
    """The name of a function for people, also of partials and callable objects."""
    inner = fn
    while (name := getattr(inner, "__name__", None)) is None:
        wrapped = getattr(inner, "func", None)
        if not callable(wrapped):
            break
        inner = wrapped  # functools.partial, unless it was given a name
    return name if isinstance(name, str) else type(inner).__name__
