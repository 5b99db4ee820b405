"""Finished tasks in the format that chrome://tracing, Perfetto and Speedscope read. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_HOW: Final = ("done", "failed", "stopped")
_STATUS: Final = ("OK", "error", "cancelled")
_MICRO: Final = 1e6


def key_of(name: str, task: str) -> str:
    """The key of a block's task; empty for one that stands for several.

    >>> key_of("inc", "1000a"), key_of("inc", "=mine"), key_of("inc", "")
    ('inc-1000a', 'mine', '')
    """
    return task[1:] if task.startswith("=") else f"{name}-{task}" if task else ""


def chrome_trace(
    blocks: Iterable[Sequence[Any]], names: Mapping[int, str], *, workers: Mapping[int, str]
) -> dict[str, Any]:
    """The trace of blocks as the stream tells them; names of workers and functions by number."""
    events: list[dict[str, Any]] = []
    seen: dict[int, None] = {}
    for worker, lane, began, seconds, group, count, status, task in blocks:
        seen[worker] = None
        name = names.get(group, "?")
        details: dict[str, Any] = {"tasks": count, "status": _HOW[status]}
        if key := key_of(name, task):
            details["key"] = key
        events.append({
            "name": name, "cat": _HOW[status], "ph": "X", "pid": worker, "tid": lane,
            "ts": round(began * _MICRO), "dur": max(1, round(seconds * _MICRO)), "args": details,
        })  # fmt: skip
    called = [
        {"name": "process_name", "ph": "M", "pid": worker, "tid": 0,
         "args": {"name": workers.get(worker, f"worker {worker}, which has left")}}
        for worker in seen
    ]  # fmt: skip
    return {"traceEvents": called + events, "displayTimeUnit": "ms"}


def task_stream(
    blocks: Iterable[Sequence[Any]],
    names: Mapping[int, str],
    *,
    workers: Mapping[int, str],
    epoch: float,
) -> list[dict[str, Any]]:
    """The same as rows for programs, in the order in which they began; `epoch` is when the clock did.

    >>> [row] = task_stream(
    ...     [[1, 0, 2.5, 1.0, 7, 1, 0, "1000a"]], {7: "inc"}, workers={}, epoch=100.0
    ... )
    >>> row["key"], row["startstops"]
    ('inc-1000a', [{'action': 'compute', 'start': 102.5, 'stop': 103.5}])
    """
    rows = [
        {
            "key": key_of(names.get(group, "?"), task),
            "prefix": names.get(group, "?"),
            "tasks": count,
            "worker": workers.get(worker, ""),
            "thread": lane,
            "status": _STATUS[status],
            "startstops": [
                {"action": "compute", "start": epoch + began, "stop": epoch + began + seconds}
            ],
        }
        for worker, lane, began, seconds, group, count, status, task in blocks
    ]
    return sorted(rows, key=lambda row: row["startstops"][0]["start"])
