"""The whole cluster in one thread from one seed: the real cores, a simulated world around them."""

from __future__ import annotations

from trio_dask.testing.simulation.coverage import Coverage
from trio_dask.testing.simulation.faults import FAULTS
from trio_dask.testing.simulation.plan import Fault, Plan
from trio_dask.testing.simulation.simulation import Simulation, SimulationResult, play
from trio_dask.testing.simulation.workloads import WORKLOADS

__all__ = [
    "FAULTS",
    "WORKLOADS",
    "Coverage",
    "Fault",
    "Plan",
    "Simulation",
    "SimulationResult",
    "play",
]
