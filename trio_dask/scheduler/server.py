"""The scheduler as a server: sessions around the core, and nothing decided here.

Reading a message, deciding and queueing the answers is one plain call, so nothing
can slip in between. What the core has put off as too large for one call is done by
`_work`, between which every session gets its turn.
"""

from __future__ import annotations

import gc
import logging
import math
import secrets
from collections import Counter
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import trio

from trio_dask.comm import Statistics, listening_places, nobody_listens, open_listeners, serve
from trio_dask.config import port_choices
from trio_dask.errors import CommError, LocalProtocolError, PeerClosed
from trio_dask.eventlog import kept_lines
from trio_dask.messages import session
from trio_dask.messages.ids import CLIENT_MAX
from trio_dask.messages.nested import Nested
from trio_dask.scheduler.core import CoreSettings, Misuse, SchedulerCore
from trio_dask.scheduler.core.inquiring import asked_here
from trio_dask.scheduler.hand import NAME, Hand
from trio_dask.scheduler.idling import Idleness, is_busy
from trio_dask.scheduler.importing import find_placement
from trio_dask.scheduler.inside import Inside
from trio_dask.scheduler.observing import SchedulerView
from trio_dask.scheduler.recording import recorded
from trio_dask.store import trim

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_dask.comm import Connection, Keys, Listener
    from trio_dask.config import Config, SchedulerConfig
    from trio_dask.eventlog import LogLines
    from trio_dask.messages import Message
    from trio_dask.scheduler.recording import Core

logger = logging.getLogger("trio_dask.scheduler")

FAREWELL_S: Final = 1.0
#: With more tasks than this a pass of the garbage collector would be noticed.
_COLLECT_TASKS_MAX: Final = 10_000
#: A tick that is so late means that this process was stopped, or its machine.
_STOOD_STILL_S: Final = 2.0
#: So late limits are noticed, at most: fewer looks at many; and after standing still.
_TOGETHER_S: Final = 0.01
_READ_FIRST_S: Final = 0.1
_REASON_MAX: Final = 1000
#: Schedulers give out numbers of clients from different places on, and have enough of them.
_CLIENT_BLOCK: Final = 1024
_CLIENT_BLOCKS: Final = CLIENT_MAX // 2 // _CLIENT_BLOCK
#: The wait between two looks whether the process of a worker that is away has ended: doubled.
_PROBE_S: Final = 0.05
_PROBE_S_MAX: Final = 2.0
WORK_SLICES: Final = 4  # of large jobs, between two looks at the sockets


@dataclass(frozen=True, slots=True)
class SchedulerHandle:
    """A running scheduler: where it is, its core, and what may be shown of it."""

    address: str
    cluster: str
    core: SchedulerCore
    view: SchedulerView
    #: To be called with the link where the view is shown.
    shown_at: Callable[[str], None]
    #: Where else it listens, if it does.
    other_addresses: tuple[str, ...] = ()


async def run_scheduler(
    config: Config,
    keys: Keys,
    *,
    on_closing: Callable[[str], None] | None = None,
    task_status: trio.TaskStatus[SchedulerHandle] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until cancelled, or a client shuts all down; then say goodbye to everyone.

    `on_closing` is told at once if a client does, and why.

    Raises:
        OSError: the address cannot be listened on, or the event log not be made.
    """
    settings = config.scheduler
    ports = port_choices(settings.port)
    places = listening_places(settings.protocol, settings.host, ports)
    async with await open_listeners(places) as listener:
        placement = find_placement(settings.placement)
        core = SchedulerCore(
            core_settings(settings),
            cluster=secrets.token_hex(8),
            placement=placement() if placement is not None else None,
        )
        with recorded(core, settings.event_log) as told, kept_lines(trio.current_time) as lines:
            stopping = trio.Event()
            idle = Idleness(settings.idle_timeout_s, trio.current_time())
            async with trio.open_nursery() as outside:
                outside.start_soon(_set_when_cancelled, stopping)
                with trio.CancelScope(shield=True):
                    async with trio.open_nursery() as nursery:
                        server = _Server(told, nursery, stopping, lines)
                        view = SchedulerView(
                            core.state,
                            server.overhear,
                            address=listener.address,
                            now=trio.current_time(),
                            logs=lines.lines,
                            ask=server.ask,
                            traffic=server.traffic,
                        )
                        handle = SchedulerHandle(
                            listener.address,
                            core.state.cluster,
                            core,
                            view,
                            told.shown_at,
                            listener.addresses[1:],
                        )
                        await nursery.start(server.serve, listener, keys)
                        nursery.start_soon(server.tick, settings.tick_s, idle)
                        nursery.start_soon(server.watch_limits)
                        nursery.start_soon(server.work)
                        task_status.started(handle)
                        await stopping.wait()
                        why = core.state.closing or server.idled
                        if why:
                            logger.info("Ending: %s", why)
                            if on_closing is not None:
                                on_closing(why)
                        with trio.move_on_after(FAREWELL_S):
                            await server.part(why or "the scheduler is closing")
                        nursery.cancel_scope.cancel("the scheduler is closing")
                outside.cancel_scope.cancel("the scheduler has ended")


def core_settings(settings: SchedulerConfig) -> CoreSettings:
    """What the core needs to know of the settings."""
    return CoreSettings(
        allowed_failures=settings.allowed_failures,
        window_horizon_s=settings.window_horizon_s,
        window_max=settings.window_max,
        worker_ttl_s=settings.worker_ttl_s,
        placement=settings.placement,
        reconnect_s=settings.reconnect_s,
        clients_from=secrets.randbelow(_CLIENT_BLOCKS) * _CLIENT_BLOCK,
    )


async def _set_when_cancelled(event: trio.Event) -> None:
    try:
        await trio.sleep_forever()
    finally:
        event.set()


@dataclass(slots=True, eq=False)
class _Visit:
    """A connection, and the peer that it has turned out to be."""

    connection: Connection
    peer: int = 0


class _Server:
    """Sessions by peer number."""

    def __init__(
        self, core: Core, nursery: trio.Nursery, stopping: trio.Event, log: LogLines
    ) -> None:
        self._nursery = nursery
        self._core = core
        self._stopping = stopping
        self._log = log
        self._log_asked = 0  # the last of those who were told of it
        self._inside = Inside(core)
        self._handle: Callable[[int, Message, float], None] = core.handle
        self._sessions: dict[int, Connection] = {}
        self._peers = 0
        self._hand: tuple[int, Hand] | None = None
        self._work_waits = trio.Event()
        self._sooner = trio.Event()  # a limit is over earlier than any other so far
        self._wakes_at = math.inf
        self._all_gone = trio.Event()
        self._parting = False
        self.idled = ""  # that there has been nothing to do for so long that it ends
        self._shrinks_seen = 0
        self._mirrors_are_full = False
        self._sessions_ended = False  # since the last collection of garbage
        self._gone = Statistics()  # what went through sessions that have ended

    async def serve(
        self,
        listener: Listener,
        keys: Keys,
        *,
        task_status: trio.TaskStatus[Listener] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Accept peers until cancelled."""
        await serve(
            listener,
            keys=keys,
            role=session.SCHEDULER,
            handler=self._serve_peer,
            task_status=task_status,
        )

    async def tick(self, interval_s: float, idle: Idleness) -> None:
        """Let the core look at the clock, half as often without tasks; and see if we are needed."""
        state = self._core.state
        while True:
            due = trio.current_time() + (interval_s if state.tasks else 2 * interval_s)
            await trio.sleep_until(due)
            if trio.current_time() > due + _STOOD_STILL_S:
                continue  # what was said in the meantime is read first: nobody was silent
            away = {peer: self._core.name_of(peer) for peer in state.sessions.away}
            for peer in self._core.tick(trio.current_time()):
                self._sessions[peer].cut("nothing was heard of it for too long")
            self._flush()
            for name in [name for peer, name in away.items() if not self._core.name_of(peer)]:
                logger.info("%s is given up: it has not come back in time", name)
            self._tell_of_the_policy()
            self._tell_of_the_mirrors()
            self._tidy()
            done = state.finished_ever, state.failed_ever, state.clients_ever
            if idle.look(trio.current_time(), done, lambda: is_busy(state)):
                self.idled = "there has been nothing to do for the time of --idle-timeout"
                self._stopping.set()

    def _tell_of_the_policy(self) -> None:
        """Somebody's placement policy has proposed what cannot be done: its author should know."""
        faults = self._core.state.policy_faults
        for fault, count in Counter(faults).items():
            logger.warning("%s (%d times); placed as usual", fault, count)
        faults.clear()

    def _tell_of_the_mirrors(self) -> None:
        """There is more to be kept for another scheduler than workers keep: said once."""
        complaint = self._core.state.mirrors.complaint
        if complaint and not self._mirrors_are_full:
            self._mirrors_are_full = True
            logger.warning("%s", complaint)

    async def watch_limits(self) -> None:
        """Let the core end what is out of time, when it is. Without limits this sleeps."""
        while True:
            self._wakes_at = self._core.due_at
            with trio.CancelScope(deadline=self._wakes_at):
                await self._sooner.wait()
                self._sooner = trio.Event()
                continue
            late_s = trio.current_time() - self._wakes_at
            # Those that are over at about the same time are looked at together; and what
            # was said while this process stood still is read first.
            await trio.sleep(_TOGETHER_S if late_s < _STOOD_STILL_S else _READ_FIRST_S)
            self._core.expire(trio.current_time())
            self._flush()

    def _tidy(self) -> None:
        """Give memory back to the system when much has become free.

        In a process that is a server and nothing else there is no collector of garbage.
        The core makes no cycles; sessions leave some, which are collected here.
        """
        if (
            self._sessions_ended
            and not gc.isenabled()
            and len(self._core.state.tasks) < _COLLECT_TASKS_MAX
        ):
            self._sessions_ended = False
            gc.collect()
        if self._core.shrinks > self._shrinks_seen:
            self._shrinks_seen = self._core.shrinks
            trim()

    async def work(self) -> None:
        """Do what the core has put off, a little at a time."""
        while True:
            await self._work_waits.wait()
            self._work_waits = trio.Event()
            while self._core.busy:
                for peer, error in self._core.work(WORK_SLICES):
                    self._turn_away_peer(peer, str(error))
                self._flush()
                await trio.lowlevel.checkpoint()

    async def part(self, reason: str) -> None:
        """Say goodbye to everyone, and wait until they are gone."""
        self._parting = True
        for connection in self._sessions.values():
            connection.close(reason)
        if self._sessions:
            await self._all_gone.wait()

    def overhear(self, listener: Callable[[int, Message, float], None] | None) -> None:
        """Have `listener` told of every message before the core is; None: nobody any more."""
        core = self._core
        if listener is None:
            self._handle = core.handle
            return

        def handle(peer: int, message: Message, now: float) -> None:
            listener(peer, message, now)
            core.handle(peer, message, now)

        self._handle = handle

    async def ask(self, topic: str, params: dict[str, Any]) -> dict[str, Any]:
        """What the core answers to somebody in this process.

        Raises:
            ValueError: it says that the question makes no sense.
        """
        return await self._own_hand().ask(topic, params)

    def _own_hand(self) -> Hand:
        if self._hand is None:
            peer = self._peers = self._peers + 1
            self._core.local_joined(peer, NAME)

            def say(message: Message) -> None:
                self._handle(peer, message, trio.current_time())
                self._flush()

            self._hand = peer, Hand(say, self._log)
        return self._hand[1]

    def traffic(self) -> Statistics:
        """What has gone between this process and its peers."""
        return sum((each.statistics() for each in self._sessions.values()), self._gone)

    # ------------------------------------------------------------ one peer

    async def _serve_peer(self, connection: Connection) -> None:
        visit = _Visit(connection)
        reason, broken = "it was cancelled", False
        try:
            reason = await connection.run(partial(self._receive, visit))
        except CommError as error:
            reason, broken = str(error), isinstance(error, PeerClosed)
        finally:
            self._sessions_ended = True
            self._gone += replace(connection.statistics(), queued_bytes=0)
            if self._sessions.get(visit.peer) is connection:
                del self._sessions[visit.peer]
                self._part_from(visit.peer, _name(connection), reason, broken=broken)
            if self._parting and not self._sessions:
                self._all_gone.set()

    def _part_from(self, peer: int, name: str, reason: str, *, broken: bool) -> None:
        core = self._core
        who = core.name_of(peer) or name
        if broken and not self._parting:
            core.lost(peer, reason, trio.current_time())
        else:
            core.left(peer, reason)
        self._flush()
        address = core.awaited(peer)
        if address is None:
            logger.info("%s left: %s", who, reason)
            return
        logger.info("%s has lost its connection, and may come back: %s", who, reason)
        if address:
            self._nursery.start_soon(self._probe, peer, who, address)

    async def _probe(self, peer: int, who: str, address: str) -> None:
        """See soon that a worker will not come back, where its process has ended.

        Of a process that ends, what it listens on may be closed after its connections.
        """
        delay = _PROBE_S
        while self._core.awaited(peer) is not None:
            if await nobody_listens(address):
                if self._core.awaited(peer) is not None:
                    self._core.left(peer, "its process has ended")
                    logger.info("%s left: its process has ended", who)
                    self._flush()
                return
            await trio.sleep(delay)
            delay = min(2 * delay, _PROBE_S_MAX)

    def _receive(self, visit: _Visit, messages: list[Message]) -> None:
        now = trio.current_time()
        try:
            for message in messages:
                if type(message) is Nested and visit.peer:
                    self._core.heard(visit.peer, message)
                    self._inside.hear(visit.peer, message, now)
                elif visit.peer:
                    self._handle(visit.peer, message, now)
                elif isinstance(message, session.Resume):
                    self._resume(visit, message, now)
                else:
                    self._register(visit, message, now)
        except Misuse as error:
            self._turn_away(visit.connection, str(error))
        self._flush()

    def _resume(self, visit: _Visit, message: session.Resume, now: float) -> None:
        peer = self._core.resume(message, now)
        if peer is None:
            visit.connection.send(session.Resumed(-1))
            return
        before = self._sessions.get(peer)
        visit.peer, self._sessions[peer] = peer, visit.connection
        logger.info("%s is back", self._core.name_of(peer))
        if before is not None:  # half open, as we have not noticed its end
            before.cut("its peer has come back on another")

    def _register(self, visit: _Visit, message: Message, now: float) -> None:
        connection = visit.connection
        role = connection.peer.role
        peer = self._peers + 1
        if isinstance(message, session.RegisterClient) and role == session.CLIENT:
            self._core.client_joined(peer, message, now)
        elif isinstance(message, session.RegisterWorker) and role == session.WORKER:
            self._core.worker_joined(peer, message, now)
        else:
            msg = f"a {role} does not begin with {type(message).__name__}"
            raise Misuse(msg)
        self._peers = visit.peer = peer
        self._sessions[peer] = connection
        place = f" from {connection.remote_address}" if role == session.CLIENT else ""
        who = self._core.name_of(peer)
        if who:
            logger.info("%s joined%s", who, place)
        else:
            logger.info("%s waits until those are back who were here before", _name(connection))

    def _turn_away_peer(self, peer: int, reason: str) -> None:
        if peer < 0:
            self._say_inside(*self._inside.refuse(peer, reason))
        else:
            self._turn_away(self._sessions.get(peer), reason)

    def _turn_away(self, connection: Connection | None, reason: str) -> None:
        if connection is not None:
            reason = reason[:_REASON_MAX]  # it quotes what the peer said
            logger.warning("%s is let go: %s", _name(connection), reason)
            connection.send(session.Refused(reason))
            connection.close(reason)

    def _flush(self) -> None:
        self._inside.catch_up()
        said = self._core.flush(trio.current_time())
        for peer, messages in said:
            if peer >= 0:
                self._say(peer, *messages)
        for peer, messages in said:  # after what their workers are told themselves
            addressed = self._inside.address(peer, messages) if peer < 0 else None
            if addressed is not None:
                self._say_inside(*addressed)
        for worker, refused in self._inside.refusals():
            self._say_inside(worker, refused)
        if self._core.busy:
            self._work_waits.set()
        if self._core.due_at < self._wakes_at:
            self._sooner.set()
        if self._core.state.closing:
            self._stopping.set()
        asked = asked_here(self._core.state, self._log_asked)
        if asked:
            self._log_asked = asked[-1][0]
            self._own_hand().tell(asked)

    def _say_inside(self, worker: int, message: Message) -> None:
        self._core.said(worker, message)
        self._say(worker, message)

    def _say(self, peer: int, *messages: Message) -> None:
        connection = self._sessions.get(peer)
        if connection is None:
            if self._hand is not None and self._hand[0] == peer:
                self._hand[1].hear(list(messages))
            return
        try:
            connection.send(*messages)
        except LocalProtocolError as error:
            connection.cut(f"what it has to be told cannot be sent: {error}")


def _name(connection: Connection) -> str:
    return f"{connection.peer.role} at {connection.remote_address}"
