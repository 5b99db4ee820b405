"""Makes this room's helpers importable, and runs tests marked ``anyio`` on both loops."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(params=["trio", "asyncio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """The loop a test marked ``anyio`` runs on."""
    return str(request.param)
