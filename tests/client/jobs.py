"""Functions for tests to submit; in a module of their own, as users' functions are."""

from __future__ import annotations

from typing import Any


def inc(x: int) -> int:
    """One more."""
    return x + 1


def add(x: int, y: int) -> int:
    """The sum."""
    return x + y


def total(*shapes: Any, **named: Any) -> int:
    """The sum of all numbers, however deep."""
    return sum(
        total(*(each.values() if isinstance(each, dict) else each))
        if isinstance(each, list | tuple | set | dict)
        else each
        for each in (*shapes, *named.values())
    )


class Sealed:
    """Can be pickled, but not be unpickled."""

    def __init__(self, count: int) -> None:
        self.data = bytes(count)

    def __reduce__(self) -> tuple[Any, ...]:
        return fail, ("no such package",), self.data


def fail(text: str) -> None:
    """Never returns."""
    raise ValueError(text)


def zeros(count: int) -> bytes:
    """So many bytes."""
    return bytes(count)


def size(data: bytes) -> int:
    """How many bytes."""
    return len(data)
