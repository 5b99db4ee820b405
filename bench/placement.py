"""How well work is placed: graphs of known costs, played in virtual time with the real scheduler.

The scheduler's core decides; workers of one slot fetch what their next tasks need, one value
after the other, and run what has everything, lowest rank first. Nothing depends on a clock, so the
figures are the same everywhere. ``python -m bench.placement`` prints them.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count
from typing import TYPE_CHECKING, Final

from bench.puzzles import PUZZLES
from trio_dask.messages import session, tasks as words
from trio_dask.messages.ids import first_id
from trio_dask.scheduler.core import CoreSettings, SchedulerCore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bench.puzzles import Piece, Puzzle
    from trio_dask.messages import Message

_CLIENT: Final = 1
_FLIGHT_S: Final = 0.0005
_TICK_S: Final = 0.2
_BANDWIDTH: Final = 500e6
_FIRST: Final = first_id(1)


@dataclass(eq=False)
class Hand:
    """A worker of one slot."""

    peer: int
    address: str
    pace: float
    values: dict[int, int] = field(default_factory=dict)  # bytes by task
    window: dict[int, tuple[int, int, list[int]]] = field(default_factory=dict)  # rank, tid, deps
    wanted: deque[int] = field(default_factory=deque)  # to be fetched
    fetching: int = 0
    running: int = 0  # the attempt
    worked_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a puzzle was solved."""

    makespan_s: float
    bound_s: float  # no order can be faster
    moved: int  # bytes
    made: int  # bytes of all values
    peak: int  # bytes of values held at a time, copies included

    @property
    def times_bound(self) -> float:
        """How near it is to what is possible."""
        return self.makespan_s / self.bound_s


class Town:
    """All that is played."""

    def __init__(self, puzzle: Puzzle) -> None:
        self._pieces: dict[int, Piece] = {
            _FIRST + at: each for at, each in enumerate(puzzle.pieces)
        }
        self._puzzle = puzzle
        self._core = SchedulerCore(CoreSettings(), cluster="placement")
        self._hands: dict[int, Hand] = {}
        self._places: dict[str, Hand] = {}
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        self._now = 0.0
        needed = {dep for piece in puzzle.pieces for dep in piece.deps}
        self._open = {_FIRST + at for at in range(len(puzzle.pieces)) if at not in needed}
        self._moved = self._peak = 0

    def solve(self) -> Outcome:
        """Play until all that is wanted is there."""
        self._core.client_joined(_CLIENT, session.RegisterClient("client"))
        for number, pace in enumerate(self._puzzle.paces):
            comes_s = self._puzzle.late.get(number, 0.0)
            self._after(comes_s, lambda number=number, pace=pace: self._join(number, pace))  # type: ignore[misc]
        self._after(0.001, self._submit)
        self._after(_TICK_S, self._tick)
        while self._open:
            self._now, _, act = heappop(self._agenda)
            act()
            self._peak = max(self._peak, sum(sum(h.values.values()) for h in self._hands.values()))
        made = sum(piece.nbytes for piece in self._puzzle.pieces)
        return Outcome(self._now, self._puzzle.bound_s(), self._moved, made, self._peak)

    def _after(self, seconds: float, act: Callable[[], None]) -> None:
        heappush(self._agenda, (self._now + seconds, next(self._order), act))

    # ------------------------------------------------------------ the scheduler's side

    def _join(self, number: int, pace: float) -> None:
        hand = Hand(_CLIENT + 1 + number, f"tcp://w{number}:1", pace)
        self._hands[hand.peer] = self._places[hand.address] = hand
        joined = session.RegisterWorker(f"w{number}", hand.address, 1, 0, {}, {})
        self._core.worker_joined(hand.peer, joined, self._now)
        self._flush()

    def _submit(self) -> None:
        kinds = list(dict.fromkeys(piece.kind for piece in self._puzzle.pieces))
        fids = {kind: _FIRST + at for at, kind in enumerate(kinds)}
        self._hear(_CLIENT, words.Functions(list(fids.values()), kinds, [b"code"] * len(kinds)))
        pieces = self._puzzle.pieces
        counts = [len(piece.deps) for piece in pieces]
        deps = [_FIRST + dep for piece in pieces for dep in piece.deps]
        submit = words.Submit(
            _FIRST, [fids[piece.kind] for piece in pieces], [b"x"] * len(pieces), counts, deps, [],
            [], wanted=True, options={},
        )  # fmt: skip
        self._hear(_CLIENT, submit)
        self._hear(_CLIENT, words.Release([tid for tid in self._pieces if tid not in self._open]))

    def _tick(self) -> None:
        self._core.tick(self._now)
        self._flush()
        self._after(_TICK_S, self._tick)

    def _hear(self, peer: int, message: Message) -> None:
        self._core.handle(peer, message, self._now)
        while self._core.busy:
            self._core.work()
        self._flush()

    def _say(self, hand: Hand, message: Message) -> None:
        self._after(_FLIGHT_S, lambda: self._hear(hand.peer, message))

    def _flush(self) -> None:
        for peer, messages in self._core.flush(self._now):
            if peer == _CLIENT:
                for each in messages:
                    if isinstance(each, words.Finished):
                        self._open.difference_update(each.tids)
                continue
            hand = self._hands[peer]
            for message in messages:
                self._after(_FLIGHT_S, lambda hand=hand, message=message: self._told(hand, message))  # type: ignore[misc]

    # ------------------------------------------------------------ a worker's side

    def _told(self, hand: Hand, message: Message) -> None:
        if isinstance(message, words.Run):
            for attempt, tid, rank in zip(
                message.attempts, message.tids, message.ranks, strict=True
            ):
                deps = [_FIRST + dep for dep in self._pieces[tid].deps]
                hand.window[attempt] = rank, tid, deps
                hand.wanted.extend(dep for dep in deps if dep not in hand.values)
            self._go_on(hand)
        elif isinstance(message, words.Recall):
            back = [
                each for each in message.attempts if each in hand.window and each != hand.running
            ]
            for each in back:
                del hand.window[each]
            if back:
                self._say(hand, words.Returned(back))
        elif isinstance(message, words.Free):
            for tid in message.tids:
                hand.values.pop(tid, None)

    def _go_on(self, hand: Hand) -> None:
        while hand.wanted and not hand.fetching:
            tid = hand.wanted.popleft()
            needed = any(tid in deps for _, _, deps in hand.window.values())
            if tid in hand.values or not needed:
                continue
            hand.fetching = tid
            took = _FLIGHT_S * 2 + self._pieces[tid].nbytes / _BANDWIDTH
            self._after(took, lambda tid=tid: self._fetched(hand, tid))  # type: ignore[misc]
        if hand.running:
            return
        able = [
            (rank, attempt)
            for attempt, (rank, _, deps) in hand.window.items()
            if all(dep in hand.values for dep in deps)
        ]
        if able:
            hand.running = min(able)[1]
            piece = self._pieces[hand.window[hand.running][1]]
            seconds = piece.seconds * hand.pace
            self._after(seconds, lambda: self._ran(hand, seconds))

    def _fetched(self, hand: Hand, tid: int) -> None:
        hand.fetching = 0
        hand.values[tid] = self._pieces[tid].nbytes
        self._moved += hand.values[tid]
        self._say(hand, words.Replicas([tid]))
        self._go_on(hand)

    def _ran(self, hand: Hand, seconds: float) -> None:
        attempt, hand.running = hand.running, 0
        _, tid, _ = hand.window.pop(attempt)
        nbytes = hand.values[tid] = self._pieces[tid].nbytes
        self._say(hand, words.Done([attempt], [words.OK_HELD], [seconds], [nbytes], [b""]))
        self._go_on(hand)


def outcomes() -> Iterator[tuple[str, Outcome]]:
    """All puzzles, solved."""
    for name, puzzle in PUZZLES.items():
        yield name, Town(puzzle()).solve()


def main() -> None:
    """Print them."""
    print("| | made in | times the bound | moved, of all bytes | held at most, of all bytes |")
    print("|---|---|---|---|---|")
    for name, out in outcomes():
        moved, peak = 100 * out.moved / out.made, 100 * out.peak / out.made
        print(
            f"| {name} | {out.makespan_s:.2f} s | {out.times_bound:.2f} | {moved:.0f} % | {peak:.0f} % |"
        )


if __name__ == "__main__":
    main()
