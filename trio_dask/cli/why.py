"""``trio-dask why``."""

from __future__ import annotations

import json as as_json
from typing import Annotated

from cyclopts import Parameter

from trio_dask.errors import TrioDaskError


def why(
    scheduler: str, key: str, /, *, json: Annotated[bool, Parameter(negative="")] = False
) -> None:
    """Say why a task is where it is.

    Args:
        scheduler: Where the scheduler is, as `tcp://192.0.2.10:8786`.
        key: The task's key, as `square-17`.
        json: The same for programs, with more detail.
    """
    from trio_dask.client import Client

    with Client(scheduler) as client:
        found = client.why(key)
    if json:
        print(as_json.dumps({"key": found.key, "state": found.state, "facts": found.facts}))
    else:
        print(found)
    if found.state == "unknown":
        msg = f"there is no task {key!r}"
        raise TrioDaskError(msg)
