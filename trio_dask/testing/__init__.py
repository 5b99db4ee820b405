"""What tests of programs on a cluster need; the pytest plugin is `trio_dask.testing.pytest_plugin`.

`Simulation` runs a whole cluster in one thread from one seed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trio_dask.testing.simulation import Fault, Simulation, SimulationResult

__all__ = ["Fault", "Simulation", "SimulationResult"]


def __getattr__(name: str) -> Any:
    # The pytest plugin lives in here too and must not import the cluster before coverage starts.
    if name in __all__:
        from trio_dask.testing import simulation

        return getattr(simulation, name)
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
