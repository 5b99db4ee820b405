"""`dask.annotate` around single calls."""

from __future__ import annotations

import sys
from typing import Any

from trio_dask.client.options import run_by, task_options
from trio_dask.errors import SubmitError


def annotated(options: dict[str, Any]) -> dict[str, Any]:
    """The options of a submission as they are sent, with what `dask.annotate` around it says.

    What was said with the call itself comes first. Without Dask there is nothing to look at.

    Raises:
        SubmitError: an annotation makes no sense, or depends on the key, as only those of graphs may.
    """
    ask = getattr(sys.modules.get("dask.base"), "get_annotations", None)
    return _noted(options) if ask is not None and ask() else options


def _noted(options: dict[str, Any]) -> dict[str, Any]:
    from trio_dask.client.collections.graphs import DEFAULTS, common_options, plain

    chosen = DEFAULTS | plain(common_options({}))
    for name, value in chosen.items():
        if callable(value):
            msg = (
                f"dask.annotate({name}=…) with a function of the key is for graphs; "
                f"here say {name}= itself"
            )
            raise SubmitError(msg)
    executor = chosen.pop("executor")
    if "workers" in options:  # those of the annotation are others, but who else may run it is not
        chosen["workers"] = options["workers"]
    noted = task_options(**chosen)
    if executor == "process" and "actor" not in options:
        noted |= run_by(executor)
    return noted | options
