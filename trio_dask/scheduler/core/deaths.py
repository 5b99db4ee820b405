"""What is known of the deaths of processes that ran a task: checked, kept in bounds, told in words."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

#: Of a task that many processes have died of, so many deaths are kept: the last ones.
KEPT_MAX: Final = 8
#: What is killed for want of memory is tried again so often, alone on its worker.
ALONE_MAX: Final = 1
#: So many of the last lines that a process has written are part of the message.
SHOWN_MAX: Final = 15
_TEXT_MAX: Final = 500
_LINES_MAX: Final = 50
_SAMPLES_MAX: Final = 20
_MIB: Final = 1 << 20
_INT_MAX: Final = 1 << 53


@dataclass(slots=True, eq=False)
class Deaths:
    """The deaths that one task has seen."""

    unexplained: int = 0
    starved: int = 0  # for want of memory
    kept: list[dict[str, Any]] = field(default_factory=list)

    def add(self, death: dict[str, Any]) -> None:
        """One more; of those before it what they wrote is let go of."""
        if death.get("oom"):
            self.starved += 1
        else:
            self.unexplained += 1
        if self.kept:
            self.kept[-1].pop("output", None)
            self.kept[-1].pop("memory", None)
        self.kept.append(death)
        del self.kept[:-KEPT_MAX]


def death_of(certificate: dict[str, Any], attempt: int, worker: str) -> dict[str, Any]:
    """The death that this attempt saw, from what its worker says: as much of it as makes sense."""
    checked = {
        name: value
        for name, check in _SAID.items()
        if (value := check(certificate.get(name))) is not None
    }
    ran_s = _time(dict(_pairs(certificate.get("running"))).get(attempt))
    death = {"worker": worker, "attempt": attempt, **checked}
    return death if ran_s is None else death | {"ran_s": ran_s}


def _text(said: object) -> str | None:
    return _printable(said[:_TEXT_MAX]) if type(said) is str and said else None


def _printable(text: str) -> str:
    return text if text.isprintable() else ascii(text)[1:-1]


def _whole(said: object) -> int | None:
    return said if type(said) is int and abs(said) < _INT_MAX else None


def _time(said: object) -> float | None:
    is_one = type(said) in (int, float) and 0 <= said < _INT_MAX  # type: ignore[operator]
    return said if is_one else None  # type: ignore[return-value]


def _flag(said: object) -> bool | None:
    return True if said is True else None


def _pairs(said: object) -> list[tuple[Any, Any]]:
    """The rows that are two numbers."""
    rows = said if type(said) is list else []
    pairs = [tuple(row) for row in rows if type(row) is list and len(row) == 2]
    return [pair for pair in pairs if {int, float}.issuperset(map(type, pair))]


def _memory(said: object) -> list[list[Any]] | None:
    samples = [list(pair) for pair in _pairs(said) if _time(pair[0]) is not None]
    return samples[-_SAMPLES_MAX:] or None


def _output(said: object) -> list[str] | None:
    lines = said[-_LINES_MAX:] if type(said) is list else []
    texts = [line[:_TEXT_MAX] for line in lines if type(line) is str]
    return list(map(_printable, texts)) or None


#: What a death certificate may say; anything else is not taken from a worker.
_SAID: Final[dict[str, Callable[[object], Any]]] = {
    "host": _text,
    "pid": _whole,
    "exit_code": _whole,
    "signal": _whole,
    "reason": _text,
    "oom": _flag,
    "lasted_s": _time,
    "rss": _whole,
    "peak_rss": _whole,
    "memory": _memory,
    "output": _output,
}


# ---------------------------------------------------------------- in words


def told(key: str, deaths: Deaths) -> str:
    """Why a task is given up: a line for each death, and what the last process wrote last."""
    count = deaths.unexplained + deaths.starved
    if deaths.starved > ALONE_MAX:
        head = f"{key} ran out of memory, also when nothing else ran on its worker:"
    elif count > 1:
        head = f"{key} was running each of the {count} times its process died:"
    else:
        head = f"{key} was running when its process died:"
    first = count - len(deaths.kept) + 1
    lines = [head]
    if first > 1:
        lines.append(f"  ({first - 1} earlier ones are left out)")
    lines += (f"  {number}. {described(death)}" for number, death in enumerate(deaths.kept, first))
    output = deaths.kept[-1].get("output", [])
    if output:
        shown = output[-SHOWN_MAX:]
        all_ = f", of {len(output)} in `deaths`" if len(shown) < len(output) else ""
        lines.append(f"The last lines that it wrote{all_}:")
        lines += (f"  | {line}" for line in shown)
    return "\n".join(lines)


def described(death: dict[str, Any]) -> str:
    """One death in a line."""
    parts = [death.get("reason") or _how(death)]
    if "ran_s" in death or "lasted_s" in death:
        parts.append(f"after {death.get('ran_s', death.get('lasted_s')):.1f} s")
    parts.append(f"on worker {death['worker']}")
    if "host" in death:
        parts.append(f"(host {death['host']}, pid {death.get('pid', '?')})")
    line = " ".join(parts)
    rss, peak = death.get("rss"), death.get("peak_rss")
    if peak is not None:
        return f"{line}, with {peak / _MIB:.1f} MiB at most"
    return line if rss is None else f"{line}, last seen with {rss / _MIB:.1f} MiB"


def _how(death: dict[str, Any]) -> str:
    if death.get("signal"):
        return f"killed by signal {death['signal']}"
    if "exit_code" in death:
        return f"exited with code {death['exit_code']}"
    return "ended"
