"""The workers of a simulated cluster: real cores in processes that live and die."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from trio_dask.messages import session, values
from trio_dask.messages.inquiring import Told
from trio_dask.testing.simulation.coverage import AttemptWatch
from trio_dask.testing.simulation.memory import MEMORY_S, memory_rules, memory_used, spill
from trio_dask.testing.simulation.network import RETRY_S, Pipe
from trio_dask.testing.simulation.runner import SimRunner
from trio_dask.testing.simulation.transfers import Transfers
from trio_dask.worker.core import (
    AwaitDrain,
    Depart,
    DrainRules,
    FetchFrom,
    GiveUp,
    KillRunner,
    LookUp,
    RestartRules,
    Spill,
    StartRunner,
    Store,
    ToPeer,
    ToRunner,
    ToScheduler,
    WorkerCore,
)

if TYPE_CHECKING:
    from trio_dask.messages import Message
    from trio_dask.testing.simulation.cluster import Cluster
    from trio_dask.testing.simulation.network import Link
    from trio_dask.testing.simulation.plan import WorkerPlan
    from trio_dask.worker.core import Action

TICK_S: Final = 0.25
#: Messages between a worker and its runner take so long.
LOCAL_S: Final = (0.00005,)
#: Who has lost the scheduler looks for it at once, and not for longer than this.
AGAIN_S: Final = 0.05
PATIENCE_S: Final = 4.0
#: A runner takes so long to start.
START_S: Final = 0.02
#: How often it is looked after what is to be stopped.
CLIMB_S: Final = 0.05
#: And after what may be out of time, at most.
LOOK_S: Final = 0.005
#: Values of a worker that is to leave in a hurry have so long to move.
MOVE_S: Final = 1.0
#: How often a worker that is to leave looks at the clock.
LEAVE_S: Final = 0.05
_RULES: Final = RestartRules(delay_s=0.05, delay_max_s=0.5, healthy_s=1.0)


@dataclass(slots=True, eq=False)
class Hosted:
    """A runner, as its worker sees it."""

    number: int
    runner: SimRunner
    hears: Pipe
    since: float


class SimWorker:
    """One life of a worker: core, runners, links. Dead, it is not used again."""

    def __init__(self, cluster: Cluster, name: str, plan: WorkerPlan, life: int) -> None:
        self.cluster = cluster
        self.network = cluster.network
        self._world = cluster.world
        self.name = name
        self.plan = plan
        self.address = f"tcp://{name}:{life}"
        self.alive = False
        self.registered = False
        self._lost_at = 0.0
        self._performing = self._climbing = self._beating = self._draining = False
        #: When it was first told to leave, in a hurry; and when another takes its place.
        self.hurries_since: float | None = None
        self.returns_after = 0.0
        self._looks_at = math.inf
        self.runners: dict[int, Hosted] = {}  # those whose end is not known here

    def start(self, store: Store) -> None:
        """The process has begun."""
        self.alive = True
        self.core = WorkerCore(
            self.name,
            self.address,
            self.plan.nthreads,
            store,
            secret=self.address * 2,
            rules=_RULES,
            drain_rules=DrainRules(grace_s=self.plan.grace, move_s=MOVE_S),
            memory_rules=memory_rules(self.plan),
        )
        self.transfers = Transfers(self)
        seen = self.cluster.coverage
        self._watch = AttemptWatch(self.core, seen.attempts) if seen is not None else None
        self._asking: dict[int, Link | SimWorker] = {}
        self._session_of: dict[SimWorker, int] = {}
        self._sessions = 0
        for action in self._flush():
            assert isinstance(action, StartRunner)
            self._new_runner(action.runner)  # who is registered has its runners
        self._register()
        self._world.every(TICK_S, f"{self.name} tick", self._tick)
        if self.plan.memory:
            self._world.every(MEMORY_S, f"{self.name} looks at memory", self._look_at_memory)

    def _register(self) -> None:
        if not self._call(self._registration()):
            again = f"{self.name} tries again"
            self._world.at(self.now + RETRY_S, again, self._try_again, tick=True)

    def _registration(self) -> Message:
        plan, memory = self.plan, self.core.memory
        return session.RegisterWorker(
            self.name, self.address, plan.nthreads, 0, dict(plan.resources), {},
            self.core.resume().secret, memory.cluster, memory.epoch, memory.provisional,
        )  # fmt: skip

    def _call(self, first: Message) -> bool:
        """Connect to the scheduler, and say this first; tells whether anybody is there."""
        self.link = self.network.link(f"{self.address}-scheduler", (self.name, "scheduler"))
        self.link.attach(0, self._from_scheduler, self._scheduler_lost)
        if not self.cluster.scheduler.accept(self.link):
            return False
        self.link.send(0, [first])
        return True

    def _scheduler_lost(self, _: str) -> None:
        if not self.registered:
            self.cluster.crash(self)
            return
        self.core.scheduler_lost()
        self._lost_at = self.now
        self._world.after(AGAIN_S, f"{self.name} looks for the scheduler", self._come_back)

    def _come_back(self) -> None:
        if not self.alive or self._call(self.core.resume()):
            return
        if self.now - self._lost_at > PATIENCE_S:
            self.cluster.crash(self)
        else:
            what = f"{self.name} looks for the scheduler"
            self._world.at(self.now + RETRY_S, what, self._come_back, tick=True)

    def die(self) -> None:
        """The process is gone."""
        self._end()
        self.link.detach(0)
        self.link.cut("the process died")
        self._part_from_peers()

    def _end(self) -> None:
        self.alive = False
        for hosted in self.runners.values():
            hosted.runner.alive = False

    # ---------------------------------------------------------------- leaving

    def drain(self, *, patient: bool) -> None:
        """It is to leave."""
        if not (self.alive and self.registered):
            self.cluster.crash(self)  # nobody knows it: it just goes
            return
        if not patient and self.hurries_since is None:
            self.hurries_since = self.now
        self.core.drain("it is told to", patient=patient)
        self.perform()

    def _go_on_draining(self) -> None:
        self._draining = False
        if not self.alive:
            return
        if self.network.stalled_until(self.name) <= self.now:
            self.core.go_on_draining(self._board(), self.clock())
        self.perform()

    def _depart(self) -> None:
        """It goes, with a goodbye: what it has said arrives."""
        self._end()
        self.link.close(0, "the worker ends")
        self.core.leave()
        self.wake_neighbours()
        for asker in list(self._session_of):
            asker.core.fetch_failed(self.address)
            asker.perform()
        self._part_from_peers()
        self.cluster.departed(self)

    def forget_neighbour(self, asker: SimWorker) -> None:
        """A worker of this process has left."""
        number = self._session_of.pop(asker, None)
        if number is not None:
            self._peer_left(number)

    def _part_from_peers(self) -> None:
        self.transfers.die()
        for link in self._asking.values():
            if not isinstance(link, SimWorker):
                link.detach(1)
                link.cut("the process died")

    def _look_at_memory(self) -> bool:
        if self.alive and self.network.stalled_until(self.name) <= self.now:
            used = memory_used(self)
            if self.core.heeds(used):
                self.core.uses(used, {}, self.now)
                self.perform()
        return self.alive

    def _tick(self) -> bool:
        if self.alive and self.registered and self.network.stalled_until(self.name) <= self.now:
            self._beating = True
            self.core.beat({})
            self.perform()
            self._beating = False
            self.core.tick(self._board(), self.clock())
            self.transfers.tick()
            self.perform()
        return self.alive

    @property
    def now(self) -> float:
        """The time."""
        return self._world.now

    def clock(self) -> float:
        """What its clock shows; its runners have the same one."""
        return self._world.now + self.plan.offset

    # ---------------------------------------------------------------- runners

    def crash_runner(self, number: int | None = None) -> None:
        """A process that runs tasks dies; what it has said is still read."""
        if self._crash({}, number) is not None:
            self.cluster.truth.runner_deaths += 1

    def starve_runner(self) -> None:
        """One is killed for want of memory."""
        hosted = self._crash({"oom": True})
        if hosted is not None:
            numbers = [row.number for row, _ in hosted.runner.running.values()]
            self.cluster.truth.starved.update(numbers)
            self.cluster.truth.runner_deaths += bool(hosted.runner.parked)  # to those that wait

    def _crash(self, known: dict[str, Any], number: int | None = None) -> Hosted | None:
        alive = [
            hosted
            for hosted in self.runners.values()
            if hosted.runner.alive and number in {None, hosted.number}
        ]
        if not self.alive or not alive:
            return None
        self._end_runner(alive[0], known)
        return alive[0]

    def _end_runner(self, hosted: Hosted, known: dict[str, Any]) -> None:
        if self.alive and hosted.runner.alive:
            hosted.runner.alive = False
            self.cluster.truth.runners_ended = True
            dead = partial(self._runner_is_dead, hosted, known)
            self._world.after(0.0005, f"{self.name} notices", dead)

    def _board(self) -> list[tuple[int, float]]:
        """What runs, and since when."""
        return [
            (attempt, began + self.plan.offset)
            for hosted in self.runners.values()
            if hosted.runner.alive
            for attempt, (_, began) in hosted.runner.running.items()
        ]

    def running(self) -> list[int]:
        """The attempts that run."""
        return [attempt for attempt, _ in self._board()]

    def unbegun(self) -> set[int]:
        """The attempts that wait in living runners."""
        runners = [hosted.runner for hosted in self.runners.values()]
        return {attempt for each in runners if each.alive for attempt in each.unbegun}

    def _look(self) -> None:
        """Something may be out of time."""
        self._looks_at = math.inf
        self._climb()

    def _climb(self) -> None:
        """Go on with what is to be stopped."""
        self._climbing = False
        if not self.alive:
            return
        if self.network.stalled_until(self.name) <= self.now:
            self.core.climb(self._board(), self.clock())
        self.perform()

    def _runner_is_dead(self, hosted: Hosted, known: dict[str, Any]) -> None:
        if not self.alive:
            return
        if len(hosted.runner.out):  # its last words first
            dead = partial(self._runner_is_dead, hosted, known)
            self._world.after(0.0005, f"{self.name} notices", dead)
            return
        del self.runners[hosted.number]
        certificate = {"signal": 9, "lasted_s": self.now - hosted.since} | known
        self.core.runner_died(hosted.number, list(hosted.runner.running), certificate)
        self.perform()

    def _new_runner(self, number: int) -> None:
        if not self.alive:
            return
        name, network = f"{self.address} runner {number}", self.network
        chance, here = self._world.chance(name), (self.name, self.name)
        out = Pipe(network, f"{name} says", here, chance, delays=LOCAL_S)
        runner = SimRunner(network, self.plan, self.cluster.truth, out)
        out.receive = partial(self._from_runner, number)
        runner.crash = partial(self.crash_runner, number)
        hears = Pipe(network, f"{name} hears", here, chance, delays=LOCAL_S)
        hears.receive = runner.receive
        self.runners[number] = Hosted(number, runner, hears, self.now)
        self.core.runner_ready(number)
        self.perform()

    def _from_runner(self, number: int, messages: list[Message]) -> None:
        if self.alive:
            for message in messages:
                self.core.on_runner(number, message)
            self.perform()

    # ---------------------------------------------------------------- the scheduler

    def _from_scheduler(self, messages: list[Message]) -> None:
        for message in messages:
            if isinstance(message, session.Refused):
                self.link.detach(0)
                self.link.cut("refused")
                if self.registered:
                    self.cluster.crash(self)
                    return
                self._world.after(RETRY_S, f"{self.name} tries again", self._try_again)
                return
            if isinstance(message, session.Resumed) and message.heard < 0:
                self.core.on_scheduler(message, self.clock())
                self.link.send(0, [self._registration()])
                continue
            self.core.on_scheduler(message, self.clock())
            self.registered = True
            if self._watch is not None:
                self._watch.hears(message)
        self.perform()

    def _try_again(self) -> None:
        if self.alive:
            self._register()

    # ---------------------------------------------------------------- those who ask for values

    def accept(self, link: Link, *, may_store: bool) -> None:
        """Somebody opened a data connection."""
        number = self._join(link, may_store=may_store)

        def receive(messages: list[Message]) -> None:
            for message in messages:
                self.core.on_peer(number, message)
            self.perform()

        link.attach(1, receive, lambda _: self._peer_left(number))

    def _join(self, peer: Link | SimWorker, *, may_store: bool) -> int:
        self._sessions += 1
        self._asking[self._sessions] = peer
        self.core.peer_joined(self._sessions, may_store=may_store)
        return self._sessions

    def _peer_left(self, number: int) -> None:
        if self.alive:
            del self._asking[number]
            self.core.peer_left(number)
            self.perform()

    def ask_here(self, asker: SimWorker, question: values.Fetch) -> None:
        """A worker of the same process wants values: no connection is between the two."""
        number = self._session_of.get(asker)
        if number is None:
            number = self._session_of[asker] = self._join(asker, may_store=False)
        self.core.on_peer(number, question)
        self.perform()

    # ---------------------------------------------------------------- what the core wants

    def perform(self) -> None:
        """Do what the core wants done, in the order in which it was decided."""
        if self._performing or not self.alive:
            return
        self._performing = True
        actions = self._flush()
        while actions and self.alive:
            for action in actions:
                self._perform(action)
            actions = self._flush()
        self._performing = False
        self.wake_neighbours()
        if self.core.stopping and not self._climbing:
            self._climbing = True
            self._world.after(CLIMB_S, f"{self.name} climbs", self._climb)
        if self.core.look_at < self._looks_at:
            self._looks_at = self.core.look_at
            when = max(self.now + LOOK_S, self._looks_at - self.plan.offset)
            self._world.at(when, f"{self.name} looks", self._look, tick=True)
        if self.core.draining and not self._draining:
            self._draining = True
            self._world.after(LEAVE_S, f"{self.name} is to leave", self._go_on_draining)

    def wake_neighbours(self) -> None:
        """Those of the process for whose values there is room now go on fetching."""
        inwards = self.core.state.store.inwards
        if not inwards.waking:
            inwards.waking = True
            while (address := inwards.next_due()) is not None:
                if address in self.cluster.workers:
                    self.cluster.workers[address].perform()
            inwards.waking = False

    def _flush(self) -> list[Action]:
        actions = self.core.flush()
        if self._watch is not None:
            self._watch.does(actions)
        return actions

    def _perform(self, action: Action) -> None:  # noqa: C901 - a case for each action
        match action:
            case ToScheduler():
                self.link.send(0, action.messages, tick=self._beating)
            case ToRunner():
                self.runners[action.runner].hears.send(action.messages)
            case ToPeer():
                self._tell_peer(action)
            case FetchFrom():
                question = values.Fetch(action.serial, action.tids)
                neighbour = self.cluster.neighbour(self, action.address)
                if neighbour is not None:
                    neighbour.ask_here(self, question)
                else:
                    self.transfers.fetch(action.address, question)
            case AwaitDrain():
                self._world.after(0.001, "drained", partial(self._drained, action.session))
            case Spill():
                for tid in action.tids:
                    spill(self, tid)
            case LookUp():
                self.core.told(Told(action.serial, ok=True, said=[b"looked up"]))
            case StartRunner() | KillRunner() | GiveUp():
                self._keep(action)
            case Depart():
                self._depart()

    def _keep(self, action: StartRunner | KillRunner | GiveUp) -> None:
        match action:
            case StartRunner():
                start = partial(self._new_runner, action.runner)
                self._world.after(START_S + action.delay_s, f"{self.name} new runner", start)
            case KillRunner():
                self._end_runner(self.runners[action.runner], {"on_purpose": True})
            case GiveUp():
                raise AssertionError("a runner that was ready is replaced")

    def _tell_peer(self, action: ToPeer) -> None:
        peer = self._asking[action.session]
        if isinstance(peer, SimWorker):
            for message in action.messages:
                assert isinstance(message, values.Values)
                peer.core.fetched(message)
            peer.perform()
        else:
            peer.send(1, action.messages)

    def _drained(self, number: int) -> None:
        if self.alive:
            self.core.drained(number)
            self.perform()
