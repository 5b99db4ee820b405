"""Failures that the scheduler itself finds, in the form in which users' exceptions travel."""

from __future__ import annotations

from typing import Any

from trio_dask.messages.failure import Failure


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


def killed(key: str, deaths: list[dict[str, Any]]) -> bytes:
    """The failure of a task whose process died too often, with all that is known of it."""
    lines = [f"{key} was running each of the {len(deaths)} times its process died:"]
    lines += (f"  {number}. {_describe(death)}" for number, death in enumerate(deaths, 1))
    return Failure(kind="trio_dask.errors.KilledWorker", message="\n".join(lines)).to_bytes()


def _describe(death: dict[str, Any]) -> str:
    """One death in a line, of what a worker has told: as much of it as makes sense."""
    reason, lasted, rss = death.get("reason"), death.get("lasted_s"), death.get("rss")
    parts = [reason if isinstance(reason, str) and reason else _how(death)]
    if isinstance(lasted, (int, float)):
        parts.append(f"after {lasted:.1f} s")
    parts.append(f"on worker {death.get('worker', '?')}")
    if death.get("host"):
        parts.append(f"(host {death['host']}, pid {death.get('pid', '?')})")
    line = " ".join(parts)
    return f"{line}, last seen with {rss / 2**20:.1f} MiB" if isinstance(rss, int) else line


def _how(death: dict[str, Any]) -> str:
    if death.get("signal"):
        return f"killed by signal {death['signal']}"
    if death.get("exit_code") is not None:
        return f"exited with code {death['exit_code']}"
    return "ended"
