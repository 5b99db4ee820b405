"""Clients inside tasks have no connection: what they say comes by their worker's, in envelopes."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Final

from trio_dask.errors import RemoteProtocolError
from trio_dask.messages import decode, encode
from trio_dask.messages.nested import Nested, NestedJoin
from trio_dask.messages.session import Goodbye, Refused
from trio_dask.scheduler.core import Misuse

if TYPE_CHECKING:
    from trio_dask.messages import Message
    from trio_dask.scheduler.recording import Core

_REASON_MAX: Final = 1000


class Inside:
    """Which of the core's peers are inside tasks, and the way to each: worker and attempt.

    Their numbers are negative, so they are never those of connections.
    """

    def __init__(self, core: Core) -> None:
        self._core: Final = core
        self._numbers: Final = count(-1, -1)
        self._peers: dict[tuple[int, int], int] = {}
        self._ways: dict[int, tuple[int, int]] = {}
        self._waiting: list[tuple[int, Nested, float]] = []
        self._refused: list[tuple[int, Message]] = []

    def hear(self, worker: int, envelope: Nested, now: float) -> None:
        """What a client inside a task says.

        Who says what makes no sense is refused, and that is the end of this client only.
        While others are on their way back nobody knows whose tasks there are: this waits, too.
        """
        if self._core.state.reunion.recovering:
            self._waiting.append((worker, envelope, now))
        else:
            self._take_in(worker, envelope, now)

    def catch_up(self) -> None:
        """Take in what has waited, if all are back."""
        if self._waiting and not self._core.state.reunion.recovering:
            waiting, self._waiting = self._waiting, []
            for worker, envelope, now in waiting:
                self._take_in(worker, envelope, now)

    def refusals(self) -> list[tuple[int, Message]]:
        """What workers are to be told of clients that were refused, after all else.

        They know by then if the task is over, so that what it makes of this counts for nothing.
        """
        refused, self._refused = self._refused, []
        return refused

    def _take_in(self, worker: int, envelope: Nested, now: float) -> None:
        way = worker, envelope.attempt
        try:
            for message in _opened(envelope):
                peer = self._peers.get(way)
                if peer is not None:
                    if isinstance(message, Goodbye):
                        self._leave(peer, message.reason)
                        break
                    self._core.handle(peer, message, now)
                elif isinstance(message, NestedJoin):
                    self._join(way, message)
                else:
                    raise Misuse("the scheduler does not know this task's client")
        except (Misuse, RemoteProtocolError) as error:
            refused = _envelope(envelope.attempt, [self._refuse(way, str(error))])
            self._refused.append((worker, refused))

    def _join(self, way: tuple[int, int], join: NestedJoin) -> None:
        worker, attempt = way
        if join.attempt != attempt:
            raise Misuse("a client joins for another task")
        peer = next(self._numbers)
        self._core.nested_joined(peer, worker, join)
        self._peers[way], self._ways[peer] = peer, way

    def _refuse(self, way: tuple[int, int], reason: str) -> Refused:
        peer = self._peers.get(way)
        if peer is not None:
            self._leave(peer, reason)
        return Refused(reason[:_REASON_MAX])

    def refuse(self, peer: int, reason: str) -> tuple[int, Message]:
        """A peer that is inside a task has turned out to misbehave: what to say to its worker."""
        worker, attempt = way = self._ways[peer]
        return worker, _envelope(attempt, [self._refuse(way, reason)])

    def _leave(self, peer: int, reason: str) -> None:
        self._core.left(peer, reason)
        self._forget(peer)

    def _forget(self, peer: int) -> None:
        way = self._ways.pop(peer, None)
        if way is not None:
            del self._peers[way]

    def address(self, peer: int, messages: list[Message]) -> tuple[int, Message] | None:
        """What the core says to a peer inside a task, as it is to be said to the worker."""
        way = self._ways.get(peer)
        if way is None:
            return None
        if type(messages[-1]) is Goodbye:
            self._forget(peer)
        worker, attempt = way
        return worker, _envelope(attempt, messages)


def _opened(envelope: Nested) -> list[Message]:
    if len(envelope.frame) != 1:
        msg = f"an envelope with {len(envelope.frame)} frames"
        raise RemoteProtocolError(msg)
    [header] = envelope.frame
    assert not isinstance(header, list), "what arrives is in one piece"
    return decode(header, [])


def _envelope(attempt: int, messages: list[Message]) -> Nested:
    header, _ = encode(messages)
    return Nested(attempt, [header])
