"""The numbers that the scheduler's core decides by."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class CoreSettings:
    """The numbers that the core decides by."""

    allowed_failures: int = 3
    #: So often it may turn out that who needs a value cannot reach who has it.
    allowed_unreached: int = 20
    #: A window covers this much estimated running time per slot, seconds.
    window_horizon_s: float = 0.03
    #: and never more attempts per slot than this.
    window_max: int = 512
    #: Estimates below this count as this: no task is free, seconds.
    estimate_min_s: float = 20e-6
    #: Moving a value between workers is thought to run at this rate, bytes a second.
    bandwidth: float = 500e6
    #: So many tasks may be settled, ended or given out between two looks at the peers.
    turn_max: int = 2000
    #: A worker that has not been heard of for this long is given up, seconds.
    worker_ttl_s: float = 300.0
    #: Where the placement policy comes from, for who makes it; empty: it is our own.
    placement: str = ""
    #: A peer whose connection broke may come back for this long, seconds.
    reconnect_s: float = 10.0
    #: Clients get higher numbers. Newcomers may be here before those come back who have
    #: numbers from an earlier scheduler; so each begins elsewhere.
    clients_from: int = 0
