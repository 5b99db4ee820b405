"""What viewers are told: a picture of all, and then what has changed since.

There is one feed for all viewers. At each turn it compares the cluster with what it has told,
and keeps the difference for a while; a viewer takes what came since the last it has, joined to
one, or a new picture when it has been away for too long. So a viewer has no queue of its own,
and a slow one costs no more than a quick one. What one turn may say is bounded: of a thousand
workers some are told of now and the others next time, those that have waited longest first.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from trio_dask.dashboard.view import View

#: The version of what is said: another one when a reader of this one would not understand it.
VERSION: Final = 1
#: How often there is a turn, seconds.
TURN_S: Final = 0.5
#: So many differences are kept for viewers that lag, or come back.
KEPT: Final = 40
#: Rows in one turn.
WORKERS_MAX: Final = 100
NEW_WORKERS_MAX: Final = 200
GROUPS_MAX: Final = 25
#: Blocks of the task stream that a newcomer is shown.
_BLOCKS_KEPT: Final = 1_500
#: Points of the past, and how far apart they are, seconds.
POINTS: Final = 300
POINT_S: Final = 2.0
#: A count of all tasks is begun so often at most, and takes this share of the time at most.
CENSUS_S: Final = 0.45
CENSUS_SHARE: Final = 0.02

POINT_COLUMNS: Final = ("t", "rate", "processing", "queued", "memory", "busy", "workers")
BLOCK_COLUMNS: Final = (
    "worker", "lane", "began", "seconds", "group", "count", "status", "task",
)  # fmt: skip

Delta = dict[str, Any]


class Table:
    """Rows that viewers know, and what of them has changed."""

    def __init__(self, rows_max: int) -> None:
        self.rows_max = rows_max
        #: As they were told, those told longest ago first.
        self.told: dict[Any, tuple[Any, ...]] = {}

    def turn(
        self,
        rows: Mapping[Any, tuple[Any, ...]],
        *,
        everything: bool = False,
        looks: Callable[[tuple[Any, ...]], Any] | None = None,
    ) -> tuple[dict[Any, Any], list[Any]]:
        """Rows to be told now, known ones and new ones alike, and those that are gone.

        `looks`: what of a row is worth telling; where it is the same, nothing is said.
        """
        rows_max = len(rows) if everything else self.rows_max
        gone = [key for key in self.told if key not in rows]
        for key in gone:
            del self.told[key]
        changed: dict[Any, Any] = {}
        for key, before in self.told.items():
            row = rows[key]
            if row != before and (looks is None or looks(row) != looks(before)):
                changed[key] = row
                if len(changed) >= rows_max:
                    break
        for key in changed:
            del self.told[key]
        if len(changed) < rows_max:
            for key in rows:
                if key not in self.told and key not in changed:
                    changed[key] = rows[key]
                    if len(changed) >= rows_max:
                        break
        self.told.update(changed)
        return changed, gone


class Feed:
    """The state of what is told, for any number of viewers. Pure: `now` comes in."""

    def __init__(self, view: View) -> None:
        self._view: Final = view
        self._viewers = 0
        self._seq = 0
        #: When the last turn was.
        self.turned = -1.0
        self._finished = (0.0, 0)
        self._totals: dict[str, Any] = {}
        self._workers = Table(WORKERS_MAX)
        self._fixed = Table(NEW_WORKERS_MAX)
        self._groups = Table(GROUPS_MAX)
        self._numbers: dict[str, int] = {}  # of groups, as blocks and rows call them
        self._named = 0
        self._anew = False
        self._kept: deque[Delta] = deque(maxlen=KEPT)
        self._blocks: deque[list[Any]] = deque(maxlen=_BLOCKS_KEPT)
        self._points: deque[tuple[Any, ...]] = deque(maxlen=POINTS)
        self._point: tuple[float, int] | None = None
        self._census: Iterator[None] | None = None
        self._census_due = -1.0
        self._census_cost = 0.0
        #: How late the last turns were, seconds: how long others had to wait, too.
        self.lag_s = 0.0

    # ------------------------------------------------------------ viewers

    @property
    def viewers(self) -> int:
        """How many look."""
        return self._viewers

    @property
    def seq(self) -> int:
        """The number of the last difference."""
        return self._seq

    @property
    def size(self) -> int:
        """How many tasks there are to count."""
        return self._view.size

    def join(self) -> None:
        """One more."""
        self._viewers += 1
        if self._viewers == 1:
            self._view.watch()

    def leave(self) -> None:
        """One less."""
        self._viewers -= 1
        if not self._viewers:
            self._view.unwatch()

    # ------------------------------------------------------------ turns

    def due(self, now: float) -> float:
        """How long until the next turn; zero or less: now."""
        return self.turned + TURN_S - now

    def turn(self, now: float) -> bool:
        """Compare, and keep what has changed; whether anything has."""
        if now - self.turned < TURN_S * 0.9:
            return False
        # Nobody has looked for a while, or ever: who looks now is told everything.
        self._anew = self.turned < 0 or now - self.turned > KEPT * TURN_S
        self.turned = now
        if len(self._numbers) >= _NAMES_MAX:  # made by a program: begin with new ones
            self._numbers.clear()
            self._groups.told.clear()
            self._blocks.clear()
            self._anew = True
        view = self._view
        totals = view.totals()
        totals["rate"] = self._rate(now, totals["finished"])
        totals["lag_ms"] = int(self.lag_s * 1000) if self.lag_s > _LAG_S else 0
        self.lag_s = 0.0
        delta: Delta = {"v": VERSION, "seq": self._seq + 1, "t": self.time(now)}
        told = {key: value for key, value in totals.items() if self._totals.get(key) != value}
        self._totals = totals
        if told:
            delta["totals"] = told
        self._turn_workers(delta, now)
        self._turn_groups(delta)
        self._turn_blocks(delta)
        if len(delta) == _BARE and not self._anew:
            return False
        self._seq += 1
        if self._anew:
            self._kept.clear()
        else:
            self._kept.append(delta)
        return True

    def _turn_workers(self, delta: Delta, now: float) -> None:
        fixed, gone = self._fixed.turn(self._view.worker_fixed(), everything=self._anew)
        known = self._fixed.told
        rows = {k: row for k, row in self._view.worker_rows(now).items() if k in known}
        looks = _roughly if len(rows) > WORKERS_MAX else None
        changed, _ = self._workers.turn(rows, everything=self._anew, looks=looks)
        part = _part(new=fixed, set=changed, gone=gone)
        if part:
            delta["workers"] = part

    def _turn_groups(self, delta: Delta) -> None:
        rows = {self._number(name): row for name, row in self._view.group_rows().items()}
        before = set(self._groups.told)
        changed, gone = self._groups.turn(rows, everything=self._anew)
        names = {number: name for name, number in self._numbers.items()}
        part = _part(new={k: names[k] for k in changed if k not in before}, set=changed, gone=gone)
        if part:
            delta["groups"] = part

    def _turn_blocks(self, delta: Delta) -> None:
        blocks, left_out = self._view.blocks()
        if blocks:
            rows = [self._block(*each) for each in blocks]
            self._blocks += rows
            delta["blocks"] = rows
            used = {row[4] for row in rows} - self._groups.told.keys()
            if used:
                names = {number: name for name, number in self._numbers.items() if number in used}
                delta["names"] = names
        if left_out:
            delta["left_out"] = left_out

    def _block(  # noqa: PLR0913, PLR0917 - the columns of a block
        self, worker: int, lane: int, began: float, seconds: float, name: str,
        count: int, status: int, tid: int, key: str,
    ) -> list[Any]:  # fmt: skip
        task = f"={key}" if key else f"{tid:x}" if tid and seconds >= _NAMED_S else ""
        began_s = round(began - self._view.began, 3)
        number = self._number(name)
        return [worker, lane, began_s, round(seconds, 3), number, count, status, task]

    def _number(self, name: str) -> int:
        number = self._numbers.get(name)
        if number is None:
            self._named += 1
            number = self._numbers[name] = self._named
        return number

    def _rate(self, now: float, finished: int) -> float:
        at, before = self._finished
        self._finished = (now, finished)
        return round((finished - before) / (now - at), 1) if 0 < now - at < _RATE_S else 0.0

    def time(self, now: float) -> float:
        """Seconds since the scheduler began, which is what viewers are told."""
        return round(now - self._view.began, 3)

    # ------------------------------------------------------------ counting

    def census_is_due(self, now: float) -> bool:
        """Whether somebody should count, and nobody does."""
        return self._census is None and now >= self._census_due

    def begin_census(self) -> None:
        """Count all tasks by state, with `census_step`."""
        self._census = self._view.census()
        self._census_cost = 0.0

    def census_step(self, clock: Callable[[], float], now: float) -> bool:
        """A slice of the count, whose cost `clock` tells; whether it goes on."""
        census = self._census
        if census is None:
            return False
        before = clock()
        ended = next(census, _END) is _END
        after = clock()
        self._census_cost += after - before
        if ended:
            self._census = None
            self._census_due = now + max(CENSUS_S, self._census_cost / CENSUS_SHARE)
        return not ended

    def end_census(self) -> None:
        """Who counted is gone, and it may not have come to an end."""
        self._census = None

    # ------------------------------------------------------------ the past

    def sample(self, now: float) -> None:
        """Remember how it is, for curves that begin before somebody looks."""
        totals = self._view.totals()
        at, before = self._point or (now, totals["finished"])
        self._point = (now, totals["finished"])
        rate = (totals["finished"] - before) / (now - at) if now > at else 0.0
        self._points.append(
            (
                round(now - self._view.began, 1), round(rate, 1), totals["processing"],
                totals["queued"], totals["memory"], totals["busy"], totals["workers"],
            )
        )  # fmt: skip

    # ------------------------------------------------------------ what one viewer gets

    def snapshot(self, now: float) -> Delta:
        """All there is, for who comes new; `since` goes on from it."""
        used = {row[4] for row in self._blocks} | self._groups.told.keys()
        return {
            "v": VERSION,
            "seq": self._seq,
            "t": self.time(now),
            "identity": self._view.identity(),
            "totals": self._totals,
            "workers": {"new": dict(self._fixed.told), "set": dict(self._workers.told)},
            "groups": {
                "new": {n: name for name, n in self._numbers.items() if n in self._groups.told},
                "set": dict(self._groups.told),
            },
            "names": {n: name for name, n in self._numbers.items() if n in used},
            "blocks": list(self._blocks),
            "history": list(self._points),
        }

    def stream(self) -> tuple[list[list[Any]], dict[int, str]]:
        """The last blocks, and names of groups by number."""
        return list(self._blocks), {number: name for name, number in self._numbers.items()}

    def since(self, seq: int) -> Delta | None:
        """What has changed since the difference `seq`, as one; None: it takes a snapshot."""
        if not 0 <= seq <= self._seq:
            return None
        missed = [delta for delta in self._kept if delta["seq"] > seq]
        if len(missed) != self._seq - seq:
            return None
        return merged(missed) if len(missed) > 1 else missed[0] if missed else {}


def _roughly(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """A worker among hundreds, as far as one sees a difference."""
    processing, held, memory, cpu, slots, status, silent = row
    busy = min(processing, slots)
    return busy, processing.bit_length(), held.bit_length(), memory >> 7, cpu >> 5, status, silent


def merged(deltas: list[Delta]) -> Delta:
    """Several differences, one after the other, as one.

    >>> first = {"seq": 1, "t": 1.0, "totals": {"tasks": 5}, "blocks": [[1]]}
    >>> second = {"seq": 2, "t": 1.5, "totals": {"tasks": 4}, "blocks": [[2]]}
    >>> merged([first, second])
    {'seq': 2, 't': 1.5, 'totals': {'tasks': 4}, 'blocks': [[1], [2]]}
    """
    out: Delta = {}
    for delta in deltas:
        for name, part in delta.items():
            if name in {"workers", "groups"}:
                out[name] = _merged_tables(out.get(name, {}), part)
            elif name in {"totals", "names"}:
                out[name] = {**out.get(name, {}), **part}
            elif name == "blocks":
                out[name] = out.get(name, []) + part
            elif name == "left_out":
                out[name] = out.get(name, 0) + part
            else:
                out[name] = part
    return out


def _merged_tables(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    gone = dict.fromkeys(second.get("gone", ()))
    rows = {
        part: {k: v for k, v in first.get(part, {}).items() if k not in gone} | second.get(part, {})
        for part in ("new", "set")
    }
    returned = rows["new"].keys()
    stay = [key for key in dict.fromkeys([*first.get("gone", ()), *gone]) if key not in returned]
    return _part(**rows, gone=stay)


def _part(**parts: Any) -> dict[str, Any]:
    return {name: part for name, part in parts.items() if part}


_BARE: Final = 3  # v, seq and t
_END: Final = object()
_LAG_S: Final = 0.02
_RATE_S: Final = 5.0
_NAMED_S: Final = 0.05
_NAMES_MAX: Final = 20_000
