"""A client's connections to workers: one to each that it has values from or for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import anyio
import anyio.to_thread

from trio_dask.client.handing import HANDED_BYTES_MIN, Hand
from trio_dask.client.loops import dial as dial_here
from trio_dask.comm import LocalLoans, private_room, takes_here
from trio_dask.errors import TrioDaskError
from trio_dask.messages import payload_bytes
from trio_dask.messages.sealing import Takes
from trio_dask.messages.session import CLIENT, WORKER, RegisterPeer
from trio_dask.messages.values import Fetch, Store, StoreDone, Values

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_dask.client.session import AnyConnection, Dial
    from trio_dask.comm import Keys
    from trio_dask.messages import Message

#: How long a worker may take to answer a new data connection.
DATA_CONNECT_S: Final = 10.0
#: One of so many free descriptors is for the values of one worker; a value costs two of them.
_SHARE: Final = 8
#: Memory for values to come is kept for so long after the last one.
_WARM_S: Final = 30.0


class _DataLink:
    """A connection to one worker, or one in the making."""

    def __init__(self, address: str) -> None:
        self.address: Final = address
        self.queue: list[Message] = []  # while it is being made
        self.connection: AnyConnection | None = None
        #: Of a connection with a worker of this host.
        self.loans: LocalLoans | None = None
        self.greeted: anyio.Event  # set when that has said how many descriptors it takes
        #: Questions without a whole answer, by serial number.
        self.asked: dict[int, Message] = {}

    def say(self, message: Message) -> None:
        """Send it, through a connection that is there."""
        assert self.connection is not None
        if isinstance(message, Fetch | Store):
            self.asked[message.serial] = message
        if self.loans is not None:
            message = self.loans.said(message)
        self.connection.send(message)

    def hear(self, messages: list[Message]) -> list[Message]:
        """What is left of it for the client."""
        for message in messages:
            if isinstance(message, StoreDone) or (isinstance(message, Values) and message.last):
                self.asked.pop(message.serial, None)
            elif isinstance(message, Takes):
                self.greeted.set()
        return messages if self.loans is None else self.loans.heard(messages)


class DataLinks:
    """Connections to workers' data listeners, opened when something is to be said.

    Args:
        start: run something in the client's task group.
        handle: a worker has said something.
        lost: a worker cannot be reached, or has gone, and why.
        wake: have `say_news` called soon; for any thread and any moment.
    """

    def __init__(
        self,
        name: str,
        keys: Keys,
        *,
        start: Callable[..., object],
        handle: Callable[[str, list[Message]], None],
        lost: Callable[[str, str], None],
        wake: Callable[[], object],
        dial: Dial = dial_here,
    ) -> None:
        self._name = name
        self._keys = keys
        self._start = start
        self._handle = handle
        self._lost = lost
        self._wake = wake
        self._dial = dial
        self._links: dict[str, _DataLink] = {}
        #: Addresses on this host with which it has not worked out to be on one host.
        self._by_wire: set[str] = set()
        self._hand: Hand | None = None
        self._writing: anyio.CapacityLimiter
        self._cooling: anyio.CancelScope | None = None  # while memory is kept
        self._closed = False

    def send(self, address: str, message: Message) -> None:
        """Say something to a worker."""
        link = self._links.get(address)
        if link is None:
            if self._closed:
                return
            link = self._links[address] = _DataLink(address)
            self._start(self._serve, link)
        if link.connection is None:
            link.queue.append(message)
        elif link.loans is not None and _is_large(message):
            self._start(self._hand_over, link, link.connection, message)
        else:
            link.say(message)

    def say_news(self) -> None:
        """Tell workers of this host what is not read any more."""
        for link in self._links.values():
            if link.loans is not None and link.connection is not None:
                for message in link.loans.news():
                    link.connection.send(message)

    def close(self, reason: str) -> None:
        """Say goodbye to all."""
        self._closed = True
        if self._cooling is not None:
            self._cooling.cancel("the client is closed")
        for link in self._links.values():
            if link.connection is not None:
                link.connection.close(reason)

    def over(self) -> None:
        """Nothing more is said or heard: give up what was kept for that."""
        if self._hand is not None:
            self._hand.close()
            self._hand = None

    async def _serve(self, link: _DataLink) -> None:
        address, reason = link.address, "it closed the connection"
        try:
            reason = await self._talk(link)
            if link.loans is not None and not self._closed and link.asked:
                # It may be that we have not got on by descriptors. What was asked is asked again.
                self._by_wire.add(address)
                link.queue, link.asked, link.loans = [*link.asked.values()], {}, None
                reason = await self._talk(link)
        finally:
            if self._links.get(address) is link:
                del self._links[address]
            self._lost(address, reason)

    async def _talk(self, link: _DataLink) -> str:
        """One connection, from its beginning to its end; why that was."""
        address = link.address
        try:
            connection = await self._dial(
                address, keys=self._keys, role=CLIENT, expect=WORKER, timeout_s=DATA_CONNECT_S,
                **({"near": False} if address in self._by_wire else {}),
            )  # fmt: skip
            if connection.near:
                link.loans, link.greeted = LocalLoans(self._wake), anyio.Event()
                connection.send(takes_here(_SHARE))
            else:
                connection.make_room_by(private_room)
            connection.send(RegisterPeer(self._name))
            link.connection = connection
            queue, link.queue = link.queue, []
            for message in queue:
                self.send(address, message)
            if self._closed:
                connection.close("the client was closed")
            await connection.run(lambda messages: self._handle(address, link.hear(messages)))
        except (TrioDaskError, OSError) as error:
            return str(error)
        finally:
            link.connection = None
            if link.loans is not None:
                link.loans.end()
                link.greeted.set()  # who waits for that waits in vain
        return "it closed the connection"

    # ------------------------------------------------------------ large values

    async def _hand_over(self, link: _DataLink, connection: AnyConnection, message: Store) -> None:
        """Copy the values of a message to where the worker reads them, and tell it."""
        link.asked[message.serial] = message
        await link.greeted.wait()
        if self._hand is None:
            self._hand, self._writing = Hand(takes_here(_SHARE).count), anyio.CapacityLimiter(1)
        hand = self._hand
        payloads = await anyio.to_thread.run_sync(
            hand.written, message.payloads, limiter=self._writing
        )
        if link.connection is connection and link.loans is not None:
            made = Store(message.serial, message.tids, payloads)
            del payloads
            connection.send(link.loans.said(made))
            del made
        if self._cooling is None and not self._closed:
            self._cooling = anyio.CancelScope()
            self._start(self._cool_down, hand, self._cooling)

    async def _cool_down(self, hand: Hand, scope: anyio.CancelScope) -> None:
        """Keep no memory when it has not been used for a while."""
        uses = -1
        with scope:
            while uses != hand.uses:
                uses = hand.uses
                await anyio.sleep(_WARM_S)
            self._cooling = None
            hand.rest()


def _is_large(message: Message) -> bool:
    return isinstance(message, Store) and any(
        payload_bytes(each) >= HANDED_BYTES_MIN for each in message.payloads
    )
