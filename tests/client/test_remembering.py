"""What a client could describe again, encoded or not yet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trio_dask.client.core import ClientCore
from trio_dask.client.core.submission import Rows
from trio_dask.messages import Message, codec, session, tasks as words

if TYPE_CHECKING:
    import pytest


class Owner:
    """Whose tasks they are."""


def open_core() -> ClientCore:
    """A client that has been welcomed."""
    core = ClientCore("c", Owner(), "s" * 32)
    core.handle([session.Welcome(1, "cluster", 1)])
    return core


def submit(core: ClientCore, args: bytes, **options: float) -> words.Submit:
    """One task, sent by itself."""
    core.submit(core.function("f", b"code"), Rows([args]), dict(options))
    [said] = [each for each in core.flush(0.0)[0] if isinstance(each, words.Submit)]
    return said


def test_what_is_let_go_of_soon_is_encoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """That is when it is sent, which is not the core's to do."""
    encoded: list[object] = []

    def encode(said: list[Message]) -> Any:
        encoded.append(said)
        return codec.encode(said)

    monkeypatch.setattr("trio_dask.client.core.remembering.encode", encode)
    core = open_core()
    for number in range(100):
        first = submit(core, b"%d" % number).first
        core.release([first])
    assert not encoded
    assert len(core.descriptions) <= 16
    for number in range(100):
        submit(core, b"%d" % number)
    assert 80 <= len(encoded) < 100


def test_a_deadline_is_said_again_as_what_is_left_of_what_was_asked_for() -> None:
    """Near ones travel together, and each time what was asked for is the same."""
    core = open_core()
    for number in range(3):
        options = {"deadline": 5.0 + number / 1000, "asked": 60.0 - number / 1000}
        core.submit(core.function("f", b"code"), Rows([b"x"]), options)
    core.submit(core.function("f", b"code"), Rows([b"x"]), {"deadline": 5.004, "asked": 3.0})
    for now in (1.0, 4.0):
        near, other = (each for each in core.flush(now)[0] if isinstance(each, words.Submit))
        assert len(near.args) == 3
        assert near.options == {"deadline": 5.002 - now, "asked": 59.998}
        assert other.options == {"deadline": 5.004 - now, "asked": 3.0}
        core.lost()
        core.resume()
        core.handle([session.Resumed(-1), session.Welcome(1, "cluster", 2)])


def test_all_are_said_again_as_they_were() -> None:
    """However many, and whatever has become of the messages in which they were sent."""
    core = open_core()
    said = [submit(core, b"%d" % number) for number in range(40)]
    late = submit(core, b"late", deadline=5.0)
    assert late.options == {"deadline": 5.0}
    again = list(core.descriptions.said_again())
    assert again == [*said, late]
    assert not any(one is other for one, other in zip(again, said, strict=False))
