"""A client's life: connect, register, talk, part."""

from __future__ import annotations

import inspect
import logging
import os
import secrets
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Final

import anyio
import anyio.abc

from trio_dask.client.core import ClientCore, Watch
from trio_dask.client.data_links import DataLinks
from trio_dask.client.loops import waker
from trio_dask.client.results import Results
from trio_dask.client.session import Dial, reach_scheduler
from trio_dask.client.waits import LoopWaits
from trio_dask.errors import (
    HandshakeRefused,
    LocalProtocolError,
    PeerClosed,
    SchedulerUnreachable,
    TrioDaskError,
)
from trio_dask.messages.session import Answer, Refused, Resumed
from trio_dask.store import trim

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from trio_dask.client.entrance import Entrance
    from trio_dask.client.session import AnyConnection
    from trio_dask.client.waits import Waits
    from trio_dask.messages import Message

logger = logging.getLogger("trio_dask.client")

#: Leaving takes no longer than this, and this much more where something was to be kept running.
CLOSE_S: Final = 3.0
KEEP_S: Final = 10.0
_REGISTER_S_MIN: Final = 1.0
_AGAIN_S: Final = 0.2
_TIDY_S: Final = 0.2
_CLOSED: Final = "the client was closed"


class Live:
    """The core of a client and its connections, on the loop it was opened on.

    Whoever uses the core holds `lock`: the tasks of a loop never wait for it, but a
    blocking client is used from any thread, while its connections live on a loop.

    Args:
        owner: the client; futures refer to it.
        waits: how its users wait.
        on_loop: whether they are on the loop themselves.
        lasting: whether the conversation with the scheduler outlasts its connections.
    """

    def __init__(
        self,
        entrance: Entrance,
        owner: object,
        dial: Dial,
        *,
        name: str,
        waits: Waits,
        on_loop: bool,
        lasting: bool = True,
    ) -> None:
        self.entrance = entrance
        self.core: Final = ClientCore(name, owner, secrets.token_hex(16) if lasting else "")
        self.lock: Final = threading.RLock()
        self.waits: Final = waits
        #: Send what is to be sent, now or as soon as the loop comes to it.
        self.flush: Final = self.flush_now if on_loop else self.soon
        self.values: Final = Results(
            self.core, self.flush, self.lock, waits, full_tracebacks=entrance.full_tracebacks
        )
        self.waits_on_loop = on_loop
        self._kind = type(owner).__name__
        self._lost_at: float | None = None  # since when the scheduler is being looked for
        self._pid = os.getpid()
        #: Whether something is to arrive even if we leave at once.
        self.must_arrive = False
        self._dial = dial
        self._tasks: anyio.abc.TaskGroup | None = None
        # These four are made when the loop is there.
        self._scope: anyio.CancelScope
        self._registered: anyio.Event
        self._finished: anyio.Event
        self._lull: anyio.Event
        self._handling: anyio.abc.TaskGroup | None = None
        self._connection: AnyConnection | None = None
        self._data: DataLinks | None = None
        #: Where the cluster's dashboard is, once the scheduler has said so.
        self.dashboard_link = ""
        self._refused = ""
        self._open = self._closing = False
        self._armed = False  # whether the loop was told to flush
        self._wake: Callable[[], None] | None = None
        self._forgotten: deque[Watch] = deque()

    @property
    def state(self) -> str:
        """In a word."""
        if self._open:
            return "lost" if self.core.ended else "open"
        return "closed" if self._closing else "not open"

    # ------------------------------------------------------------ beginning and end

    async def open(self) -> None:
        """Connect and register.

        Raises:
            SchedulerUnreachable, AuthenticationError, HandshakeRefused: it cannot be.
        """
        if self._tasks is not None or self._closing:
            msg = f"{self._kind}: it is opened once; make another"
            raise RuntimeError(msg)
        timeout_s = self.entrance.connect_timeout_s
        self._connection = await reach_scheduler(
            self.entrance.address, self.entrance.keys, timeout_s, self._dial
        )
        self._scope = anyio.CancelScope(shield=True)
        self._registered, self._finished, self._lull = (anyio.Event() for _ in range(3))
        tasks = await anyio.create_task_group().__aenter__()
        self._tasks = tasks
        tasks.start_soon(self._run, self._connection)
        try:
            with anyio.move_on_after(max(timeout_s, _REGISTER_S_MIN)):
                await self._registered.wait()
            self._check_welcome()
        except BaseException:
            self._closing = True
            self._scope.cancel()
            await tasks.__aexit__(None, None, None)  # noqa: ASYNC102 - all of it is cancelled
            raise
        wake = waker(self._on_wake)
        self._wake = self.core.table.drops.wake = wake
        self._open = True
        with self.lock:  # nobody waits for the answer
            self.core.ask("dashboard", {}, self._on_dashboard)
        self.flush()

    def _on_dashboard(self, answer: Answer) -> None:
        self.dashboard_link = str(answer.data.get("link", ""))

    def _check_welcome(self) -> None:
        if self.core.number:
            return
        if self._refused:
            raise HandshakeRefused(f"{self.entrance.address}: {self._refused}")
        limit_s = self.entrance.connect_timeout_s
        why = self.core.ended or f"it does not welcome us within {limit_s:g} s"
        msg = f"the scheduler at {self.entrance.address}: {why}"
        raise SchedulerUnreachable(msg)

    async def leave(self) -> None:
        """Close, and see the last of our tasks off."""
        await self.close()
        if self._tasks is not None:
            # They are over. An error of the user's block is no concern of theirs, so that
            # it comes out as it is, not in a group.
            await self._tasks.__aexit__(None, None, None)

    async def close(self) -> None:
        """Release everything and say goodbye. Takes a few seconds at most."""
        if self._closing or self._tasks is None:
            return
        self._closing = True
        with anyio.CancelScope(shield=True):
            if self.must_arrive and not self.core.ended:
                with anyio.move_on_after(KEEP_S):
                    await self._arrived()
            with self.lock:
                self._open = False
                self.core.table.end_pending(_CLOSED)
                self.core.end(_CLOSED)
            if self._data is not None:
                self._data.close(_CLOSED)
            if self._connection is not None:
                self._connection.close(_CLOSED)
            if self.core.away:
                self._scope.cancel()  # there is nobody to say goodbye to
            with anyio.move_on_after(CLOSE_S):
                await self._finished.wait()
            self._scope.cancel()

    async def _arrived(self) -> None:
        """Wait until the scheduler has everything, or is gone."""
        try:
            await self._ask("flush", {}, LoopWaits())
        except SchedulerUnreachable as error:
            logger.warning("tasks to be kept may not have arrived: %s", error)

    # ------------------------------------------------------------ talking

    async def _run(self, connection: AnyConnection) -> None:
        """Own all connections, until the end."""
        try:
            with self._scope:
                async with (
                    anyio.create_task_group() as links,
                    anyio.create_task_group() as handling,
                ):
                    self._handling = handling if self.waits_on_loop else None
                    self._data = DataLinks(
                        self.core.name,
                        self.entrance.keys,
                        start=links.start_soon,
                        handle=self._on_data,
                        lost=self._on_data_lost,
                        wake=self.soon,
                        dial=self._dial,
                    )
                    handling.start_soon(self._tidy)
                    connection.send(self.core.register())
                    await self._talk(connection)
                    self._data.close("the scheduler is gone")
                    handling.cancel_scope.cancel()
        except Exception as error:
            logger.exception("the client of %s failed", self.entrance.address)
            self._on_end(f"the client failed: {error!r}")
        finally:
            if self._data is not None:
                self._data.over()
            self._finished.set()

    async def _talk(self, connection: AnyConnection) -> None:
        """The conversation with the scheduler, over as many connections as it takes."""
        while True:
            try:
                reason = await connection.run(self._on_messages)
            except PeerClosed as error:
                reason = str(error)
                if not self._closing and not self._time_is_up():
                    found = await self._find_again(reason)
                    if found is not None:
                        connection = found
                        continue
                    return
            except (TrioDaskError, OSError) as error:
                reason = str(error)
            address = self.entrance.address
            self._on_end(f"the connection to the scheduler at {address} ended: {reason}")
            return

    async def _tidy(self) -> None:
        """Give back what large submissions were packed in, some time after they have arrived."""
        while True:
            await self._lull.wait()
            self._lull = anyio.Event()
            await anyio.sleep(_TIDY_S)
            trim()

    def _time_is_up(self) -> bool:
        limit_s = self.entrance.reconnect_s
        return self._lost_at is not None and anyio.current_time() > self._lost_at + limit_s

    async def _find_again(self, why: str) -> AnyConnection | None:
        """Another connection to the scheduler that was lost; None if there is none to be had."""
        entrance = self.entrance
        with self.lock:
            self.core.lost()
        now = anyio.current_time()
        if self._lost_at is None:
            self._lost_at = now
            logger.warning("lost the scheduler at %s, looking for it: %s", entrance.address, why)
        else:
            await anyio.sleep(_AGAIN_S)  # somebody is there, and does not talk to us
        left_s = max(0.0, self._lost_at + entrance.reconnect_s - now)
        try:
            connection = await reach_scheduler(
                entrance.address, entrance.keys, left_s, self._dial, quiet=True
            )
        except (TrioDaskError, OSError) as error:
            self._on_end(f"the scheduler at {entrance.address} was lost ({why}): {error}")
            return None
        self._connection = connection
        connection.send(self.core.resume())
        if self._closing:
            connection.close(_CLOSED)
        return connection

    def _on_end(self, reason: str) -> None:
        with self.lock:
            self.core.end(reason)
        self._registered.set()

    def _on_messages(self, messages: list[Message]) -> None:
        with self.lock:
            self.core.handle(messages)
        strange = any(type(each) is Resumed and each.heard < 0 for each in messages)
        if strange and self._connection is not None:
            self._connection.send(self.core.register())
        self._lost_at = None
        for message in messages:
            if isinstance(message, Refused):
                self._refused = message.reason
        if not self._registered.is_set() and (self.core.number or self._refused):
            self._registered.set()
        self.flush_now()
        if self.core.lull:
            self.core.lull = False
            self._lull.set()

    def _on_data(self, address: str, messages: list[Message]) -> None:
        with self.lock:
            self.core.handle_data(address, messages)
        self.flush_now()

    def _on_data_lost(self, address: str, reason: str) -> None:
        with self.lock:
            self.core.data_lost(address, reason)
        self.flush_now()

    # ------------------------------------------------------------ sending

    def flush_now(self) -> None:
        """Send what is to be sent, without waiting. For the loop only."""
        try:
            self._send()
        except Exception as error:
            # What is lost with it is nobody's to tell: end all, and say why. A loop that calls this
            # would end or log it, and those who wait would go on waiting.
            if isinstance(error, LocalProtocolError):
                reason = f"what was to be sent to the scheduler cannot be: {error}"
            else:
                logger.exception("the client of %s failed", self.entrance.address)
                reason = f"the client failed: {error!r}"
            self._on_end(reason)
            if self._connection is not None:
                self._connection.cut("what was to be sent cannot be")

    def _send(self) -> None:
        with self.lock:
            while self._forgotten:
                self.core.unwatch(self._forgotten.popleft())
            if self.core.ended or self._connection is None or self.core.quiet:
                return
            messages, data = self.core.flush(time.monotonic())
        if messages:
            self._connection.send(*messages)
        if self._data is not None:
            for address, message in data:
                self._data.send(address, message)
            self._data.say_news()

    def soon(self) -> None:
        """Flush when the loop comes around: once for a burst of calls. For any thread."""
        if self.core.table.drops.armed:
            return  # the loop has been woken for futures that are gone
        if not self._armed and self._wake is not None:
            try:
                self._armed = True
                self._wake()
            except BaseException:  # Ctrl-C: whoever comes next is to wake it
                self._armed = False
                raise

    def _on_wake(self) -> None:
        self._armed = False  # first: who comes later wakes again
        self.flush_now()

    def check_process(self) -> None:
        """Whether this is the process that the client was made in.

        Raises:
            RuntimeError: it is a forked child of it, where the client's thread does not run.
        """
        if self._pid != os.getpid():
            msg = f"this {self._kind} belongs to the process that forked this one; make another"
            raise RuntimeError(msg)

    def disown(self) -> None:
        """In a forked child: never touch the parent's loop, also when futures are collected."""
        self._wake = None
        self.core.table.drops.end()

    def check_open(self) -> None:
        """Whether anything can be asked for.

        Raises:
            RuntimeError: the client is not open.
            SchedulerUnreachable: the connection is lost.
        """
        if self._open and not self.core.ended:
            self.check_process()
            return
        if self.core.ended and not self._closing:
            raise SchedulerUnreachable(self.core.ended)
        if self._closing:
            msg = f"this {self._kind} is closed"
        else:
            msg = f"use `async with {self._kind}(…)`"
        raise RuntimeError(msg)

    def within(self, options: dict[str, Any]) -> dict[str, Any]:
        """The options of a submission: inside a task it has no more time than that."""
        return options

    def spawn(self, fn: Callable[..., Coroutine[Any, Any, None]], *args: Any) -> None:
        """Run something on the loop while the client is open; it must not raise anything.

        Raises:
            RuntimeError: there is no place for it, as in a client inside a task.
        """
        if self._tasks is None:
            msg = f"this {self._kind} has no task group to run it in"
            raise RuntimeError(msg)
        self._tasks.start_soon(fn, *args)

    def go_on(self, made: object) -> None:
        """What a handler has returned: a coroutine runs on the loop until the client leaves."""
        if inspect.iscoroutine(made):
            if self._handling is None:
                made.close()
                logger.error("%r cannot run here: it needs an AsyncClient outside of tasks", made)
            else:
                self._handling.start_soon(_to_its_end, made)

    def forget(self, watch: Watch) -> None:
        """It does not wait any more. May be called by the garbage collector."""
        self._forgotten.append(watch)

    async def ask(
        self, topic: str, params: dict[str, Any], *, limit_s: float | None = None
    ) -> dict[str, Any]:
        """Ask the scheduler and wait for the answer.

        Raises:
            SchedulerUnreachable: there will be none.
            TimeIsUp: there was none within `limit_s` seconds.
            ValueError: the scheduler says that the question makes no sense.
        """
        self.check_open()
        return await self._ask(topic, params, self.waits, self.waits.deadline(limit_s))

    async def _ask(
        self, topic: str, params: dict[str, Any], waits: Waits, deadline: float | None = None
    ) -> dict[str, Any]:
        bell, answers = waits.bell(), list[Answer]()

        def answered(answer: Answer) -> None:
            answers.append(answer)
            bell.ring()

        with self.lock:
            serial = self.core.ask(topic, params, answered)
        try:
            self.flush()
            await bell.wait(deadline)
        finally:
            with self.lock:
                self.core.forget(serial)
        [answer] = answers
        if answer.ok:
            return answer.data
        if self.core.ended:
            raise SchedulerUnreachable(self.core.ended)
        raise ValueError(str(answer.data.get("error", "the scheduler refused to answer")))


async def _to_its_end(coroutine: Coroutine[Any, Any, Any]) -> None:
    try:
        await coroutine
    except Exception:
        logger.exception("%r failed", coroutine)
