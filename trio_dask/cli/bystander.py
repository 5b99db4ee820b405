"""Telling a signal for a whole group from one for this process alone.

Ctrl-C goes to every process of the terminal's foreground group, ``kill`` to one. Who passes
signals on to a child of the same group must know which it was, or the child has it twice. A
signal does not say. So a bystander joins the group: what it has seen, all have.
"""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Final, Self

import trio

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

#: A signal reaches the members of a group one after another: give it time to arrive.
_SETTLE_S: Final = 0.02
_ANSWER: Final = b"\0"


class Bystander:
    """A process of our group that does nothing but see signals, until the block is left.

    To be entered before there are threads: it is a fork of this process.
    """

    def __init__(self, numbers: Iterable[signal.Signals]) -> None:
        self._numbers: Final = tuple(numbers)
        self._pid = -1
        self._questions = self._answers = -1

    def __enter__(self) -> Self:
        questions, self._questions = os.pipe()
        self._answers, answers = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            try:
                os.close(self._questions)
                self._stand_by(questions, answers)
            finally:
                os._exit(0)
        os.close(questions)
        os.close(answers)
        os.read(self._answers, 1)  # it is ready
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        os.close(self._questions)  # it ends with that
        os.close(self._answers)
        os.waitpid(self._pid, 0)

    def _stand_by(self, questions: int, answers: int) -> None:
        """Write the number of each signal, and an answer to each question."""
        nothing = os.open(os.devnull, os.O_RDWR)
        for standard in range(3):  # a reader of our output does not wait for this process
            os.dup2(nothing, standard)
        os.set_blocking(answers, False)
        signal.set_wakeup_fd(answers, warn_on_full_buffer=False)
        for number in self._numbers:
            signal.signal(number, lambda *_: None)
        os.write(answers, _ANSWER)
        while os.read(questions, 1):
            os.write(answers, _ANSWER)

    async def saw(self, number: int) -> bool:
        """Whether the signal that has just come to us came to the whole group."""
        await trio.sleep(_SETTLE_S)
        seen = b""
        try:
            os.write(self._questions, b"?")
            while not seen.endswith(_ANSWER):
                await trio.lowlevel.wait_readable(self._answers)
                seen += (more := os.read(self._answers, 64))
                if not more:
                    return False
        except OSError:  # somebody has killed it
            return False
        return number in seen
