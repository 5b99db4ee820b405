"""A runner that does what a task's argument says; started like the real one."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
import sys
import time

from trio_dask.comm import FrameDecoder, frame
from trio_dask.messages import Message, Payload, decode, encode
from trio_dask.messages.tasks import HERE, OK_HELD, OK_INLINE, Done, Run
from trio_dask.messages.values import ABSENT, FOUND, Fetch, Give, Prepare, Ready, Values


class FakeRunner:
    """Runs one task at a time, on one thread."""

    def __init__(self, socket_fd: int, board_fd: int) -> None:
        self.sock = socket.socket(fileno=socket_fd)
        self.board_fd = board_fd
        self.held: dict[int, Payload] = {}

    def read(self) -> None:
        """Do as the worker says until it is gone."""
        decoder = FrameDecoder()
        while data := self.sock.recv(65536):
            for header, payloads in decoder.feed(data):
                for message in decode(header, payloads):
                    self.hear(message)

    def hear(self, message: Message) -> None:
        """Do what one message says."""
        if isinstance(message, Prepare):
            self.say(Ready(os.getpid()))
        elif isinstance(message, Give):
            self.held.update(zip(message.tids, message.payloads, strict=True))
        elif isinstance(message, Fetch):
            statuses = [FOUND if tid in self.held else ABSENT for tid in message.tids]
            values = [self.held[tid] for tid in message.tids if tid in self.held]
            self.say(Values(message.serial, message.tids, statuses, [], values, last=True))
        elif isinstance(message, Run):
            here = [
                tid for tid, at in zip(message.dep_tids, message.dep_at, strict=True) if at == HERE
            ]
            for attempt, tid, args in zip(
                message.attempts, message.tids, message.args, strict=True
            ):
                os.pwrite(self.board_fd, struct.pack("<qd", attempt, time.monotonic()), 0)
                self.suffer(args, attempt)
                os.pwrite(self.board_fd, bytes(16), 0)
                self.finish(attempt, tid, args, here)

    def suffer(self, args: bytes, attempt: int) -> None:
        """Do what a bad task does."""
        match args:
            case b"die":
                os.kill(os.getpid(), signal.SIGKILL)
            case b"fork":  # a child that would keep the socket open for ever
                if os.fork():
                    os._exit(3)
                signal.pause()
            case b"hang":
                signal.pause()
            case b"invent":
                self.say(Done([attempt + 99], [OK_INLINE], [0.0], [0], [b""]))
            case _:
                pass

    def finish(self, attempt: int, tid: int, args: bytes, here: list[int]) -> None:
        """Give what a good task gives."""
        word, _, value = args.partition(b":")
        if word == b"hold":
            self.held[tid] = value
            self.say(Done([attempt], [OK_HELD], [0.1], [len(value)], [b""]))
            return
        if word == b"join":
            value = b"".join(_flat(self.held[tid]) for tid in here)
        self.say(Done([attempt], [OK_INLINE], [0.1], [len(value)], [value]))

    def say(self, message: Message) -> None:
        """Tell the worker."""
        for piece in frame(*encode([message])):
            self.sock.sendall(piece)


def _flat(payload: Payload) -> bytes:
    return b"".join(payload) if isinstance(payload, list) else bytes(payload)


if __name__ == "__main__":
    with contextlib.suppress(OSError):  # the worker has closed the socket
        FakeRunner(int(sys.argv[1]), int(sys.argv[2])).read()
