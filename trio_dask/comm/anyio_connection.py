"""A connection on anyio, for the client: the same on Trio and on asyncio."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import anyio
import anyio.abc
import anyio.to_thread

from trio_dask.comm.anyio_near import NearStream
from trio_dask.comm.chunks import Chunk
from trio_dask.comm.compression import plain
from trio_dask.comm.conversation import FAREWELL_S, Conversation
from trio_dask.comm.framing import DEFAULT_LIMITS, MIB, Lead, Limits, Stretch

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_dask.comm.compression import Agreed
    from trio_dask.comm.handshake import Hello
    from trio_dask.messages import Buffer, Message

#: asyncio's transports copy what they cannot write at once: large pieces go in parts.
_PART_BYTES: Final = MIB


class AnyioConnection(Conversation):
    """Messages to and from one peer, on either loop. See `Connection`.

    Its methods are for the loop's own thread.
    """

    def __init__(
        self,
        stream: anyio.abc.ByteStream,
        peer: Hello,
        *,
        local_address: str = "",
        remote_address: str = "",
        limits: Limits = DEFAULT_LIMITS,
        agreed: Agreed | None = None,
        half_closes: bool = True,
    ) -> None:
        """`half_closes` is False of a stream with TLS, which ends in both directions at once."""
        super().__init__(
            peer,
            local_address=local_address,
            remote_address=remote_address,
            limits=limits,
            agreed=agreed,
            adopt=stream.adopt if isinstance(stream, NearStream) else None,
        )
        self._stream: Final = stream
        self._half_closes: Final = half_closes
        self._scope: Final = anyio.CancelScope()
        self._idle: anyio.Event | None = None  # set when the writer has something to do
        self._room: anyio.Event | None = None  # set when something has been written

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
                async with anyio.create_task_group() as group:
                    group.start_soon(self._write)
                    await self._read(on_messages, failure)
                    group.cancel_scope.cancel("the connection has ended")
        finally:
            self._over()
            self._note_room()
            with anyio.CancelScope(shield=True):
                await anyio.aclose_forcefully(self._stream)
        return self._result(failure)

    async def _read(
        self, on_messages: Callable[[list[Message]], None], failure: list[Exception]
    ) -> None:
        link = self._link
        while True:
            try:
                data = await self._stream.receive(self._receive_bytes)
            except anyio.EndOfStream:
                self._on_end()
                return
            except (anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
                self._on_broken(error)
                return
            messages = self._on_data(data)
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
        link = self._link
        try:
            while True:
                pieces = link.take()
                for piece in pieces:
                    if type(piece) is Chunk:
                        await self._send_chunk(piece)
                    else:
                        await self._send_piece(piece)
                if pieces:
                    del pieces, piece
                    continue
                if self._parting:
                    break
                self._idle = anyio.Event()
                await self._idle.wait()
            if self._half_closes:
                await self._stream.send_eof()
        except (anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
            self._on_write_broken(error)

    async def _send_piece(self, piece: Buffer) -> None:
        if isinstance(piece, Stretch):
            piece = piece.read()
        # anyio asks for bytes, but all its sockets take any buffer.
        nbytes = len(piece)
        if nbytes <= _PART_BYTES or type(piece) is Lead:
            await self._stream.send(piece)  # type: ignore[arg-type]
            self._link.wrote(nbytes)
            self._note_room()
            return
        whole = memoryview(piece)
        for start in range(0, nbytes, _PART_BYTES):
            part = whole[start : start + _PART_BYTES]
            await self._stream.send(part)  # type: ignore[arg-type]
            self._link.wrote(len(part))
            self._note_room()

    async def _send_chunk(self, chunk: Chunk) -> None:
        packer = self._packer
        assert packer is not None
        looks = packer.looks
        pieces = await anyio.to_thread.run_sync(packer.packed, chunk) if looks else plain(chunk)
        began = anyio.current_time()
        for piece in pieces:
            whole = piece.read() if isinstance(piece, Stretch) else piece
            await self._stream.send(whole)  # type: ignore[arg-type]
        sent = sum(map(len, pieces))
        packer.line.wrote(sent, began, anyio.current_time())
        self._link.wrote(len(chunk), sent)
        self._note_room()

    async def drained(self, below_bytes: int = 0) -> None:
        """Wait until no more than that is queued, or the connection has ended."""
        while self._link.queued_bytes > below_bytes and not self._parting:
            if self._room is None:
                self._room = anyio.Event()
            await self._room.wait()

    def _note_room(self) -> None:
        if self._room is not None:
            self._room.set()
            self._room = None

    def _wake(self) -> None:
        if self._idle is not None:
            self._idle.set()
            self._idle = None

    def _stop(self) -> None:
        self._scope.cancel()

    def _stop_soon(self) -> None:
        self._scope.deadline = min(self._scope.deadline, anyio.current_time() + FAREWELL_S)
