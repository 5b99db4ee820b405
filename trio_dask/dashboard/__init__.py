"""The web side of a scheduler: pages, machine-readable routes, and a stream of events.

It knows no scheduler: it shows a `View`, which something else provides. `serving` holds the
port from the start; all that speaks HTTP (`stack`, `app` and what they need) is imported at the
first connection. Decisions are pure: `feed` what viewers are told, `mirror` what they know then,
`access` who may see it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

from trio_dask.dashboard.access import control_token, dashboard_token, login_link, login_ticket
from trio_dask.dashboard.options import DashboardOptions

if TYPE_CHECKING:
    from trio_dask.dashboard.app import app
    from trio_dask.dashboard.following import Follower, Source, source_at
    from trio_dask.dashboard.mirror import Event, Mirror, Progress
    from trio_dask.dashboard.recording import Recorded, Recorder
    from trio_dask.dashboard.report import report_page
    from trio_dask.dashboard.serving import Dashboard, run_dashboard, run_worker_page
    from trio_dask.dashboard.timeline import task_stream

_HOMES: Final[dict[str, str]] = {
    "Dashboard": "serving",
    "Event": "mirror",
    "Follower": "following",
    "Mirror": "mirror",
    "Progress": "mirror",
    "Recorded": "recording",
    "Recorder": "recording",
    "Source": "following",
    "app": "app",
    "report_page": "report",
    "task_stream": "timeline",
    "run_dashboard": "serving",
    "run_worker_page": "serving",
    "source_at": "following",
}

__all__ = [
    "Dashboard",
    "DashboardOptions",
    "Event",
    "Follower",
    "Mirror",
    "Progress",
    "Recorded",
    "Recorder",
    "Source",
    "app",
    "control_token",
    "dashboard_token",
    "login_link",
    "login_ticket",
    "report_page",
    "run_dashboard",
    "run_worker_page",
    "source_at",
    "task_stream",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    value = getattr(importlib.import_module(f"trio_dask.dashboard.{home}"), name)
    globals()[name] = value
    return value
