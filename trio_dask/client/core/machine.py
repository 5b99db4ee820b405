"""The client without its sockets, threads and pickles.

What users ask for and peers say comes in by plain calls; what is to be sent comes out
of `flush`: messages to the scheduler, and to workers' data listeners. Payloads are bytes
here. Nothing waits: who wants to wait hands in something to be woken.

All calls are for one thread at a time; only `drops.append` may come from anywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from trio_dask.client.core.batch import FINISHED, PENDING, SHARED_ROWS, Batch, Function, Watch
from trio_dask.client.core.bond import Bond
from trio_dask.client.core.fetching import Fetcher, Request
from trio_dask.client.core.outflow import Outflow
from trio_dask.client.core.remembering import Descriptions
from trio_dask.client.core.returning import Everything, said_again
from trio_dask.client.core.storing import Storer
from trio_dask.client.core.submission import OpenSubmit, Rows, cut
from trio_dask.client.core.table import Table
from trio_dask.client.core.tickets import Holdings
from trio_dask.client.core.watching import Groups, Watching
from trio_dask.errors import RemoteProtocolError
from trio_dask.messages import as_plain
from trio_dask.messages.ids import CLIENT_MAX, DATA, first_id
from trio_dask.messages.kept import Said
from trio_dask.messages.session import Answer, Ask, RegisterClient, Resume, Welcome
from trio_dask.messages.tasks import (
    LARGE_BYTES_MIN,
    Again,
    Cancel,
    Cancelled,
    Failed,
    Finished,
    ForgetFunctions,
    Functions,
    Keep,
    Lost,
    PutAt,
    Release,
    Submit,
    Unreachable,
    Want,
)
from trio_dask.messages.values import Fetch, StoreDone, Values

if TYPE_CHECKING:
    from trio_dask.messages import Message, Payload

Answered: TypeAlias = Callable[[Answer], None]


def _nothing(topic: str, event: bytes) -> None:
    pass


class ClientCore:
    """What one client has asked for, and what has come of it."""

    def __init__(self, name: str, owner: object = None, secret: str = "") -> None:
        """With a secret the conversation with the scheduler outlasts its connection."""
        self.name: Final = name
        self._bond: Final = Bond(secret) if secret else None
        self._cluster = ""  # where there is no bond
        self.number = 0  # 0: not registered yet
        #: Why nothing more will be heard of the scheduler; empty while it is there.
        self.ended = ""
        #: Set when much had to be sent and all of it has arrived; whoever sees it takes it back.
        self.lull = False
        self.watching: Final = Watching()
        self.table: Final = Table(
            self if owner is None else owner,
            settled=self._on_settled,
            idle=self._on_idle,
            gone=self._on_gone,
        )
        #: Called with each event that the client listens to.
        self.heard: Callable[[str, bytes], None] = _nothing
        self.descriptions: Final = Descriptions(self.table, self.unuse, self._unneeded)
        self._by_fid: dict[int, Function] = {}
        self._cancelling: dict[int, str] = {}  # until it has come to an end
        self._keeping: dict[int, None] = {}  # the same
        self._serials = 0
        self._fids = 0
        self._functions: dict[bytes, Function] = {}
        self._open: OpenSubmit | None = None
        self._out: Final = Outflow(self._serial)
        self._data: list[tuple[str, Message]] = []
        self._asked: dict[int, tuple[str, dict[str, Any], Answered]] = {}
        self._holdings: Final = Holdings()
        self._others: dict[int, int] = {}  # tasks that others have made, by ids of ours
        self._unheld: dict[int, None] = {}  # values to be released once they are stored
        self._fetcher: Final = Fetcher(self._send_data, self._serial, self._on_unfetchable)
        self.storing: Final = Storer(self._send, self._send_data, self._serial, self._on_unstorable)
        self._handlers: Final[dict[type[Message], Callable[[Any], None]]] = {
            Welcome: self._on_welcome,
            Finished: self._on_finished,
            Failed: self.table.on_failed,
            Cancelled: self.table.on_cancelled,
            Lost: self.table.on_lost,
            Again: self.table.on_again,
            PutAt: self.storing.on_put_at,
            Answer: self._on_answer,
            Said: self._on_said,
        }

    # ------------------------------------------------------------ messages

    def register(self) -> RegisterClient:
        """The first message to the scheduler."""
        if self._bond is None:
            return RegisterClient(self.name)
        memory = self._bond.memory
        return RegisterClient(
            self.name, self._bond.secret, self.number, memory.cluster, memory.epoch,
            memory.provisional,
        )  # fmt: skip

    def lost(self) -> None:
        """The connection broke: what is to be sent waits for the next one."""
        if self._bond is not None:
            self._bond.lost()

    def resume(self) -> Resume:
        """The first message on the next connection."""
        assert self._bond is not None, "only with a secret there is a next connection"
        return self._bond.resume()

    @property
    def cluster(self) -> str:
        """The cluster it belongs to."""
        return self._bond.memory.cluster if self._bond is not None else self._cluster

    @property
    def away(self) -> bool:
        """Whether the scheduler cannot be spoken to at present."""
        return self._bond is not None and self._bond.away

    def handle(self, messages: Iterable[Message]) -> None:
        """What the scheduler says.

        Raises:
            RemoteProtocolError: it makes no sense.
        """
        for message in messages:
            if self._bond is not None and self._bond.hears(message):
                continue
            handler = self._handlers.get(type(message))
            if handler is not None:
                handler(message)

    @property
    def quiet(self) -> bool:
        """Whether `flush` would give nothing."""
        return not (self._open or self._out or self._data or self.table.drops.armed) and (
            self._bond is None or self._bond.quiet
        )

    def flush(self, now: float | None = None) -> tuple[list[Message], list[tuple[str, Message]]]:
        """What is to be sent: to the scheduler, and to the workers at these addresses.

        `now` may be left out where nothing has a deadline.
        """
        self.drop()
        self._close_open()
        data, self._data = self._data, []
        said = self._out.take(now)
        return said if self._bond is None else self._bond.says(said), data

    def _send(self, message: Message) -> None:
        self._close_open()
        self._out.append(message)

    def _send_data(self, address: str, message: Message) -> None:
        self._data.append((address, message))

    def _serial(self) -> int:
        self._serials += 1
        return self._serials

    def _on_welcome(self, message: Welcome) -> None:
        if self._bond is not None and self._bond.welcomed(message) and self.number:
            if message.number != self.number:
                msg = f"a welcome as client {message.number}, to {self.number}"
                raise RemoteProtocolError(msg)
            self._say_all_again()
            return
        if self.number or not 0 < message.number <= CLIENT_MAX:
            msg = f"a welcome as client {message.number}, here {self.number}"
            raise RemoteProtocolError(msg)
        self.number = message.number
        self._fids = first_id(message.number)
        self.table.begin(self._fids)

    def adopt(self, number: int, first: int, cluster: str) -> None:
        """Inside a task nobody welcomes it: its number was given before, and its first id."""
        assert self._bond is None, "what it says is not confirmed, nor does it come back"
        self._cluster = cluster
        self.number = number
        self.table.begin(first)
        self._fids = first

    def _say_all_again(self) -> None:
        """Another scheduler knows nothing: describe what is wanted, and what came of it."""
        assert self._bond is not None
        self._close_open()
        self._out.begin_again()
        everything = Everything(
            self._bond.memory, self.table, self.descriptions, self._by_fid, self._fetcher,
            self._keeping, self._cancelling, self._others, self._holdings, self.storing,
        )  # fmt: skip
        for message in said_again(everything):
            self._out.append(message)
        again = {each.serial: each for each in self._holdings.asked_again(self._serial)}
        again |= {serial: Ask(serial, *each[:2]) for serial, each in self._asked.items()}
        for serial in sorted(again):
            self._out.append(again[serial])

    def end(self, reason: str) -> None:
        """The scheduler is gone, or the client is closed: wake all who wait."""
        if not self.ended:
            self.ended = reason
            self.table.drops.end()
            self.storing.clear()
            self._asked, asked = {}, self._asked
            for serial, (_, _, answered) in asked.items():
                answered(Answer(serial, ok=False, data={"error": reason}))
            self.watching.break_all()
            self._fetcher.break_all()

    # ------------------------------------------------------------ functions and tasks

    def function(self, name: str, blob: bytes) -> Function:
        """Make a function known to the scheduler, unless it is. It stays so while it has `uses`."""
        known = self._functions.get(blob)
        if known is not None and known.name == name:
            return known
        function = Function(self._fids, name, blob)
        self._fids += 1
        self._functions[blob] = self._by_fid[function.fid] = function
        self._send(Functions([function.fid], [name], [blob]))
        return function

    def unuse(self, function: Function) -> None:
        """One use less."""
        function.uses -= 1
        if not function.uses:
            self._on_idle(function)

    def _on_idle(self, function: Function) -> None:
        self._by_fid.pop(function.fid, None)
        if self._functions.get(function.blob) is function:
            del self._functions[function.blob]
        if not self.ended:
            self._send(ForgetFunctions([function.fid]))

    def submit(self, function: Function, rows: Rows, options: dict[str, Any]) -> tuple[Batch, int]:
        """New tasks. Returns their batch and the first one's id; the others follow."""
        count, first = len(rows.args), self.table.next_tid
        function.uses += 1  # it may have none left when a batch before this one is done with
        if rows.keys:
            self.drop()  # a key that is let go is not what it was if it is used again
        batch = self.table.add(count, function.name, rows.keys or None, function)
        function.uses -= 1
        if count >= SHARED_ROWS:
            self._close_open()
            for message in cut(first, [function.fid], rows, options):
                self._describe(message)
            return batch, first
        opened = self._open
        if (
            opened is None
            or not opened.fits(first, options, rows)
            or opened.has_keys != bool(rows.keys)
        ):
            self._close_open()
            opened = self._open = OpenSubmit(first, options)
        opened.add(function.fid, rows, options)
        return batch, first

    def submit_each(
        self, functions: list[Function], rows: Rows, options: dict[str, Any]
    ) -> tuple[Batch, int]:
        """New tasks of a function each, as those of a graph are."""
        first = self.table.next_tid
        batch = self.table.add_each([each.name for each in functions], rows.keys, functions)
        self._close_open()
        for message in cut(first, [each.fid for each in functions], rows, options):
            self._describe(message)
        return batch, first

    def _close_open(self) -> None:
        opened, self._open = self._open, None
        if opened is not None:
            for message in opened.close():
                self._describe(message)

    def _describe(self, message: Submit) -> None:
        if self._bond is not None:
            self.descriptions.keep(message, self._by_fid)
        self._out.append(message)

    def _on_gone(self, batch: Batch) -> None:
        self.descriptions.on_gone(batch)

    def put(
        self, payloads: list[Payload], *, workers: list[str] | None = None, broadcast: bool = False
    ) -> list[tuple[Batch, int]]:
        """Values to store on workers."""
        first = self.table.next_tid
        placed = [
            (self.table.add(1, DATA, None, None), first + row) for row in range(len(payloads))
        ]
        self.storing.put(first, payloads, workers or [], broadcast=broadcast)
        return placed

    def want(self, targets: list[int], keys: list[str]) -> list[tuple[Batch, int]]:
        """Tasks that others made are ours, too, by ids of our own and the keys that they have."""
        first = self.table.next_tid
        placed = [
            (self.table.add(1, "shared", [key], None), first + row) for row, key in enumerate(keys)
        ]
        self._send(Want([tid for _, tid in placed], targets))
        if self._bond is not None:
            self._others.update(
                (tid, target) for (_, tid), target in zip(placed, targets, strict=True)
            )
        return placed

    def origin(self, tid: int) -> int:
        """The id by which the whole cluster knows a task, as long as anybody holds it."""
        return self._others.get(tid, tid)

    def let_go(self, tids: list[int]) -> None:
        """Release these values that were put, each as soon as it is stored."""
        here: list[int] = []
        for tid in tids:
            batch = self.table.find(tid)
            if batch is not None and batch.status[tid - batch.first] == PENDING:
                self._unheld[tid] = None
            else:
                here.append(tid)
        self.release(here)

    def cancel(self, tids: list[int], reason: str) -> None:
        """Stop these, for everyone; each comes to an end of some kind."""
        self._send(Cancel(tids, reason))
        self._cancelling.update((tid, reason) for tid in tids if self._is_pending(tid))

    def _is_pending(self, tid: int) -> bool:
        batch = self.table.find(tid)
        return batch is not None and batch.status[tid - batch.first] == PENDING

    def keep(self, tids: list[int]) -> None:
        """Run these to their end even if nobody wants them."""
        self._send(Keep(tids))
        self._keeping.update((tid, None) for tid in tids if self._is_pending(tid))

    def release(self, tids: list[int]) -> None:
        """Nobody holds the futures of these any more."""
        if self.ended:
            return
        released, pending = self.table.release(tids)
        for tid in pending:
            self.storing.forget(tid)
            self._unheld.pop(tid, None)
            self._cancelling.pop(tid, None)
            self._keeping.pop(tid, None)
        if released:
            needed = self.descriptions.outside
            self._forget([tid for tid in released if tid not in needed] if needed else released)
            self._send(Release(released))

    def _forget(self, tids: list[int]) -> None:
        """Neither does anybody hold them, nor is any of them an input that is to be named again."""
        if self._others:
            for tid in tids:
                self._others.pop(tid, None)
        self._fetcher.forget(tids)

    def _unneeded(self, tid: int) -> None:
        """It is no input of a task that may have to be described again."""
        if not self.table.holds(tid):
            self._forget([tid])

    def drop(self) -> None:
        """Release those whose futures are gone."""
        if self.table.drops.armed:
            tids, kept = self.table.drops.take()
            if kept := [tid for tid in kept if self._is_pending(tid)]:
                self.keep(kept)
            self.release(tids)

    def _on_settled(self, batch: Batch, rows: list[int]) -> None:
        """Some tasks have ended: what was kept for their sake can go."""
        if self.descriptions.once:
            self.descriptions.on_over(batch.first + row for row in rows)
        for row in rows:
            self.storing.forget(batch.first + row)
        if self._cancelling or self._keeping:
            for row in rows:
                self._cancelling.pop(batch.first + row, None)
                self._keeping.pop(batch.first + row, None)
        if self._unheld:
            tids = [batch.first + row for row in rows if batch.first + row in self._unheld]
            for tid in tids:
                del self._unheld[tid]
            if tids:
                self.release(tids)

    # ------------------------------------------------------------ waiting

    def watch(self, watch: Watch, groups: Groups) -> None:
        """Tell `watch` when these are done; not about those that are already."""
        self.watching.watch(watch, groups)

    def unwatch(self, watch: Watch) -> None:
        """It does not wait any more."""
        self.watching.unwatch(watch)

    def ask(self, topic: str, params: dict[str, Any], answered: Answered) -> int:
        """A question to the scheduler, `ValueError` if it cannot be sent; `answered` is called once."""
        params = as_plain(params)
        serial = self._serial()
        self._asked[serial] = topic, params, answered
        if self._bond is not None:
            self._holdings.asks(serial, topic, params)
        self._send(Ask(serial, topic, params))
        return serial

    def forget(self, serial: int) -> None:
        """The answer to this question is not wanted any more."""
        self._asked.pop(serial, None)

    def _on_finished(self, message: Finished) -> None:
        fetcher = self._fetcher
        large = max(message.nbytes, default=0) >= LARGE_BYTES_MIN
        if large or message.sources or fetcher.sources or fetcher.sought:
            fetcher.learn(message)
        self.table.on_finished(message)

    def _on_said(self, message: Said) -> None:
        for topic, event in zip(message.topics, message.events, strict=True):
            self.heard(topic, event)

    def _on_answer(self, message: Answer) -> None:
        if self._out.arrived(message.serial):
            self.lull = self.lull or not self._out
        else:
            if self._holdings:
                self._holdings.answered(message)
            asked = self._asked.pop(message.serial, None)
            if asked is not None:
                asked[2](message)

    # ------------------------------------------------------------ values

    def request(self, wanted: Iterable[tuple[int, str]], wake: Callable[[], None]) -> Request:
        """Fetch finished tasks' values from where they are."""
        return self._fetcher.request(wanted, wake)

    def large_of(self, message: Fetch) -> list[int]:
        """Of the values that are asked for, id and bytes in turn of the large ones."""
        return self._fetcher.large_of(message)

    def abandon(self, request: Request) -> None:
        """Nobody waits for these values any more."""
        self._fetcher.abandon(request)

    def handle_data(self, address: str, messages: Iterable[Message]) -> None:
        """What a worker's data listener says."""
        for message in messages:
            if isinstance(message, Values):
                self._fetcher.on_values(address, message)
            elif isinstance(message, StoreDone):
                self.storing.on_store_done(address, message)

    def data_lost(self, address: str, reason: str) -> None:
        """A worker's data listener cannot be reached, or the connection has ended."""
        if not self.ended:
            self._fetcher.on_lost(address)
            self.storing.on_lost(address, reason)

    def _on_unfetchable(self, tid: int, address: str) -> None:
        batch = self.table.find(tid)
        if batch is None or batch.status[tid - batch.first] != FINISHED:
            return
        if isinstance(batch.values[tid - batch.first], str):  # else it was made again, and is here
            self.table.reopen([tid])
            self._fetcher.sought[tid] = None
            self._send(Unreachable([tid], address))

    def _on_unstorable(self, tid: int, reason: str) -> None:
        batch = self.table.find(tid)
        if batch is not None and batch.status[tid - batch.first] == PENDING:
            self._send(Cancel([tid], reason))
            self.table.lose([tid], reason)
