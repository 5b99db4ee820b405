"""Events, queues and variables: for code that blocks, and for code that awaits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trio_dask.client import sharing
from trio_dask.client.async_client import AsyncClient
from trio_dask.client.blocking import Client
from trio_dask.client.coordination import Awaited, Named
from trio_dask.client.waits import TimeIsUp, seconds_of

if TYPE_CHECKING:
    from trio_dask.client.base import BaseClient


def _late(what: Named, timeout: float | str | None, why: str) -> TimeoutError:
    return TimeoutError(f"{what!r}: {why} within {seconds_of(timeout):g} s")


class _EventParts(Named):
    """What has happened, or not yet."""

    async def _wait(self, client: BaseClient, limit_s: float | None) -> bool:
        params = {"name": self.name}
        _, answer = await sharing.wait_turn(client.live, "event.wait", params, limit_s)
        return answer is not None

    async def _is_set(self, client: BaseClient) -> bool:
        return bool((await self._ask(client, "event.is_set"))["set"])


class Event(_EventParts):
    """Something that has happened, or not yet, in the whole cluster."""

    def wait(self, timeout: float | str | None = None) -> bool:
        """Wait until it is set; whether it is, within `timeout` seconds if that is given."""
        client = self._find(Client)
        return client.run_blocking(self._wait(client, seconds_of(timeout)))

    def set(self) -> None:
        """It has happened: all who wait go on."""
        client = self._find(Client)
        client.run_blocking(self._ask(client, "event.set", set=True))

    def clear(self) -> None:
        """It has not happened yet."""
        client = self._find(Client)
        client.run_blocking(self._ask(client, "event.set", set=False))

    def is_set(self) -> bool:
        """Whether it has happened."""
        client = self._find(Client)
        return client.run_blocking(self._is_set(client))


class AsyncEvent(Awaited, _EventParts):
    """`Event` for code that awaits."""

    async def wait(self, timeout: float | str | None = None) -> bool:  # noqa: ASYNC109
        """Wait until it is set; whether it is, within `timeout` seconds if that is given."""
        return await self._wait(self._find(AsyncClient), seconds_of(timeout))

    async def set(self) -> None:
        """It has happened: all who wait go on."""
        await self._ask(self._find(AsyncClient), "event.set", set=True)

    async def clear(self) -> None:
        """It has not happened yet."""
        await self._ask(self._find(AsyncClient), "event.set", set=False)

    async def is_set(self) -> bool:
        """Whether it has happened."""
        return await self._is_set(self._find(AsyncClient))


class _QueueParts(Named):
    """What goes in at one end and comes out at the other."""

    def __init__(
        self, name: Any = None, client: BaseClient | None = None, maxsize: int = 0
    ) -> None:
        if type(maxsize) is not int or maxsize < 0:
            msg = f"maxsize={maxsize!r}: it is a whole number; 0 stands for no bound"
            raise ValueError(msg)
        super().__init__(name, client)
        #: So many items have room; 0: any number.
        self.maxsize = maxsize

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.name, None, self.maxsize)

    async def _put(self, client: BaseClient, value: Any, limit: float | str | None) -> None:
        params = {"name": self.name, "maxsize": self.maxsize}
        params |= client.describer.kept(value, repr(self))
        _, answer = await sharing.wait_turn(client.live, "queue.put", params, seconds_of(limit))
        if answer is None:
            raise _late(self, limit, "there was no room")

    async def _get(
        self, client: BaseClient, limit: float | str | None, *, batch: bool | int
    ) -> Any:
        if type(batch) not in (int, bool) or batch < 0:
            msg = f"batch={batch!r}: it is a whole number, or True for all that are there"
            raise ValueError(msg)
        if type(batch) is int and not batch:
            return []
        want = int(not batch) if type(batch) is bool else batch
        params = {"name": self.name, "maxsize": self.maxsize, "want": want}
        values = await sharing.read(client, "queue.get", params, seconds_of(limit))
        if values is None:
            raise _late(self, limit, "nothing came")
        return values[0] if batch is False else values

    async def _qsize(self, client: BaseClient) -> int:
        return int((await self._ask(client, "queue.size"))["size"])

    async def _close(self, client: BaseClient) -> None:
        await self._ask(client, "queue.close")


class Queue(_QueueParts):
    """A queue of values, in the whole cluster: each comes out once, in the order they went in.

    For small values, and for futures of large ones: a future in a queue keeps its task wanted. Who
    gets an item and dies before he has it loses nothing: it goes back to the front.

    Args:
        name: any text; without one it is a name that nobody else has.
        client: the client to use; without one it is the one that is meant where it is used.
        maxsize: who puts more than this waits; the first bound that is given counts.
    """

    def put(self, value: Any, timeout: float | str | None = None) -> None:
        """Put a value in, as soon as there is room.

        Raises:
            TimeoutError: there was none within `timeout` seconds.
            SubmitError: it cannot be pickled, or is larger than a megabyte.
        """
        client = self._find(Client)
        client.run_blocking(self._put(client, value, timeout))

    def get(self, timeout: float | str | None = None, batch: bool | int = False) -> Any:  # noqa: FBT001, FBT002
        """The next value, as soon as there is one.

        With `batch` it is a list: of so many values, or with True of all that are there at once.
        One answer has no more than 16 megabytes.

        Raises:
            TimeoutError: there was none within `timeout` seconds.
        """
        client = self._find(Client)
        return client.run_blocking(self._get(client, timeout, batch=batch))

    def qsize(self) -> int:
        """How many values are in it."""
        client = self._find(Client)
        return client.run_blocking(self._qsize(client))

    def close(self) -> None:
        """Throw away what is in it; who waits for it has a `ValueError`."""
        client = self._find(Client)
        client.run_blocking(self._close(client))


class AsyncQueue(Awaited, _QueueParts):
    """`Queue` for code that awaits."""

    async def put(self, value: Any, timeout: float | str | None = None) -> None:  # noqa: ASYNC109
        """Put a value in, as soon as there is room. If this is cancelled, it may be in.

        Raises:
            TimeoutError: there was none within `timeout` seconds.
            SubmitError: it cannot be pickled, or is larger than a megabyte.
        """
        await self._put(self._find(AsyncClient), value, timeout)

    async def get(
        self,
        timeout: float | str | None = None,  # noqa: ASYNC109
        batch: bool | int = False,  # noqa: FBT001, FBT002 - as in Dask
    ) -> Any:
        """The next value, as soon as there is one. If this is cancelled, none is lost.

        With `batch` it is a list: of so many values, or with True of all that are there at once.
        One answer has no more than 16 megabytes.

        Raises:
            TimeoutError: there was none within `timeout` seconds.
        """
        return await self._get(self._find(AsyncClient), timeout, batch=batch)

    async def qsize(self) -> int:
        """How many values are in it."""
        return await self._qsize(self._find(AsyncClient))

    async def close(self) -> None:
        """Throw away what is in it; who waits for it has a `ValueError`."""
        await self._close(self._find(AsyncClient))


class _VariableParts(Named):
    """One value under a name."""

    async def _set(self, client: BaseClient, value: Any, limit: float | str | None) -> None:
        params = {"name": self.name} | client.describer.kept(value, repr(self))
        try:
            await client.live.ask("variable.set", params, limit_s=seconds_of(limit))
        except TimeIsUp:
            raise _late(self, limit, "the scheduler has not answered") from None

    async def _get(self, client: BaseClient, limit: float | str | None) -> Any:
        params = {"name": self.name}
        values = await sharing.read(client, "variable.get", params, seconds_of(limit))
        if values is None:
            raise _late(self, limit, "it had no value")
        return values[0]

    async def _delete(self, client: BaseClient) -> None:
        await self._ask(client, "variable.delete")


class Variable(_VariableParts):
    """One value under a name, in the whole cluster. A future in it keeps its task wanted."""

    def set(self, value: Any, timeout: float | str | None = None) -> None:
        """Give it a value, instead of the one that it has.

        Raises:
            SubmitError: it cannot be pickled, or is larger than a megabyte.
            TimeoutError: the scheduler has not said within `timeout` seconds that it has it.
        """
        client = self._find(Client)
        client.run_blocking(self._set(client, value, timeout))

    def get(self, timeout: float | str | None = None) -> Any:
        """Its value, as soon as it has one.

        Raises:
            TimeoutError: it had none within `timeout` seconds.
        """
        client = self._find(Client)
        return client.run_blocking(self._get(client, timeout))

    def delete(self) -> None:
        """It has no value any more."""
        client = self._find(Client)
        client.run_blocking(self._delete(client))


class AsyncVariable(Awaited, _VariableParts):
    """`Variable` for code that awaits."""

    async def set(self, value: Any, timeout: float | str | None = None) -> None:  # noqa: ASYNC109
        """Give it a value, instead of the one that it has.

        Raises:
            SubmitError: it cannot be pickled, or is larger than a megabyte.
            TimeoutError: the scheduler has not said within `timeout` seconds that it has it.
        """
        await self._set(self._find(AsyncClient), value, timeout)

    async def get(self, timeout: float | str | None = None) -> Any:  # noqa: ASYNC109
        """Its value, as soon as it has one.

        Raises:
            TimeoutError: it had none within `timeout` seconds.
        """
        return await self._get(self._find(AsyncClient), timeout)

    async def delete(self) -> None:
        """It has no value any more."""
        await self._delete(self._find(AsyncClient))
