"""Changes to conversations that leave most of them meaningful.

Random bytes end in the first check of the decoder. So whole messages are added, left
out and moved, and single values of them are changed into those that are close to them,
that occur elsewhere in the conversation, or that are known to be hard.
"""

from __future__ import annotations

from array import array
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import msgpack

from tests.fuzzing.wire import Rough, put_together, taken_apart
from tests.messages.message_strategies import kinds_of
from trio_dask.messages import message_types

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

INT_MIN, INT_MAX = -(1 << 63), (1 << 63) - 1
HARD_INTS: Final = (0, 1, -1, -2, 2, 7, 1 << 20, 1 << 40, INT_MAX, INT_MIN, (1 << 40) - 1, 1 << 62)
HARD_FLOATS: Final = (0.0, -1.0, 1e308, float("inf"), float("-inf"), float("nan"), 1e-300)
HARD_TEXTS: Final = (
    "",
    " ",
    "a b",
    "\ud800",
    "x" * 300,
    "w0",
    "tcp://w0:1 tcp://w1:1",
    "tcp://w1:1",
)
HARD_PLAIN: Final[tuple[Any, ...]] = (
    None,
    True,
    -1,
    0,
    1,
    0.5,
    float("nan"),
    "",
    [],
    {},
    b"",
    1 << 63,
    ["w0"],
    "GPU",
)


_COLUMNS: Final = frozenset(("int64", "float64", "strs", "blobs"))


@cache
def _kinds(tag: int) -> tuple[Any, ...]:
    kind = message_types().get(tag)
    return () if kind is None else tuple(kinds_of(kind).values())


def mutated(data: bytes, chance: random.Random, others: list[bytes]) -> bytes:
    """`data` with one to four changes; `others` are conversations to borrow messages from."""
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        frames = taken_apart(data) if chance.random() < 0.9 else None
        if not frames:
            changed = _table_changed(data, chance) if chance.random() < 0.8 else None
            data = changed or _bytes_changed(data, chance, others)
        else:
            _conversation_changed(frames, chance, others)
            try:
                data = put_together(frames)
            except Exception:  # noqa: BLE001 - a change that cannot be said is none
                continue
    return data


def _table_changed(data: bytes, chance: random.Random) -> bytes | None:
    """A list of rows that is no frame, as failures are, with one cell or row changed."""
    try:
        rows = msgpack.unpackb(data, strict_map_key=False, unicode_errors="surrogatepass")
        row = chance.choice(rows)
        how = chance.randrange(8)
        if how == 0:
            rows.insert(chance.randrange(len(rows) + 1), list(row))
        elif how == 1:
            rows.remove(row)
        else:
            at = chance.randrange(len(row))
            row[at] = chance.choice([*_like(row[at], len(rows)), *HARD_PLAIN])
        out: bytes = msgpack.packb(rows, use_bin_type=True, unicode_errors="surrogatepass")
    except Exception:  # noqa: BLE001 - it is no table
        return None
    return out


def _like(cell: object, count: int) -> list[Any]:
    """Values of the same type, so that it may be right."""
    if type(cell) is int:
        return list(range(-2, count + 2))
    if type(cell) is str:
        return [*HARD_TEXTS, "OSError", "KeyboardInterrupt", "ExceptionGroup", "UnicodeDecodeError",
                "trio_dask.errors.RemoteError", "trio_dask.errors.DataLost", "builtins.int"]  # fmt: skip
    if type(cell) is list:
        return [[], [0], [0, 0], [0, 1], ["note"], [-1], [count]]
    if type(cell) is bytes:
        return [b""]
    return [not cell, {}, {"key": []}, {"host": "h"}]


def _bytes_changed(data: bytes, chance: random.Random, others: list[bytes]) -> bytes:
    at = chance.randrange(len(data) + 1)
    how = chance.randrange(5)
    if how == 0 and data:
        at = min(at, len(data) - 1)
        return data[:at] + bytes([data[at] ^ (1 << chance.randrange(8))]) + data[at + 1 :]
    if how == 1:
        return data[:at] + data[at + chance.randrange(1, 9) :]
    if how == 2:
        return data[:at] + chance.randbytes(chance.randrange(1, 9)) + data[at:]
    if how == 3 and others:
        other = chance.choice(others)
        return data[:at] + other[chance.randrange(len(other) + 1) :]
    end = min(len(data), at + chance.randrange(1, 17))
    return data[:end] + data[at:end] + data[end:]


def _conversation_changed(frames: list[Rough], chance: random.Random, others: list[bytes]) -> None:
    how = chance.random()
    at = chance.randrange(len(frames))
    if how < 0.08 and len(frames) > 1:
        del frames[at]
    elif how < 0.16:
        frames.insert(chance.randrange(len(frames) + 1), _copied(frames[at]))
    elif how < 0.24:
        other = chance.randrange(len(frames))
        frames[at], frames[other] = frames[other], frames[at]
    elif how < 0.34 and others:
        borrowed = taken_apart(chance.choice(others)) or []
        if borrowed:
            frames.insert(at, _copied(chance.choice(borrowed)))
    else:
        _message_changed(frames, at, chance)


def _copied(rough: Rough) -> Rough:
    return [list(row) for row in rough[0]], list(rough[1])


def _message_changed(frames: list[Rough], at: int, chance: random.Random) -> None:
    rows, payloads = frames[at]
    rows = [row for row in rows if row and type(row[0]) is int]
    if not rows:
        return
    row = chance.choice(rows)
    kinds = _kinds(row[0])
    if len(kinds) != len(row) - 1 or not kinds:
        row.append(chance.choice(HARD_PLAIN))
        return
    if chance.random() < 0.02:
        row[0] = chance.choice(list(message_types()))
        return
    pool = _numbers(frames)
    # A row of all columns at once, so that they stay of one length.
    if chance.random() < 0.3 and not _COLUMNS.isdisjoint(kinds):
        _rows_changed(row, kinds, chance)
        return
    field = chance.randrange(len(kinds))
    change = _CHANGES.get(kinds[field])
    if kinds[field] == "payloads" and type(row[field + 1]) is int:
        if chance.random() < 0.5:
            payloads.append(chance.randbytes(3))
            row[field + 1] += 1
        elif payloads and row[field + 1]:
            payloads.pop()
            row[field + 1] -= 1
    elif change is not None:
        row[field + 1] = change(row[field + 1], chance, pool)


def _rows_changed(row: list[Any], kinds: tuple[Any, ...], chance: random.Random) -> None:
    """Repeat, drop or exchange the same row in every column."""
    how = chance.randrange(3)
    one, other = chance.randrange(4), chance.randrange(4)
    for field, kind in enumerate(kinds, 1):
        if kind in ("int64", "float64"):
            if type(row[field]) is not bytes or len(row[field]) % 8:
                continue
            column: Any = [row[field][at : at + 8] for at in range(0, len(row[field]), 8)]
            _row_changed(column, how, one, other)
            row[field] = b"".join(column)
        elif kind in ("strs", "blobs") and type(row[field]) is list:
            _row_changed(row[field], how, one, other)


def _row_changed(column: list[Any], how: int, one: int, other: int) -> None:
    if one >= len(column):
        return
    if how == 0:
        column.append(column[one])
    elif how == 1:
        del column[one]
    elif other < len(column):
        column[one], column[other] = column[other], column[one]


def _numbers(frames: list[Rough]) -> list[int]:
    """Numbers that occur in the conversation: ids, attempts, serials."""
    found: dict[int, None] = {}
    for rows, _ in frames:
        for row in rows:
            if not row or type(row[0]) is not int:
                continue
            for kind, value in zip(_kinds(row[0]), row[1:], strict=False):
                if kind == "int64" and type(value) is bytes and len(value) % 8 == 0:
                    found.update(dict.fromkeys(array("q", value[:80])))
                elif type(value) is int and INT_MIN <= value <= INT_MAX:
                    found[value] = None
    return list(found)


def _number(before: int, chance: random.Random, pool: list[int]) -> int:
    how = chance.randrange(4)
    if how == 0 and pool:
        return chance.choice(pool)
    if how == 1:
        return chance.choice(HARD_INTS)
    return max(INT_MIN, min(INT_MAX, before + chance.choice((-2, -1, 1, 2, 1 << 40))))


def _words_changed(code: str) -> Callable[[Any, random.Random, list[int]], Any]:
    def change(raw: Any, chance: random.Random, pool: list[int]) -> Any:
        if type(raw) is not bytes or len(raw) % 8:
            return b""
        words: Any = array(code, raw)
        how = chance.randrange(5)
        if how == 0 and words:
            words.pop(chance.randrange(len(words)))
        elif how == 1 or not words:
            value = chance.choice([*pool, *HARD_INTS])
            words.append(value if code == "q" else chance.choice(HARD_FLOATS))
        else:
            at = chance.randrange(len(words))
            words[at] = (
                _number(int(words[at]), chance, pool) if code == "q" else chance.choice(HARD_FLOATS)
            )
        return words.tobytes()

    return change


def _list_changed(hard: tuple[Any, ...]) -> Callable[[Any, random.Random, list[int]], Any]:
    def change(raw: Any, chance: random.Random, _: list[int]) -> Any:
        out = list(raw) if type(raw) is list else []
        how = chance.randrange(4)
        if how == 0 and out:
            out.pop(chance.randrange(len(out)))
        elif how == 1 or not out:
            out.append(chance.choice(hard))
        else:
            out[chance.randrange(len(out))] = chance.choice(hard)
        return out

    return change


def _plain_changed(raw: Any, chance: random.Random, pool: list[int]) -> Any:
    out = dict(raw) if type(raw) is dict else {}
    how = chance.randrange(5)
    key = chance.choice([*out, *OPTIONS])
    if how == 0:
        out.pop(key, None)
    elif how == 1:
        deep: Any = chance.choice(HARD_PLAIN)
        for _ in range(chance.choice((1, 3, 100, 253, 255))):
            deep = [deep] if chance.random() < 0.5 else {"a": deep}
        out[key] = deep
    else:
        out[key] = chance.choice([*HARD_PLAIN, *pool, {"GPU": 1}, {"GPU": 0.1}, ["w0", "w1"]])
    return out


#: Names that mean something in one of the trees of plain values.
OPTIONS: Final = (
    "priority", "retries", "workers", "allow_other_workers", "resources", "n", "tids", "GPU",
    "reason", "signal", "exit_code", "host", "pid", "on_cancel", "on_purpose",
)  # fmt: skip

_CHANGES: Final[dict[Any, Callable[[Any, random.Random, list[int]], Any]]] = {
    "int64": _words_changed("q"),
    "float64": _words_changed("d"),
    "strs": _list_changed(HARD_TEXTS),
    "blobs": _list_changed((b"", b"x", bytes(300), b"\x80\x05N.")),
    "plain": _plain_changed,
    int: lambda raw, chance, pool: _number(raw if type(raw) is int else 0, chance, pool),
    bool: lambda raw, chance, pool: not raw,
    float: lambda raw, chance, pool: chance.choice(HARD_FLOATS),
    str: lambda raw, chance, pool: chance.choice([*HARD_TEXTS, "flush", "info", "who_has", "counts",
                                                  "wait_for_workers", "nthreads"]),
    bytes: lambda raw, chance, pool: chance.randbytes(4),
}  # fmt: skip
