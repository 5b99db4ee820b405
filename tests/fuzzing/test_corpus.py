"""The corpus and a bounded number of mutations of it, the same in every run."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

from tests.fuzzing.fuzz import Tally, corpus, guarded, place_of
from tests.fuzzing.mutating import mutated
from tests.fuzzing.seeds import CONVERSATIONS, everything, seeds
from tests.fuzzing.targets import TARGETS
from tests.fuzzing.wire import heard, put_together, said, taken_apart
from trio_dask.comm import LocalLoans, handshake
from trio_dask.comm.chunks import Unpacking
from trio_dask.messages import columns, message_types
from trio_dask.scheduler.core import fleet
from trio_dask.worker.core import attempts

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from trio_dask.messages.sealing import Returned

#: Mutations of each target, by how long one takes: together some ten seconds.
COUNTS = {
    "handshake_accepting": 3000,
    "handshake_connecting": 3000,
    "header": 5000,
    "failure": 5000,
    "texts": 100,
    "files": 100,
    "hostile_client": 800,
    "hostile_worker": 800,
}


@pytest.mark.parametrize("target", TARGETS)
def test_what_is_in_the_corpus(target: str) -> None:
    """Conversations that are understood, and all that was ever choked on."""
    for data in (*seeds(target), *corpus(target)):
        TARGETS[target](data)


@pytest.mark.parametrize("target", TARGETS)
def test_mutations(target: str) -> None:
    """Each target withstands what is close to what it understands."""
    known = [*seeds(target), *corpus(target)]
    chance = random.Random(target)
    for _ in range(COUNTS.get(target, 400)):
        data = mutated(chance.choice(known), chance, known)
        try:
            TARGETS[target](data)
        except Exception as error:
            error.add_note(f"input: {data!r}")
            raise


def return_all(loans: Any, message: Returned) -> None:
    """What believes that everything is back when anything is."""
    for _ in message.numbers:
        for loan in loans._out.values():
            loan.back(clean=True)


def unpack_all(unpacking: Any, data: bytes) -> None:
    """What takes whatever comes out."""
    unpacking.whole += unpacking._undo(unpacking._method, data, unpacking._room)


def always(*_: object) -> bool:
    """What a check says that checks nothing."""
    return True


@pytest.mark.parametrize(
    ("target", "where", "name", "broken"),
    [
        ("handshake_accepting", handshake, "same", always),
        ("hostile_worker", fleet, "is_amount", always),
        ("hostile_scheduler_of_worker", attempts, "_check", always),
        ("header", columns, "_NODES_MAX", -1),
        ("chunks", Unpacking, "_unpack", unpack_all),
        ("hostile_neighbour", LocalLoans, "returned", return_all),
    ],
)
def test_what_is_broken_is_found(
    monkeypatch: pytest.MonkeyPatch, target: str, where: Any, name: str, broken: object
) -> None:
    """Without one of the checks the same mutations fail: they do get that far."""
    monkeypatch.setattr(where, name, broken)
    with pytest.raises(Exception, match=r"."):
        test_mutations(target)


@pytest.mark.parametrize("target", CONVERSATIONS)
def test_conversations_are_understood(target: str) -> None:
    """What the corpus begins with is what peers say, and can be taken apart and put together."""
    messages = CONVERSATIONS[target]()
    data = said(messages)
    assert list(heard(data)) == messages
    frames = taken_apart(data)
    assert frames is not None
    assert put_together(frames) == data


def test_every_message_is_in_a_seed() -> None:
    """What nobody begins with, mutations never get to."""
    types = message_types().values()
    assert {each.__name__ for each in types} - {
        type(each).__name__ for each in everything()
    } == set()


def test_mutations_are_mostly_conversations() -> None:
    """Half of them at least can be decoded, and hardly any is what it was."""
    known = seeds("hostile_client")
    chance = random.Random(1)
    made = [mutated(known[0], chance, known) for _ in range(200)]
    assert sum(_is_heard(data) for data in made) > 100
    assert sum(data != known[0] for data in made) > 180


def _is_heard(data: bytes) -> bool:
    try:
        return bool(list(heard(data)))
    except OSError:
        return False


def test_a_failure_is_kept_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first input that fails in a place becomes a file of the corpus, and the run goes on."""
    monkeypatch.setattr("tests.fuzzing.fuzz.CORPUS", tmp_path)

    def choke(data: bytes) -> None:
        if data:
            raise LookupError(data)

    tally = Tally()
    once: Callable[[bytes], None] = guarded("some", choke, tally)
    for data in (b"", b"one", b"two"):
        once(data)
    assert tally.executions == 3
    assert [path.read_bytes() for path in (tmp_path / "some").iterdir()] == [b"one"]
    assert "LookupError" in capsys.readouterr().out
    assert "LookupError at test_corpus.py" in place_of(_error_of(choke))


def _error_of(run: Callable[[bytes], None]) -> Exception:
    try:
        run(b"x")
    except LookupError as error:
        return error
    raise AssertionError
