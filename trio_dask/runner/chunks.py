"""Several calls in one task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def call_rows(fn: Callable[..., Any], rows: list[tuple[Any, ...]]) -> list[Any]:
    """What the function gives for each of these rows of arguments."""
    return [fn(*row) for row in rows]


def call(fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """Call what came as an argument, with values in the place of the futures in it."""
    return fn(*args, **kwargs)
