"""Code that travels by value: it still says which file it is from."""

from __future__ import annotations

import pickle
import traceback
from typing import TYPE_CHECKING, Any

import pytest

from trio_dask.messages.payload import pack, pack_call, pack_function, pack_small, unpack

if TYPE_CHECKING:
    from pathlib import Path

SOURCE = """
def outer(amount):
    def inner():
        return 1 / amount

    return inner()
"""


@pytest.fixture
def outer(tmp_path: Path) -> Any:
    """A function that travels by value, from a file of its own."""
    file = tmp_path / "sums.py"
    file.write_text(SOURCE)
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(SOURCE, str(file), "exec"), namespace)
    return namespace["outer"]


def test_a_traceback_shows_the_lines_of_the_file(outer: Any, tmp_path: Path) -> None:
    """Of a function, and of one inside it."""
    there = pickle.loads(pack_function(outer))
    with pytest.raises(ZeroDivisionError) as caught:
        there(0)
    frames = traceback.extract_tb(caught.value.__traceback__)[1:]
    assert [(frame.filename, frame.name, frame.line) for frame in frames] == [
        (str(tmp_path / "sums.py"), "outer", "return inner()"),
        (str(tmp_path / "sums.py"), "inner", "return 1 / amount"),
    ]


def test_so_it_does_in_values_and_arguments(outer: Any, tmp_path: Path) -> None:
    """Whichever way it is packed."""
    payload, small = pack({"fn": outer}), pack_small({"fn": outer}, 10_000)
    assert small is not None
    assert not isinstance(payload, list)
    for fn in (unpack(payload)["fn"], unpack(small)["fn"], unpack(pack_call((outer,), {}))[0][0]):
        assert fn.__code__.co_filename == str(tmp_path / "sums.py")
        assert fn.__code__ == outer.__code__
