"""Nannies: each starts a runner when the core wants one, hears it, and reads its end."""

from __future__ import annotations

import contextlib
import logging
import math
import time
from typing import TYPE_CHECKING, Any, Final

import trio

from trio_dask.comm import Connection, DescriptorStream, Hello, Limits
from trio_dask.errors import CommError, RemoteProtocolError, TrioDaskError
from trio_dask.messages.values import Prepare, Ready, Stop
from trio_dask.worker.core import RecycleRules, certificate
from trio_dask.worker.hosting import read_board

if TYPE_CHECKING:
    from trio_dask.messages import Message
    from trio_dask.worker.core import KillRunner, StartRunner
    from trio_dask.worker.coroner import Case, Coroner
    from trio_dask.worker.hosting import HostedRunner, RunnerHost
    from trio_dask.worker.worker import Worker

#: A runner that is not ready by then has hung while starting.
READY_S: Final = 60.0
#: How long a runner that has died may leave unread what it said before.
_LAST_WORDS_S: Final = 2.0
#: How long a runner may take to leave when it is told to.
STOP_S: Final = 0.5
#: And one that nobody is in a hurry to be rid of.
LEAVE_S: Final = 5.0
_KILLED_S: Final = 5.0
#: How often it is looked after what is to be stopped,
_CLIMB_S: Final = 0.05
#: and after what may be out of time, at most.
_LOOK_S: Final = 0.005
#: A runner reads what it is sent whatever its tasks do, so its inputs may be of any size.
_LIMITS: Final = Limits(outbox_bytes_max=1 << 62)
#: What is different for one that runs a single task: it keeps no memory for results to come.
_FOR_ONE_TASK: Final = {"nthreads": 1, "one_task": True, "pool_bytes_max": 0}

logger: Final = logging.getLogger("trio_dask.worker")


class RunnerFailed(TrioDaskError):
    """No runner can be started."""


class Nannies:
    """All runners of one worker, each with a nanny for as long as it lives."""

    def __init__(
        self,
        worker: Worker,
        host: RunnerHost,
        coroner: Coroner,
        settings: dict[str, Any],
        *,
        rules: RecycleRules = RecycleRules(),  # noqa: B008 - it cannot change
    ) -> None:
        self.worker: Final = worker
        self.host: Final = host
        self.coroner: Final = coroner
        self.settings: Final = settings
        self.any_ready: Final = trio.Event()
        #: What became of the last death: the delay before another is started, or that none is.
        self.next_delay_s: float | None = None
        self.given_up = ""
        self._nannies: Final[dict[int, Nanny]] = {}
        self._nursery: trio.Nursery | None = None
        self.stopped = False  # the worker ends, and so does whatever runner there is
        self._over: Final = trio.Event()  # it does not any more
        self.rules: Final = rules
        worker.keeper = self
        worker.output, worker.board, worker.metrics = self.output, self.board, self.metrics

    async def run(self) -> None:
        """Have the runners that the core wants, until cancelled, or until all have ended after `stop`.

        Raises:
            RunnerFailed: there is no point in trying on.
        """
        async with trio.open_nursery() as self._nursery:
            for nanny in self._nannies.values():
                self._nursery.start_soon(self._keep, nanny)
            self.worker.perform()
            await self._over.wait()

    def start(self, wish: StartRunner) -> None:
        """See `Keeper`."""
        if self.stopped:
            return
        if not wish.alone:
            self.next_delay_s = wish.delay_s
        nanny = self._nannies[wish.runner] = Nanny(self, wish)
        if self._nursery is not None:
            self._nursery.start_soon(self._keep, nanny)

    async def _keep(self, nanny: Nanny) -> None:
        try:
            await nanny.run()
        finally:
            del self._nannies[nanny.number]
            if self.stopped and not self._nannies:
                self._over.set()

    def end(self, wish: KillRunner) -> None:
        """See `Keeper`."""
        self._nannies[wish.runner].end(wish)

    def give_up(self, reason: str) -> None:
        """See `Keeper`."""
        self.given_up = reason

    async def climb(self) -> None:
        """See to it that what is to be stopped is, for ever."""
        worker = self.worker
        while True:
            worker.looks_at = worker.core.look_at
            with trio.move_on_after(max(0.0, worker.looks_at - time.monotonic())):
                await worker.stopping.wait()
            worker.stopping = trio.Event()
            while worker.core.stopping or worker.core.look_at <= time.monotonic():
                worker.core.climb(self.board(), time.monotonic())
                worker.perform()
                await trio.sleep(_CLIMB_S if worker.core.stopping else _LOOK_S)

    def tick(self) -> None:
        """Look at what has been running for long, and at how much memory it has."""
        core = self.worker.core
        if core.books()["in_runner"]:
            core.tick(self.board(), time.monotonic())
        for nanny in self._nannies.values():
            nanny.look()
        self.worker.perform()

    def board(self) -> list[tuple[int, float]]:
        """What runs now, in all of them, and since when."""
        return [row for nanny in self._nannies.values() for row in nanny.board()]

    def stop(self) -> None:
        """Tell all runners that it is over, and start no others."""
        self.stopped = True
        for runner in self.worker.runners.values():
            runner.send(Stop("the worker ends"))

    def metrics(self) -> dict[str, Any]:
        """What the runners use together; nothing if there is none."""
        # That of all others comes last: it is the one that is meant where one is named.
        nannies = sorted(self._nannies.values(), key=lambda each: not each.alone)
        used = [found for nanny in nannies if (found := nanny.metrics())]
        totals = {what: sum(each[what] for each in used) for what in ("rss", "cpu_s")}
        pids = [each["pid"] for each in used]
        return {"pid": pids[-1], "pids": pids, **totals} if used else {}

    def pids(self) -> dict[int, int]:
        """The processes of runners that are ready, by the numbers of these."""
        found = {number: nanny.pid for number, nanny in self._nannies.items()}
        return {number: pid for number, pid in found.items() if pid is not None}

    def output(self) -> list[str]:
        """The last lines that runners have written."""
        return [line for nanny in self._nannies.values() for line in nanny.output()]


class Nanny:
    """One runner, from its start to its end."""

    def __init__(self, nannies: Nannies, wish: StartRunner) -> None:
        self.number: Final = wish.runner
        self._nannies: Final = nannies
        self._worker: Final = nannies.worker
        self._delay_s: Final = wish.delay_s
        self.alone: Final = wish.alone
        self._settings: Final = nannies.settings | (_FOR_ONE_TASK if wish.alone else {})
        self._nthreads: Final[int] = self._settings["nthreads"]
        self._hosted: HostedRunner | None = None
        self._case: Case | None = None
        self._ready = False
        self._since = math.inf  # when it became ready
        self._stays = False  # although it has done enough, and that has been said
        self._leaving: Final = trio.Event()  # it has been told to
        self._purpose = ""  # why we have ended it ourselves
        self._excess = ""  # the same, where it had too much memory

    async def run(self) -> None:
        """Have the runner, and tell the core of its end.

        Raises:
            RunnerFailed: there is no point in starting another.
        """
        await trio.sleep(self._delay_s)
        nannies, worker = self._nannies, self._worker
        board: list[tuple[int, float]] = []
        try:
            self._hosted = hosted = nannies.host(self._nthreads)
        except OSError as error:
            death = certificate(
                None, pid=0, host=nannies.coroner.hostname, lasted_s=0.0, rss=None,
                reason=f"it cannot be started: {error}",
            )  # fmt: skip
        else:
            board, death = await self._live(hosted)
        if not self.alone:
            nannies.next_delay_s = None
        worker.core.runner_died(self.number, [attempt for attempt, _ in board], death)
        worker.perform()
        if not nannies.stopped:
            self._say(str(death["reason"]))

    def _say(self, why: str) -> None:
        nannies, name = self._nannies, self._worker.name
        if nannies.given_up:
            msg = f"worker {name}: {nannies.given_up}; the last one: {why}"
            raise RunnerFailed(msg)
        delay_s = None if self.alone else nannies.next_delay_s
        when = f" in {delay_s:g} s" if delay_s else ""
        expected = logging.DEBUG if self.alone else logging.INFO
        logger.log(
            expected if self._purpose else logging.WARNING,
            "The runner of worker %s has ended: %s%s",
            name, why, "" if delay_s is None else f"; starting another{when}",
        )  # fmt: skip

    async def _live(self, hosted: HostedRunner) -> tuple[list[tuple[int, float]], dict[str, Any]]:
        """The life of the runner; what it was doing at its end, and what is known of that."""
        case = self._case = self._nannies.coroner.open(hosted)
        connection = Connection(
            DescriptorStream(hosted.sock),
            Hello("runner", "", ""),
            remote_address=f"process {hosted.pid}",
            limits=_LIMITS,
        )
        fault = ""
        try:
            connection.send(Prepare(self._settings))
            fault = await self._converse(hosted, connection)
        except BaseException:
            with trio.move_on_after(STOP_S + _KILLED_S + 1, shield=True):
                await self._end(hosted, connection)
            raise
        # Whatever it left running must not outlive it, nor change the board any more.
        hosted.kill()
        with trio.CancelScope(shield=True), trio.move_on_after(_KILLED_S):
            status = await hosted.wait()
        board = read_board(hosted.board_fd, self._nthreads)
        death = case.close(
            status, board, reason=fault or self._purpose or self._excess,
            on_purpose=bool(self._purpose), starved=bool(self._excess),
        )  # fmt: skip
        self._forget(hosted)
        return board, death

    async def _converse(self, hosted: HostedRunner, connection: Connection) -> str:
        """Until the runner is silent for good; what it did wrong, if it did."""
        fault: list[str] = []
        worker, number = self._worker, self.number

        def on_messages(messages: list[Message]) -> None:
            try:
                for message in messages:
                    if type(message) is Ready and not self._ready:
                        self._ready, self._since = True, trio.current_time()
                        ready_scope.deadline = float("inf")
                        pool = self._settings.get("pool_bytes_max", 0)
                        worker.runner_is_there(number, connection, pool)
                        self._nannies.any_ready.set()
                    else:
                        worker.on_runner(number, message)
            finally:
                worker.perform()

        async def watch() -> None:
            await hosted.wait()
            # Results that it sent before it died count; a child that it forked may keep
            # the socket open for ever.
            await trio.sleep(_LAST_WORDS_S)
            connection.cut("it has ended")

        async def insist() -> None:
            await self._leaving.wait()
            await trio.sleep(LEAVE_S)
            hosted.kill()

        with trio.CancelScope(deadline=trio.current_time() + READY_S) as ready_scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(watch)
                nursery.start_soon(insist)
                try:
                    await connection.run(on_messages)
                except RemoteProtocolError as error:
                    fault.append(f"it broke the rules: {error}")
                except CommError:
                    await self._let_exit(hosted)
                nursery.cancel_scope.cancel("the runner is silent")
        if ready_scope.cancelled_caught:
            fault.append(f"it was not ready after {READY_S:g} s")
        return "".join(fault)

    async def _let_exit(self, hosted: HostedRunner) -> None:
        """Its socket is closed: give it the moment it needs to have an exit status of its own."""
        with trio.move_on_after(STOP_S):
            await hosted.wait()

    async def _end(self, hosted: HostedRunner, connection: Connection) -> None:
        """The worker ends: the runner leaves, or is killed. Called with a shield."""
        self._worker.runner_is_gone(self.number)
        connection.cut("the worker ends")
        with trio.move_on_after(STOP_S):
            await hosted.wait()
        hosted.kill()
        with trio.move_on_after(_KILLED_S):
            await hosted.wait()
        self._forget(hosted)

    def _forget(self, hosted: HostedRunner) -> None:
        self._hosted = self._case = None
        self._worker.runner_is_gone(self.number)
        with contextlib.suppress(OSError):
            hosted.close()

    def end(self, wish: KillRunner) -> None:
        """End the runner: something in it does not stop, it has too much memory, or has done enough."""
        if self._hosted is not None:
            if wish.starved:
                self._excess = wish.reason
            else:
                self._purpose = wish.reason
            if wish.gently:
                self._worker.runners[self.number].send(Stop(wish.reason))
                self._leaving.set()
            else:
                self._hosted.kill()

    @property
    def pid(self) -> int | None:
        """The process of the runner, if it is ready."""
        return self._hosted.pid if self._hosted is not None and self._ready else None

    def look(self) -> None:
        """Look at the runner's memory, and whether it has done enough."""
        rss = self.metrics().get("rss", 0)
        core, rules = self._worker.core, self._nannies.rules
        runner = core.state.runners.get(self.number) if rules.any else None
        if runner is not None:
            age_s = trio.current_time() - self._since
            why = rules.reached(tasks=runner.answered, rss=rss, age_s=age_s)
            if why:
                self._say_that_it_stays(why, bound=bool(runner.bound))
                core.recycle(self.number, why)

    def _say_that_it_stays(self, why: str, *, bound: bool) -> None:
        """Once, as whoever has set a limit may wonder."""
        if bound and not self._stays:
            self._stays = True
            logger.info(
                "The runner of worker %s stays for now: %s, but holds what cannot be moved",
                self._worker.name, why,
            )  # fmt: skip

    def output(self) -> list[str]:
        """The last lines that the runner has written; those of one in threads are everybody's."""
        output = self._hosted.output if self._hosted is not None else None
        return output.recent_lines() if output is not None else []

    def board(self) -> list[tuple[int, float]]:
        """The attempts that run in it, and since when."""
        if self._hosted is None or not self._ready:
            return []
        return read_board(self._hosted.board_fd, self._nthreads)

    def metrics(self) -> dict[str, Any]:
        """What the runner uses; also remembered for its death certificate."""
        return self._case.look() if self._case is not None else {}
