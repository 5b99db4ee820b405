"""A scheduler's core with workers that are played here: what it costs, and how long it is deaf.

The core is the real one, and so are the frames from and to it; workers answer at once. Only what
the scheduler would do is timed, in processor time: other programs do not disturb it. As in the
server a *turn* is one frame of one peer, or a few slices of something large, and what is said
then; between two turns everybody else is heard, so the longest turn is how long nobody is.
"""

from __future__ import annotations

import gc
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import process_time
from typing import TYPE_CHECKING, Final

from trio_dask.messages import Buffer, Message, decode, encode, session, tasks as words
from trio_dask.scheduler.core import CoreSettings, SchedulerCore
from trio_dask.scheduler.server import WORK_SLICES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

CLIENT: Final = 1
#: What a task takes, as workers say: so short that they are given many at a time.
_TASK_S: Final = 1e-5
_ANSWER: Final = b"value"
Frame = tuple[bytes, list[Buffer]]


@contextmanager
def no_collector() -> Iterator[None]:
    """As in the server: nothing looks for garbage."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def frame(messages: Iterable[Message]) -> Frame:
    """As it arrives."""
    header, payloads = encode(list(messages))
    return header, [b"".join(each) if isinstance(each, list) else each for each in payloads]


@dataclass
class Crowd:
    """The core, and what has been counted of it.

    Args:
        workers: so many, of one slot each.
        held: whether values stay with the workers, instead of travelling with the news.
    """

    workers: int
    held: bool = False
    core: SchedulerCore = field(
        default_factory=lambda: SchedulerCore(CoreSettings(), cluster="crowd")
    )
    seconds: float = 0.0
    longest_s: float = 0.0
    turns: int = 0
    finished: int = 0
    _said: deque[Frame] = field(default_factory=deque)  # by the client
    _arrived: deque[tuple[int, Frame]] = field(default_factory=deque)  # from workers

    def __post_init__(self) -> None:
        self.core.client_joined(CLIENT, session.RegisterClient("client"))
        for number in range(self.workers):
            self.join(number)
        self.core.flush()

    def join(self, number: int) -> None:
        """One more worker."""
        name = f"w{number}"
        joined = session.RegisterWorker(name, f"tcp://{name}:1", 1, 0, {}, {})
        self.core.worker_joined(CLIENT + 1 + number, joined, 0.0)

    def begin(self) -> Crowd:
        """From here on it is measured."""
        self.seconds = self.longest_s = 0.0
        return self

    # ------------------------------------------------------------ turns

    def turn(self, act: Callable[[], object]) -> None:
        """One turn of the scheduler's loop."""
        began = process_time()
        act()
        told = self.core.flush()
        frames = [encode(messages) for _, messages in told]
        took = process_time() - began
        del frames
        self.seconds += took
        self.turns += 1
        self.longest_s = max(self.longest_s, took)
        for peer, messages in told:
            if peer == CLIENT:
                self.finished += sum(
                    len(each.tids) for each in messages if isinstance(each, words.Finished)
                )
            else:
                answer = list(self._done(messages))
                if answer:
                    self._arrived.append((peer, frame(answer)))

    def hear(self, peer: int, arrived: Frame) -> None:
        """A frame of a peer is a turn."""

        def handle() -> None:
            for message in decode(*arrived):
                self.core.handle(peer, message, 0.0)

        self.turn(handle)

    def say(self, messages: Iterable[Message]) -> None:
        """The client says this, a frame for each."""
        self._said.extend(frame([each]) for each in messages)

    def play(self) -> None:
        """Until nobody has anything to do."""
        with no_collector():
            while self._said or self._arrived or self.core.busy:
                if self.core.busy:
                    self.turn(lambda: self.core.work(WORK_SLICES))
                if self._said:
                    self.hear(CLIENT, self._said.popleft())
                for _ in range(len(self._arrived)):
                    self.hear(*self._arrived.popleft())

    def _done(self, messages: list[Message]) -> Iterator[Message]:
        """What a worker answers that has run everything."""
        for message in messages:
            if isinstance(message, words.Run):
                count = len(message.attempts)
                status = words.OK_HELD if self.held else words.OK_INLINE
                value = b"" if self.held else _ANSWER
                yield words.Done(
                    message.attempts,
                    [status] * count,
                    [_TASK_S] * count,
                    [len(_ANSWER)] * count,
                    [value] * count,
                )
