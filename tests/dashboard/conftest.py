"""What tests of the pages share: one browser."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.dashboard.browser import Chromium

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def chromium() -> Iterator[Chromium]:
    """It is started for the first test that opens it, and ends after the last one of its file.

    Not later: tests elsewhere look whether this process has children left.
    """
    with Chromium() as made:
        yield made
