"""A connection on Trio: one reader, one writer, any byte stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import trio

from trio_dask.comm.conversation import FAREWELL_S, RECEIVE_BYTES, Conversation
from trio_dask.comm.framing import DEFAULT_LIMITS, Limits

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_dask.comm.handshake import Hello
    from trio_dask.messages import Message


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
    ) -> None:
        super().__init__(
            peer, local_address=local_address, remote_address=remote_address, limits=limits
        )
        self._stream: Final = stream
        self._scope: Final = trio.CancelScope()
        self._idle: Final = trio.lowlevel.ParkingLot()  # where the writer waits for work

    async def run(self, on_messages: Callable[[list[Message]], None]) -> str:
        """Read and write until the end; `on_messages` gets all messages of one read at a time.

        Returns the reason of whoever said goodbye. The stream is closed in any case.

        Raises:
            PeerClosed: the peer ended it without a goodbye, or the transport broke.
            RemoteProtocolError: the peer broke the rules, and was told so.
            CommError: it was cut.
        """
        failure: list[Exception] = []
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._write)
                    await self._read(on_messages, failure)
                    nursery.cancel_scope.cancel("the connection has ended")
        finally:
            self._parting = True
            with trio.CancelScope(shield=True):
                await trio.aclose_forcefully(self._stream)
        if failure:
            raise failure[0]
        return self._result()

    async def _read(
        self, on_messages: Callable[[list[Message]], None], failure: list[Exception]
    ) -> None:
        link = self._link
        while True:
            try:
                data = await self._stream.receive_some(RECEIVE_BYTES)
            except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
                self._on_broken(error)
                return
            if not data:
                self._on_end()
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

    async def _write(self) -> None:
        link, stream = self._link, self._stream
        try:
            while True:
                pieces = link.take()
                for piece in pieces:
                    await stream.send_all(piece)
                    link.wrote(len(piece))
                if pieces:
                    continue
                if self._parting:
                    break
                await self._idle.park()
            if isinstance(stream, trio.abc.HalfCloseableStream):
                await stream.send_eof()
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            self._on_write_broken(error)

    def _wake(self) -> None:
        self._idle.unpark()

    def _stop(self) -> None:
        self._scope.cancel()

    def _stop_soon(self) -> None:
        self._scope.deadline = min(self._scope.deadline, trio.current_time() + FAREWELL_S)
