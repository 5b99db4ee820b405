"""What a worker remembers of what tasks say: of the last attempt, in bounded memory."""

from __future__ import annotations

from typing import Any

import pytest

from trio_dask.errors import RemoteProtocolError
from trio_dask.messages.inquiring import SAID_BYTES_MAX
from trio_dask.messages.speech import LINE_MAX, STDOUT, LastSaid, Spoken, last_said
from trio_dask.worker import speech
from trio_dask.worker.speech import Voices


def spoken(*texts: str, attempt: int = 1, tid: int = 5, missed: int = 0) -> Spoken:
    """What a runner tells of one task."""
    count = len(texts)
    return Spoken(
        [attempt] * count, [tid] * count, [STDOUT] * count, [1.0] * count,
        [missed, *[0] * (count - 1)], list(texts),
    )  # fmt: skip


def asked(voices: Voices, tid: int = 5, **params: Any) -> LastSaid:
    """What is answered."""
    return last_said({"w": voices.answer({"bytes_max": SAID_BYTES_MAX, "tid": tid, **params})})


def texts(said: LastSaid) -> list[str]:
    """The lines alone."""
    return [line.text for line in said.lines]


def test_lines_go_on() -> None:
    """From one message to the next."""
    voices = Voices()
    voices.take(spoken("one\n", "t", missed=2))
    assert texts(asked(voices)) == ["one", "t"]
    voices.take(spoken("wo\n", "three\n"))
    said = asked(voices)
    assert (said.attempt, said.missed, texts(said)) == (1, 2, ["one", "two", "three"])
    assert asked(voices, tid=6) == LastSaid()


def test_a_later_attempt_begins_anew() -> None:
    """And what is said late by an earlier one is nobody's business."""
    voices = Voices()
    voices.take(spoken("old\n", attempt=3))
    voices.take(spoken("new\n", attempt=4))
    voices.take(spoken("late\n", attempt=3))
    assert (asked(voices).attempt, texts(asked(voices))) == (4, ["new"])


@pytest.mark.parametrize(("n", "shown"), [(1, 1), (3, 3), (99, 10), (None, 10), ("x", 10), (0, 10)])
def test_as_many_as_are_asked_for(n: object, shown: int) -> None:
    """The last ones; others are counted."""
    voices = Voices()
    voices.take(spoken(*(f"{number}\n" for number in range(10))))
    said = asked(voices, n=n)
    assert texts(said) == [str(number) for number in range(10 - shown, 10)]
    assert said.missed == 10 - shown


@pytest.mark.parametrize("room", ["x", 0, 50, 100, 1_000, 10_000])
def test_as_many_as_there_is_room_for(room: object) -> None:
    """The last ones."""
    voices = Voices()
    voices.take(spoken(*(f"{number} " + "x" * 90 + "\n" for number in range(100))))
    blob = voices.answer({"tid": 5, "bytes_max": room})
    assert len(blob) <= max(64, room if isinstance(room, int) else 0)
    said = last_said({"w": blob})
    assert said.missed + len(said.lines) == 100
    assert not said.lines or said.lines[-1].text.startswith("99 ")


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those are forgotten who have been silent for longest."""
    monkeypatch.setattr(speech, "CHARACTERS_MAX", 20 * LINE_MAX)
    monkeypatch.setattr(speech, "TASKS_MAX", 10)
    voices = Voices()
    for tid in range(100):
        voices.take(spoken("x\n", tid=tid))
        voices.take(spoken("y\n", tid=0))
    assert [tid for tid in range(100) if asked(voices, tid=tid).lines] == [0, *range(91, 100)]
    for tid in range(100, 120):
        voices.take(spoken(*["x" * LINE_MAX + "\n"] * 7, tid=tid))
    assert [tid for tid in range(120) if asked(voices, tid=tid).lines] == [118, 119]
    voices.take(spoken("again\n", attempt=2, tid=118))
    voices.take(spoken(*["x" * LINE_MAX + "\n"] * 7, tid=120))
    assert [tid for tid in range(121) if asked(voices, tid=tid).lines] == [118, 119, 120]


@pytest.mark.parametrize(
    "message",
    [
        Spoken([1], [5], [4], [1.0], [0], ["x"]),
        Spoken([1], [5], [-1], [1.0], [0], ["x"]),
        Spoken([1], [5], [0], [float("nan")], [0], ["x"]),
        Spoken([1], [5], [0], [1.0], [-1], ["x"]),
        Spoken([1], [5], [0], [1.0], [0], ["x" * (LINE_MAX + 2)]),
    ],
)
def test_what_no_runner_says_ends_it(message: Spoken) -> None:
    """Its code has spoiled it."""
    with pytest.raises(RemoteProtocolError):
        Voices().take(message)
