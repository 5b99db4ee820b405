"""Graphs whose costs are known, and the workers that they are for."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_MB: Final = 1_000_000
_WORKERS: Final = 8


@dataclass(frozen=True, slots=True)
class Piece:
    """A task: what it is called, how long it takes, how large its value is, what it needs."""

    kind: str
    seconds: float
    nbytes: int
    deps: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Puzzle:
    """Tasks in the order of their submission, and workers: how slow, and who comes late, when."""

    pieces: list[Piece]
    paces: tuple[float, ...] = (1.0,) * _WORKERS
    late: dict[int, float] = field(default_factory=dict)

    def bound_s(self) -> float:
        """No order is faster: all the work on all workers, or the longest way through it."""
        fastest = min(self.paces)
        ends: list[float] = []
        for piece in self.pieces:
            begins = max((ends[dep] for dep in piece.deps), default=0.0)
            ends.append(begins + piece.seconds * fastest)
        work = sum(piece.seconds for piece in self.pieces)
        rates = sum(1 / pace for pace in self.paces)
        missed = sum(when / self.paces[number] for number, when in self.late.items())
        return max(*ends, (work + missed) / rates)


def merge() -> Puzzle:
    """Many, and one that needs them all."""
    pieces = [Piece("load", 0.1, _MB)] * 200
    return Puzzle([*pieces, Piece("merge", 0.1, _MB, tuple(range(200)))])


def tree() -> Puzzle:
    """Pairs, until one is left."""
    pieces = [Piece("load", 0.1, 5 * _MB)] * 256
    level = list(range(256))
    while len(level) > 1:
        pairs = zip(level[::2], level[1::2], strict=True)
        level = []
        for pair in pairs:
            level.append(len(pieces))
            pieces.append(Piece("add", 0.05, 5 * _MB, pair))
    return Puzzle(pieces)


def crossbar() -> Puzzle:
    """A task for each row and column."""
    pieces = [Piece("load", 0.1, 5 * _MB)] * 40
    pieces += [
        Piece("cross", 0.05, _MB, (row, column)) for row in range(20) for column in range(20, 40)
    ]
    return Puzzle(pieces)


def stencil() -> Puzzle:
    """Cells that need their neighbours of the step before."""
    cells, pieces = 32, [Piece("load", 0.05, 5 * _MB)] * 32
    for step in range(20):
        before = step * cells
        for cell in range(cells):
            near = {max(cell - 1, 0), cell, min(cell + 1, cells - 1)}
            pieces.append(
                Piece("step", 0.05, 5 * _MB, tuple(before + each for each in sorted(near)))
            )
    return Puzzle(pieces)


def cholesky(tiles: int = 12) -> Puzzle:
    """A matrix is factorised by tiles."""
    pieces = [Piece("load", 0.01, 2 * _MB)] * (tiles * tiles)
    at = {(row, column): row * tiles + column for row in range(tiles) for column in range(tiles)}

    def change(row: int, column: int, kind: str, seconds: float, *others: tuple[int, int]) -> None:
        deps = tuple(at[each] for each in ((row, column), *others))
        at[row, column] = len(pieces)
        pieces.append(Piece(kind, seconds, 2 * _MB, deps))

    for k in range(tiles):
        change(
            k,
            k,
            "factor",
            0.05,
        )
        for row in range(k + 1, tiles):
            change(row, k, "solve", 0.05, (k, k))
        for row in range(k + 1, tiles):
            for column in range(k + 1, row + 1):
                change(row, column, "update", 0.05, (row, k), (column, k))
    return Puzzle(pieces)


def groupby() -> Puzzle:
    """Everything is split, and the parts of a kind put together."""
    parts, groups = 64, 8
    pieces = [Piece("load", 0.1, 16 * _MB)] * parts
    for part in range(parts):
        pieces += [Piece("split", 0.01, 2 * _MB, (part,))] * groups
    for group in range(groups):
        deps = tuple(parts + part * groups + group for part in range(parts))
        pieces.append(Piece("join", 0.2, _MB, deps))
    return Puzzle(pieces)


def varied() -> Puzzle:
    """Tasks of one name that take between 10 ms and 1 s."""
    chance = Random(1)
    return Puzzle([Piece("vary", 10 ** chance.uniform(-2, 0), 1000) for _ in range(400)])


def slow_worker() -> Puzzle:
    """One of the workers takes four times as long."""
    return Puzzle([Piece("work", 0.1, 1000)] * 400, paces=(4.0, *(1.0,) * (_WORKERS - 1)))


def late_workers() -> Puzzle:
    """Half of the workers come when a quarter of the work is done; values are already elsewhere."""
    pieces = [Piece("load", 0.1, 5 * _MB)] * 200
    pieces += [Piece("work", 0.1, _MB, (at,)) for at in range(200)]
    return Puzzle(pieces, late=dict.fromkeys(range(4, _WORKERS), 2.5))


def load_reduce() -> Puzzle:
    """Large pieces, each made small; as a program submits it: first all loads, then the rest."""
    pieces = [Piece("load", 0.1, 100 * _MB)] * 200
    pieces += [Piece("reduce", 0.1, 1000, (at,)) for at in range(200)]
    return Puzzle([*pieces, Piece("total", 0.01, 1000, tuple(range(200, 400)))])


PUZZLES: Final[dict[str, Callable[[], Puzzle]]] = {
    "merge": merge,
    "tree": tree,
    "crossbar": crossbar,
    "stencil": stencil,
    "Cholesky": cholesky,
    "groupby": groupby,
    "varied durations": varied,
    "a slow worker": slow_worker,
    "workers that come late": late_workers,
    "load, then reduce": load_reduce,
}
