"""Worker and client cores whose peers say anything at all."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from tests.fuzzing.wire import heard, said
from trio_dask.client.core import (
    CANCELLED,
    ERROR,
    FINISHED,
    LOST,
    PENDING,
    RELEASED,
    AllDone,
    ClientCore,
    Rows,
    group,
)
from trio_dask.errors import RemoteProtocolError
from trio_dask.messages import Message, session, tasks as words, values
from trio_dask.messages.apart import Reserve, Reserved
from trio_dask.messages.ids import first_id
from trio_dask.messages.inquiring import Told
from trio_dask.worker.core import (
    AwaitDrain,
    Depart,
    FetchFrom,
    GiveUp,
    KillRunner,
    LookUp,
    Spill,
    StartRunner,
    Store,
    ToPeer,
    ToRunner,
    ToScheduler,
    WorkerCore,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_dask.messages import Payload

ME, A, B = "tcp://me:1", "tcp://a:1", "tcp://b:1"
FID: Final = 7
HONEST: Final = 2  # a peer's session
STRANGER: Final = 1


class Surroundings:
    """A worker core with a runner, a scheduler and peers; all it says can be sent."""

    def __init__(self) -> None:
        self.core = WorkerCore("me", ME, 2, Store())
        self.queue: dict[int, tuple[int, int]] = {}  # which runner has it, and the task
        self.answered: list[int] = []  # as the scheduler hears it
        self.told: dict[int, list[int]] = {}  # to the honest peer, by serial
        self.runner_answers = True
        self.sources_answer = True
        self.runner = 1  # the number of that which all share
        self.core.runner_ready(self.runner)
        self.core.peer_joined(HONEST, may_store=True)

    def give(self, count: int) -> None:
        """The scheduler gives work; one in two has an input elsewhere."""
        self.core.on_scheduler(words.Functions([FID], ["f"], [b"f"]))
        for attempt in range(1, count + 1):
            deps = [500 + attempt] if attempt % 2 else []
            run = words.Run(
                [attempt], [1000 + attempt], [FID], [attempt], [b"x"],
                [len(deps)] if deps else [], deps, [0] * len(deps), [], [f"{A} {B}"], [],
            )  # fmt: skip
            self.core.on_scheduler(run)
        self.act()

    def act(self) -> None:  # noqa: C901, PLR0912 - a case for each action
        """What the core wants done is done, as far as it can be said."""
        for _ in range(100):
            actions = self.core.flush()
            if not actions:
                return
            for action in actions:
                match action:
                    case ToRunner(number, messages):
                        self._runner(number, list(heard(said(messages))))
                    case ToScheduler(messages):
                        self._scheduler(list(heard(said(messages))))
                    case ToPeer(number, messages):
                        spoken = list(heard(said(messages)))
                        if number == HONEST:
                            self._peer(spoken)
                    case FetchFrom(address, serial, tids):
                        self._fetch(address, serial, tids)
                    case AwaitDrain(number):
                        self.core.drained(number)
                    case KillRunner(number):
                        running = [each for each, (at, _) in self.queue.items() if at == number]
                        for attempt in running:
                            del self.queue[attempt]
                        self.core.runner_died(number, running, {"on_purpose": True})
                    case LookUp(serial):
                        self.core.told(Told(serial, ok=True, said=[b"looked up"]))
                    case StartRunner(1, _):
                        pass  # it is there
                    case StartRunner(number, _, alone):
                        self.runner = self.runner if alone else number
                        self.core.runner_ready(number)
                    case GiveUp(reason):
                        raise AssertionError(reason)
                    case Depart() | Spill():
                        pass  # no memory is short here
        msg = "it never comes to rest"
        raise AssertionError(msg)

    def _runner(self, number: int, messages: list[Message]) -> None:
        for message in messages:
            match message:
                case words.Run():
                    for attempt, tid in zip(message.attempts, message.tids, strict=True):
                        self.queue[attempt] = number, tid
                case words.Recall():
                    back = [each for each in message.attempts if self.queue.pop(each, None)]
                    if self.runner_answers:
                        self.core.on_runner(number, words.Returned(back))
                case Reserve() if self.runner_answers:
                    self.core.on_runner(number, Reserved(message.seats))
                case values.Fetch() if self.runner_answers:
                    found = [values.FOUND] * len(message.tids)
                    payloads: list[Payload] = [b"v"] * len(message.tids)
                    answer = values.Values(
                        message.serial, message.tids, found, [], payloads, last=True
                    )
                    self.core.on_runner(number, answer)
                case _:
                    pass

    def work(self) -> None:
        """The runner ends all it has."""
        while self.queue:
            attempt, (number, tid) = self.queue.popitem()
            status = words.OK_HELD if tid % 2 else words.OK_INLINE
            done = words.Done([attempt], [status], [0.1], [1], [b""])
            self.core.on_runner(number, done)
        self.act()

    def _scheduler(self, messages: list[Message]) -> None:
        for message in messages:
            match message:
                case words.Done() | words.Returned():
                    self.answered += message.attempts
                case words.Unrunnable() | words.Pinned():
                    self.answered += dict.fromkeys(message.attempts)
                case words.RunnerDied():
                    self.answered += [*message.running, *message.queued]
                case _:
                    pass

    def _peer(self, messages: list[Message]) -> None:
        for message in messages:
            if isinstance(message, values.Values):
                self.told.setdefault(message.serial, []).extend(message.tids)

    def _fetch(self, address: str, serial: int, tids: list[int]) -> None:
        if not self.sources_answer:
            return
        if address == A:
            self.core.fetch_failed(address)
            return
        payloads: list[Payload] = [b"v"] * len(tids)
        answer = values.Values(serial, tids, [values.FOUND] * len(tids), [], payloads, last=True)
        self.core.fetched(answer)

    def end(self) -> None:
        """When runner, peers and functions are gone, nothing is kept for them."""
        self.core.on_scheduler(words.ForgetFunctions(list(self.core.state.functions)))
        self.core.runner_died(self.runner, [], {})
        self.act()
        for number in list(self.core.state.sessions):
            self.core.peer_left(number)
        for address in self.core.fetching_from():
            self.core.fetch_failed(address)
        self.act()
        left = {name: count for name, count in self.core.books().items() if count}
        assert not left, f"left behind: {left}"


def _listen(data: bytes, to: Callable[[Message], None], after: Callable[[], None]) -> bool:
    """Whether the stranger is still there when it has said everything."""
    try:
        for message in heard(data):
            to(message)
            after()
    except RemoteProtocolError:
        return False
    return True


def hostile_scheduler_of_worker(data: bytes) -> None:
    """What a scheduler says to a worker."""
    around = Surroundings()

    def after() -> None:
        around.act()
        around.work()

    _listen(data, around.core.on_scheduler, after)
    around.end()


def hostile_runner(data: bytes) -> None:
    """User code that has got hold of the runner's socket: no attempt is answered twice."""
    around = Surroundings()
    around.give(8)
    around.core.on_peer(HONEST, values.Fetch(1, [1002, 3]))
    around.runner_answers = False
    _listen(data, partial(around.core.on_runner, around.runner), around.act)
    around.end()
    assert sorted(around.answered) == list(range(1, 9)), "each attempt is answered once"
    assert sorted(around.told[1]) == [3, 1002], "each question is answered"


def hostile_peer(data: bytes) -> None:
    """Whoever opens a data connection, as a client and as a worker; others are served."""
    for may_store in (True, False):
        around = Surroundings()
        around.give(4)
        around.work()
        around.core.peer_joined(STRANGER, may_store=may_store)
        kept = len(around.core.state.store)
        _listen(data, partial(around.core.on_peer, STRANGER), around.act)
        around.core.peer_left(STRANGER)
        assert may_store or len(around.core.state.store) == kept
        around.core.on_peer(HONEST, values.Fetch(1, [1001, 1003, 3]))
        around.act()
        assert sorted(around.told[1]) == [3, 1001, 1003]
        around.end()


def hostile_source(data: bytes) -> None:
    """A worker that is asked for values: whatever it answers, each attempt has one end."""
    around = Surroundings()
    around.sources_answer = False
    around.give(8)

    def hear(message: Message) -> None:
        if isinstance(message, values.Values):
            around.core.fetched(message)

    _listen(data, hear, around.act)
    around.work()
    for address in around.core.fetching_from():
        around.core.fetch_failed(address)
    around.sources_answer = True
    around.act()
    around.work()
    assert sorted(around.answered) == list(range(1, 9)), "each attempt is answered once"
    around.end()


MINE: Final = first_id(3)
_KINDS: Final = {
    PENDING: (type(None),),
    RELEASED: (type(None),),
    FINISHED: (bytes, str),
    ERROR: (bytes,),
    CANCELLED: (str,),
    LOST: (str,),
}


class ABusyClient:
    """A client core with tasks, values to store, values to fetch, and questions."""

    def __init__(self) -> None:
        self.core = core = ClientCore("honest")
        core.handle([session.Welcome(3, "cluster", 1)])
        self.woken: list[str] = []
        function = core.function("f", b"f")
        function.uses += 1
        for count in (3, 300):
            core.submit(function, Rows([b"a"] * count), {})
        core.put([b"v", b"w"])
        core.ask("info", {}, lambda _: self.woken.append("answer"))
        there = words.Finished([MINE, MINE + 1], [9, 9], [b"", b""], [0, 0], [f"{A} {B}"])
        core.handle([there])
        batches = [(core.table.find(MINE + row), MINE + row) for row in range(2, 303)]
        pairs = [(batch, tid) for batch, tid in batches if batch is not None]
        core.watch(AllDone(len(pairs), lambda: self.woken.append("watch")), group(pairs))
        wanted = [(MINE, f"{A} {B}"), (MINE + 1, B)]
        core.request(wanted, lambda: self.woken.append("fetch"))
        self.sent()

    def sent(self) -> None:
        """All it has to say can be said; what its user sees is of the right kind."""
        messages, data = self.core.flush()
        list(heard(said(messages)))
        list(heard(said([message for _, message in data])))
        for batch in self.core.table.batches:
            for status, value in zip(batch.status, batch.values, strict=True):
                assert type(value) in _KINDS[status], (status, value)
            assert batch.pending == batch.status.count(PENDING)

    def end(self) -> None:
        """Everybody who waits is woken in the end."""
        assert self.core.number == 3
        self.core.end("over")
        assert {"answer", "watch", "fetch"} <= set(self.woken)


def hostile_scheduler_of_client(data: bytes) -> None:
    """What a scheduler says to a client."""
    client = ABusyClient()
    _listen(data, lambda message: client.core.handle([message]), client.sent)
    client.end()


def hostile_worker_of_client(data: bytes) -> None:
    """What a worker says to a client that fetches and stores."""
    client = ABusyClient()
    client.core.handle([words.PutAt([MINE + 303, MINE + 304], [0, 1], [A, B])])
    client.sent()
    for address in (A, B):

        def hear(message: Message, address: str = address) -> None:
            client.core.handle_data(address, [message])

        _listen(data, hear, client.sent)
        client.core.data_lost(address, "gone")
        client.sent()
    client.end()
