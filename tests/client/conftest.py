"""Tests marked ``anyio`` run on both loops."""

from __future__ import annotations

import pytest


@pytest.fixture(params=["trio", "asyncio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """The loop a test marked ``anyio`` runs on."""
    return str(request.param)
