"""What is in workers' processes: what they do now, where time went, what they logged. For both."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeAlias

from trio_dask.client.explaining import AsyncExplaining, Explaining
from trio_dask.client.options import worker_names
from trio_dask.messages.inquiring import SCHEDULER_LOGS, unpacked
from trio_dask.messages.profiles import Frame, Node, Profile

if TYPE_CHECKING:
    from trio_dask.client.base import BaseClient
    from trio_dask.client.futures import BaseFuture

#: One future or key, or several.
Futures: TypeAlias = "BaseFuture[Any] | Iterable[BaseFuture[Any]]"
Keys: TypeAlias = str | Iterable[str]


async def _said(client: BaseClient, topic: str, params: dict[str, Any]) -> dict[str, Any]:
    """What workers answer, by address; those that say nothing are not there."""
    answer = await client.live.ask(topic, params)
    return {address: unpacked(blob) for address, blob in answer["said"].items()}


def _of_workers(workers: str | Iterable[str] | None) -> dict[str, Any]:
    return {} if workers is None else {"workers": worker_names(workers)}


async def call_stack(
    client: BaseClient, futures: Futures | None, keys: Keys | None
) -> dict[str, dict[str, tuple[str, ...]]]:
    """What tasks are doing, by worker and key."""
    params: dict[str, Any] = {}
    if futures is not None:
        found = client._found(futures)  # noqa: SLF001 - part of it
        params["tids"] = [each._tid for each in found]  # noqa: SLF001 - a future is a view
    if keys is not None:
        params["keys"] = [keys] if isinstance(keys, str) else [str(key) for key in keys]
    said = await _said(client, "call_stack", params)
    stacks = {
        address: {str(each["key"]): _lines(each) for each in answer["stacks"]}
        for address, answer in said.items()
    }
    return {address: each for address, each in stacks.items() if each}


def _lines(stack: dict[str, Any]) -> tuple[str, ...]:
    lines = [f'  File "{file}", line {line}, in {name}\n' for name, file, line in stack["frames"]]
    if stack["left_out"]:
        lines.insert(len(lines) // 2, f"  … {stack['left_out']} more calls …\n")
    return tuple(lines)


async def profile(
    client: BaseClient,
    key: str | None,
    window: tuple[float | None, float | None],
    workers: str | Iterable[str] | None,
    *,
    merge_workers: bool,
) -> dict[str, Any]:
    """Where time went, as a tree."""
    params: dict[str, Any] = {"name": key or "", **_of_workers(workers)}
    now = datetime.now(UTC).timestamp()
    for name, at in zip(("since_s", "until_s"), window, strict=True):
        if at is not None:
            params[name] = max(0.0, now - at)
    said = await _said(client, "profile", params)
    merged = Profile()
    trees: dict[str, Any] = {}
    for address, answer in said.items():
        each = Profile()
        each.merge(answer["profile"], key or "")
        trees[address] = _tree(Frame("root"), each.root)
        merged.merge(answer["profile"], key or "")
    return _tree(Frame("root"), merged.root) if merge_workers else trees


async def worker_logs(
    client: BaseClient, n: int | None, workers: str | Iterable[str] | None
) -> dict[str, tuple[tuple[str, str], ...]]:
    """The last lines of workers' logs, by address."""
    params = {**_of_workers(workers), **({} if n is None else {"n": n})}
    said = await _said(client, "logs", params)
    return {address: _log(answer) for address, answer in said.items()}


async def scheduler_logs(client: BaseClient, n: int | None) -> tuple[tuple[str, str], ...]:
    """The last lines of the scheduler's log."""
    said = await _said(client, SCHEDULER_LOGS, {} if n is None else {"n": n})
    return tuple(line for answer in said.values() for line in _log(answer))


def _log(answer: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple((str(level), str(text)) for _, level, _, text in answer["lines"])


def _tree(frame: Frame, node: Node) -> dict[str, Any]:
    """A node and all below it, as Dask has them."""
    children = [_tree(inner, child) for inner, child in node.children.items()]
    return {
        "identifier": ";".join(map(str, frame)) if frame.file else frame.function,
        "description": {
            "name": frame.function,
            "filename": frame.file,
            "line_number": frame.line,
            "line": "",
        },
        "count": node.count,
        "children": {each["identifier"]: each for each in children},
    }


class AsyncInquiring(AsyncExplaining):
    """The methods of the client that is awaited."""

    async def call_stack(
        self, futures: Futures | None = None, keys: Keys | None = None
    ) -> dict[str, dict[str, tuple[str, ...]]]:
        """What running tasks are doing at the moment: their calls, outermost first.

        Args:
            futures: of these tasks; without `futures` and `keys` of all that run.
            keys: the same, by key.

        Returns:
            For each worker that runs some of them, by key, a line for each call: file, line and
            function, never a value. What does not run is not there, nor are the tasks of a
            process in which nobody can look just now, as its interpreter is held by other code.
        """
        return await call_stack(self, futures, keys)

    async def profile(  # noqa: PLR0917 - as in Dask
        self,
        key: str | None = None,
        start: float | None = None,
        stop: float | None = None,
        workers: str | Iterable[str] | None = None,
        merge_workers: bool = True,  # noqa: FBT001, FBT002 - as in Dask
    ) -> dict[str, Any]:
        """Where the time of tasks went, looked at every ten milliseconds while they ran.

        Args:
            key: of tasks of this function, as it is called in their keys.
            start: since then, in seconds since 1970; the last ten minutes are told apart by
                ten seconds, what was before is one.
            stop: until then.
            workers: on these only, by address or name.
            merge_workers: with False a tree for each worker, by address.

        Returns:
            A tree: ``count``, how often it was seen; ``description`` with ``name``, ``filename``
            and ``line_number``; ``identifier``; ``children`` by identifier. Below the root are
            functions of tasks.
        """
        return await profile(self, key, (start, stop), workers, merge_workers=merge_workers)

    async def get_worker_logs(
        self, n: int | None = None, workers: str | Iterable[str] | None = None
    ) -> dict[str, tuple[tuple[str, str], ...]]:
        """The last lines that workers have logged, the newest first.

        Workers of one process have one log. What tasks say is not in it: `logs` has that, and
        the page of the worker, on the dashboard.

        Args:
            n: so many lines of each, 500 at most.
            workers: of these only, by address or name.

        Returns:
            For each worker, by address, a level and a text for each line.
        """
        return await worker_logs(self, n, workers)

    async def get_scheduler_logs(self, n: int | None = None) -> tuple[tuple[str, str], ...]:
        """The last lines that the scheduler has logged, the newest first.

        They are from INFO on, also where less is shown on stderr.

        Args:
            n: so many lines, 500 at most.

        Returns:
            A level and a text for each line.

        Raises:
            ValueError: `n` is no number of lines.

        Example:
            ``for level, text in await client.get_scheduler_logs(20): print(level, text)``
        """
        return await scheduler_logs(self, n)


class Inquiring(Explaining):
    """The methods of the client that blocks."""

    def call_stack(
        self, futures: Futures | None = None, keys: Keys | None = None
    ) -> dict[str, dict[str, tuple[str, ...]]]:
        """What running tasks are doing at the moment: their calls, outermost first.

        Args:
            futures: of these tasks; without `futures` and `keys` of all that run.
            keys: the same, by key.

        Returns:
            For each worker that runs some of them, by key, a line for each call: file, line and
            function, never a value. What does not run is not there, nor are the tasks of a
            process in which nobody can look just now, as its interpreter is held by other code.
        """
        found: dict[str, dict[str, tuple[str, ...]]] = self.run_blocking(
            call_stack(self, futures, keys)
        )
        return found

    def profile(  # noqa: PLR0917 - as in Dask
        self,
        key: str | None = None,
        start: float | None = None,
        stop: float | None = None,
        workers: str | Iterable[str] | None = None,
        merge_workers: bool = True,  # noqa: FBT001, FBT002 - as in Dask
    ) -> dict[str, Any]:
        """Where the time of tasks went, looked at every ten milliseconds while they ran.

        Args:
            key: of tasks of this function, as it is called in their keys.
            start: since then, in seconds since 1970; the last ten minutes are told apart by
                ten seconds, what was before is one.
            stop: until then.
            workers: on these only, by address or name.
            merge_workers: with False a tree for each worker, by address.

        Returns:
            A tree: ``count``, how often it was seen; ``description`` with ``name``, ``filename``
            and ``line_number``; ``identifier``; ``children`` by identifier. Below the root are
            functions of tasks.
        """
        tree: dict[str, Any] = self.run_blocking(
            profile(self, key, (start, stop), workers, merge_workers=merge_workers)
        )
        return tree

    def get_worker_logs(
        self, n: int | None = None, workers: str | Iterable[str] | None = None
    ) -> dict[str, tuple[tuple[str, str], ...]]:
        """The last lines that workers have logged, the newest first.

        Workers of one process have one log. What tasks say is not in it: `logs` has that, and
        the page of the worker, on the dashboard.

        Args:
            n: so many lines of each, 500 at most.
            workers: of these only, by address or name.

        Returns:
            For each worker, by address, a level and a text for each line.
        """
        found: dict[str, tuple[tuple[str, str], ...]] = self.run_blocking(
            worker_logs(self, n, workers)
        )
        return found

    def get_scheduler_logs(self, n: int | None = None) -> tuple[tuple[str, str], ...]:
        """The last lines that the scheduler has logged, the newest first.

        They are from INFO on, also where less is shown on stderr.

        Args:
            n: so many lines, 500 at most.

        Returns:
            A level and a text for each line.

        Raises:
            ValueError: `n` is no number of lines.

        Example:
            ``for level, text in client.get_scheduler_logs(20): print(level, text)``
        """
        found: tuple[tuple[str, str], ...] = self.run_blocking(scheduler_logs(self, n))
        return found
