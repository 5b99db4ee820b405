"""What a client knows and decides, without I/O: see `ClientCore`."""

from trio_dask.client.core.batch import (
    CANCELLED,
    ERROR,
    FINISHED,
    LOST,
    PENDING,
    RELEASED,
    STATUS_NAMES,
    Batch,
    Drops,
    Function,
    Watch,
)
from trio_dask.client.core.fetching import Request, whole
from trio_dask.client.core.machine import ClientCore
from trio_dask.client.core.submission import Rows
from trio_dask.client.core.watching import AllDone, EachDone, Groups, group

__all__ = [
    "CANCELLED",
    "ERROR",
    "FINISHED",
    "LOST",
    "PENDING",
    "RELEASED",
    "STATUS_NAMES",
    "AllDone",
    "Batch",
    "ClientCore",
    "Drops",
    "EachDone",
    "Function",
    "Groups",
    "Request",
    "Rows",
    "Watch",
    "group",
    "whole",
]
