"""Death certificates: what is known about the end of a runner process."""

from __future__ import annotations

from typing import Any, Final

#: The numbers of these are the same on all systems with runners; others have no name here.
_SIGNALS: Final = {
    1: "SIGHUP", 2: "SIGINT", 3: "SIGQUIT", 4: "SIGILL", 6: "SIGABRT", 8: "SIGFPE",
    9: "SIGKILL", 11: "SIGSEGV", 13: "SIGPIPE", 14: "SIGALRM", 15: "SIGTERM",
}  # fmt: skip
#: Of a runner that was doing more at a time, not all is told.
_RUNNING_MAX: Final = 64
_REASON_MAX: Final = 400


def certificate(  # noqa: PLR0913 - all that can be known
    status: int | None,
    *,
    pid: int,
    host: str,
    lasted_s: float,
    rss: int | None,
    reason: str = "",
    on_purpose: bool = False,
    oom: bool = False,
    peak_rss: int | None = None,
    memory: list[list[float]] | None = None,
    running: list[tuple[int, float]] | None = None,
    output: list[str] | None = None,
) -> dict[str, Any]:
    """A runner's end, from its wait status as `subprocess` gives it (negative: a signal).

    Args:
        status: None where the process did not end by itself but was given up.
        pid: its process.
        host: the machine.
        lasted_s: how long it lived.
        rss: its resident size when it was last looked at,
        peak_rss: and the largest it had, where that is known.
        reason: what it did wrong, or why we have ended it.
        on_purpose: whether we have, so that nobody is to blame.
        oom: whether the system has killed it for want of memory.
        memory: samples of its resident size, each with so many seconds before the end.
        running: attempts that were running, and for how long.
        output: the last lines that it has written.
    """
    known: dict[str, Any] = {"pid": pid, "host": host, "lasted_s": round(lasted_s, 3)}
    reason = reason[:_REASON_MAX]
    if status is None:
        known["reason"] = reason or "given up"
    elif status < 0:
        known["signal"] = -status
        known["reason"] = f"killed by {_SIGNALS.get(-status, f'signal {-status}')}"
        if oom:
            known["reason"] += " for want of memory"
        elif status == -9 and not reason:
            known["reason"] += " (from outside: the system does so too when memory runs out)"
    else:
        known["exit_code"] = status
        known["reason"] = f"exited with code {status}"
    if reason and status is not None:
        known["reason"] += f" ({reason})"
    sizes = {"rss": rss, "peak_rss": peak_rss}
    known |= {name: size for name, size in sizes.items() if size is not None}
    known |= {name: True for name, is_so in (("oom", oom), ("on_purpose", on_purpose)) if is_so}
    if running:
        known["running"] = [[each, round(ran_s, 3)] for each, ran_s in running[:_RUNNING_MAX]]
    lists = {"memory": memory, "output": output}
    return known | {name: rows for name, rows in lists.items() if rows}
