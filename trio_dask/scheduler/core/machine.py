"""The scheduler's decisions behind one door: what peers say goes in, what to say comes out.

No input or output, no clock, no chance: the same calls in the same order give the
same answers, which is how the simulator runs this very code.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, Final

from trio_dask.messages import (
    agreeing as counting,
    fleet as moving,
    inquiring as looking,
    nested as inner,
    plugins as plugging,
    session,
    tasks as words,
)
from trio_dask.messages.ids import CLIENT_MAX
from trio_dask.scheduler.core import (
    agreeing,
    coordinating,
    copies,
    draining,
    expiring,
    fleet,
    functions,
    inquiring,
    intake,
    leaving,
    limits,
    lingering,
    membership,
    mirroring,
    nested,
    plugins,
    putting,
    questions,
    restarting,
    returning,
    reunion,
    runs,
    sessions,
)
from trio_dask.scheduler.core.chronicle import CLIENT, WORKER, note
from trio_dask.scheduler.core.dispatch import dispatch
from trio_dask.scheduler.core.drawing import delist_empty
from trio_dask.scheduler.core.lifecycle import end_more, ripen, settle_more
from trio_dask.scheduler.core.misuse import Misuse
from trio_dask.scheduler.core.outbox import ClientOutbox
from trio_dask.scheduler.core.shrinking import Shrinking
from trio_dask.scheduler.core.state import Client, ClusterState, Job, Worker
from trio_dask.scheduler.policies.proposals import follow

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from trio_dask.messages import Message
    from trio_dask.scheduler.core.settings import CoreSettings
    from trio_dask.scheduler.policies.proposals import Placement

_FROM_CLIENT: Final[dict[type, Callable[..., Generator[None, None, None] | None]]] = {
    words.Functions: functions.on_functions,
    words.ForgetFunctions: functions.on_forget_functions,
    words.Submit: intake.on_submit,
    words.Release: intake.on_release,
    words.Want: intake.on_want,
    words.Cancel: intake.on_cancel,
    words.Keep: intake.on_keep,
    words.Put: putting.on_put,
    words.Unreachable: intake.on_unreachable,
    session.Ask: questions.on_ask,
}
_FROM_WORKER: Final[dict[type, Callable[..., None]]] = {
    words.Returned: runs.on_returned,
    words.Unrunnable: runs.on_unrunnable,
    words.Pinned: runs.on_pinned,
    words.Replicas: runs.on_replicas,
    words.Stored: runs.on_stored,
    words.RunnerDied: runs.on_runner_died,
    words.Slots: runs.on_slots,
    words.Running: runs.on_running,
    session.Heartbeat: runs.on_heartbeat,
    inner.NumbersWanted: nested.on_numbers_wanted,
    inner.Parked: nested.on_parked,
    inner.NestedStored: nested.on_nested_stored,
    moving.Leave: draining.on_leave,
    moving.Uncopied: draining.on_uncopied,
    moving.Renewed: restarting.on_renewed,
    looking.Told: inquiring.on_told,
    plugging.PluginsDone: plugins.on_done,
    counting.Counted: agreeing.on_counted,
    **lingering.FROM_WORKER,
}


#: The peer on whose behalf something is done that concerns everybody.
_NOBODY: Final = 0


class SchedulerCore:
    """The scheduler without its sockets.

    Peers are numbers above 0, chosen by the caller, one for each session. After any calls,
    `flush` gives what is to be sent, and while `busy` there is more to do.
    """

    def __init__(
        self, settings: CoreSettings, *, cluster: str, epoch: int = 1,
        placement: Placement | None = None,
    ) -> None:  # fmt: skip
        self.state = ClusterState(settings, cluster, epoch)
        if placement is not None:
            follow(self.state, placement)
        self._jobs: deque[Job] = deque()
        self._shrinking: Final = Shrinking()
        self._job_of: dict[int, Job] = {}
        self._bad: list[tuple[int, Misuse]] = []  # found while jobs were done out of turn

    # ------------------------------------------------------------ who is there

    def client_joined(self, peer: int, message: session.RegisterClient, now: float = 0.0) -> None:
        """A client has proved who it is and registers.

        Raises:
            Misuse: it cannot join; the text says why.
        """
        state = self.state
        sessions.check_secret(state.sessions, message.secret)
        back = reunion.comes_back(state, message, now)
        if state.reunion.recovering and not back:
            reunion.wait(state, peer, message, now)
            return
        number = message.number if back else state.clients_ever + 1
        if not 0 < number < CLIENT_MAX:
            raise Misuse("this cluster has no client numbers left")
        if number in state.clients:
            raise Misuse(f"client {number} is here already")
        state.clients_ever = max(state.clients_ever, number)
        client = Client(peer, number, message.name, ClientOutbox(peer, state.dirty))
        state.clients[client.number] = state.peers[peer] = client
        sessions.begin(state.sessions, peer, client.out, message.secret)
        client.out.add(membership.welcome(state, client.number))
        membership.come(state, client.number, client.out)
        if back:
            reunion.expect(state, peer, client, message.cluster)
        note(state, CLIENT, client.name, "is back" if back else "connected")

    def nested_joined(self, peer: int, at: int, join: inner.NestedJoin) -> None:
        """A task that runs on the worker `at` has a client: what that says is told as of `peer`.

        It ends with the attempt, and the last that is said to it is `Goodbye`.

        Raises:
            Misuse: it cannot join; the text says why.
        """
        state = self.state
        worker = state.peers.get(at)
        if not isinstance(worker, Worker):
            raise Misuse("only workers have tasks")
        client = nested.joined(state, peer, worker, join)
        state.clients[client.number] = state.peers[peer] = client

    def local_joined(self, peer: int, name: str) -> None:
        """Somebody in this very process is a client from now on: there is one at most.

        It has a number that nobody else is given, as it may come while others who have theirs
        from before are still on their way back.
        """
        state = self.state
        out = ClientOutbox(peer, state.dirty)
        client = Client(peer, CLIENT_MAX, name, out, local=True)
        state.clients[client.number] = state.peers[peer] = client

    def worker_joined(self, peer: int, message: session.RegisterWorker, now: float) -> None:
        """A worker has proved who it is and registers.

        Raises:
            Misuse: it cannot join; the text says why.
        """
        state = self.state
        state.now = now
        sessions.check_secret(state.sessions, message.secret)
        back = reunion.comes_back(state, message, now)
        if state.reunion.recovering and not back:
            reunion.wait(state, peer, message, now)
            return
        before = self._make_room(message, back=back)
        if before is not None:
            worker = fleet.worker_again(state, before, peer, now)
        else:
            why = fleet.refusal(state, message)
            if why is not None:
                raise Misuse(why)
            worker = fleet.worker_joined(state, peer, message, now)
        state.peers[peer] = worker
        sessions.begin(state.sessions, peer, worker.out, message.secret)
        membership.come(state, worker.address, worker.out)
        if back:
            reunion.expect(state, peer, worker, message.cluster)
        how = "is back" if back else "joined"
        note(state, WORKER, worker.name, f"{how} from {worker.address}, {worker.nthreads} slots")

    def _make_room(self, message: session.RegisterWorker, *, back: bool) -> Worker | None:
        """One that is away and has this name or address: the same, if that is back, or gone."""
        state = self.state
        for before in (state.worker_names.get(message.name), state.workers.get(message.address)):
            if before is None or before.peer not in state.sessions.away:
                continue
            if back and (before.name, before.address) == (message.name, message.address):
                return before
            self.left(before.peer, "another has taken its place")
        return None

    def resume(self, message: session.Resume, now: float) -> int | None:
        """Somebody is back on a new connection: which peer that is, None if it is unknown.

        Raises:
            Misuse: it says what cannot be.
        """
        return sessions.resume(self.state, message, now)

    def lost(self, peer: int, reason: str, now: float) -> None:
        """The peer's connection broke; it may come back."""
        if not sessions.lost(self.state, peer, now):
            self.left(peer, reason)

    def heard(self, peer: int, message: Message) -> None:
        """A worker says what is not its own, but of a task's client: see `nested_joined`."""
        found = self.state.peers.get(peer)
        if found is not None and found.out.lasting is not None:
            sessions.hears(self.state.sessions, peer, found.out.lasting, message)

    def said(self, peer: int, message: Message) -> None:
        """A worker is told this for a task's client, after all that it was told itself."""
        found = self.state.peers.get(peer)
        if found is not None and found.out.lasting is not None:
            found.out.lasting.says([message])

    def shown_at(self, link: str) -> None:
        """There is a dashboard: clients are told where, when they ask."""
        self.state.dashboard = link

    def name_of(self, peer: int) -> str:
        """What people call the peer; empty if it has not registered."""
        return sessions.name_of(self.state, peer)

    def awaited(self, peer: int) -> str | None:
        """The address of a peer that is away, empty for a client; None if nobody waits for it."""
        return sessions.awaited(self.state, peer)

    def left(self, peer: int, reason: str) -> None:
        """The peer is gone for good."""
        found = self.state.peers.pop(peer, None)
        sessions.end(self.state.sessions, peer)
        reunion.left(self.state, peer)
        self.state.dirty.pop(peer, None)
        job = self._job_of.pop(peer, None)
        if job is not None:
            self._jobs.remove(job)
            job.steps.close()
        if isinstance(found, Client):
            self.state.clients.pop(found.number, None)
            if found.nest is None:
                note(self.state, CLIENT, found.name, f"left: {reason}")
                membership.gone(self.state, found.number)
            coordinating.gone(self.state, found)
            self._begin(peer, leaving.client_left(self.state, found))
        elif isinstance(found, Worker):
            note(self.state, WORKER, found.name, f"left: {reason}")
            membership.gone(self.state, found.address)
            inquiring.gone(self.state, found)
            self._begin(peer, fleet.worker_lost(self.state, found, reason))

    # ------------------------------------------------------------ what they say

    def handle(self, peer: int, message: Message, now: float) -> None:
        """Take in what a peer said.

        Raises:
            Misuse: it makes no sense; the peer is to be let go.
        """
        found = self.state.peers.get(peer)
        if found is not None and found.out.lasting is not None:
            sessions.hears(self.state.sessions, peer, found.out.lasting, message)
        if type(message) is session.Heard:
            sessions.on_heard(self.state, found, message)
            if self.state.reunion.disowned:
                returning.confirmed(self.state, peer, message.count)
            return
        if self.state.reunion.open and reunion.hear(self.state, peer, message, now):
            self._reunite(now)
            return
        self._arrive(peer, message, now)

    def _reunite(self, now: float) -> None:
        """When all are back for whom there was to wait, go on as usual."""
        state = self.state
        if not reunion.is_over(state, now):
            return
        newcomers, state.reunion.newcomers = state.reunion.newcomers, {}
        backlog, state.reunion.backlog = state.reunion.backlog, []
        self._bad += reunion.end(state)
        membership.tell_all(state)
        for peer, (message, at) in newcomers.items():
            try:
                if isinstance(message, session.RegisterClient):
                    self.client_joined(peer, message, at)
                else:
                    self.worker_joined(peer, message, at)
            except Misuse as error:
                self._bad.append((peer, error))
        for peer, said, at in backlog:
            try:
                self._arrive(peer, said, at)
            except Misuse as error:
                self._bad.append((peer, error))

    def _arrive(self, peer: int, message: Message, now: float) -> None:
        job = self._job_of.get(peer)
        if job is not None:
            job.backlog.append((message, now))
        else:
            self._take_in(peer, message, now)

    def _take_in(self, peer: int, message: Message, now: float) -> None:
        self.state.now = now
        found = self.state.peers.get(peer)
        if isinstance(found, Worker):
            found.last_seen = now
            if type(message) is words.Done:
                runs.on_done(self.state, found, message, now)
                return
            on_worker = _FROM_WORKER.get(type(message))
            if on_worker is None:
                raise Misuse(f"a worker does not say {type(message).__name__}")
            on_worker(self.state, found, message)
        elif isinstance(found, Client):
            on_client = _FROM_CLIENT.get(type(message))
            if on_client is None:
                raise Misuse(f"a client does not say {type(message).__name__}")
            if self.busy and type(message) is session.Ask and message.topic == "restart":
                self._finish_all()  # half of something cannot be forgotten
            steps = on_client(self.state, found, message)
            if steps is not None:
                self._begin(peer, steps)

    def tick(self, now: float) -> list[int]:
        """Time has passed; returns peers that have not been heard of for too long."""
        self.state.now = now
        for peer in sessions.overdue(self.state, now):
            self.left(peer, "its connection broke, and it did not come back")
        sessions.confirm_all(self.state)
        if self.state.reunion.recovering:
            self._reunite(now)
        else:
            self.expire(now)
            inquiring.expire(self.state, now)
            fleet.relieve(self.state, now)
            copies.reduce(self.state)
            functions.forget_functions(self.state)
            membership.tell_news(self.state)
            mirroring.tick(self.state)
            delist_empty(self.state)
            reunion.settle(self.state, now)
        self._shrinking.look(self.state)
        away = self.state.sessions.away
        return [each.peer for each in fleet.overdue(self.state, now) if each.peer not in away]

    @property
    def due_at(self) -> float:
        """When `expire` is to be called next: somebody's time is up then. `inf`: not at all."""
        return math.inf if _NOBODY in self._job_of else limits.due_at(self.state)

    def expire(self, now: float) -> None:
        """End what is out of time; of very many the rest is left to `work`."""
        self.state.now = now
        if self.due_at <= now:
            self._begin(_NOBODY, expiring.expire(self.state, now))

    @property
    def shrinks(self) -> int:
        """How often much memory became free."""
        return self._shrinking.times

    # ------------------------------------------------------------ large jobs

    @property
    def busy(self) -> bool:
        """Whether `work` has something to do."""
        return bool(self._jobs or self._bad or self.state.pace.behind)

    def work(self, slices: int = 1) -> list[tuple[int, Misuse]]:
        """Do some of what is large; returns the peers that turned out to misbehave."""
        bad, self._bad = self._bad, []
        self._catch_up()
        for _ in range(slices):
            if not self._jobs:
                break
            job = self._jobs[0]
            try:
                finished = _step(job.steps)
                if finished:
                    self._finish(job)
                else:
                    self._jobs.rotate(-1)
            except Misuse as error:
                job.backlog.clear()
                if self._job_of.get(job.peer) is job:
                    self._finish(job)
                bad.append((job.peer, error))
        return bad

    def _catch_up(self) -> None:
        """Do some of what earlier turns have put off."""
        pace = self.state.pace
        pace.renew()
        pace.undealt = False
        if pace.ripe:
            ripen(self.state)
        if pace.ending:
            end_more(self.state)
        if pace.unsettled:
            settle_more(self.state)

    def _begin(self, peer: int, steps: Generator[None, None, None]) -> None:
        """Do the first slice now, and queue what is left."""
        if not _step(steps):
            job = Job(peer, steps)
            self._jobs.append(job)
            self._job_of[peer] = job

    def _finish_all(self) -> None:
        """Do all that has been put off."""
        bad: list[tuple[int, Misuse]] = []
        while self.busy:
            bad += self.work()
        self._bad = bad

    def _finish(self, job: Job) -> None:
        self._jobs.remove(job)
        if self._job_of.get(job.peer) is job:
            del self._job_of[job.peer]
        while job.backlog and job.peer not in self._job_of:
            message, now = job.backlog.popleft()
            self._take_in(job.peer, message, now)
        following = self._job_of.get(job.peer)
        if following is not None:
            following.backlog += job.backlog

    # ------------------------------------------------------------ what to say

    def flush(self, now: float | None = None) -> list[tuple[int, list[Message]]]:
        """Hand out work, and everything to be said since the last time, by peer.

        `now` may be left out where nothing has a deadline.
        """
        state = self.state
        if now is not None:
            state.now = now
        if state.parting:
            self._part()
        if not state.reunion.recovering:
            if state.draining:
                draining.pump(state)
            dispatch(state)
            if state.mirrors.due:
                mirroring.tell(state)
        state.pace.renew()
        if state.sessions.owing:
            sessions.confirm(state)
        out = list(state.sessions.again.items())
        state.sessions.again.clear()
        out += [(peer, outbox.take()) for peer, outbox in state.dirty.items()]
        state.dirty.clear()
        return out

    def _part(self) -> None:
        """Clients of tasks that are over have ended."""
        parting = self.state.parting[:]
        self.state.parting.clear()  # it is this list that workers know
        for client in parting:
            if self.state.peers.get(client.peer) is client:
                self.left(client.peer, "its task has ended")
                client.out.add(session.Goodbye("the task has ended"))


def _step(steps: Generator[None, None, None]) -> bool:
    try:
        next(steps)
    except StopIteration:
        return True
    return False
