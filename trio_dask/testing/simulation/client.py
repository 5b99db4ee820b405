"""A simulated client: the real core; what its user does is the plan."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from trio_dask.client.core import (
    CANCELLED,
    ERROR,
    FINISHED,
    LOST,
    PENDING,
    RELEASED,
    AllDone,
    ClientCore,
    Function,
    Request,
    Rows,
    group,
    whole,
)
from trio_dask.messages import session
from trio_dask.testing.simulation.answers import Answers
from trio_dask.testing.simulation.network import CONNECT_S, RETRY_S
from trio_dask.testing.simulation.plan import function_of
from trio_dask.testing.simulation.scheduler import GONE
from trio_dask.testing.simulation.sharing import Sharing, tokens

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from trio_dask.client.core import Batch
    from trio_dask.messages import Message
    from trio_dask.testing.simulation.cluster import Cluster
    from trio_dask.testing.simulation.network import Link
    from trio_dask.testing.simulation.plan import ClientPlan, PlannedTask, Step

#: What a user sees of a task: how it ended, and its value, failure or reason.
Outcome = tuple[int, bytes]
Then = Callable[[], None]

#: A client that finds no scheduler goes on looking for so long.
PATIENCE_S: Final = 10.0
#: One that has lost it looks at once, and for so long.
AGAIN_S: Final = 0.05
RECONNECT_S: Final = 4.0
# Why a client has ended, if not since its connection did.
DONE: Final = "it has done all"
DIED: Final = "its process died"
NOBODY: Final = "nobody is there"
LOST_FOR_GOOD: Final = "the scheduler does not come back"


class SimClient:
    """One client, from its registration until it has let go of everything."""

    def __init__(self, cluster: Cluster, name: str, plan: ClientPlan) -> None:
        self._cluster = cluster
        self._world = cluster.world
        self._truth = cluster.truth
        self.name = name
        self.plan = plan
        self._todo = list(plan.steps)
        self.core = ClientCore(name, secret=f"secret of {name} " * 2)
        self.answers = Answers(name)
        self.tids: dict[int, int] = {}  # number → id, of what it holds
        self._batches: dict[int, Batch] = {}
        self._functions: dict[str, Function] = {}
        self._data: dict[str, Link | None] = {}
        self._values: dict[int, Outcome] = {}  # as fetched, by number
        self._arguments: list[int] = []  # values sent for the sake of the next submission
        self._asked = 0
        self.tokens = tokens()
        self.waits: dict[object, None] = {}  # whom the core has yet to wake
        self.link: Link | None = None
        self._called = False
        self.outcomes: dict[int, Outcome] = {}
        self.finished = False
        self.dead = False

    # ---------------------------------------------------------------- life

    def start(self) -> None:
        """Connect and register, as soon as a scheduler is there."""
        self._connect(self._world.now + PATIENCE_S)

    def _connect(self, until: float) -> None:
        if self.dead:
            return
        link = self._cluster.network.link(f"{self.name}-scheduler", (self.name, "scheduler"))
        link.attach(0, self._receive, self._lost)
        if not self._cluster.scheduler.accept(link):
            if self._world.now >= until:
                self.die(LOST_FOR_GOOD if self.core.number else NOBODY)
            else:
                again = partial(self._connect, until)
                when = self._world.now + RETRY_S
                self._world.at(when, f"{self.name} tries again", again, tick=True)
            return
        self.link = link
        self.core.table.drops.wake = partial(
            self._world.after, 0.0, f"{self.name} drops", self._flush
        )
        link.send(0, [self.core.resume() if self._called else self.core.register()])
        self._called = True

    def _lost(self, _: str) -> None:
        """The connection broke: look for the scheduler, for a while."""
        if not self.dead:
            self.core.lost()
            self.link = None
            again = partial(self._connect, self._world.now + RECONNECT_S)
            self._world.after(AGAIN_S, f"{self.name} looks for the scheduler", again)

    def die(self, reason: str) -> None:
        """The process ends, or has lost the scheduler for good."""
        if self.dead:
            return
        self.dead = self.finished = True
        self.core.end(reason)
        for link in (self.link, *self._data.values()):
            if link is not None:
                link.detach(0)
                link.cut(GONE if reason == DONE else reason)

    def _receive(self, messages: list[Message]) -> None:
        begun = self.core.number
        self.answers.restarts = self._truth.restarted
        for message in messages:
            if isinstance(message, session.Refused):
                self.die(f"refused: {message.reason}")
                return
            self.answers.hear(message)
        self.core.handle(messages)
        strange = any(
            isinstance(message, session.Resumed) and message.heard < 0 for message in messages
        )
        if strange and self.link is not None:
            self.link.send(0, [self.core.register()])
        if not begun and self.core.number:
            self._go_on()
        self._flush()

    def _flush(self) -> None:
        if self.dead:
            return
        messages, data = self.core.flush(self._world.now)
        if messages and self.link is not None:
            for message in messages:
                self.answers.say(message)
            self.link.send(0, messages)
        for address, message in data:
            self._send_data(address, message)

    def flush(self) -> None:
        """Say what is to be said."""
        self._flush()

    # ---------------------------------------------------------------- the plan

    def _go_on(self) -> None:
        if self.dead:
            return
        if not self._todo:
            self._when_here(list(self.tids), self._look)
            return
        step = self._todo.pop(0)
        self._when_ended(list(step.needs), partial(self._pause, step))

    def _pause(self, step: Step) -> None:
        self._world.after(step.pause, f"{self.name} {step.do}", partial(self._do, step))

    def _do(self, step: Step) -> None:
        if self.dead:
            return
        held = [self.tids[number] for number in step.numbers if number in self.tids]
        if step.do == "gather":
            self._when_here(list(step.numbers), self._go_on)
            self._flush()
            return
        if step.do == "share":
            Sharing(self, self._cluster, step.options["ops"], self._go_on).go_on()
            return
        if step.do == "scatter":
            self._scatter(step)
            self._flush()
            if not step.options.get("argument"):  # users have to wait for it
                self._when_ended(list(step.numbers), self._go_on)
                return
        if step.do == "submit":
            self._submit(step)
            self.core.let_go([self.tids[number] for number in self._arguments])
            for number in self._arguments:  # they were for this
                self._forget(number)
            self._arguments.clear()
        elif step.do == "ask":
            self._asked += 1
            self.core.ask(str(step.options["topic"]), {"n": 1}, self._answered)
        elif held and step.do != "scatter":
            self._about(step.do, held)
        self._flush()
        self._go_on()

    def _about(self, do: str, held: list[int]) -> None:
        if do == "cancel":
            numbers = {tid: number for number, tid in self.tids.items()}
            self._truth.stopped.update(dict.fromkeys(numbers[tid] for tid in held))
            self.core.cancel(held, "by plan")
        elif do == "keep":
            self.core.keep(held)
        elif do == "retry":
            self._asked += 1
            self.core.ask("retry", {"tids": held}, self._answered)
        else:
            gone = set(held)
            for number in [number for number, tid in self.tids.items() if tid in gone]:
                self._forget(number)
            if do == "release":
                self.core.release(held)
            else:
                assert do == "drop"
                for tid in held:
                    self.core.table.drops.append(tid)

    def _forget(self, number: int) -> None:
        del self.tids[number], self._batches[number]
        self._values.pop(number, None)

    def ask(self, topic: str, params: dict[str, Any]) -> bool:
        """A question beside the plan, if there is anybody to ask it."""
        asks = bool(self.core.number) and not self.dead and not self.finished
        if asks:
            self._asked += 1
            self.core.ask(topic, params, self._answered)
            self._flush()
        return asks

    def _answered(self, _: object) -> None:
        self._asked -= 1

    def _submit(self, step: Step) -> None:
        run: list[PlannedTask] = []
        for task in step.tasks:
            if run and function_of(run[0]) != function_of(task):
                self._submit_run(run, step)
                run = []
            run.append(task)
        self._submit_run(run, step)

    def _submit_run(self, tasks: Sequence[PlannedTask], step: Step) -> None:
        """Submit tasks of one function, as far as their inputs are held."""
        rows = Rows()
        first = self.core.table.next_tid
        numbers: list[int] = []
        for task in tasks:
            deps = tuple(dep for dep in task.deps if dep in self.tids)
            if task.key and self._truth.inputs.setdefault(task.number, deps) != deps:
                continue  # under that key it would have to be another task
            if task.number in self.tids:
                continue
            self._truth.inputs[task.number] = deps
            rows.args.append(b"%d" % task.number)
            rows.dep_counts.append(len(deps))
            rows.dep_tids += [self.tids[dep] for dep in deps]
            if task.key or rows.keys:
                rows.keys += [""] * (len(numbers) - len(rows.keys)) + [task.key]
            self.tids[task.number] = first + len(numbers)
            numbers.append(task.number)
        if not numbers:
            return
        if not rows.dep_tids:
            rows.dep_counts = []
        name = function_of(tasks[0])
        function = self.core.function(name, name.encode())
        options = dict(step.options)
        if "deadline" in options:
            options["deadline"] += self._world.now
        batch, at = self.core.submit(function, rows, options)
        assert at == first
        self._truth.submitted(numbers, first, step.options, self._world.now)
        self._batches.update(dict.fromkeys(numbers, batch))

    def _scatter(self, step: Step) -> None:
        numbers = [number for number in step.numbers if number not in self.tids]
        payloads = [self._truth.scattered_value(number) for number in numbers]
        if not numbers:
            return
        self._truth.scattered.update(zip(numbers, payloads, strict=True))
        placed = self.core.put(
            list(payloads),
            workers=step.options.get("workers"),
            broadcast=step.options.get("broadcast", False),
        )
        if step.options.get("argument"):
            self._arguments += numbers
        for number, (batch, tid) in zip(numbers, placed, strict=True):
            self.tids[number], self._batches[number] = tid, batch

    # ---------------------------------------------------------------- outcomes

    def _status(self, number: int) -> int:
        batch = self._batches[number]
        return batch.status[self.tids[number] - batch.first]

    def _when_ended(self, numbers: list[int], then: Then) -> None:
        """Call `then` once all of these have ended."""
        if self.dead:
            return
        held = [number for number in numbers if number in self.tids]
        pending = [number for number in held if self._status(number) == PENDING]
        if pending:
            self._watch(pending, partial(self._when_ended, numbers, then))
        else:
            then()

    def _when_here(self, numbers: list[int], then: Then) -> None:
        """Call `then` once all of these have ended and their values are here."""
        self._when_ended(numbers, partial(self._fetch, numbers, then))

    def _fetch(self, numbers: list[int], then: Then) -> None:
        held = [number for number in numbers if number in self.tids]
        again = partial(self._when_here, numbers, then)
        far = [number for number in held if self._is_elsewhere(number)]
        if not far:
            then()
            return
        wanted = [(self.tids[number], self._place(number)) for number in far]
        requests: list[Request] = []

        def wake() -> None:
            self.waits.pop(wake, None)
            # It may wake before `request` has returned: nothing could be asked for.
            self._world.after(0.0, f"{self.name} has values", arrived)

        def arrived() -> None:
            self._arrived(far, requests[0])
            again()

        self.waits[wake] = None
        requests.append(self.core.request(wanted, wake))
        self._flush()

    def _watch(self, pending: list[int], wake: Then) -> None:
        watches: list[AllDone] = []

        def done() -> None:
            self.core.unwatch(watches[0])
            del self.waits[watches[0]]
            if not self.dead:
                self._world.after(0.0, f"{self.name} wakes", wake)

        watches.append(AllDone(len(pending), done))
        self.waits[watches[0]] = None
        tasks = sorted((self.tids[number], number) for number in pending)
        groups = group((self._batches[number], tid) for tid, number in tasks)
        self.core.watch(watches[0], groups)

    def _is_elsewhere(self, number: int) -> bool:
        return (
            self._status(number) == FINISHED
            and number not in self._values
            and isinstance(self._known(number), str)
        )

    def _known(self, number: int) -> bytes | str | None:
        batch = self._batches[number]
        return batch.values[self.tids[number] - batch.first]

    def _place(self, number: int) -> str:
        place = self._known(number)
        assert isinstance(place, str)
        return place

    def _arrived(self, numbers: Iterable[int], request: Request) -> None:
        for number in numbers:
            tid = self.tids.get(number)
            if tid in request.payloads:
                self._values[number] = FINISHED, bytes(whole(request.payloads[tid]))
            elif tid in request.failures:
                self._values[number] = ERROR, request.failures[tid]

    def _look(self) -> None:
        """All has ended: note how, and let go of it."""
        for number in self.tids:
            status, known = self._status(number), self._known(number)
            assert status in (FINISHED, ERROR, CANCELLED, LOST)
            outcome = status, known if isinstance(known, bytes) else str(known).encode()
            self.outcomes[number] = self._values.get(number, outcome)
        if self.plan.releases:
            self.core.release(list(self.tids.values()))
            self._flush()
            self.tids.clear()
            self.finished = True
        else:
            self.die(DONE)

    def held(self) -> Iterator[tuple[int, int]]:
        """The id and status of all that it has not let go of."""
        table = self.core.table
        dropped = set(table.drops.tids)
        for batch in table.batches:
            for tid, status in enumerate(batch.status, batch.first):
                if status != RELEASED and tid not in dropped:
                    yield tid, status

    def unfinished(self) -> list[str]:
        """What it still waits for, in words."""
        if self.finished:
            return (
                [f"{self.name}: a question has no answer"] if self._asked and not self.dead else []
            )
        waiting = [number for number in self.tids if self._status(number) == PENDING]
        far = [number for number in self.tids if self._is_elsewhere(number)]
        found = [f"{self.name}: task {number} is pending" for number in waiting]
        found += (f"{self.name}: value {number} is not here" for number in far)
        return found or [f"{self.name} is not through: {len(self._todo)} steps are left"]

    # ---------------------------------------------------------------- data

    def _send_data(self, address: str, message: Message) -> None:
        if address not in self._data:
            cluster, name = self._cluster, f"{self.name}-{address}"
            target = cluster.reach(self.name, address)
            if target is None:
                self._data[address] = None
                self._world.after(CONNECT_S, f"{name} fails", partial(self._gone, address))
                return
            link = self._data[address] = cluster.network.link(name, (self.name, target.name))
            link.attach(0, partial(self._on_data, address), lambda _: self._gone(address))
            target.accept(link, may_store=True)
            link.send(0, [session.RegisterPeer(self.name)])
        link_now = self._data[address]
        if link_now is not None:
            link_now.send(0, [message])

    def _on_data(self, address: str, messages: list[Message]) -> None:
        self.core.handle_data(address, messages)
        self._flush()

    def _gone(self, address: str) -> None:
        if not self.dead:
            self._data.pop(address, None)
            self.core.data_lost(address, "gone")
            self._flush()
