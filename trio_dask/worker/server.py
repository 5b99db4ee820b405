"""The worker process: several workers in one nursery, one store of values."""

from __future__ import annotations

import itertools
import logging
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import trio

from trio_dask.comm import parse_contact
from trio_dask.config import complete_worker
from trio_dask.errors import ConfigError, TrioDaskError
from trio_dask.eventlog import kept_lines, open_event_log
from trio_dask.messages.session import WORKER
from trio_dask.worker.hosting import ProcessHost
from trio_dask.worker.life import Household
from trio_dask.worker.link import Calling
from trio_dask.worker.output import open_outputs
from trio_dask.worker.scratch import scratch_directory

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_dask.comm import Keys
    from trio_dask.config import Config
    from trio_dask.worker.core import Store
    from trio_dask.worker.hosting import RunnerHost
    from trio_dask.worker.worker import Worker

DEFAULT_PORT: Final = 8786

logger: Final = logging.getLogger("trio_dask.worker")


@dataclass(slots=True, eq=False)
class _Place:
    """For one worker: that it shall live, and the worker once it has joined."""

    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    worker: Worker | None = None
    restarts: bool = False  # when its time is over


class WorkerHandle:
    """The workers of a process: which there are, and how many there shall be."""

    def __init__(
        self,
        household: Household,
        nursery: trio.Nursery,
        on_change: Callable[[str, str | None], None] | None,
    ) -> None:
        self._household: Final = household
        self._nursery: Final = nursery
        self._on_change: Final = on_change
        self._places: Final[dict[int, _Place]] = {}
        self._numbers: Final = itertools.count()
        self._started = self._ending = False
        self._changed = trio.Event()
        self._dismissed = trio.Event()

    @property
    def workers(self) -> tuple[Worker, ...]:
        """Those the scheduler knows, in the order of their numbers."""
        return tuple(each.worker for each in self._places.values() if each.worker is not None)

    @property
    def addresses(self) -> list[str]:
        """Where they are reached."""
        return [worker.address for worker in self.workers]

    @property
    def store(self) -> Store:
        """What they share."""
        return self._household.store

    @property
    def scheduler_address(self) -> str:
        """Whose workers they are."""
        return self._household.calling.address

    def lines(self, now: float) -> list[dict[str, Any]]:
        """The last lines of the process's log."""
        return self._household.lines(now)

    def scale(self, count: int) -> None:
        """Have so many workers, soon: start the next ones, or have the youngest leave.

        What only they hold moves to others first. A worker that cannot be started is
        logged; it is the next call that tries again.
        """
        if self._ending:
            return
        for number in sorted(self._places, reverse=True)[: max(0, len(self._places) - count)]:
            place = self._places.pop(number)
            place.restarts = False
            self._part_with(place, "it is not needed any more", patient=True)
        while len(self._places) < count:
            number = next(self._numbers)
            self._places[number] = _Place(restarts=self._household.settings.lifetime_restart)
            self._nursery.start_soon(self._live, number, self._places[number])

    def drain(self, reason: str) -> None:
        """Have all of them leave, in a hurry; then the process is done.

        Tasks get the time that the settings give them, values that only they hold move to
        workers of other processes.
        """
        self._ending = True
        for place in list(self._places.values()):
            place.restarts = False
            self._part_with(place, reason, patient=False)
        if not self._places:
            self._dismissed.set()

    def end(self) -> None:
        """It is over: whoever wants another number of workers is late."""
        self._ending = True

    def _part_with(self, place: _Place, reason: str, *, patient: bool) -> None:
        if place.worker is not None:
            place.worker.drain(reason, patient=patient)
        else:
            place.scope.cancel(reason)  # nobody knows it yet

    async def all_joined(self) -> None:
        """Wait until the scheduler knows all of them."""
        while len(self.workers) < len(self._places):
            await self._changed.wait()
        self._started = True

    async def all_dismissed(self) -> None:
        """Wait until the scheduler has said goodbye to the last of them."""
        await self._dismissed.wait()

    async def _live(self, number: int, place: _Place) -> None:
        def joined(worker: Worker) -> None:
            place.worker = worker
            self._change(worker.name, worker.address)

        try:
            with place.scope:
                await self._household.live(number, joined)
                while place.restarts and place.worker is not None and place.worker.aged:
                    self._left(place)
                    await self._household.live(number, joined)
        except (TrioDaskError, OSError) as error:
            if place.worker is not None or not self._started:
                raise
            logger.error("A worker could not be started: %s", error)
        finally:
            if self._places.pop(number, None) is not None and not self._places:
                self._dismissed.set()
            self._left(place)

    def _left(self, place: _Place) -> None:
        if place.worker is not None:
            name, place.worker = place.worker.name, None
            self._change(name, None)

    def _change(self, name: str, address: str | None) -> None:
        self._changed.set()
        self._changed = trio.Event()
        if self._on_change is not None:
            self._on_change(name, address)


async def run_worker(
    config: Config,
    scheduler_address: str,
    keys: Keys,
    *,
    runner_host: RunnerHost | None = None,
    numbered: bool = False,
    on_change: Callable[[str, str | None], None] | None = None,
    task_status: trio.TaskStatus[WorkerHandle] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Host `config.worker.nworkers` workers until the scheduler says goodbye, or cancelled.

    `runner_host` starts the runners; by default child processes. With `numbered` the
    workers' names are numbered, even if at first there is but one. `on_change` is told of
    each worker that has joined: its name and address, and of each that has left: its name
    and None.

    Raises:
        SchedulerUnreachable: nobody answered within the death timeout.
        CommError: the scheduler was lost, or refused us.
        RunnerFailed: no runner can be started.
        OSError: the event log cannot be made.
    """
    settings = complete_worker(config.worker)
    address = str(parse_contact(scheduler_address, default_port=DEFAULT_PORT))
    if runner_host is None:
        if not settings.nanny:
            msg = "worker.nanny = false: runners in this process need a host for them"
            raise ConfigError(msg)
        runner_host = ProcessHost()
    with scratch_directory(settings.local_directory) as directory, ExitStack() as stack:
        household = Household(
            settings,
            Calling(
                address,
                keys,
                config.comm.connect_timeout_s,
                settings.reconnect_s
                if settings.death_timeout_s is None
                else settings.death_timeout_s,
            ),
            keys,
            runner_host,
            directory,
            numbered or settings.nworkers > 1,
        )
        household.store.inwards.bytes_max = settings.fetch_bytes_max
        household.lines = stack.enter_context(kept_lines(trio.current_time)).lines
        if settings.event_log:
            household.log = stack.enter_context(open_event_log(settings.event_log, WORKER, {}))
        try:
            await _run(household, on_change, task_status)
        except BaseExceptionGroup as group:
            raise _first(group) from None


async def _run(
    household: Household,
    on_change: Callable[[str, str | None], None] | None,
    task_status: trio.TaskStatus[WorkerHandle],
) -> None:
    async with open_outputs() as household.outputs, trio.open_nursery() as nursery:
        handle = WorkerHandle(household, nursery, on_change)
        handle.scale(household.settings.nworkers)
        try:
            await handle.all_joined()
            task_status.started(handle)
            await handle.all_dismissed()
        finally:
            handle.end()


def _first(error: BaseException) -> BaseException:
    """The error that ended it all: others of its group are consequences of it."""
    while isinstance(error, BaseExceptionGroup):
        real = error.split(trio.Cancelled)[1] or error
        error = real.exceptions[0]
    return error
