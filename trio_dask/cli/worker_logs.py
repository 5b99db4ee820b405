"""``trio-dask logs``."""

from __future__ import annotations

import json as as_json
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from trio_dask.errors import ConfigError, TrioDaskError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_LINES = 100


def logs(
    scheduler: str,
    /,
    *workers: str,
    n: Annotated[int, Parameter(name="-n")] = _LINES,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Show the last lines that workers have logged.

    Args:
        scheduler: Where the scheduler is, as `tcp://192.0.2.10:8786`.
        workers: Of which, by name or address; all, if nothing is said.
        n: So many lines of each.
        json: An object for programs: by address, a level and a text for each line.
    """
    if n < 1:
        msg = f"-n: {n} lines; give at least 1"
        raise ConfigError(msg)
    from trio_dask.client import Client

    with Client(scheduler) as client:
        try:
            found = client.get_worker_logs(n, list(workers) or None)
        except ValueError as error:
            raise TrioDaskError(str(error)) from error
        known = client.scheduler_info()["workers"]
    if json:
        print(as_json.dumps({address: lines[::-1] for address, lines in found.items()}))
    else:
        _show(found, known)
    silent = sorted(
        str(each["name"])
        for address, each in known.items()
        if address not in found and (not workers or {address, str(each["name"])} & {*workers})
    )
    if silent:
        msg = f"no answer from {', '.join(silent)}: hung, stopped, or cut off"
        raise TrioDaskError(msg)


def _show(found: Mapping[str, Sequence[tuple[str, str]]], known: Mapping[str, Any]) -> None:
    names = {address: str(known.get(address, {}).get("name", address)) for address in found}
    for row, (address, lines) in enumerate(found.items()):
        if len(found) > 1:
            who = names[address]
            print("\n" * bool(row) + (address if who == address else f"{who} {address}"))
        for _, text in reversed(lines):  # the newest last, where one looks
            print(text)
