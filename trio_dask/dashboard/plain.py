"""Whatever peers have said of themselves, as JSON can have it."""

from __future__ import annotations

import math
from typing import Any


def plain(value: Any) -> Any:
    r"""The same in types that JSON knows; text without halves of characters.

    >>> plain({"a": float("inf"), 1: [b"x", "\ud800", None]})
    {'a': None, '1': ['x', '\ufffd', None]}
    """
    match value:
        case str():
            return _whole(value)
        case bool() | int() | None:
            return value
        case float():
            return value if math.isfinite(value) else None
        case dict():
            return {_whole(str(key)): plain(each) for key, each in value.items()}
        case list() | tuple():
            return [plain(each) for each in value]
        case _:
            pass
    return value.decode(errors="replace") if isinstance(value, bytes) else _whole(str(value))


def _whole(text: str) -> str:
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
