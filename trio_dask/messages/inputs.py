"""Futures inside arguments: found while pickling, replaced by values while unpickling.

A future reduces to ``input_value(tid)``. So it is found wherever it sits, in any
container that can be pickled, and needs no pass over the arguments of its own.
Both sides are about what the present thread is doing.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from trio_dask.messages.ids import TaskId


class _Present(threading.local):
    """What this thread is packing and unpacking."""

    def __init__(self) -> None:
        self.found: dict[TaskId, int] | None = None
        self.values: Mapping[TaskId, Any] | None = None


_present = _Present()


def is_finding() -> bool:
    """Whether this thread is packing what futures are found in."""
    return _present.found is not None


def note_input(tid: TaskId) -> int:
    """A future is being pickled: the arguments being packed need the task's value.

    Returns its place among those that were found, from 0.

    Raises:
        TypeError: nothing is being packed, so that the future would not be found.
    """
    found = _present.found
    if found is None:
        msg = "a future can only be pickled as, or inside, an argument of a task"
        raise TypeError(msg)
    return found.setdefault(tid, len(found))


def input_value(tid: TaskId) -> Any:
    """What stands in pickled arguments for the value of a task."""
    values = _present.values
    if values is None or tid not in values:
        msg = f"the value of task {tid:#x} is not among the inputs"
        raise LookupError(msg)
    return values[tid]


@contextmanager
def finding() -> Iterator[dict[TaskId, int]]:
    """While it lasts, futures pickled by this thread are noted in the dict it gives."""
    before, found = _present.found, dict[TaskId, int]()
    _present.found = found
    try:
        yield found
    finally:
        _present.found = before


@contextmanager
def collecting(refs: list[TaskId]) -> Iterator[None]:
    """While it lasts, futures may be pickled; at the end `refs` has their ids, each once."""
    with finding() as found:
        yield
    refs += [tid for tid in found if tid not in refs] if refs else found


@contextmanager
def given(values: Mapping[TaskId, Any]) -> Iterator[None]:
    """While it lasts, unpickling in this thread finds the inputs in `values`."""
    before, _present.values = _present.values, values
    try:
        yield
    finally:
        _present.values = before
