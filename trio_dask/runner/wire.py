"""Both directions of a runner's socket, with plain blocking calls."""

from __future__ import annotations

import _socket  # `socket` takes long to load
import os
import sys
from collections import deque
from contextlib import closing
from queue import SimpleQueue
from threading import Lock
from typing import TYPE_CHECKING, Final, TypeAlias

from trio_dask.comm import FrameDecoder, Lead, Stretch, frame
from trio_dask.messages import Message, decode, encode
from trio_dask.messages.sealing import Sealed
from trio_dask.messages.tasks import Done
from trio_dask.runner.ends import Ends, borrowed
from trio_dask.runner.speech import Speech
from trio_dask.store import DESCRIPTORS_MAX, Arrivals, rights

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from trio_dask.messages import Buffer
    from trio_dask.store import Segment

#: A row of `Done`: attempt, status, seconds, bytes, value.
Row: TypeAlias = tuple[int, int, float, int, bytes]

_READ_BYTES: Final = 256 * 1024
_PIECES_MAX: Final = 512
_ROWS_MAX: Final = 2048
_FRAME_BYTES: Final = 4 << 20
#: So many descriptors go together.
_SEALED_MAX: Final = 64
_CLOSE_ON_EXEC: Final = getattr(_socket, "MSG_CMSG_CLOEXEC", 0)


def read_messages(fd: int) -> Generator[list[Message], None, None]:
    """All messages that come through a socket, as many at a time as one read gave.

    Raises:
        RemoteProtocolError: these are no messages.
    """
    arrivals = Arrivals()
    decoder = FrameDecoder(adopt=arrivals.adopt)
    size = 64 * 1024
    with borrowed(fd) as sock, closing(arrivals):
        while True:
            try:
                data, ancillary, _, _ = sock.recvmsg(size, DESCRIPTORS_MAX, _CLOSE_ON_EXEC)
            except ConnectionResetError:
                return
            if not data:
                return
            if ancillary:
                arrivals.come(ancillary)
            # A large buffer costs page faults, so only those who send much get one.
            size = _READ_BYTES if len(data) == size else 64 * 1024
            messages = _decoded(decoder, data)
            if messages:
                yield messages


def _decoded(decoder: FrameDecoder, data: bytes) -> list[Message]:
    frames = decoder.feed(data)
    if len(frames) == 1:
        return decode(*frames[0])
    return [message for each in frames for message in decode(*each)]


class Outbox:
    """What a runner has to say, written by whoever comes first.

    A slot that has nothing more to do writes itself; that is the fast way for a single
    task. A slot that goes on wakes the writer thread, and whatever comes together until
    that thread gets its turn is one frame. So no result waits for the end of a later task.
    """

    def __init__(self, fd: int) -> None:
        self.rows: deque[Row] = deque()
        #: Values of which their rows speak: attempt, task, number, where it is.
        self.sealed: deque[tuple[int, int, int, Segment]] = deque()
        #: What tasks say.
        self.speech = Speech()
        self._said: Final = self.speech.voices
        self._words: deque[Message] = deque()
        self._calls: deque[Callable[[], None]] = deque()
        self._fd = fd
        self._closed = False
        self._writing = Lock()
        self._wake: SimpleQueue[str] = SimpleQueue()
        #: Whether the writer thread will look at everything that is there now.
        self.awake = False
        self.ends: Final = Ends(fd)

    def wake(self) -> None:
        """Let the writer thread write, soon."""
        if not self.awake:
            self.awake = True
            self._wake.put("write")

    def flush(self, wait_s: float = 0.0) -> None:
        """Write everything, or leave it to the thread that is writing or to the writer.

        With `wait_s` only if that thread takes longer: seconds, as it may be the caller itself,
        in whose writing an object's finaliser has something to say.
        """
        while self.rows or self._words or self._said:
            if not self._writing.acquire(timeout=wait_s):
                self.wake()
                return
            try:
                self._write_all()
            finally:
                self._writing.release()

    def put(self, message: Message) -> None:
        """Send a message after those before it, with the next `flush`."""
        self._words.append(message)

    def post(self, message: Message) -> None:
        """Send a message after those before it; the writer thread does it."""
        self._words.append(message)
        self.wake()

    def call_soon(self, call: Callable[[], None]) -> None:
        """Have the writer thread call something. May be called by the garbage collector."""
        self._calls.append(call)
        self.wake()

    def flush_words(self) -> None:
        """Send all messages so far, and wait until that is done."""
        with self._writing:
            self._write_all()

    def say(self, message: Message) -> None:
        """Send a message after those before it, without waiting for others' writes."""
        self._words.append(message)
        self.flush()

    def say_and_wait(self, message: Message) -> None:
        """Send a message; for what is large, so that not much of it waits here."""
        self._words.append(message)
        with self._writing:
            self._write_all()

    def run_writer(self) -> None:
        """The writer thread, until `close`."""
        self.ends.run(self._run_writer)

    def _run_writer(self) -> None:
        while self._wake.get():
            self.awake = False
            self._call_all()
            with self._writing:
                self._write_all()

    def _call_all(self) -> None:
        while self._calls:
            call = self._calls.popleft()
            try:
                call()
            except Exception as error:  # noqa: BLE001 - results are to be written all the same
                sys.stderr.write(f"trio_dask.runner: {error!r}\n")

    def close(self) -> None:
        """Write nothing more, and end the writer thread."""
        with self._writing:
            self._closed = True
        self._wake.put("")

    def forked(self) -> None:
        """In a child that a task forked: what the parent says is not the child's to say."""
        os.close(self._fd)
        self._fd = self.ends.fd = -1

    def _write_all(self) -> None:
        try:
            self._write_each()
        except BaseException:
            self._closed = True  # what was taken to be written is lost, whoever's thread this is
            self.ends.broken()
            raise

    def _write_each(self) -> None:
        while self.rows or self._words or self.sealed or self._said:
            if self._fd < 0:
                os._exit(0)  # a task forked, and its child came back into the slot
            words: list[Message] = [self._words.popleft() for _ in range(len(self._words))]
            # Results before words: a value is asked for only after its task was done. What is
            # sealed goes before its row, and was put here before that.
            rows = self._take_rows()
            while self.sealed:
                self._send([self._take_sealed()])
            if self._said:  # after its rows were taken: what a task says is there before it ends
                words.append(self.speech.take())
            self._send([*rows, *words])

    def _send(self, messages: list[Message]) -> None:
        if self._closed or not messages:
            return
        try:
            _write(self._fd, frame(*encode(messages), carries=True))
        except OSError:
            self._closed = True  # nobody is there; the reader finds out and ends

    def _take_sealed(self) -> Sealed:
        count = min(len(self.sealed), _SEALED_MAX)
        taken = [self.sealed.popleft() for _ in range(count)]
        attempts, tids, numbers, payloads = map(list, zip(*taken, strict=True))
        return Sealed(attempts, tids, numbers, payloads)

    def _take_rows(self) -> list[Done]:
        rows, room = [], _FRAME_BYTES
        popleft = self.rows.popleft
        for _ in range(min(len(self.rows), _ROWS_MAX)):
            row = popleft()
            rows.append(row)
            room -= len(row[4])
            if room < 0:
                break
        return [Done(*map(list, zip(*rows, strict=True)))] if rows else []


def _write(fd: int, pieces: list[Buffer]) -> None:
    first = pieces[0]
    if type(first) is Lead:
        with borrowed(fd) as sock:
            sent = sock.sendmsg([first], [rights(first.handles)])
        pieces = [memoryview(first)[sent:], *pieces[1:]] if sent < len(first) else pieces[1:]
    buffers: list[Buffer] = [each.read() if isinstance(each, Stretch) else each for each in pieces]
    while buffers:
        sent = (
            os.write(fd, buffers[0]) if len(buffers) == 1 else os.writev(fd, buffers[:_PIECES_MAX])
        )
        done = 0
        while done < len(buffers) and sent >= len(buffers[done]):
            sent -= len(buffers[done])
            done += 1
        buffers = buffers[done:]
        if sent:
            buffers[0] = memoryview(buffers[0])[sent:]
