"""The cluster as Prometheus reads it: text, each name with its help and type."""

from __future__ import annotations

import gc
import resource
import sys
from typing import TYPE_CHECKING, Any, Final

from trio_dask.dashboard.plain import plain
from trio_dask.dashboard.view import GROUP_COLUMNS, STATES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trio_dask.dashboard.view import View

#: Groups with metrics of their own: more would be more than a scraper wants.
_GROUPS_MAX: Final = 200
_ROOM: Final = "trio_dask_scheduler_"
#: Our names for the totals: name, type, what it is.
_TOTALS: Final = {
    "clients": ("clients", "gauge", "Connected clients."),
    "clients_ever": ("client_connections_added_total", "counter", "Clients that have connected."),
    "workers_ever": ("workers_added_total", "counter", "Workers that have joined."),
    "slots": ("slots", "gauge", "Tasks that the workers can run at once."),
    "busy": ("slots_busy", "gauge", "Slots that have something to run."),
    "queued": ("tasks_queued", "gauge", "Ready tasks that wait in a queue."),
    "tasks": ("tasks_known", "gauge", "Tasks that the scheduler knows."),
    "finished": ("tasks_finished_total", "counter", "Attempts that ran to their end."),
    "failures": ("tasks_failed_total", "counter", "Tasks that failed by themselves."),
    "memory": ("workers_memory_bytes", "gauge", "Memory of all workers' processes."),
    "memory_limit": ("workers_memory_limit_bytes", "gauge", "What they may use."),
    "held": ("values_held", "gauge", "Values that workers hold, each copy counted."),
}
#: And for what goes through the scheduler's connections.
_TRAFFIC: Final = {
    "messages_in": ("messages_received_total", "counter", "Messages of workers and clients."),
    "messages_out": ("messages_sent_total", "counter", "Messages to workers and clients."),
    "bytes_in": ("received_bytes_total", "counter", "Bytes that came from workers and clients."),
    "bytes_out": ("sent_bytes_total", "counter", "Bytes that went to workers and clients."),
    "queued_bytes": ("queued_bytes", "gauge", "Bytes that wait for workers and clients."),
}
_GROUPS: Final = {
    "runs": ("tasks_runs_total", "Attempts that ran to their end."),
    "seconds": ("tasks_compute_seconds_total", "How long they ran together."),
    "failures": ("tasks_erred_total", "Tasks that failed by themselves."),
}


def metrics_text(view: View) -> str:
    """All metrics. What would take counting every task is not among them."""
    return "".join(_lines(view))


def _lines(view: View) -> Iterator[str]:
    totals = view.totals() | view.traffic()
    for total, (name, kind, about) in (_TOTALS | _TRAFFIC).items():
        yield from _head(name, kind, about)
        yield f"{_ROOM}{name} {totals[total]}\n"
    yield from _workers(view)
    yield from _groups(view)
    yield from process_lines()


def _workers(view: View) -> Iterator[str]:
    yield from _head("workers", "gauge", "Workers by how busy they are.")
    states = dict.fromkeys(("idle", "partially_saturated", "saturated", "paused"), 0)
    for processing, _, _, _, slots, *_ in view.worker_rows(view.began).values():
        states[_busy(processing, slots)] += 1
    for state, count in states.items():
        yield f'{_ROOM}workers{{state="{state}"}} {count}\n'


def _busy(processing: int, slots: int) -> str:
    if not slots:
        return "paused"
    if not processing:
        return "idle"
    return "saturated" if processing >= slots else "partially_saturated"


def _groups(view: View) -> Iterator[str]:
    rows = {label(name): row for name, row in view.group_rows(_GROUPS_MAX).items()}
    for column, (name, about) in _GROUPS.items():
        at = GROUP_COLUMNS.index(column)
        yield from _head(name, "counter", about)
        for group, row in rows.items():
            yield f'{_ROOM}{name}{{task_prefix_name="{group}"}} {row[at]}\n'
    yield from _head("tasks_processing", "gauge", "Tasks that have been given to a worker.")
    at = STATES.index("assigned")
    for group, row in rows.items():
        yield f'{_ROOM}tasks_processing{{task_prefix_name="{group}"}} {row[at]}\n'


def label(text: str) -> str:
    """A text inside of quotes."""
    escaped: str = plain(text).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return escaped


def process_lines() -> Iterator[str]:
    """Of the process that asks."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    values: dict[str, tuple[str, Any, str]] = {
        "process_cpu_seconds_total": (
            "counter",
            usage.ru_utime + usage.ru_stime,
            "Processor time.",
        ),
        "process_resident_memory_max_bytes": (
            "gauge",
            usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
            "The most memory that the process has used.",
        ),
        "python_gc_collections_total": (
            "counter",
            sum(each["collections"] for each in gc.get_stats()),
            "Passes of the garbage collector.",
        ),
    }
    for name, (kind, value, about) in values.items():
        yield f"# HELP {name} {about}\n# TYPE {name} {kind}\n{name} {value}\n"


def _head(name: str, kind: str, about: str) -> Iterator[str]:
    yield f"# HELP {_ROOM}{name} {about}\n# TYPE {_ROOM}{name} {kind}\n"
