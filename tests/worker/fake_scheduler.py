"""A scheduler that says what a test tells it to, over real sockets; and a worker process's parts."""

from __future__ import annotations

import sys
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import trio

from trio_dask.comm import Connection, Keys, connect, keys_from_token, open_listener, serve
from trio_dask.config import Config, WorkerConfig
from trio_dask.errors import CommError
from trio_dask.messages import Message
from trio_dask.messages.fleet import Farewell, Leave
from trio_dask.messages.session import (
    CLIENT,
    SCHEDULER,
    Heartbeat,
    RegisterPeer,
    RegisterWorker,
    Resume,
    Resumed,
    Welcome,
)
from trio_dask.messages.tasks import Functions
from trio_dask.worker import ProcessHost, WorkerHandle, run_worker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

KEYS: Keys = keys_from_token("0123456789abcdef" * 4)
FAKE_RUNNER = [sys.executable, str(Path(__file__).parent / "fake_runner.py")]

M = TypeVar("M", bound=Message)


@dataclass(eq=False)
class Talk:
    """One conversation: what was heard, and waiting for what will be."""

    connection: Connection
    heard: list[Message] = field(default_factory=list)
    ended: str | None = None
    lets_go: bool = True  # whoever is to leave may do so at once
    _changed: trio.Event = field(default_factory=trio.Event)

    def on_messages(self, messages: list[Message]) -> None:
        """Remember."""
        self.heard += [each for each in messages if type(each) is not Heartbeat]
        if self.lets_go and any(type(each) is Leave for each in messages):
            self.say(Farewell(0, 0, 0, 0))
        if any(type(each) is Resume for each in messages):
            self.say(Resumed(-1))  # nobody is known from before
        self._change()

    def _change(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    def say(self, *messages: Message) -> None:
        """Send."""
        self.connection.send(*messages)

    async def hear(self, kind: type[M]) -> M:
        """The next message of a kind; those before it are forgotten."""
        while True:
            for index, each in enumerate(self.heard):
                if type(each) is kind:
                    del self.heard[: index + 1]
                    return each
            assert self.ended is None, f"it ended ({self.ended}) without {kind.__name__}"
            await self._changed.wait()

    async def wait_more(self) -> None:
        """Until something more is heard, or the end."""
        await self._changed.wait()

    async def run(self) -> None:
        """Until the end."""
        try:
            self.ended = await self.connection.run(self.on_messages)
        except CommError as error:
            self.ended = f"error: {error}"
        self._change()

    async def wait_end(self) -> str:
        """How it ended."""
        while self.ended is None:
            await self._changed.wait()
        return self.ended


class FakeScheduler:
    """Welcomes workers; the test does the rest."""

    def __init__(self, address: str, answer: Message | None) -> None:
        self.address = address
        self.talks: dict[str, Talk] = {}
        self.registrations: dict[str, RegisterWorker] = {}
        self.gone = False  # who connects is not listened to
        self.dies = 0  # so many who register lose it before they are welcome
        self._answer = answer
        self._changed = trio.Event()

    async def wait_for(self, workers: int) -> None:
        """Until so many are registered."""
        while len(self.talks) < workers:
            await self._changed.wait()

    async def handler(self, connection: Connection) -> None:
        """Serve one worker."""
        if self.gone:
            return
        talk = Talk(connection)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(talk.run)
            with suppress(AssertionError):  # it left again
                registration = await talk.hear(RegisterWorker)
                if self.dies:
                    self.dies -= 1
                    connection.cut("it died")
                else:
                    self.welcome(registration, talk)

    def welcome(self, registration: RegisterWorker, talk: Talk) -> None:
        """Take a worker in."""
        self.registrations[registration.name] = registration
        self.talks[registration.name] = talk
        self._changed.set()
        self._changed = trio.Event()
        talk.say(self._answer or Welcome(1, "c", 1), Functions([7], ["f"], [b"f"]))


@asynccontextmanager
async def fake_scheduler(
    answer: Message | None = None, host: str = "127.0.0.1"
) -> AsyncIterator[FakeScheduler]:
    """A listening one."""
    listener = await open_listener(f"tcp://{host}:0")
    scheduler = FakeScheduler(listener.address, answer)

    async def run(*, task_status: trio.TaskStatus[object]) -> None:
        await serve(
            listener, keys=KEYS, role=SCHEDULER, handler=scheduler.handler, task_status=task_status
        )

    async with trio.open_nursery() as nursery:
        await nursery.start(run)
        yield scheduler
        nursery.cancel_scope.cancel()


def settings(tmp_path: Path, **worker: object) -> Config:
    """Two workers a, b with one slot each, their files in `tmp_path`."""
    base = WorkerConfig(
        nworkers=2, nthreads=1, name="w", memory_limit=1 << 30, local_directory=str(tmp_path)
    )
    return Config(worker=replace(base, **worker))  # type: ignore[arg-type]


@asynccontextmanager
async def workers(
    scheduler: FakeScheduler, config: Config, command: list[str] | None = None
) -> AsyncIterator[WorkerHandle]:
    """Registered workers; when the block is left they are cancelled."""

    async def run(*, task_status: trio.TaskStatus[WorkerHandle]) -> None:
        host = ProcessHost(FAKE_RUNNER if command is None else command)
        await run_worker(config, scheduler.address, KEYS, runner_host=host, task_status=task_status)

    async with trio.open_nursery() as nursery:
        yield await nursery.start(run)
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def client_of(address: str, role: str = CLIENT) -> AsyncIterator[Talk]:
    """A registered data connection."""
    talk = Talk(await connect(address, keys=KEYS, role=role))
    talk.say(RegisterPeer("test"))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(talk.run)
        await talk.hear(Welcome)
        yield talk
        talk.connection.close("done")
