from __future__ import annotations

from contextlib import suppress
from typing import Any

import msgpack
import pytest
from hypothesis import given, strategies as st

from trio_dask.errors import RemoteProtocolError
from trio_dask.messages.failure import NODES_MAX, Failure, walk

TEXTS = st.text(st.characters(exclude_categories=()), max_size=10)


@st.composite
def failures(draw: st.DrawFn) -> Failure:
    """Failures whose parts may be shared between several that refer to them."""
    made: list[Failure] = []
    for _ in range(draw(st.integers(1, 6))):
        earlier = st.none() | st.sampled_from(made) if made else st.none()
        made.append(
            Failure(
                kind=draw(TEXTS),
                message=draw(TEXTS),
                traceback=draw(TEXTS),
                notes=tuple(draw(st.lists(TEXTS, max_size=2))),
                cause=draw(earlier),
                context=draw(earlier),
                suppress_context=draw(st.booleans()),
                children=tuple(draw(st.lists(st.sampled_from(made), max_size=2))) if made else (),
                pickled=draw(st.binary(max_size=5)),
                origin=draw(st.dictionaries(TEXTS, TEXTS | st.integers(0, 9), max_size=2)),
                lead=draw(TEXTS),
            )
        )
    return made[-1]


@given(failures())
def test_a_failure_comes_back_as_it_was(failure: Failure) -> None:
    """All its parts survive the wire, and what was shared is sent once."""
    data = failure.to_bytes()
    assert Failure.from_bytes(data) == failure
    assert len(msgpack.unpackb(data, unicode_errors="surrogatepass")) == len(list(walk(failure)))


def test_shared_causes_do_not_multiply() -> None:
    """A chain in which each is both cause and context of the next grows linearly."""
    failure = Failure("ValueError", "0")
    for number in range(100):
        failure = Failure("ValueError", str(number), cause=failure, context=failure)
    assert len(list(walk(failure))) == 101
    assert len(failure.to_bytes()) < 5000
    found = Failure.from_bytes(failure.to_bytes())
    assert found.cause is found.context


@given(st.binary(max_size=100))
def test_any_bytes_are_a_failure_or_a_protocol_error(data: bytes) -> None:
    """Hostile bytes raise nothing else."""
    with suppress(RemoteProtocolError):
        Failure.from_bytes(data)


GOOD: list[Any] = ["ValueError", "", "", "", [], -1, -1, False, [], b"", {}]


@pytest.mark.parametrize(
    "rows",
    [
        [],
        {},
        [GOOD[:-1]],
        [None],
        [GOOD] * (NODES_MAX + 1),
        [[*GOOD[:5], 0, *GOOD[6:]]],  # its own cause
        [[*GOOD[:6], 1, *GOOD[7:]], GOOD],  # raised from a later one
        [[*GOOD[:5], -2, *GOOD[6:]]],
        [[*GOOD[:8], [0], *GOOD[9:]]],
        [[*GOOD[:8], [True], *GOOD[9:]]],
        [[*GOOD[:4], [1], *GOOD[5:]]],
        [[*GOOD[:7], 0, *GOOD[8:]]],
        [[b"ValueError", *GOOD[1:]]],
    ],
)
def test_hostile_failures_are_refused(rows: Any) -> None:
    """Cycles, references to nothing and wrong types are refused."""
    with pytest.raises(RemoteProtocolError):
        Failure.from_bytes(msgpack.packb(rows))


def test_deep_nesting_is_refused() -> None:
    """Bytes that nest deeper than any reader can follow are refused."""
    with pytest.raises(RemoteProtocolError):
        Failure.from_bytes(b"\x91" * 100_000)
