"""Failures that the scheduler itself finds, in the form in which users' exceptions travel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_dask.messages.failure import Failure
from trio_dask.scheduler.core.deaths import told

if TYPE_CHECKING:
    from trio_dask.scheduler.core.deaths import Deaths


def packed(reason: str) -> bytes:
    """A reason as it is kept; a peer may have put lone surrogates into it."""
    return reason.encode(errors="surrogatepass")


def unpacked(why: bytes | None) -> str:
    """The reason that `packed` has made."""
    return (why or b"").decode(errors="surrogatepass")


def data_lost(key: str, reason: str) -> bytes:
    """The failure of a task one of whose inputs is gone for good."""
    return Failure(kind="trio_dask.errors.DataLost", message=f"{key} is lost: {reason}").to_bytes()


def unreached(key: str, worker: str, dep: str, places: str) -> bytes:
    """The failure of a task that found no worker which can reach all that it needs."""
    why = f"the last one, {worker}, could not fetch {dep} from {places}"
    message = f"{key} found no worker that can reach all of its inputs: {why}"
    return Failure(kind="trio_dask.errors.DataLost", message=message).to_bytes()


def killed(key: str, deaths: Deaths) -> bytes:
    """The failure of a task whose process died too often, with all that is known of it."""
    return Failure(
        kind="trio_dask.errors.KilledWorker",
        message=told(key, deaths),
        origin={"deaths": deaths.kept},
    ).to_bytes()
