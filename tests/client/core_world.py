"""The world around a client's core: what its user, the scheduler and workers know and check."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine

from trio_dask.client.core import (
    FINISHED,
    PENDING,
    AllDone,
    ClientCore,
    EachDone,
    Groups,
    Request,
    group,
)
from trio_dask.messages import tasks as words
from trio_dask.messages.ids import first_id
from trio_dask.messages.session import Ask, Welcome
from trio_dask.messages.values import Fetch, Store

if TYPE_CHECKING:
    from trio_dask.messages import Message

FIRST: Final = first_id(7)
A, B = "tcp://a:1", "tcp://b:1"


@dataclass(eq=False)
class Known:
    """A task as its user and the scheduler should see it."""

    row: tuple[Any, ...] | None  # function, arguments, inputs, key, options; None: a value
    status: int = PENDING
    value: bytes | str | None = None
    held: bool = True  # by the user
    arrived: bool = False  # the scheduler knows it
    released: bool = False  # the scheduler was told that it is let go of


@dataclass(eq=False)
class Waiting:
    """Somebody who waits for tasks, and how often it was woken."""

    tids: list[int]
    watch: AllDone | EachDone | None = None
    woken: int = 0

    def wake(self) -> None:
        self.woken += 1


@dataclass(eq=False)
class Fetching(Waiting):
    """Somebody who waits for values."""

    core: ClientCore | None = None
    request: Request | None = None
    gave_up: set[int] = field(default_factory=set)  # that could not be had, some time ago

    def wake(self) -> None:
        """What could not be had is here by now, or not finished any more: nobody asks for ever."""
        super().wake()
        assert self.core is not None
        assert self.request is not None
        for tid in set(self.tids) - self.gave_up:
            batch = self.core.table.find(tid)
            if batch is not None and tid not in self.request.payloads:
                row = tid - batch.first
                assert batch.status[row] != FINISHED or isinstance(batch.values[row], bytes)


@dataclass
class Worker:
    """A data listener: questions it has not answered, and values it was sent."""

    fetches: list[Fetch] = field(default_factory=list)
    stores: list[Store] = field(default_factory=list)


class World(RuleBasedStateMachine):
    """A core, and what a user, a scheduler and two workers know of it."""

    def __init__(self) -> None:
        super().__init__()
        self.core = ClientCore("me")
        self.core.handle([Welcome(7, "cluster", 1)])
        self.known: dict[int, Known] = {}
        self.functions: dict[int, tuple[str, bytes]] = {}  # that the scheduler has
        self.gone: set[int] = set()  # functions it was told to forget
        self.questions: list[Ask] = []
        self.puts: list[words.Put] = []  # not answered yet
        self.workers = {A: Worker(), B: Worker()}
        self.waiting: list[Waiting] = []
        self.fetching: list[Fetching] = []
        self.sought: dict[int, set[str]] = {}  # where values are that have not been asked for
        self.late: set[int] = set()  # fetched anew while what was said of them is held back
        self.answers: dict[str, int] = {}  # to questions of the user, by their number

    # ------------------------------------------------------------ the world around the core

    def flushed(self) -> None:
        """What the core has to say reaches its readers."""
        messages, data = self.core.flush()
        for message in messages:
            self.scheduler_hears(message)
        for address, said in data:
            if isinstance(said, Fetch):
                for tid in said.tids:
                    self.sought[tid].remove(address)
                self.workers[address].fetches.append(said)
            else:
                assert isinstance(said, Store)
                assert not self.workers[address].stores, "one after the other"
                self.workers[address].stores.append(said)

    def scheduler_hears(self, message: Message) -> None:
        match message:
            case words.Functions() | words.ForgetFunctions():
                self.functions_change(message)
            case words.Submit():
                self.submission(message)
            case words.Release():
                for tid in message.tids:
                    known = self.known[tid]
                    assert known.arrived
                    assert not known.released
                    assert not known.held
                    known.released = True
            case words.Put():
                self.puts.append(message)
                for tid in message.tids:
                    self.known[tid].arrived = True
            case words.Cancel() | words.Keep() | words.Unreachable():
                if isinstance(message, words.Unreachable):
                    assert not any(self.sought[tid] for tid in message.tids if tid not in self.late)
                assert all(self.known[tid].arrived for tid in message.tids)
                assert not any(self.known[tid].released for tid in message.tids)
            case Ask():
                self.questions.append(message)
            case _:
                raise AssertionError(message)

    def functions_change(self, message: words.Functions | words.ForgetFunctions) -> None:
        """Ids are used once, and functions sent once."""
        if isinstance(message, words.Functions):
            for fid, name, blob in zip(message.fids, message.names, message.blobs, strict=True):
                assert fid not in self.gone
                assert (name, blob) not in self.functions.values()
                self.functions[fid] = name, blob
        else:
            self.gone.update(message.fids)
            for fid in message.fids:
                del self.functions[fid]

    def submission(self, message: words.Submit) -> None:
        """Each row is as its user described it, and comes once."""
        count = len(message.args)
        assert len(message.fids) in {1, count}
        assert len(message.dep_counts) in {0, count}
        assert sum(message.dep_counts) == len(message.dep_tids)
        deps = iter(message.dep_tids)
        for row in range(count):
            known = self.known[message.first + row]
            assert not known.arrived
            known.arrived = True
            inputs = [
                next(deps) for _ in range(message.dep_counts[row] if message.dep_counts else 0)
            ]
            assert all(self.known[tid].arrived for tid in inputs)
            fid = message.fids[row if len(message.fids) > 1 else 0]
            key = message.keys[row] if message.keys else ""
            assert known.row == (
                self.functions[fid], message.args[row], inputs, key, message.options,
            )  # fmt: skip

    def tell(self, *messages: Message) -> None:
        self.core.handle(messages)

    def settled(self, tids: list[int], status: int, values: list[Any]) -> None:
        """What the user should see from now on."""
        for tid, value in zip(tids, values, strict=True):
            known = self.known[tid]
            if known.held:
                known.status, known.value = status, value

    def of(self, *statuses: int) -> list[int]:
        """Tasks that the scheduler knows and the user holds, in one of these states."""
        return [
            tid
            for tid, known in self.known.items()
            if known.arrived and known.held and known.status in statuses
        ]

    def held(self) -> list[int]:
        return [tid for tid, known in self.known.items() if known.held]

    def some(self, data: st.DataObject, tids: list[int], most: int = 4) -> list[int]:
        """A few of these."""
        if not tids:
            return []
        return data.draw(st.lists(st.sampled_from(tids), min_size=1, max_size=most, unique=True))

    def groups(self, tids: list[int]) -> Groups:
        pairs = []
        for tid in tids:
            batch = self.core.table.find(tid)
            assert batch is not None
            pairs.append((batch, tid))
        return group(pairs)
