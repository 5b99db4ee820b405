"""What a task costs the scheduler when it has very many workers, which are played here.

The core is the real one, and so are the frames from and to it; workers answer at once. Only what
the scheduler would do is timed.
"""

from __future__ import annotations

import gc
from time import process_time
from typing import TYPE_CHECKING, Final

from trio_dask.messages import Buffer, Message, decode, encode, session, tasks as words
from trio_dask.messages.ids import first_id
from trio_dask.scheduler.core import CoreSettings, SchedulerCore

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_CLIENT: Final = 1
_ROWS: Final = 10_000
_ARGS: Final = b"x" * 40
#: What a task takes, as workers say: so short that they are given many at a time.
_TASK_S: Final = 1e-5


def cost(workers: int, tasks: int) -> float:
    """Seconds of processor time that a task of a map of so many costs the scheduler."""
    core = SchedulerCore(CoreSettings(), cluster="crowd")
    core.client_joined(_CLIENT, session.RegisterClient("client"))
    for number in range(workers):
        joined = session.RegisterWorker(f"w{number}", f"tcp://w{number}:1", 1, 0, {}, {})
        core.worker_joined(_CLIENT + 1 + number, joined, 0.0)
    core.flush()
    said = [(_CLIENT, _frame(_submitted(tasks)))]
    seconds, finished = 0.0, 0
    gc.collect()
    gc.disable()  # as in the scheduler's process
    while said:
        began = process_time()
        for peer, (header, payloads) in said:
            for message in decode(header, payloads):
                core.handle(peer, message, 0.0)
        while core.busy:
            core.work()
        told = core.flush()
        frames = [encode(messages) for _, messages in told]
        seconds += process_time() - began
        assert len(frames) == len(told)
        finished += sum(
            len(message.tids)
            for _, messages in told
            for message in messages
            if isinstance(message, words.Finished)
        )
        said = [(peer, _frame(_done(messages))) for peer, messages in told if peer != _CLIENT]
    gc.enable()
    assert finished == tasks, f"{finished} of {tasks} finished"
    return seconds / tasks


def _frame(messages: Iterable[Message]) -> tuple[bytes, list[Buffer]]:
    """As it arrives."""
    header, payloads = encode(list(messages))
    return header, [b"".join(each) if isinstance(each, list) else each for each in payloads]


def _submitted(tasks: int) -> Iterator[Message]:
    first = first_id(1)
    yield words.Functions([first], ["noop"], [b"code"])
    for at in range(0, tasks, _ROWS):
        args = [_ARGS] * min(_ROWS, tasks - at)
        yield words.Submit(first + at, [first], args, [], [], [], [], wanted=True, options={})


def _done(messages: list[Message]) -> Iterator[Message]:
    """What a worker answers that has run everything."""
    for message in messages:
        if isinstance(message, words.Run):
            count = len(message.attempts)
            yield words.Done(
                message.attempts, [0] * count, [_TASK_S] * count, [5] * count, [b"value"] * count
            )
