"""A window on the scheduler, through which nothing can be changed.

What it gives is plain data: what is in it may go anywhere. Until somebody `watch`es, it costs
nothing; what is asked for is read from the tables when it is asked for.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from trio_dask.messages.tasks import Done
from trio_dask.scheduler.core import state as st
from trio_dask.scheduler.core.describing import status_of
from trio_dask.scheduler.core.state import Worker
from trio_dask.scheduler.observing import describing
from trio_dask.scheduler.observing.blocks import Blocks
from trio_dask.scheduler.observing.census import DATA, Counts, take_census
from trio_dask.scheduler.observing.graph import take_graph

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator

    from trio_dask.comm import Statistics
    from trio_dask.messages import Message
    from trio_dask.scheduler.core.state import ClusterState

    Ask = Callable[[str, dict[str, Any]], Awaitable[dict[str, Any]]]
    Overhear = Callable[[Callable[[int, Message, float], None] | None], None]

#: Rows of groups that a picture has: those with the most unfinished tasks.
GROUPS_MAX: Final = 100
_SEARCH_SLICE: Final = 1_000
_STATES: Final = ("waiting", "ready", "assigned", "done", "failed", "released", "cancelled", "lost")

#: What is said of the connections, all together.
TRAFFIC: Final = ("messages_in", "messages_out", "bytes_in", "bytes_out", "queued_bytes")
#: What the columns of a picture's rows are, in this order.
WORKER_COLUMNS: Final = ("processing", "held", "memory", "cpu", "slots", "status", "silent_s")
WORKER_FIXED: Final = ("name", "address", "host", "nthreads", "memory_limit", "lanes")
GROUP_COLUMNS: Final = (*_STATES, "nbytes", "runs", "failures", "seconds")


class SchedulerView:
    """What may be shown of a scheduler.

    `overhear` is how the server lets somebody listen to what peers say, `logs` what it has
    logged, `ask` how it is asked what clients ask, `traffic` what goes through its connections. Times are those of the server's clock.
    """

    def __init__(
        self,
        state: ClusterState,
        overhear: Overhear,
        *,
        address: str,
        now: float,
        logs: Callable[[float], list[dict[str, Any]]] | None = None,
        ask: Ask | None = None,
        traffic: Callable[[], Statistics] | None = None,
    ) -> None:
        self._state: Final = state
        self._ask: Final = ask
        self._traffic: Final = traffic
        self._logs: Final = logs
        self._overhear: Final = overhear
        self._blocks: Blocks | None = None
        self._counts: Counts = {}
        self._cpu: dict[int, tuple[int, float, float, int]] = {}
        #: Where the scheduler is.
        self.address: Final = address
        #: When it began, on its own clock.
        self.began: Final = now

    def traffic(self) -> dict[str, int]:
        """Messages and bytes that have come and gone so far, and bytes that wait for peers."""
        now = self._traffic() if self._traffic is not None else None
        return {name: getattr(now, name, 0) for name in TRAFFIC}

    # ------------------------------------------------------------ watching

    def watch(self) -> None:
        """Begin to collect what is seen only while it happens."""
        self._blocks = blocks = Blocks(self._state)
        peers = self._state.peers

        def listener(peer: int, message: Message, now: float) -> None:
            if type(message) is Done:
                worker = peers.get(peer)
                if isinstance(worker, Worker):
                    blocks.on_done(worker, message, now)

        self._overhear(listener)

    def unwatch(self) -> None:
        """Nobody looks any more."""
        self._overhear(None)
        self._blocks = None

    def census(self) -> Generator[None, None, None]:
        """Count tasks by state, a slice at each step; the next picture has what came out."""
        self._counts = yield from take_census(self._state)

    @property
    def size(self) -> int:
        """How many tasks there are: what a census costs."""
        return len(self._state.tasks)

    # ------------------------------------------------------------ pictures

    def identity(self) -> dict[str, Any]:
        """What never changes."""
        return {
            "cluster": self._state.cluster,
            "epoch": self._state.epoch,
            "address": self.address,
        }

    def totals(self) -> dict[str, Any]:
        """The whole cluster in a few numbers, each as it is now."""
        state, workers = self._state, self._state.workers.values()
        queues = [state.anywhere.queue, *(each.queue for each in state.restricted)]
        queues += [worker.home for worker in state.homes]
        return {
            "tasks": len(state.tasks),
            "queued": sum(map(len, queues)),
            "processing": sum(len(worker.window) for worker in workers),
            "finished": state.finished_ever,
            "failures": state.failed_ever,
            "workers": len(state.workers),
            "workers_ever": state.workers_ever,
            "clients": sum(not each.local for each in state.clients.values()),
            "clients_ever": state.clients_ever,
            "slots": sum(worker.slots for worker in workers),
            "busy": sum(min(worker.slots, len(worker.window)) for worker in workers),
            "held": sum(len(worker.held) for worker in workers),
            "memory": sum(describing.worker_memory(worker) for worker in workers),
            "memory_limit": sum(worker.memory_limit for worker in workers),
        }

    def worker_rows(self, now: float) -> dict[int, tuple[Any, ...]]:
        """`WORKER_COLUMNS` of every worker, by number; memory in MiB, processors in percent."""
        rows: dict[int, tuple[Any, ...]] = {}
        for worker in self._state.workers.values():
            silent = int(now - worker.last_seen)
            rows[worker.number] = (
                len(worker.window),
                len(worker.held),
                describing.worker_memory(worker) >> 20,
                self._cpu_percent(worker),
                worker.slots,
                status_of(worker),
                silent if silent > _SILENCE_S else 0,
            )
        if len(self._cpu) > len(rows):
            for number in [number for number in self._cpu if number not in rows]:
                del self._cpu[number]
                if self._blocks is not None:
                    self._blocks.forget(number)
        return rows

    def _cpu_percent(self, worker: Worker) -> int:
        """Of one processor, between its last two heartbeats."""
        used = describing.worker_cpu_s(worker)
        seen = id(worker.metrics)  # a heartbeat brings new ones
        before = self._cpu.get(worker.number)
        if before is not None and before[0] == seen:
            return before[3]
        percent = 0
        if before is not None and used >= before[1] >= 0 and worker.last_seen > before[2]:
            percent = round(100 * (used - before[1]) / (worker.last_seen - before[2]))
        self._cpu[worker.number] = (seen, used, worker.last_seen, percent)
        return percent

    def worker_fixed(self) -> dict[int, tuple[Any, ...]]:
        """`WORKER_FIXED` of every worker, by number."""
        lanes = self._blocks.lanes() if self._blocks is not None else {}
        rows: dict[int, tuple[Any, ...]] = {}
        for worker in self._state.workers.values():
            host = worker.info.get("host")
            rows[worker.number] = (
                worker.name,
                worker.address,
                host if isinstance(host, str) else "",
                worker.nthreads,
                worker.memory_limit >> 20,
                lanes.get(worker.number, 0),
            )
        return rows

    def group_rows(self, limit: int | None = GROUPS_MAX) -> dict[str, tuple[Any, ...]]:
        """`GROUP_COLUMNS` of functions by name; the states are those of the last census."""
        given: dict[str, int] = {}
        for worker in self._state.workers.values():
            for prefix, count in worker.load.items():
                given[prefix.name] = given.get(prefix.name, 0) + count
        rows: dict[str, tuple[Any, ...]] = {}
        prefixes = self._state.prefixes
        for name in dict.fromkeys((*prefixes, *self._counts)):
            counts, known = self._counts.get(name), prefixes.get(name)
            if name == DATA and counts is None:
                continue
            row = [counts[_AT[each]] if counts else 0 for each in _STATES]
            row[2] = given.get(name, 0)  # as it is now
            rest: tuple[Any, ...] = (0, 0, 0.0)
            if known is not None:
                rest = (known.runs, known.failed, round(known.seconds, 3))
            if counts or rest[0] or row[2]:
                rows[name] = (*row, counts[-1] if counts else 0, *rest)
        if limit is not None and len(rows) > limit:
            names = sorted(rows, key=lambda name: (-sum(rows[name][:3]), -rows[name][9]))
            rows = {name: rows[name] for name in names[:limit]}
        return rows

    def blocks(self) -> tuple[list[tuple[Any, ...]], int]:
        """Finished tasks since the last time, as `Block`s, and how many were left out."""
        if self._blocks is None:
            return [], 0
        blocks, left_out = self._blocks.take()
        return list(blocks), left_out

    # ------------------------------------------------------------ one of them

    def workers(self, now: float) -> list[dict[str, Any]]:
        """Every worker, in short."""
        return [
            {
                "name": worker.name,
                "address": worker.address,
                "host": worker.info.get("host", ""),
                "status": status_of(worker),
                "nthreads": worker.nthreads,
                "slots": worker.slots,
                "processing": len(worker.window),
                "held": len(worker.held),
                "memory": describing.worker_memory(worker),
                "memory_limit": worker.memory_limit,
                "resources": worker.resources,
                "last_seen_s": max(0.0, now - worker.last_seen),
            }
            for worker in self._state.workers.values()
        ]

    def worker(self, name: str, now: float) -> dict[str, Any] | None:
        """A worker, by name or address."""
        worker = self._state.find_worker(name)
        return describing.worker_page(self._state, worker, now) if worker is not None else None

    def task(self, key: str, now: float) -> dict[str, Any] | None:
        """A task, by key."""
        task = self._state.task_with_key(key)
        return describing.task_page(self._state, task, now) if task is not None else None

    def search(
        self, *, text: str = "", name: str = "", state: str = "", limit: int = 50
    ) -> Generator[None, None, dict[str, Any]]:
        """Tasks whose key has `text` in it, of a function, in a state; some at each step.

        What comes out says whether these are all, and how many were looked at.
        """
        found: list[dict[str, Any]] = []
        exact = self._state.task_with_key(text) if text else None
        if exact is not None:
            return {
                "tasks": [describing.task_line(self._state, exact)],
                "complete": True,
                "seen": 1,
            }
        tasks = dict.fromkeys(self._state.tasks.values())
        for seen, task in enumerate(tasks):
            if seen % _SEARCH_SLICE == _SEARCH_SLICE - 1:
                yield
            if state and st.STATE_NAMES[task.state] != state:
                continue
            if name and describing.task_name(task) != name:
                continue
            if text and text not in self._state.key_of(task):
                continue
            if len(found) == limit:
                return {"tasks": found, "complete": False, "seen": seen}
            found.append(describing.task_line(self._state, task))
        return {"tasks": found, "complete": True, "seen": len(tasks)}

    def failures(self, now: float, limit: int = 100) -> list[dict[str, Any]]:
        """The last failures, the newest first."""
        newest = islice(reversed(self._state.failures), limit)
        return [describing.failure_line(each, now) for each in newest]

    def events(self, now: float) -> list[dict[str, Any]]:
        """What has happened to the cluster, the newest first."""
        return [describing.event_line(each, now) for each in reversed(self._state.happened)]

    def logs(self, now: float) -> list[dict[str, Any]]:
        """The last lines of the log of this process, the newest first."""
        return self._logs(now) if self._logs is not None else []

    def graph(self, *, name: str = "", limit: int = 0) -> Generator[None, None, dict[str, Any]]:
        """Which functions take whose values; and of at most `limit` tasks, which takes which."""
        return take_graph(self._state, name=name, limit=limit)

    def clients(self) -> list[dict[str, Any]]:
        """Who is connected."""
        clients = self._state.clients.values()
        return [{"name": c.name, "number": c.number} for c in clients if not c.local]

    # ------------------------------------------------------------ what is not in the tables

    async def ask(self, topic: str, params: dict[str, Any]) -> dict[str, Any]:
        """What the scheduler answers to a client that asks, or orders, this.

        Raises:
            ValueError: it says that the question makes no sense.
        """
        if self._ask is None:
            msg = "there is nobody to ask"
            raise ValueError(msg)
        return await self._ask(topic, params)


_SILENCE_S: Final = 15
_AT: Final = {name: st.STATE_NAMES.index(name) for name in _STATES}
