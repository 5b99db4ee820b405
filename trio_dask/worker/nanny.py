"""The nanny: starts a worker's runner, reads its end, and starts the next one."""

from __future__ import annotations

import contextlib
import logging
import time
from typing import TYPE_CHECKING, Any, Final

import trio

from trio_dask.comm import Connection, DescriptorStream, Hello, Limits
from trio_dask.errors import CommError, RemoteProtocolError, TrioDaskError
from trio_dask.messages.values import Prepare, Ready, Stop
from trio_dask.worker.core import GiveUp, RestartRules, Restarts
from trio_dask.worker.hosting import read_board

if TYPE_CHECKING:
    from trio_dask.messages import Message
    from trio_dask.worker.coroner import Case, Coroner
    from trio_dask.worker.hosting import HostedRunner, RunnerHost
    from trio_dask.worker.worker import Worker

#: A runner that is not ready by then has hung while starting.
READY_S: Final = 60.0
#: How long a runner that has died may leave unread what it said before.
_LAST_WORDS_S: Final = 2.0
#: How long a runner may take to leave when it is told to.
STOP_S: Final = 0.5
_KILLED_S: Final = 5.0
#: How often it is looked after what is to be stopped,
_CLIMB_S: Final = 0.05
#: and after what may be out of time, at most.
_LOOK_S: Final = 0.005
#: A runner reads what it is sent whatever its tasks do, so its inputs may be of any size.
_LIMITS: Final = Limits(outbox_bytes_max=1 << 62)

logger: Final = logging.getLogger("trio_dask.worker")


class RunnerFailed(TrioDaskError):
    """No runner can be started."""


class Nanny:
    """The runners of one worker, one after the other."""

    def __init__(
        self,
        worker: Worker,
        host: RunnerHost,
        coroner: Coroner,
        *,
        rules: RestartRules,
        settings: dict[str, Any],
    ) -> None:
        self._worker: Final = worker
        self._host: Final = host
        self._coroner: Final = coroner
        self._restarts: Final = Restarts(rules)
        self._settings: Final = settings
        self._nthreads: Final[int] = settings["nthreads"]
        self._hosted: HostedRunner | None = None
        self._case: Case | None = None  # of the runner that is there
        self._ready = False
        self._purpose = ""  # why we have ended it ourselves
        self._excess = ""  # the same, where it had too much memory
        self._stopped = False  # the worker ends, and so does whatever runner there is
        self.any_ready: Final = trio.Event()
        worker.kill_runner = self._kill
        worker.output, worker.board, worker.metrics = self._output, self.board, self.metrics

    async def run(self) -> None:
        """Have a runner, until cancelled, or until one has ended after `stop`.

        Raises:
            RunnerFailed: there is no point in trying on.
        """
        while True:
            began = time.monotonic()
            self._ready, self._purpose, self._excess = False, "", ""
            try:
                self._hosted = hosted = self._host(self._nthreads)
            except OSError as error:
                why, ready = f"it cannot be started: {error}", False
            else:
                why = await self._live(hosted)
                ready = self._ready
            if self._stopped:
                return
            lasted = time.monotonic() - began
            answered = self._worker.core.answered if ready else 0
            if self._purpose:
                answered = max(1, answered)  # it did nothing wrong: no delay for the next one
            decision = self._restarts.ended(ready=ready, answered=answered, lasted_s=lasted)
            if isinstance(decision, GiveUp):
                msg = f"worker {self._worker.name}: {decision.reason}; the last one: {why}"
                raise RunnerFailed(msg)
            when = f" in {decision.delay_s:g} s" if decision.delay_s else ""
            logger.log(
                logging.INFO if self._purpose else logging.WARNING,
                "The runner of worker %s has ended: %s; starting another%s",
                self._worker.name, why, when,
            )  # fmt: skip
            await trio.sleep(decision.delay_s)

    async def _live(self, hosted: HostedRunner) -> str:
        """The life of one runner; why it ended."""
        case = self._case = self._coroner.open(hosted)
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
        self._worker.core.runner_died([attempt for attempt, _ in board], death)
        self._worker.perform()
        return str(death["reason"])

    async def _converse(self, hosted: HostedRunner, connection: Connection) -> str:
        """Until the runner is silent for good; what it did wrong, if it did."""
        fault: list[str] = []
        worker = self._worker

        def on_messages(messages: list[Message]) -> None:
            try:
                for message in messages:
                    if type(message) is Ready and not self._ready:
                        self._ready = True
                        ready_scope.deadline = float("inf")
                        worker.runner_is_there(connection, self._settings.get("pool_bytes_max", 0))
                        self.any_ready.set()
                    else:
                        worker.on_runner(message)
            finally:
                worker.perform()

        async def watch() -> None:
            await hosted.wait()
            # Results that it sent before it died count; a child that it forked may keep
            # the socket open for ever.
            await trio.sleep(_LAST_WORDS_S)
            connection.cut("it has ended")

        with trio.CancelScope(deadline=trio.current_time() + READY_S) as ready_scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(watch)
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
        self._worker.runner = None
        connection.cut("the worker ends")
        with trio.move_on_after(STOP_S):
            await hosted.wait()
        hosted.kill()
        with trio.move_on_after(_KILLED_S):
            await hosted.wait()
        self._forget(hosted)

    def _forget(self, hosted: HostedRunner) -> None:
        self._hosted = self._case = None
        self._worker.runner_is_gone()
        with contextlib.suppress(OSError):
            hosted.close()

    def _kill(self, reason: str, starved: bool) -> None:  # noqa: FBT001 - as the action says
        """End the runner: something in it is to stop, and does not, or it has too much memory."""
        if self._hosted is not None:
            if starved:
                self._excess = reason
            else:
                self._purpose = reason
            self._hosted.kill()

    @property
    def pid(self) -> int | None:
        """The process of the runner that is there."""
        return self._hosted.pid if self._hosted is not None and self._ready else None

    async def climb(self) -> None:
        """See to it that what is to be stopped is, for ever."""
        worker = self._worker
        while True:
            worker.looks_at = worker.core.look_at
            with trio.move_on_after(max(0.0, worker.looks_at - time.monotonic())):
                await worker.stopping.wait()
            worker.stopping = trio.Event()
            while worker.core.stopping or worker.core.look_at <= time.monotonic():
                if self._hosted is not None and self._ready:
                    board = read_board(self._hosted.board_fd, self._nthreads)
                    worker.core.climb(board, time.monotonic())
                    worker.perform()
                await trio.sleep(_CLIMB_S if worker.core.stopping else _LOOK_S)

    def _output(self) -> list[str]:
        """The last lines that the runner has written; those of one in threads are everybody's."""
        output = self._hosted.output if self._hosted is not None else None
        return output.recent_lines() if output is not None else []

    def board(self) -> list[tuple[int, float]]:
        """What runs now, and since when."""
        if self._hosted is None or not self._ready:
            return []
        return read_board(self._hosted.board_fd, self._nthreads)

    def stop(self) -> None:
        """Tell the runner that it is over, and start no other."""
        self._stopped = True
        if self._worker.runner is not None:
            self._worker.runner.send(Stop("the worker ends"))

    def tick(self) -> None:
        """Look at what has been running for long, and at how much memory it has."""
        core = self._worker.core
        if self._hosted is not None and self._ready and core.state.given:
            core.tick(read_board(self._hosted.board_fd, self._nthreads), time.monotonic())
            self._worker.perform()
        self.metrics()

    def metrics(self) -> dict[str, Any]:
        """What the runner uses; also remembered for its death certificate."""
        return self._case.look() if self._case is not None else {}
