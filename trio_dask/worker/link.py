"""A worker's link to the scheduler: found, kept, and found again when it breaks."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import trio

from trio_dask.comm import connect
from trio_dask.errors import (
    AuthenticationError,
    CommError,
    HandshakeRefused,
    PeerClosed,
    SchedulerUnreachable,
)
from trio_dask.messages.session import SCHEDULER, WORKER, Refused, Resumed, Welcome

if TYPE_CHECKING:
    from trio_dask.comm import Connection, Keys
    from trio_dask.messages import Message
    from trio_dask.worker.nanny import Nannies
    from trio_dask.worker.worker import Worker

#: The wait between attempts to reach the scheduler: doubled each time.
RETRY_S: Final = 0.5
RETRY_MAX_S: Final = 30.0
#: The same for a scheduler that was lost: it may be back at any moment.
AGAIN_S: Final = 0.05
AGAIN_MAX_S: Final = 1.0
#: So often it is said that the scheduler is still being looked for.
SAY_S: Final = 5.0

logger: Final = logging.getLogger("trio_dask.worker")


@dataclass(frozen=True, slots=True)
class Calling:
    """How the scheduler is called, and for how long when it has been lost."""

    address: str
    keys: Keys
    connect_s: float
    reconnect_s: float

    async def dial(self) -> Connection:
        """Call it once."""
        return await connect(
            self.address, keys=self.keys, role=WORKER, expect=SCHEDULER, timeout_s=self.connect_s
        )


async def reach_scheduler(calling: Calling, limit_s: float | None) -> Connection:
    """A connection to the scheduler, as soon as there is one.

    Raises:
        SchedulerUnreachable: not within the death timeout.
        AuthenticationError, HandshakeRefused: there is one that we do not belong to.
    """
    deadline = float("inf") if limit_s is None else trio.current_time() + limit_s
    delay, why = RETRY_S, "no answer"
    with trio.CancelScope(deadline=deadline):
        while True:
            try:
                return await calling.dial()
            except (AuthenticationError, HandshakeRefused):
                raise
            except CommError as error:
                why = str(error)
            logger.warning("Waiting for the scheduler: %s; next try in %g s", why, delay)
            await trio.sleep(delay)
            delay = min(2 * delay, RETRY_MAX_S)
    msg = f"Timed out starting worker: no scheduler within {limit_s:g} s: {why}"
    raise SchedulerUnreachable(msg)


async def keep_link(
    worker: Worker, calling: Calling, nannies: Nannies, nursery: trio.Nursery
) -> None:
    """The conversation with the scheduler, over as many connections as it takes.

    It ends with a goodbye, which ends the worker.

    Raises:
        CommError: the scheduler is lost, or does not know us any more.
        HandshakeRefused: it does not take us.
    """
    while True:
        try:
            reason = await _converse(worker, calling, nannies)
        except PeerClosed as error:
            if worker.core.draining:  # it was to leave anyway
                logger.info("End worker %s: the scheduler is lost: %s", worker.name, error)
                nursery.cancel_scope.cancel("the scheduler is lost")
                return
            worker.core.scheduler_lost()
            found = await _reach_unless_leaving(worker, calling, str(error))
            if found is None:
                logger.info("End worker %s: the scheduler is lost: %s", worker.name, error)
                nursery.cancel_scope.cancel("the scheduler is lost")
                return
            worker.scheduler = found
            worker.scheduler.send(worker.core.resume())
            continue
        except HandshakeRefused:
            raise
        except CommError as error:
            raise CommError(f"the scheduler is lost: {error}") from error
        if not worker.registered.is_set():
            raise CommError(f"{worker.scheduler.remote_address} is not taking workers: {reason}")
        logger.info("End worker %s: %s", worker.name, reason)
        nursery.cancel_scope.cancel("the scheduler said goodbye")
        return


async def _converse(worker: Worker, calling: Calling, nannies: Nannies) -> str:
    """One connection, to its end; why the scheduler said goodbye."""

    def on_messages(messages: list[Message]) -> None:
        for message in messages:
            _hear(worker, calling.address, message)
        worker.perform()

    failure: CommError | None = None

    async def say_goodbye_at_the_end() -> None:
        try:
            await trio.sleep_forever()
        finally:
            if not isinstance(failure, PeerClosed):
                nannies.stop()
                worker.scheduler.close("the worker ends")

    reason = ""
    async with trio.open_nursery() as parting:
        parting.start_soon(say_goodbye_at_the_end)
        with trio.CancelScope(shield=True):  # bounded: `close` ends it within two seconds
            try:
                reason = await worker.scheduler.run(on_messages)
            except CommError as error:  # to be raised outside of the group
                failure = error
        parting.cancel_scope.cancel("the conversation is over")
    if failure is not None:
        raise failure
    return reason


def _hear(worker: Worker, address: str, message: Message) -> None:
    if type(message) is Refused:
        raise HandshakeRefused(f"{address}: {message.reason}")
    if type(message) is Resumed and message.heard < 0:
        worker.core.on_scheduler(message, time.monotonic())
        worker.scheduler.send(worker.registration())
        return
    if worker.registered.is_set() and type(message) in (Resumed, Welcome):
        logger.info("Back with the scheduler at %s, %s", address, _how_it_knows_us(worker, message))
    worker.core.on_scheduler(message, time.monotonic())
    worker.lost_at = None
    if type(message) is Welcome:
        worker.registered.set()


def _how_it_knows_us(worker: Worker, message: Message) -> str:
    if type(message) is not Welcome:
        return "which knew us"
    same = message.epoch == worker.core.memory.epoch
    return "which had given us up" if same else "which is another"


async def _reach_unless_leaving(worker: Worker, calling: Calling, why: str) -> Connection | None:
    """Another connection to the scheduler; None if the worker is to leave before there is one.

    Nobody could take its values then, nor hear what its tasks have come to.

    Raises:
        SchedulerUnreachable: it is not back within the time for that.
        AuthenticationError, HandshakeRefused: somebody else is there.
    """
    failure: CommError | None = None
    found: Connection | None = None

    async def give_up_when_leaving(looking: trio.CancelScope) -> None:
        await worker.draining.wait()
        looking.cancel("the worker is to leave")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(give_up_when_leaving, nursery.cancel_scope)
        try:
            found = await _reach_again(worker, calling, why)
        except CommError as error:  # to be raised outside of the group
            failure = error
        nursery.cancel_scope.cancel("it is decided")
    if failure is not None:
        raise failure
    return found


async def _reach_again(worker: Worker, calling: Calling, why: str) -> Connection:
    """Another connection to the scheduler that was lost.

    Raises:
        SchedulerUnreachable: it is not back within the time for that.
        AuthenticationError, HandshakeRefused: somebody else is there.
    """
    limit_s, said = calling.reconnect_s, trio.current_time()
    if worker.lost_at is None:
        worker.lost_at = said
        logger.warning("Lost the scheduler: %s; looking for it for %g s", why, limit_s)
    delay = AGAIN_S
    with trio.CancelScope(deadline=worker.lost_at + limit_s):
        while True:
            await trio.sleep(delay)
            delay = min(2 * delay, AGAIN_MAX_S)
            try:
                return await calling.dial()
            except (AuthenticationError, HandshakeRefused):
                raise
            except CommError as error:
                why = str(error)
            if trio.current_time() - said >= SAY_S:
                said = trio.current_time()
                logger.warning("Still looking for the scheduler: %s", why)
    msg = f"the scheduler was lost and is not back after {limit_s:g} s: {why}"
    raise SchedulerUnreachable(msg)
