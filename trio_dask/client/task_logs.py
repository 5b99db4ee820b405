"""What a task has said: lines that it printed, logged, or warned with, as its worker keeps them."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

from trio_dask.client.futures import BaseFuture
from trio_dask.messages.speech import LogLine, last_said

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trio_dask.client.base import BaseClient


class TaskLog(tuple[LogLine, ...]):  # noqa: SLOT001 - it knows more than its lines
    """The last lines of a task, in the order in which they ended. As text: all of them.

    Example:
        >>> log = TaskLog.of([LogLine(0.0, "stdout", "so far"), LogLine(1.0, "log", "so good")])
        >>> print(log)
        so far
        so good
        >>> [line.text for line in log if line.stream == "log"], log.dropped
        (['so good'], 0)
    """

    #: How many lines came before these, and are not kept.
    dropped: int
    #: The address of the worker that ran it; empty if nothing was said.
    worker: str
    #: Addresses of workers that did not answer: they may know more.
    silent: tuple[str, ...]

    @classmethod
    def of(
        cls,
        lines: Iterable[LogLine],
        dropped: int = 0,
        worker: str = "",
        silent: Iterable[str] = (),
    ) -> Self:
        """A log of these lines."""
        made = cls(lines)
        made.dropped, made.worker, made.silent = dropped, worker, tuple(silent)
        return made

    def __str__(self) -> str:
        return "\n".join(line.text for line in self)

    def __repr__(self) -> str:
        """With times and streams, for eyes."""
        before = f"… {self.dropped:,} lines before these are not kept"
        lines = [before] if self.dropped else []
        return "\n".join(lines + [_shown(line) for line in self]) or "nothing was said"


def _shown(line: LogLine) -> str:
    try:
        when = datetime.fromtimestamp(line.time).astimezone().strftime("%H:%M:%S.%f")[:-3]
    except (OverflowError, ValueError, OSError):  # a broken clock
        when = f"{line.time:g}"
    return f"{when}  {line.stream:7}  {line.text}"


async def task_log(client: BaseClient, task: BaseFuture[Any] | str, n: int | None) -> TaskLog:
    """What the task has said, in the last attempt of which anything is kept."""
    if n is not None and (type(n) is not int or n < 1):
        msg = f"n={n!r}: it is a whole number of lines, 1 or more"
        raise ValueError(msg)
    params: dict[str, Any] = {} if n is None else {"n": n}
    if isinstance(task, BaseFuture):
        client._check_own([task])  # noqa: SLF001 - part of it
        params["tid"] = task._tid  # noqa: SLF001 - a future is a view
    elif type(task) is not str:
        msg = f"logs() takes a future or a key, not {type(task).__name__}"
        raise TypeError(msg)
    else:
        params["key"] = task
    answer = await client.live.ask("task_logs", params)
    found = last_said(answer["said"])
    silent = [*answer["silent"], *answer["refused"]]
    return TaskLog.of(found.lines, found.missed, found.worker, silent)
