"""Death certificates: what is known about the end of a runner process."""

from __future__ import annotations

from typing import Any, Final

#: The numbers of these are the same on all systems with runners; others have no name here.
_SIGNALS: Final = {
    1: "SIGHUP", 2: "SIGINT", 3: "SIGQUIT", 4: "SIGILL", 6: "SIGABRT", 8: "SIGFPE",
    9: "SIGKILL", 11: "SIGSEGV", 13: "SIGPIPE", 14: "SIGALRM", 15: "SIGTERM",
}  # fmt: skip


def certificate(
    status: int | None, *, pid: int, host: str, lasted_s: float, rss: int | None, reason: str = ""
) -> dict[str, Any]:
    """A runner's end, from its wait status as `subprocess` gives it (negative: a signal).

    `status` is None where the process did not end by itself but was given up; `rss` is
    the last known resident size.
    """
    known: dict[str, Any] = {"pid": pid, "host": host, "lasted_s": round(lasted_s, 3)}
    if status is None:
        known["reason"] = reason or "given up"
    elif status < 0:
        known["signal"] = -status
        known["reason"] = f"killed by {_SIGNALS.get(-status, f'signal {-status}')}"
        if status == -9 and not reason:
            known["reason"] += " (from outside: the system does so too when memory runs out)"
    else:
        known["exit_code"] = status
        known["reason"] = f"exited with code {status}"
    if reason and status is not None:
        known["reason"] += f" ({reason})"
    if rss is not None:
        known["rss"] = rss
    return known
