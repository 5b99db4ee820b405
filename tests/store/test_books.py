"""Which memory files may be written again."""

from __future__ import annotations

from hypothesis import given, strategies as st

from trio_dask.store import Shelf
from trio_dask.store.books import size_class

MIB = 1 << 20


def test_what_came_back_is_used_again() -> None:
    """If nobody reads it any more, and it is not much too large."""
    shelf = Shelf(10 * MIB, 10)
    number = shelf.add(4 * MIB)
    assert shelf.take(4 * MIB) == 0
    assert shelf.back(number, clean=True) == []
    assert shelf.take(MIB) == 0, "much too large"
    assert shelf.take(5 * MIB) == 0, "too small"
    assert shelf.take(3 * MIB) == number
    assert shelf.back(number, clean=False) == [number]
    assert shelf.take(3 * MIB) == 0


def test_the_smallest_that_fits() -> None:
    """Of several."""
    shelf = Shelf(100 * MIB, 10)
    numbers = [shelf.add(size * MIB) for size in (8, 5, 6)]
    for number in numbers:
        shelf.back(number, clean=True)
    assert shelf.take(5 * MIB) == numbers[1]
    assert shelf.take(5 * MIB) == numbers[2]


def test_no_more_is_kept_than_allowed() -> None:
    """What came back first goes first; what is larger than all of it is not kept at all."""
    shelf = Shelf(10 * MIB, 10)
    numbers = [shelf.add(4 * MIB) for _ in range(3)]
    assert [shelf.back(each, clean=True) for each in numbers] == [[], [], [numbers[0]]]
    assert shelf.idle_bytes == 8 * MIB
    huge = shelf.add(11 * MIB)
    assert shelf.back(huge, clean=True) == [huge]
    assert shelf.shrink(0) == numbers[1:]
    assert (shelf.idle_bytes, shelf.out_bytes) == (0, 0)


def test_a_limit_to_how_many() -> None:
    """Each costs descriptors."""
    shelf = Shelf(0, 2)
    first = shelf.add(MIB)
    assert not shelf.is_full()
    shelf.add(MIB)
    assert shelf.is_full()
    shelf.back(first, clean=True)
    assert not shelf.is_full()


def test_unknown_numbers_change_nothing() -> None:
    """They come from another process."""
    shelf = Shelf(MIB, 1)
    assert shelf.back(7, clean=True) == []
    number = shelf.add(MIB)
    shelf.back(number, clean=True)
    assert shelf.back(number, clean=True) == [], "twice"
    assert shelf.idle_bytes == MIB


@given(st.integers(1, 1 << 40))
def test_sizes(nbytes: int) -> None:
    """A file is at most a quarter larger than its value, or a mebibyte; few sizes differ."""
    size = size_class(nbytes)
    assert nbytes <= size <= max(MIB, nbytes * 1.25)
    assert size_class(size) == size
