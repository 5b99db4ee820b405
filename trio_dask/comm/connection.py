"""A connection on Trio: one reader, one writer, any byte stream."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import trio

from trio_dask.comm.chunks import Chunk
from trio_dask.comm.compression import plain
from trio_dask.comm.conversation import FAREWELL_S, RECEIVE_MORE_BYTES, Conversation
from trio_dask.comm.framing import DEFAULT_LIMITS, Limits, Stretch
from trio_dask.comm.stream import DescriptorStream, SocketByteStream

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_dask.comm.compression import Agreed
    from trio_dask.comm.handshake import Hello
    from trio_dask.messages import Buffer, Message

#: Messages to one peer that are closer together than this are written together.
TOGETHER_S: Final = 100e-6


class Connection(Conversation):
    """Messages to and from one peer.

    Nothing is read or written before `run`, which ends with the connection.
    """

    def __init__(
        self,
        stream: trio.abc.Stream,
        peer: Hello,
        *,
        local_address: str = "",
        remote_address: str = "",
        limits: Limits = DEFAULT_LIMITS,
        agreed: Agreed | None = None,
    ) -> None:
        super().__init__(
            peer,
            local_address=local_address,
            remote_address=remote_address,
            limits=limits,
            agreed=agreed,
            adopt=stream.adopt if isinstance(stream, DescriptorStream) else None,
        )
        self._stream: Final = stream
        self._scope: Final = trio.CancelScope()
        self._send_nowait: Final = (
            stream.send_nowait if isinstance(stream, SocketByteStream) else None
        )
        # Not where descriptors come along with what is read.
        self._receive_into: Final = (
            stream.receive_into
            if isinstance(stream, SocketByteStream) and not isinstance(stream, DescriptorStream)
            else None
        )
        self._wrote_at = -math.inf
        self._idle: Final = trio.lowlevel.ParkingLot()  # where the writer waits for work
        self._room: Final = trio.lowlevel.ParkingLot()  # where those wait who send much

    async def run(self, on_messages: Callable[[list[Message]], None]) -> str:
        """Read and write until the end; `on_messages` gets all messages of one read at a time.

        Returns the reason of whoever said goodbye. The stream is closed in any case.

        Raises:
            PeerClosed: the peer ended it without a goodbye, or the transport broke.
            RemoteProtocolError: the peer broke the rules, and was told so.
            CommError: it was cut.
        """
        self._start()
        failure: list[Exception] = []
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._write)
                    await self._read(on_messages, failure)
                    nursery.cancel_scope.cancel("the connection has ended")
        finally:
            self._over()
            self._room.unpark_all()
            with trio.CancelScope(shield=True):
                await trio.aclose_forcefully(self._stream)
        return self._result(failure)

    async def _read(
        self, on_messages: Callable[[list[Message]], None], failure: list[Exception]
    ) -> None:
        link = self._link
        into = self._receive_into
        data: Buffer | int
        while True:
            try:
                if into is not None and link.decoder.vacancy is not None:
                    data = await into(link.decoder.vacancy[:RECEIVE_MORE_BYTES])
                else:
                    data = await self._stream.receive_some(self._receive_bytes)
            except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
                self._on_broken(error)
                return
            if not data:
                self._on_end()
                return
            messages = self._on_filled(data) if isinstance(data, int) else self._on_data(data)
            if messages:
                try:
                    on_messages(messages)
                except Exception as error:  # noqa: BLE001 - raised again when all is closed
                    failure.append(error)
                    return
            if link.goodbye is not None:
                return
            del data, messages  # who waits for the next keeps nothing of the last

    async def _write(self) -> None:
        link, stream = self._link, self._stream
        try:
            while True:
                pieces = link.take()
                for piece in pieces:
                    if type(piece) is Chunk:
                        await self._write_chunk(piece)
                    else:
                        await self._write_piece(piece)
                        link.wrote(len(piece))
                    if len(self._room):
                        self._room.unpark_all()
                if pieces:
                    del pieces, piece
                    continue
                if self._parting:
                    break
                await self._idle.park()
            if isinstance(stream, trio.abc.HalfCloseableStream):
                await stream.send_eof()
        except (trio.BrokenResourceError, trio.ClosedResourceError, OSError) as error:
            self._on_write_broken(error)

    async def _write_piece(self, piece: Buffer) -> None:
        stream = self._stream
        if type(piece) is not Stretch:
            await stream.send_all(piece)
        elif isinstance(stream, SocketByteStream):
            await stream.send_stretch(piece)
        else:
            await stream.send_all(piece.read())

    async def _write_chunk(self, chunk: Chunk) -> None:
        packer = self._packer
        assert packer is not None
        looks = packer.looks
        pieces = await trio.to_thread.run_sync(packer.packed, chunk) if looks else plain(chunk)
        began = trio.current_time()
        for piece in pieces:
            await self._write_piece(piece)
        sent = sum(map(len, pieces))
        packer.line.wrote(sent, began, trio.current_time())
        self._link.wrote(len(chunk), sent)

    async def drained(self, below_bytes: int = 0) -> None:
        """Wait until no more than that is queued, or the connection has ended."""
        while self._link.queued_bytes > below_bytes and not self._parting:
            await self._room.park()

    def _wake(self) -> None:
        if len(self._idle):
            if self._send_nowait is not None and self._wrote_now(self._send_nowait):
                return
            self._idle.unpark()

    def _wrote_now(self, send_nowait: Callable[[Buffer], int]) -> bool:
        """Write what is queued at once, without the writer, which is idle; False: it has to go on.

        Saves waking it, which is a fifth of a small message's way. Messages that follow one
        another closely are left to the writer, which then has several to write together.
        """
        now = trio.current_time()
        if self._parting or now - self._wrote_at < TOGETHER_S:
            return False
        self._wrote_at = now
        pieces = self._link.take()
        try:
            sent = send_nowait(pieces[0])
        except trio.BrokenResourceError:
            sent = 0  # the writer will find out
        self._link.wrote(sent)
        if len(pieces) == 1 and sent == len(pieces[0]):
            return True
        if sent:
            first = pieces[0]
            assert not isinstance(first, Stretch)  # a frame begins with its header
            pieces[0] = memoryview(first)[sent:]
        self._link.put_back(pieces)
        return False

    def _stop(self) -> None:
        self._scope.cancel()

    def _stop_soon(self) -> None:
        self._scope.deadline = min(self._scope.deadline, trio.current_time() + FAREWELL_S)
