"""``trio-dask status``: a cluster on one screen."""

from __future__ import annotations

import json as as_json
import shutil
from typing import TYPE_CHECKING, Annotated, Any, Final

from cyclopts import Parameter

from trio_dask.config import format_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: So many workers are shown, those with most to do; the others are counted.
_ROWS_MAX: Final = 15
_HEAD: Final = ("worker", "state", "threads", "tasks", "values", "memory", "address")
#: Of these, where there is no room for all.
_FIRST_TO_GO: Final = (6, 4, 2, 3, 5)
#: The size of what is no terminal, if nobody says another by ``COLUMNS``.
_PIPE: Final = (120, 24)
_STATES: Final = ("ready", "assigned", "waiting", "done", "failed")
_TASKS: Final = {"assigned": "with workers"}


def status(scheduler: str, /, *, json: Annotated[bool, Parameter(negative="")] = False) -> None:
    """Show a cluster on one screen: its workers, and what there is to do.

    Args:
        scheduler: Where the scheduler is, as `tcp://192.0.2.10:8786`.
        json: The same, and more, for programs.
    """
    from trio_dask.client import Client

    with Client(scheduler) as client:
        info = client.scheduler_info()
        counts = client.task_counts()
        address = client.scheduler_address
        sizing = client.run_blocking(client.live.ask("workers_wanted", {}))
    info["adaptive_target"], info["adapting"] = sizing["wanted"], sizing["adapting"]
    info["clients"] = max(0, int(info.get("clients", 1)) - 1)  # not the one that asks
    if json:
        print(as_json.dumps({"address": address, **info, "tasks": counts}, default=str))
        return
    columns = shutil.get_terminal_size(_PIPE).columns
    for line in screen(address, info, counts, columns):
        print(line)


def screen(
    address: str, info: Mapping[str, Any], counts: Mapping[str, int], columns: int
) -> list[str]:
    """The lines, none longer than `columns`."""
    memory = info.get("total_memory") or 0
    threads = info.get("total_threads", 0)
    parts = [_workers(info.get("n_workers", 0)), _many(threads, "thread")]
    if memory:
        parts.append(format_bytes(memory))
    parts.append(_many(info.get("clients", 0), "client"))
    tasks = [f"{counts[each]:,} {_TASKS.get(each, each)}" for each in _STATES if counts.get(each)]
    lines = [f"Scheduler:  {address}"]
    if info.get("dashboard"):
        lines.append(f"Dashboard:  {info['dashboard']}")
    lines += [f"Cluster:    {', '.join(parts)}", f"Tasks:      {', '.join(tasks) or 'none'}"]
    if "adaptive_target" in info:  # what `adapt` goes by
        between = _between(info.get("adapting"))
        lines.append(f"Work for:   {_workers(info['adaptive_target'])}{between}")
    workers = list(info.get("workers", {}).items())
    if workers:
        lines += ["", *_table(workers, columns)]
    return [line if len(line) <= columns else line[: columns - 1] + "…" for line in lines]


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _workers(count: int) -> str:
    return _many(count, "worker")


def _between(adapting: Mapping[str, int | None] | None) -> str:
    """What `adapt` was told, if the cluster does."""
    if adapting is None:
        return ""
    least, most = adapting["minimum"], adapting["maximum"]
    return f", adapting: {least} or more" if most is None else f", adapting: {least} to {most}"


def _table(workers: Sequence[tuple[str, Any]], columns: int) -> list[str]:
    """A row for each worker, with as many columns as there is room for."""
    ordered = sorted(workers, key=lambda item: (-item[1]["processing"], str(item[1]["name"])))
    rows = [_HEAD, *(_row(address, worker, columns) for address, worker in ordered[:_ROWS_MAX])]
    widths = [max(len(row[at]) for row in rows) for at in range(len(_HEAD))]
    shown = [at for at in range(len(_HEAD)) if any(row[at] for row in rows[1:])]
    for at in _FIRST_TO_GO:
        if at in shown and sum(widths[each] + 2 for each in shown) - 2 > columns:
            shown.remove(at)
    lines = ["  ".join(row[at].ljust(widths[at]) for at in shown).rstrip() for row in rows]
    if len(ordered) > _ROWS_MAX:
        lines.append(f"… and {len(ordered) - _ROWS_MAX} more")
    return lines


def _row(address: str, worker: Mapping[str, Any], columns: int) -> tuple[str, ...]:
    metrics = worker.get("metrics", {})
    runner = metrics.get("runner")
    used = metrics.get("store_bytes", 0) + (runner.get("rss", 0) if isinstance(runner, dict) else 0)
    limit = worker.get("memory_limit") or 0
    memory = f"{format_bytes(used)} / {format_bytes(limit)}" if limit else format_bytes(used)
    name = str(worker["name"])
    most = columns // 2
    return (
        name if len(name) <= most else f"{name[: most - 1]}…",
        str(worker["status"]),
        str(worker["nthreads"]),
        str(worker["processing"]),
        str(worker["in_memory"]),
        memory,
        "" if name == address else address,
    )
