"""Why a task is where it is, what it has said, and what is held by whom: for both clients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from trio_dask.client.core import RELEASED
from trio_dask.client.futures import BaseFuture
from trio_dask.client.surveying import AsyncSurveying, Surveying
from trio_dask.client.task_logs import TaskLog, task_log

if TYPE_CHECKING:
    from trio_dask.client.base import BaseClient


class Explanation(str):
    """Why a task is where it is: text that also knows what it says.

    Example:
        >>> why = Explanation.of("f-1", "waiting", ["It waits for 1 input: x."], {"missing": 1})
        >>> print(why)
        It waits for 1 input: x.
        >>> why.state, why.facts["missing"]
        ('waiting', 1)
    """

    __slots__ = ("facts", "key", "lines", "state")

    #: The task's name in the cluster.
    key: str
    #: As the scheduler sees it: ``released``, ``waiting``, ``ready``, ``assigned``, ``done``,
    #: ``failed``, ``cancelled`` or ``lost``; ``unknown`` where it does not.
    state: str
    #: Sentences, the most telling first.
    lines: list[str]
    #: The same for programs: ``phase`` says what else is there.
    facts: dict[str, Any]

    @classmethod
    def of(cls, key: str, state: str, lines: list[str], facts: dict[str, Any]) -> Self:
        """An explanation of these lines."""
        made = cls("\n".join(lines))
        made.key, made.state, made.lines, made.facts = key, state, lines, facts
        return made

    def __repr__(self) -> str:
        return str(self)


async def explain(
    client: BaseClient, task: BaseFuture[Any] | str, *, limit_s: float | None = None
) -> Explanation:
    """What the scheduler says of it, or the client, where only that knows.

    Raises:
        TimeIsUp: nothing, within `limit_s` seconds.
    """
    if isinstance(task, BaseFuture):
        client._check_own([task])  # noqa: SLF001 - part of it
        if task._code == RELEASED:  # noqa: SLF001 - a future is a view
            line = "Its future was released here, so this client does not want it any more."
            return Explanation.of(task.key, "released", [line], {"phase": "released"})
        params: dict[str, Any] = {"tid": task._tid, "key": task.key}  # noqa: SLF001
    elif type(task) is not str:
        msg = f"why() takes a future or a key, not {type(task).__name__}"
        raise TypeError(msg)
    else:
        params = {"key": task}
    answer = await client.live.ask("why", params, limit_s=limit_s)
    key = task.key if isinstance(task, BaseFuture) else str(answer["key"])
    lines = [line.decode(errors="surrogatepass") for line in answer["lines"]]
    facts: dict[str, Any] = answer["facts"]
    if answer["error"]:
        facts["error"] = answer["error"].decode(errors="surrogatepass")
    return Explanation.of(key, str(answer["state"]), lines, facts)


class AsyncExplaining(AsyncSurveying):
    """The methods of the client that is awaited."""

    async def why(self, task: BaseFuture[Any] | str) -> Explanation:
        """Why a task, by its future or its key, is where it is: in words.

        What it waits for and what that waits for; which workers may not run it, and what they
        lack; how many come before it; where it has been running and since when; how it ended.
        The text has `state` and `facts` for programs.
        """
        return await explain(self, task)

    async def logs(self, task: BaseFuture[Any] | str, n: int | None = None) -> TaskLog:
        """What a task, by its future or its key, has said: while it runs, and after its end.

        Lines that it has printed, logged, or warned with, each with its time and stream: the last
        500 of its last attempt, or the last `n`. They are kept by the worker that ran it, beyond
        the end of its process, until the worker leaves or other tasks have said a lot. What is
        said outside of Python, or in a thread or a process that the task has started, is not
        there: it goes where the worker's own output goes.
        """
        return await task_log(self, task, n)

    async def coordination(self) -> dict[str, Any]:
        """What is locked, set, queued and kept in the cluster: by whom, since when, who waits."""
        return await self.live.ask("coordination", {})


class Explaining(Surveying):
    """The methods of the client that blocks."""

    def why(self, task: BaseFuture[Any] | str) -> Explanation:
        """Why a task, by its future or its key, is where it is: in words.

        What it waits for and what that waits for; which workers may not run it, and what they
        lack; how many come before it; where it has been running and since when; how it ended.
        The text has `state` and `facts` for programs.
        """
        found: Explanation = self.run_blocking(explain(self, task))
        return found

    def logs(self, task: BaseFuture[Any] | str, n: int | None = None) -> TaskLog:
        """What a task, by its future or its key, has said: while it runs, and after its end.

        Lines that it has printed, logged, or warned with, each with its time and stream: the last
        500 of its last attempt, or the last `n`. They are kept by the worker that ran it, beyond
        the end of its process, until the worker leaves or other tasks have said a lot. What is
        said outside of Python, or in a thread or a process that the task has started, is not
        there: it goes where the worker's own output goes.
        """
        found: TaskLog = self.run_blocking(task_log(self, task, n))
        return found

    def coordination(self) -> dict[str, Any]:
        """What is locked, set, queued and kept in the cluster: by whom, since when, who waits."""
        page: dict[str, Any] = self.run_blocking(self.live.ask("coordination", {}))
        return page
