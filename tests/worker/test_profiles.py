"""What a worker remembers of where time went: bounded, in pieces, and never more than is asked for."""

from __future__ import annotations

from typing import Any

import pytest

from trio_dask.errors import RemoteProtocolError
from trio_dask.messages.inquiring import SAID_BYTES_MAX, Profiled, packed, unpacked
from trio_dask.messages.profiles import Frame, Profile
from trio_dask.worker.profiles import PIECE_S, PIECES, Profiles


def told(*paths: tuple[str, ...], count: int = 1) -> Profiled:
    """What a runner says: below functions of tasks, calls in a file."""
    profile = Profile()
    for name, *inner in paths:
        profile.add([Frame(name), *(Frame(each, "a.py", 1) for each in inner)], count)
    return Profiled([packed(profile.columns(10_000))])


def asked(profiles: Profiles, now: float, **params: Any) -> tuple[dict[str, int], list[Any]]:
    """How often which functions were seen, and when."""
    answer = unpacked(profiles.answer({"bytes_max": SAID_BYTES_MAX, **params}, now))
    assert answer["interval_s"] == 0.01
    profile = Profile()
    profile.merge(answer["profile"])
    return profile.names(), answer["times"]


def test_windows_of_time() -> None:
    """What was seen in the pieces that a window touches is in the answer."""
    profiles = Profiles(0.01)
    for at, name in ((5.0, "early"), (15.0, "late"), (16.0, "late"), (95.0, "now")):
        profiles.take(told((name, "x")), at)
    assert asked(profiles, 100.0)[0] == {"early": 1, "late": 2, "now": 1}
    assert asked(profiles, 100.0, since_s=10.0)[0] == {"now": 1}
    assert asked(profiles, 100.0, since_s=90.0, until_s=81.0)[0] == {"late": 2}
    assert asked(profiles, 100.0, until_s=91.0)[0] == {"early": 1}
    assert asked(profiles, 100.0, name="late")[0] == {"late": 2}
    assert asked(profiles, 100.0)[1] == [
        [100.0, PIECE_S, {"early": 1}], [90.0, PIECE_S, {"late": 2}], [10.0, PIECE_S, {"now": 1}],
    ]  # fmt: skip


def test_long_ago_is_one_piece() -> None:
    """Nothing is forgotten, but when it was."""
    profiles = Profiles(0.01)
    for piece in range(PIECES + 40):
        profiles.take(told(("f",)), piece * PIECE_S)
    names, times = asked(profiles, (PIECES + 40) * PIECE_S)
    assert names == {"f": PIECES + 40}
    assert len(times) == PIECES + 1
    assert times[0] == [(PIECES + 40) * PIECE_S, 40 * PIECE_S, {"f": 40}]


def test_memory_is_bounded() -> None:
    """However many functions call however many others: those seen most are kept."""
    profiles = Profiles(0.01)
    for at in range(5):
        profiles.take(told(*((f"f{n}", f"g{n % 7}") for n in range(2_000))), float(at))
        profiles.take(told(("main", "loop"), count=50), float(at))
    names, _ = asked(profiles, 9.0)
    assert names["main"] == 250
    assert len(names) < 1_500


@pytest.mark.parametrize("room", [0, 100, 300, 1_000, 10_000])
def test_an_answer_has_the_size_that_is_asked_for(room: int) -> None:
    """Or as little as there can be."""
    profiles = Profiles(0.01)
    for at in range(100):
        profiles.take(told(*((f"f{n}", f"g{n}") for n in range(50))), at * PIECE_S)
    said = profiles.answer({"bytes_max": room}, 1000.0)
    assert len(said) <= max(room, 100)


@pytest.mark.parametrize(
    "params", [{"since_s": "x", "until_s": [], "name": 3, "bytes_max": "y"}, {}]
)
def test_questions_that_make_no_sense_are_answered(params: dict[str, Any]) -> None:
    """With little, but never by an error."""
    assert "profile" in unpacked(Profiles(0.0).answer(params, 1.0))


@pytest.mark.parametrize("blob", [b"x", packed({}), bytes(SAID_BYTES_MAX + 1)])
def test_what_is_no_profile_ends_the_runner(blob: bytes) -> None:
    """Its code has spoiled it."""
    with pytest.raises(RemoteProtocolError):
        Profiles(0.0).take(Profiled([blob]), 1.0)
