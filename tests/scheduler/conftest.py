"""A scheduler core with clients and workers that say what the test tells them to."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import pytest

from trio_dask.messages import Message, decode, encode, session, tasks as words
from trio_dask.messages.ids import first_id
from trio_dask.scheduler.core import CoreSettings, SchedulerCore
from trio_dask.scheduler.core.invariants import check

if TYPE_CHECKING:
    from trio_dask.scheduler import Placement


class Driver:
    """Tells the core what peers say, and keeps what it says to them, by peer.

    Everything goes through the codec, and the books are checked after every event.
    """

    def __init__(self, *, placement: Placement | None = None, **settings: Any) -> None:
        self.core = SchedulerCore(CoreSettings(**settings), cluster="test", placement=placement)
        self.now = 0.0
        self.said: dict[int, list[Message]] = defaultdict(list)
        self._serial: dict[int, int] = defaultdict(int)

    # ---------------------------------------------------------------- who is there

    def client(self, peer: int = 1) -> int:
        """A client joins; its first task id."""
        self.core.client_joined(peer, session.RegisterClient(f"client-{peer}"))
        self.settle()
        (welcome,) = self.heard(peer)
        assert isinstance(welcome, session.Welcome)
        first = first_id(welcome.number)
        self.tell(peer, words.Functions([first, first + 1], ["inc", "add"], [b"INC", b"ADD"]))
        return first

    def worker(self, peer: int, nthreads: int = 1, **fields: Any) -> str:
        """A worker joins; its address."""
        address = f"tcp://{fields.pop('host', 'host')}:{peer}"
        values: dict[str, Any] = {"name": f"w{peer}", "resources": {}, "info": {}, **fields}
        message = session.RegisterWorker(
            address=address, nthreads=nthreads, memory_limit=0, **values
        )
        self.core.worker_joined(peer, message, self.now)
        self.settle()
        assert isinstance(self.heard(peer, keep=True)[0], session.Welcome)
        self.said[peer].pop(0)
        return address

    # ---------------------------------------------------------------- events

    def tell(self, peer: int, message: Message) -> None:
        """The peer says something."""
        header, payloads = encode([message])
        (arrived,) = decode(header, list(payloads))  # type: ignore[arg-type]
        self.core.handle(peer, arrived, self.now)
        self.settle()

    def leave(self, peer: int) -> None:
        """The peer's connection ends."""
        self.core.left(peer, "test")
        self.settle()

    def tick(self, seconds: float) -> list[int]:
        """Time passes."""
        self.now += seconds
        late = self.core.tick(self.now)
        self.settle()
        return late

    def settle(self) -> None:
        """Let the core finish, and take what it says."""
        while self.core.busy:
            assert self.core.work() == []
        for peer, messages in self.core.flush():
            self.said[peer] += messages
        check(self.core.state)

    def submit(
        self,
        first: int,
        args: list[bytes],
        deps: list[list[int]] | None = None,
        *,
        peer: int = 1,
        keys: list[str] | None = None,
        wanted: bool = True,
        **options: Any,
    ) -> list[int]:
        """The client submits tasks; their ids."""
        counts = [len(each) for each in deps] if deps else []
        flat = [tid for each in deps or [] for tid in each]
        fid = first & ~((1 << 40) - 1)
        self.tell(
            peer,
            words.Submit(first, [fid], args, counts, flat, keys or [], [], wanted, options),
        )
        return list(range(first, first + len(args)))

    def done(
        self, peer: int, run: words.Run, value: bytes | None = b"v", seconds: float = 1e-6
    ) -> None:
        """All attempts of `run` ended well; None: the worker holds the values."""
        count = len(run.attempts)
        status = words.OK_HELD if value is None else words.OK_INLINE
        self.tell(
            peer,
            words.Done(
                run.attempts,
                [status] * count,
                [seconds] * count,
                [9] * count,
                [value or b""] * count,
            ),
        )

    def fail(self, peer: int, run: words.Run, failure: bytes = b"oops") -> None:
        """All attempts of `run` raised."""
        count = len(run.attempts)
        self.tell(
            peer,
            words.Done(
                run.attempts, [words.ERROR] * count, [0.1] * count, [0] * count, [failure] * count
            ),
        )

    # ---------------------------------------------------------------- what was said

    def heard(self, peer: int, *, keep: bool = False) -> list[Message]:
        """Everything said to the peer since the last time."""
        messages = self.said[peer]
        if not keep:
            self.said[peer] = []
        return messages

    def run(self, peer: int) -> words.Run:
        """The tasks given to the worker, functions left out; nothing else may have been said."""
        runs = [each for each in self.heard(peer) if not isinstance(each, words.Functions)]
        assert len(runs) == 1, runs
        assert isinstance(runs[0], words.Run)
        return runs[0]

    def run_of(self, peer: int) -> list[int]:
        """The attempts given to the worker, whatever else was said to it."""
        runs = [each for each in self.heard(peer) if isinstance(each, words.Run)]
        return [attempt for run in runs for attempt in run.attempts]

    def run_last(self, peer: int) -> words.Run:
        """The last tasks given to the worker, whatever else was said to it."""
        return [each for each in self.heard(peer) if isinstance(each, words.Run)][-1]

    def at_rest(self) -> bool:
        """Whether nothing is left of any task."""
        state = self.core.state
        tables = (state.tasks, state.keys, state.names, state.refs, state.retried, state.deaths)
        idle = not any(w.window or w.held or w.load for w in state.workers.values())
        return idle and not any(tables) and not state.cancelling


@pytest.fixture
def cluster() -> Driver:
    """A core with nobody there."""
    return Driver()
