"""The worker's side of a runner, with plain blocking calls."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from trio_dask.comm import FrameDecoder, frame
from trio_dask.messages import Buffer, Message, Payload, decode, encode
from trio_dask.messages.exceptions import rebuild
from trio_dask.messages.failure import Failure
from trio_dask.messages.payload import pack, pack_call, pack_function, unpack
from trio_dask.messages.speech import Spoken
from trio_dask.messages.tasks import (
    ERROR,
    HERE,
    INLINE,
    OK_HELD,
    OK_INLINE,
    Done,
    Functions,
    Run,
)
from trio_dask.messages.values import Fetch, Give, Prepare, Ready, Stop, Values
from trio_dask.runner import Board, host_runner

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from threading import Thread
    from types import TracebackType

M = TypeVar("M", bound=Message)

#: What a test waits at most for something that should come at once.
PATIENCE_S = 20.0


class Runner:
    """A runner in a process of its own, or in threads of this one."""

    def __init__(
        self, nthreads: int = 1, *, hosted: bool = False, prepare: bool = True, **settings: Any
    ) -> None:
        self.board = Board.create(nthreads)
        self.sock, theirs = socket.socketpair()
        self.sock.settimeout(PATIENCE_S)
        self.process: subprocess.Popen[bytes] | None = None
        self.thread: Thread | None = None
        self._decoder = FrameDecoder()
        self._heard: list[Message] = []
        #: What tasks have said, set aside.
        self.spoken: list[Spoken] = []
        self._closed = False
        if hosted:
            self.thread = host_runner(theirs, self.board.fd)
        else:
            fds = (theirs.fileno(), self.board.fd)
            self.process = subprocess.Popen(
                [sys.executable, "-m", "trio_dask.runner", *map(str, fds)],
                pass_fds=fds,
                start_new_session=True,
                stdout=settings.pop("stdout", None),
                stderr=settings.pop("stderr", None),
            )
            theirs.close()
        if prepare:
            self.say(
                Prepare({"name": "w-0", "nthreads": nthreads, "inline_bytes_max": 2048} | settings)
            )
            self.pid = self.expect(Ready).pid

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> int | None:
        """End it; its exit status, where it has one."""
        if not self._closed:
            self._closed = True
            self.sock.close()
            os.close(self.board.fd)
        if self.thread is not None:
            self.thread.join(PATIENCE_S)
            assert not self.thread.is_alive()
        return self.wait()

    def wait(self) -> int | None:
        """Its exit status, once it has one; killed if that takes too long."""
        if self.process is None:
            return None
        try:
            return self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            raise

    # ---------------------------------------------------------------- saying and hearing

    def say(self, *messages: Message) -> None:
        """Send messages in one frame."""
        for piece in frame(*encode(messages)):
            self.sock.sendall(piece)

    def hear(self) -> Message:
        """The next message, but for what tasks say; EOFError when there are no more."""
        while not self._heard:
            data = self.sock.recv(1 << 20)
            if not data:
                raise EOFError
            for header, payloads in self._decoder.feed(data):
                for each in decode(header, payloads):
                    if isinstance(each, Spoken):
                        self.spoken.append(each)
                    else:
                        self._heard.append(each)
        return self._heard.pop(0)

    def expect(self, kind: type[M]) -> M:
        """The next message, which is one of this type."""
        found = self.hear()
        assert type(found) is kind, found
        return found

    # ---------------------------------------------------------------- tasks

    def function(self, fid: int, fn: Callable[..., Any] | bytes, name: str = "") -> None:
        """Send a function."""
        blob = fn if isinstance(fn, bytes) else pack_function(fn)
        self.say(Functions([fid], [name or getattr(fn, "__name__", "fn")], [blob]))

    def run(self, *attempts: int, fid: int = 1, args: Sequence[Any] = (), **columns: Any) -> None:
        """Run tasks whose ids are their attempts, each with the same arguments."""
        self.say(run_of(*attempts, fid=fid, args=args, **columns))

    def outcomes(self, count: int) -> dict[int, Any]:
        """What became of so many attempts: values, exceptions, or `Held` for what stays there."""
        found: dict[int, Any] = {}
        while len(found) < count:
            done = self.expect(Done)
            rows = zip(
                done.attempts, done.statuses, done.seconds, done.nbytes, done.values, strict=True
            )
            for attempt, status, seconds, nbytes, value in rows:
                assert attempt not in found
                assert seconds >= 0
                found[attempt] = outcome(status, nbytes, value)
        assert len(found) == count
        return found

    def call(self, fn: Callable[..., Any], *args: Any, attempt: int = 1000) -> Any:
        """Run one function and return its value, or raise what it raises."""
        self.function(attempt, fn)
        self.run(attempt, fid=attempt, args=args)
        found = self.outcomes(1)[attempt]
        if isinstance(found, BaseException):
            raise found
        return found

    def give(self, values: dict[int, Any]) -> None:
        """Give packed values; payloads as they are, anything else packed."""
        payloads: list[Payload] = [pack(value) for value in values.values()]
        self.say(Give(list(values), payloads))

    def fetch(self, *tids: int, serial: int = 1) -> dict[int, Any]:
        """Ask for values: each with its value, or its exception, or None if it is not there."""
        self.say(Fetch(serial, list(tids)))
        found: dict[int, Any] = {}
        while True:
            part = self.expect(Values)
            assert part.serial == serial
            payloads, failures = iter(part.payloads), iter(part.failures)
            for tid, status in zip(part.tids, part.statuses, strict=True):
                if status == 0:
                    found[tid] = unpack(cast(Buffer, next(payloads)))
                else:
                    found[tid] = (
                        rebuild(Failure.from_bytes(next(failures))) if status == 2 else None
                    )
            if part.last:
                assert list(found) == list(tids)
                return found

    def stop(self) -> None:
        """Tell it to end."""
        self.say(Stop("test"))


class Held:
    """The outcome of a task whose value stays in the runner."""

    def __init__(self, nbytes: int) -> None:
        self.nbytes = nbytes


def outcome(status: int, nbytes: int, value: bytes) -> Any:
    """What a row of `Done` says."""
    if status == OK_INLINE:
        assert nbytes == len(value)
        return unpack(value)
    if status == OK_HELD:
        assert value == b""
        return Held(nbytes)
    assert status == ERROR
    return rebuild(Failure.from_bytes(value))


def run_of(
    *attempts: int,
    fid: int = 1,
    args: Sequence[Any] = (),
    inputs: dict[int, Any] | None = None,
    here: Sequence[int] = (),
    refs: Sequence[int] = (),
    ranks: Sequence[int] = (),
    keys: Sequence[str] = (),
) -> Run:
    """A message that runs tasks whose ids are their attempts, all with the same arguments and inputs."""
    count = len(attempts)
    values = inputs or {}
    tids = [*values, *here]
    at = [INLINE] * len(values) + [HERE] * len(here)
    return Run(
        attempts=list(attempts),
        tids=list(attempts),
        fids=[fid] * count,
        ranks=list(ranks) or list(range(count)),
        args=[pack_call(tuple(args), {}, refs=[])] * count,
        dep_counts=[len(tids)] * count if tids else [],
        dep_tids=tids * count,
        dep_at=at * count,
        dep_values=[one_piece(value) for value in values.values()] * count,
        places=[],
        keys=list(keys),
        dep_refs=list(refs) * count,
    )


def one_piece(value: Any) -> bytes:
    """The payload of a value as bytes."""
    packed = pack(value)
    return b"".join(packed) if isinstance(packed, list) else bytes(packed)
