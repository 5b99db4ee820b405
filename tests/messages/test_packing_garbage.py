"""Packing leaves nothing for the garbage collector: what callers hold goes when they let go of it."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest

from trio_dask.messages.payload import pack, pack_call, pack_function


class Thing:
    """Something in a caller's frame."""


@pytest.fixture
def _by_hand() -> Any:
    """No collector while the test looks."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def caller(what: Any) -> weakref.ref[Thing]:
    """Pack what pickle alone cannot, with something of its own in its frame."""
    thing = Thing()
    local = lambda: 1  # noqa: E731 - pickle refuses it, cloudpickle does not
    if what is pack_call:
        pack_call((local,), {})
    else:
        what(local)
    return weakref.ref(thing)


@pytest.mark.usefixtures("_by_hand")
@pytest.mark.parametrize("what", [pack, pack_call, pack_function])
def test_what_only_cloudpickle_can_do(what: Any) -> None:
    """The first pickler's error, and with it its callers' frames, are gone at once."""
    assert caller(what)() is None
