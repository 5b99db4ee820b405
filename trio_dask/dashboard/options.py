"""What a dashboard can be told."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class DashboardOptions:
    """Where it is and how it is reached.

    `address` is ``host:port`` or ``:port``; without a host that of the scheduler counts. If the
    port is taken, a free one is. `prefix` is the path under which a proxy shows it.
    With `https` it shows the certificate of the cluster's keys.
    """

    address: str = ":8787"
    host: str = ""
    prefix: str = ""
    https: bool = False
