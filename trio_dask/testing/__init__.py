"""What tests of programs on a cluster need; the pytest plugin is `trio_dask.testing.pytest_plugin`."""

from __future__ import annotations

__all__: list[str] = []
