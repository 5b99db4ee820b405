"""Feeding a log to cores anew: do they decide the same, and is what must be true true?"""

from __future__ import annotations

import traceback
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from trio_dask.errors import RemoteProtocolError

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_dask.eventlog.reading import LogReader, Record


class Replayed(Protocol):
    """The cores of a role, made anew."""

    def apply(self, record: Record) -> str:
        """Tell them; what they now say otherwise than then, or nothing.

        Raises:
            RemoteProtocolError: that is nothing one could tell them.
        """

    def broken(self) -> list[str] | None:
        """Rules that do not hold; None at a moment at which they need not."""

    @property
    def size(self) -> int:
        """How much `broken` has to look at."""

    def summary(self) -> dict[str, str]:
        """What there is to see at the end."""


@dataclass(frozen=True, slots=True)
class Violation:
    """What is wrong, and since which event."""

    number: int
    what: str
    text: str

    def __str__(self) -> str:
        return f"event {self.number} ({self.what}): {self.text}"


@dataclass(slots=True)
class Outcome:
    """How far a log went, and what was found."""

    events: int = 0
    looks: int = 0
    began: float | None = None
    ended: float = 0.0
    torn: int = 0
    violations: list[Violation] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """The time between the first event and the last."""
        return 0.0 if self.began is None else self.ended - self.began


#: So many bytes of the log are worth looking at one more thing.
_BYTES_A_LOOK: Final = 8


def replay(
    log: LogReader,
    cores: Replayed,
    *,
    every: int | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> Outcome:
    """Tell `cores` all of it, up to the first event that shows that something is wrong.

    The rules are looked at after each `every`-th event; by default after each one while the
    tables are small, and less often as they grow, so that it takes no longer than the rest.

    Raises:
        RemoteProtocolError: the log is damaged.
    """
    outcome = Outcome()
    next_number = next_position = 0
    for record in log:
        outcome.events = record.number
        event = record.event
        if event.now:
            outcome.began = event.now if outcome.began is None else outcome.began
            outcome.ended = event.now
        found = _apply(cores, record)
        due = record.number >= next_number and log.position >= next_position
        if due and not found:
            broken = cores.broken()
            if broken is not None:
                next_number = record.number + (every or 1)
                next_position = log.position + (0 if every else _BYTES_A_LOOK * cores.size)
                outcome.looks += 1
                found = broken
        if found:
            outcome.violations = [Violation(record.number, event.what, text) for text in found]
            break
        if on_progress is not None:
            on_progress(log.nbytes)
    outcome.torn = log.torn
    return outcome


def _apply(cores: Replayed, record: Record) -> list[str]:
    try:
        found = cores.apply(record)
    except RemoteProtocolError as error:
        msg = f"event {record.number} cannot be replayed: {error}"
        raise RemoteProtocolError(msg) from error
    except Exception as error:  # noqa: BLE001 - whatever a core raises is what was looked for
        frame = traceback.extract_tb(error.__traceback__)[-1]
        return [f"{type(error).__name__}: {error} ({frame.filename}:{frame.lineno})"]
    return [found] if found else []
