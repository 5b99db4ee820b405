"""A simulated client: submits, releases, cancels and scatters by a plan, and checks what comes back."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final

from trio_dask.messages import session, tasks as words, values
from trio_dask.messages.failure import Failure
from trio_dask.messages.ids import first_id
from trio_dask.testing.simulation.programs import ALWAYS, FAILURE, Program, scattered_value
from trio_dask.testing.simulation.world import Link

if TYPE_CHECKING:
    from trio_dask.messages import Message
    from trio_dask.testing.simulation.nodes import SimScheduler, SimWorker
    from trio_dask.testing.simulation.world import World

PENDING: Final = "pending"
FINISHED: Final = "finished"
FAILED: Final = "failed"
CANCELLED: Final = "cancelled"
LOST: Final = "lost"


class SimClient:
    """One client, from its registration until it has let go of everything."""

    def __init__(
        self,
        world: World,
        name: str,
        cluster: dict[str, SimWorker],
        scheduler: SimScheduler,
    ) -> None:
        self._world = world
        self._chance = random.Random(f"{world.seed}-{name}")  # a plan, whatever the network does
        self._cluster = cluster
        self.name = name
        self._first = 0
        self._made = 0
        self._data: dict[str, Link] = {}
        self._programs: dict[int, tuple[Program, tuple[int, ...]]] = {}  # and its inputs
        self._scattered: dict[int, bytes] = {}
        self._stopped: set[int] = set()  # cancelled on request
        self.status: dict[int, str] = {}  # of what it still wants
        self._values: dict[int, bytes] = {}
        self._storing: dict[int, int] = {}  # serial → task
        self._asked: dict[int, str] = {}  # task → where its value is being fetched
        self._serial = 0
        self.violations: list[str] = []
        self.finished = False
        self._link = Link(world, name)
        self._link.attach(0, self._receive, lambda _: None)
        scheduler.accept(self._link)
        self._say(session.RegisterClient(name))
        self._rounds = self._chance.randint(2, 8)

    def _say(self, *messages: Message) -> None:
        self._link.send(0, list(messages))

    # ---------------------------------------------------------------- the plan

    def _go_on(self) -> None:
        """Do something, some of the time; in the end, let go of everything."""
        if self._rounds:
            self._rounds -= 1
            self._chance.choice(
                (self._submit, self._submit, self._submit, self._let_go, self._put)
            )()
            if self._chance.random() < 0.2:
                self._cancel()
            self._world.after(self._chance.random() * 0.05, f"{self.name} goes on", self._go_on)
        elif any(status == PENDING for status in self.status.values()) or self._asked:
            self._world.after(0.05, f"{self.name} waits", self._go_on)
        else:
            self._check_values()
            self._say(words.Release(list(self.status)))
            self.status.clear()
            self.finished = True

    def _new(self, count: int) -> int:
        self._made += count
        return self._first + self._made - count

    def _submit(self) -> None:
        chance = self._chance
        count = chance.choice((1, 2, 5, 30))
        retries = chance.choice((0, 0, 1))
        first = self._new(count)
        wide = chance.random() < 0.3
        args, counts, flat = [], [], []
        for tid in range(first, first + count):
            near = [each for each in range(max(self._first, tid - 40), tid) if each in self.status]
            deps = chance.sample(
                near, min(len(near), 0 if wide else chance.choice((0, 1, 1, 2, 5)))
            )
            program = Program(
                tid,
                chance.choice((0.0, 0.00001, 0.001, 0.05, 0.5)),
                ALWAYS if chance.random() < 0.05 else retries,
                chance.random() < 0.4,
            )
            self._programs[tid] = (program, tuple(deps))
            self.status[tid] = PENDING
            args.append(program.encode())
            counts.append(len(deps))
            flat += deps
        options = {"retries": retries, "priority": chance.choice((0, 0, 0, 3))}
        self._say(
            words.Submit(
                first,
                [self._first],
                args,
                counts if flat else [],
                flat,
                [],
                [],
                wanted=True,
                options=options,
            )
        )

    def _put(self) -> None:
        tid = self._new(1)
        self._scattered[tid] = scattered_value(tid)
        self.status[tid] = PENDING
        self._say(words.Put([tid], [8], [], self._chance.random() < 0.2))

    def _let_go(self) -> None:
        held = list(self.status)
        if held:
            gone = self._chance.sample(held, self._chance.randint(1, len(held)))
            for tid in gone:
                del self.status[tid]
                self._asked.pop(tid, None)
            self._say(words.Release(gone))

    def _cancel(self) -> None:
        held = list(self.status)
        if held:
            tid = self._chance.choice(held)
            self._stopped.add(tid)
            self._say(words.Cancel([tid], "by plan"))

    def unfinished(self) -> list[str]:
        """What it still waits for, in words."""
        waiting = [f"{tid:x} is pending" for tid, each in self.status.items() if each == PENDING]
        waiting += (f"{tid:x} is being fetched from {at}" for tid, at in self._asked.items())
        return [f"{self.name}: {each}" for each in waiting] or [f"{self.name} is not through"]

    # ---------------------------------------------------------------- what it hears

    def _receive(self, messages: list[Message]) -> None:
        for message in messages:
            self._on_message(message)

    def _on_message(self, message: Message) -> None:
        if isinstance(message, session.Welcome):
            self._first = first_id(message.number)
            self._say(words.Functions([self._first], ["simulated"], [b"code"]))
            self._go_on()
        elif isinstance(message, words.Finished):
            self._on_finished(message)
        elif isinstance(message, words.Failed):
            for tid, which in zip(message.tids, message.which, strict=True):
                self._ended(tid, FAILED, message.failures[which])
        elif isinstance(message, words.Cancelled | words.Lost):
            status = LOST if isinstance(message, words.Lost) else CANCELLED
            for tid in message.tids:
                self._ended(tid, status, b"")
        elif isinstance(message, words.Again):
            self._on_again(message)
        elif isinstance(message, words.PutAt):
            for tid, at in zip(message.tids, message.at, strict=True):
                self._store(tid, message.places[at])
        else:
            self.violations.append(f"{self.name} is told {type(message).__name__}")

    def _on_again(self, message: words.Again) -> None:
        for tid in message.tids:
            if tid in self.status:
                self.status[tid] = PENDING
                self._values.pop(tid, None)

    def _on_finished(self, message: words.Finished) -> None:
        for tid, value, at in zip(message.tids, message.values, message.at, strict=True):
            if tid not in self.status:
                continue
            self.status[tid] = FINISHED
            if at < 0:
                self._values[tid] = value
            else:
                self._fetch(tid, message.places[at].partition(" ")[0])

    def _ended(self, tid: int, status: str, failure: bytes) -> None:
        if tid not in self.status:
            return
        if self.status[tid] != PENDING and (status != LOST or tid not in self._scattered):
            self.violations.append(f"{self.name}: {tid:x} is {status} after {self.status[tid]}")
        self.status[tid] = status
        if status == FAILED:
            self._values[tid] = failure

    # ---------------------------------------------------------------- data

    def _connect(self, address: str) -> Link | None:
        link = self._data.get(address)
        if link is None:
            target = self._cluster.get(address)
            if target is None:
                return None
            link = self._data[address] = Link(self._world, f"{self.name}-{address}")
            link.attach(
                0, lambda messages: self._on_data(address, messages), lambda _: self._gone(address)
            )
            target.accept(link, may_store=True)
        return link

    def _fetch(self, tid: int, address: str) -> None:
        self._asked[tid] = address
        link = self._connect(address)
        self._serial += 1
        if link is None:
            self._world.after(0.01, f"{self.name} no answer", lambda: self._gone(address))
        else:
            link.send(0, [values.Fetch(self._serial, [tid])])

    def _store(self, tid: int, address: str) -> None:
        link = self._connect(address)
        self._serial += 1
        self._storing[self._serial] = tid
        if link is None:
            self._world.after(0.01, f"{self.name} cannot store", lambda: self._gone(address))
        else:
            link.send(0, [values.Store(self._serial, [tid], [self._scattered[tid]])])

    def _on_data(self, address: str, messages: list[Message]) -> None:
        for message in messages:
            if isinstance(message, values.StoreDone):
                self._storing.pop(message.serial, None)
            elif isinstance(message, values.Values):
                payloads = iter(message.payloads)
                for tid, status in zip(message.tids, message.statuses, strict=True):
                    value = bytes(next(payloads)) if status == values.FOUND else None  # type: ignore[arg-type]
                    if self._asked.get(tid) == address:
                        self._arrived(tid, address, value)

    def _arrived(self, tid: int, address: str, value: bytes | None) -> None:
        del self._asked[tid]
        if value is not None:
            self._values[tid] = value
        elif self.status.get(tid) == FINISHED:
            self.status[tid] = PENDING
            self._say(words.Unreachable([tid], address))

    def _gone(self, address: str) -> None:
        self._data.pop(address, None)
        for tid in [tid for tid, place in self._asked.items() if place == address]:
            self._arrived(tid, address, None)
        again = [
            tid for tid in dict.fromkeys(self._storing.values()) if self.status.get(tid) == PENDING
        ]
        self._storing.clear()
        if again:
            self._say(words.Put(again, [8] * len(again), [], broadcast=False))

    # ---------------------------------------------------------------- what must come out

    def _check_values(self) -> None:
        for tid, status in self.status.items():
            problem = self._problem(tid, status)
            if problem:
                self.violations.append(f"{self.name}: {tid:x} {problem}")

    def _problem(self, tid: int, status: str) -> str:
        cause = self._causes(tid)
        if status == FINISHED:
            value = self._values.get(tid)
            right = not cause["fails"] and value == self._expected(tid)
            return "" if right else f"has the value {value!r}"
        if status == CANCELLED:
            return "" if cause["stopped"] else "is cancelled though nobody asked"
        if status == LOST:
            return "" if tid in self._scattered else "is lost though it can be made again"
        failure = self._values.get(tid, b"")
        if failure.startswith(FAILURE):
            explained = int(failure.removeprefix(FAILURE)) in cause["fails"]
        else:
            data_lost = Failure.from_bytes(failure).kind.endswith("DataLost")
            explained = data_lost and bool(cause["scattered"])
        return "" if explained else f"fails without reason: {failure!r}"

    def _causes(self, tid: int) -> dict[str, set[int]]:
        """What can keep a task from having a value: itself and everything before it."""
        found: dict[str, set[int]] = {"fails": set(), "stopped": set(), "scattered": set()}
        todo, seen = [tid], {tid}
        while todo:
            each = todo.pop()
            if each in self._stopped:
                found["stopped"].add(each)
            if each in self._scattered:
                found["scattered"].add(each)
                continue
            program, deps = self._programs[each]
            if program.failures == ALWAYS:
                found["fails"].add(each)
            todo += [dep for dep in deps if dep not in seen]
            seen.update(deps)
        return found

    def _expected(self, tid: int) -> bytes:
        known: dict[int, bytes] = dict(self._scattered)
        todo = [tid]
        while todo:
            each = todo[-1]
            if each in known:
                todo.pop()
                continue
            program, deps = self._programs[each]
            missing = [dep for dep in deps if dep not in known]
            if missing:
                todo += missing
            else:
                known[each] = program.value([known[dep] for dep in deps])
                todo.pop()
        return known[tid]
