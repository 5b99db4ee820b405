"""Who reads what the worker says: a thread of its own, or the main thread while it runs nothing.

To read what is to be run, and then run it, is fastest in one thread: no other has to be woken,
and nobody else wants the interpreter's lock. But while a task runs somebody has to read, as
it may have to be stopped. So the two take turns (leader and followers): the main thread reads while
it has no task; the reader looks a few hundred times a second whether it still does, or
is away with a task, and then reads in its place, until it has woken it with a task.
"""

from __future__ import annotations

from queue import Empty, SimpleQueue
from threading import Lock
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from trio_dask.messages import Message
    from trio_dask.runner.slots import Slots

#: A task that takes longer, in seconds, is worth a thread that reads meanwhile.
LOOK_S: Final = 0.002
#: It looks no more when the main thread has waited for the same message for so many looks.
_LOOKS: Final = 25


class Reading:
    """Reading in turns.

    Args:
        incoming: what comes, as many messages at a time as one read gave.
        act: what is done about them; it takes from `incoming` what is not to be read.
        slots: of which the first is the main thread's.
        look_s: how often the reader looks whether somebody reads, seconds.
    """

    def __init__(
        self,
        incoming: Callable[[], Iterator[list[Message]]],
        act: Callable[[list[Message]], None],
        slots: Slots,
        look_s: float = LOOK_S,
    ) -> None:
        self._incoming = incoming
        self._act = act
        self._slots = slots
        self._look_s = look_s
        #: Whether the main thread reads as well.
        self.shared = False
        #: Who has it reads, and acts: the reader at first.
        self._turn = Lock()
        self._turn.acquire()
        self._turns = 0  # of the main thread
        self._bell: SimpleQueue[None] = SimpleQueue()  # for the reader
        self._asleep = False  # whether it looks no more
        self._error: BaseException | None = None

    # ------------------------------------------------------------ the reader

    def run(self) -> None:
        """Read until nothing comes any more; the main thread may do it as well, with `rest`.

        Raises:
            RemoteProtocolError: the worker says what no worker says.
        """
        while self._read_until_handed_over():
            self._turn.release()
            self._watch()
            self._turn.acquire()

    def _read_until_handed_over(self) -> bool:
        """False if nothing comes any more."""
        free = self._slots.seats.free
        while (messages := self._next()) is not None:
            idle = bool(free)
            self._act(messages)
            messages.clear()  # who waits for the next keeps nothing of the last
            if idle and not free and self._main_may_read() and not self._is_much():
                return True  # the main thread has been woken: it reads when it is done
        return False

    def _watch(self) -> None:
        """Come back when the main thread is away for long, or rings."""
        turns, looks = -1, 0
        while True:
            try:
                self._bell.get(timeout=None if self._asleep else self._look_s)
                return
            except Empty:
                pass
            if turns != self._turns:
                turns, looks = self._turns, 0
            elif not self._turn.locked():
                return
            elif looks < _LOOKS:
                looks += 1
            else:
                self._asleep = True  # first: who begins something from now on rings
                if not self._turn.locked():
                    self._asleep = False

    # ------------------------------------------------------------ the main thread

    def rest(self, call: SimpleQueue[int]) -> int:
        """Read until `call` says something, instead of waiting for it."""
        while call.empty() and self._main_may_read() and self._turn.acquire(blocking=False):
            self._turns += 1
            try:
                messages = self._next()
                if messages is not None:
                    self._act(messages)
                    messages.clear()
            except BaseException as error:  # noqa: BLE001 - it is the reader that ends with it
                self._error, messages = error, None
            finally:
                self._turn.release()
            if self._asleep or messages is None or not self._main_may_read() or self._is_much():
                self._asleep = False
                self._bell.put(None)
            if messages is None:
                break
        return call.get()

    def _main_may_read(self) -> bool:
        """Whether nothing but a message can give the main thread something to do.

        Tasks that wait for others, and plugins, have threads of their own that may.
        """
        return self.shared and not self._slots.queue.holds and not self._slots.seats.parked

    # ------------------------------------------------------------ both

    def _is_much(self) -> bool:
        """Whether there are more tasks than one: then somebody reads while they run."""
        return len(self._slots.queue.heap) > 1

    def _next(self) -> list[Message] | None:
        if self._error is not None:
            raise self._error
        return next(self._incoming(), None)
