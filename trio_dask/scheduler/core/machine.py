"""The scheduler's decisions behind one door: what peers say goes in, what to say comes out.

No input or output, no clock, no chance: the same calls in the same order give the
same answers, which is how the simulator runs this very code.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, Final

from trio_dask.messages import (
    fleet as moving,
    inquiring as looking,
    nested as inner,
    plugins as plugging,
    session,
    tasks as words,
)
from trio_dask.messages.ids import CLIENT_MAX
from trio_dask.scheduler.core import (
    coordinating,
    draining,
    expiring,
    fleet,
    inquiring,
    intake,
    leaving,
    limits,
    nested,
    plugins,
    questions,
    restarting,
    runs,
)
from trio_dask.scheduler.core.chronicle import CLIENT, WORKER, note
from trio_dask.scheduler.core.dispatch import dispatch
from trio_dask.scheduler.core.drawing import delist_empty
from trio_dask.scheduler.core.intake import Misuse
from trio_dask.scheduler.core.lifecycle import end_more, ripen, settle_more
from trio_dask.scheduler.core.outbox import ClientOutbox
from trio_dask.scheduler.core.state import Client, ClusterState, CoreSettings, Job, Worker
from trio_dask.scheduler.policies.proposals import follow

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from trio_dask.messages import Message
    from trio_dask.scheduler.policies.proposals import Placement

_FROM_CLIENT: Final[dict[type, Callable[..., Generator[None, None, None] | None]]] = {
    words.Functions: intake.on_functions,
    words.ForgetFunctions: intake.on_forget_functions,
    words.Submit: intake.on_submit,
    words.Release: intake.on_release,
    words.Want: intake.on_want,
    words.Cancel: intake.on_cancel,
    words.Keep: intake.on_keep,
    words.Put: intake.on_put,
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
}


#: The peer on whose behalf something is done that concerns everybody.
_NOBODY: Final = 0
#: A table of so many tasks is large.
_LARGE: Final = 10_000


class SchedulerCore:
    """The scheduler without its sockets.

    Peers are numbers above 0, chosen by the caller, one for each session. After any calls,
    `flush` gives what is to be sent, and while `busy` there is more to do.
    """

    def __init__(
        self,
        settings: CoreSettings,
        *,
        cluster: str,
        epoch: int = 1,
        placement: Placement | None = None,
    ) -> None:
        self.state = ClusterState(settings, cluster, epoch)
        if placement is not None:
            follow(self.state, placement)
        self._jobs: deque[Job] = deque()
        self._tasks_high = 0  # the most tasks since the table was last made anew
        self.shrinks = 0  # how often much memory became free
        self._job_of: dict[int, Job] = {}
        self._bad: list[tuple[int, Misuse]] = []  # found while jobs were done out of turn

    # ------------------------------------------------------------ who is there

    def client_joined(self, peer: int, message: session.RegisterClient) -> None:
        """A client has proved who it is and registers.

        Raises:
            Misuse: it cannot join; the text says why.
        """
        state = self.state
        if state.clients_ever >= CLIENT_MAX:
            raise Misuse("this cluster has no client numbers left")
        state.clients_ever += 1
        client = Client(peer, state.clients_ever, message.name, ClientOutbox(peer, state.dirty))
        state.clients[client.number] = client
        state.peers[peer] = client
        client.out.add(session.Welcome(client.number, state.cluster, state.epoch))
        note(state, CLIENT, client.name, "connected")

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
        """Somebody in this very process is a client from now on."""
        state = self.state
        if state.clients_ever >= CLIENT_MAX:
            raise Misuse("this cluster has no client numbers left")
        state.clients_ever += 1
        out = ClientOutbox(peer, state.dirty)
        client = Client(peer, state.clients_ever, name, out, local=True)
        state.clients[client.number] = state.peers[peer] = client

    def worker_joined(self, peer: int, message: session.RegisterWorker, now: float) -> None:
        """A worker has proved who it is and registers.

        Raises:
            Misuse: it cannot join; the text says why.
        """
        state = self.state
        state.now = now
        why = fleet.refusal(state, message)
        if why is not None:
            raise Misuse(why)
        state.peers[peer] = worker = fleet.worker_joined(state, peer, message, now)
        note(state, WORKER, worker.name, f"joined from {worker.address}, {worker.nthreads} slots")

    def shown_at(self, link: str) -> None:
        """There is a dashboard: clients are told where, when they ask."""
        self.state.dashboard = link

    def name_of(self, peer: int) -> str:
        """What people call the peer; empty if it has not registered."""
        found = self.state.peers.get(peer)
        if isinstance(found, Worker):
            place = "" if found.name == found.address else f" ({found.address})"
            return f"worker {found.name}{place}"
        return f"client {found.name}" if found is not None else ""

    def left(self, peer: int, reason: str) -> None:
        """The peer's connection ended."""
        found = self.state.peers.pop(peer, None)
        self.state.dirty.pop(peer, None)
        job = self._job_of.pop(peer, None)
        if job is not None:
            self._jobs.remove(job)
            job.steps.close()
        if isinstance(found, Client):
            self.state.clients.pop(found.number, None)
            if found.nest is None:
                note(self.state, CLIENT, found.name, f"left: {reason}")
            coordinating.gone(self.state, found)
            self._begin(peer, leaving.client_left(self.state, found))
        elif isinstance(found, Worker):
            note(self.state, WORKER, found.name, f"left: {reason}")
            inquiring.gone(self.state, found)
            self._begin(peer, fleet.worker_lost(self.state, found, reason))

    # ------------------------------------------------------------ what they say

    def handle(self, peer: int, message: Message, now: float) -> None:
        """Take in what a peer said.

        Raises:
            Misuse: it makes no sense; the peer is to be let go.
        """
        job = self._job_of.get(peer)
        if job is not None:
            job.backlog.append((message, now))
            return
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
        self.expire(now)
        inquiring.expire(self.state, now)
        fleet.relieve(self.state, now)
        intake.forget_functions(self.state)
        delist_empty(self.state)
        self._shrink()
        return [worker.peer for worker in fleet.overdue(self.state, now)]

    @property
    def due_at(self) -> float:
        """When `expire` is to be called next: somebody's time is up then. `inf`: not at all."""
        return math.inf if _NOBODY in self._job_of else limits.due_at(self.state)

    def expire(self, now: float) -> None:
        """End what is out of time; of very many the rest is left to `work`."""
        self.state.now = now
        if self.due_at <= now:
            self._begin(_NOBODY, expiring.expire(self.state, now))

    def _shrink(self) -> None:
        """Give back the memory of tables that were large: a dict keeps its size when emptied."""
        count = len(self.state.tasks)
        self._tasks_high = max(self._tasks_high, count)
        if self._tasks_high > _LARGE and count < self._tasks_high // 8:
            self.state.tasks = dict(self.state.tasks)
            self._tasks_high = count
            self.shrinks += 1

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
            self.handle(job.peer, message, now)
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
        if state.draining:
            draining.pump(state)
        dispatch(state)
        state.pace.renew()
        out = [(peer, outbox.take()) for peer, outbox in state.dirty.items()]
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
