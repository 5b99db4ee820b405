"""What tests of runners share."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def new_threads() -> Callable[..., list[threading.Thread]]:
    """Those threads, with one of these beginnings of a name, that were not there before the test.

    A thread of another test may still be on its way out.
    """
    before = set(threading.enumerate())

    def found(*names: str) -> list[threading.Thread]:
        return [
            each
            for each in threading.enumerate()
            if each not in before and each.name.startswith(names)
        ]

    return found
