"""Locks and semaphores, events, queues and variables: for code that blocks, and for code that awaits.

Each is a name. Two objects with one name are the same thing, wherever they are; so they can be
arguments of tasks. What a task's attempt holds ends with the attempt, what a client holds with it.
"""

from __future__ import annotations

import uuid
from collections import deque
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar

from trio_dask.client import currents, sharing
from trio_dask.client.async_client import AsyncClient
from trio_dask.client.blocking import Client
from trio_dask.client.inside import of_task
from trio_dask.client.waits import seconds_of

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    from trio_dask.client.base import BaseClient

C = TypeVar("C", bound="BaseClient")


class Named:
    """Something that is known by its name.

    Args:
        name: any text; without one it is a name that nobody else has.
        client: the client to use; without one it is the one that is meant where it is used.
    """

    _async_name: ClassVar[str] = ""

    def __init__(self, name: Any = None, client: BaseClient | None = None) -> None:
        if name is None:
            name = f"{type(self).__name__.removeprefix('Async').lower()}-{uuid.uuid4().hex}"
        #: What it is known by.
        self.name: str = name if isinstance(name, str) else repr(name)
        self._client = client

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.name,)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.name}>"

    def _find(self, kind: type[C]) -> C:
        """The client to use.

        Raises:
            ValueError: there is none that waits in this way.
        """
        if isinstance(self._client, kind):
            return self._client
        if self._client is not None:
            name = type(self).__name__
            other = name[5:] if name.startswith("Async") else f"Async{name}"
            msg = f"{name} needs a {kind.__name__}; for a {type(self._client).__name__} use {other}"
            raise TypeError(msg)
        own = of_task()
        return own if isinstance(own, kind) else currents.find(kind)

    async def _ask(self, client: BaseClient, topic: str, **params: Any) -> dict[str, Any]:
        return await client.live.ask(topic, {"name": self.name, **params})


class Awaited:
    """What may be awaited without need: programs for Dask do so with what they have just made."""

    def __await__(self) -> Generator[Any, None, Self]:
        """Itself, at once."""
        yield from ()
        return self


# ---------------------------------------------------------------- locks


class _Leases(Named):
    """Something that is held for a while."""

    def __init__(self, name: Any = None, client: BaseClient | None = None) -> None:
        super().__init__(name, client)
        self._held: deque[tuple[BaseClient, int]] = deque()

    def _request(self) -> tuple[str, dict[str, Any]]:
        """What is asked for."""
        raise NotImplementedError

    async def _acquire(self, client: BaseClient, limit_s: float | None, **more: Any) -> bool:
        topic, params = self._request()
        token, granted = await sharing.wait_turn(client.live, topic, params | more, limit_s)
        if granted is None:
            return False
        self._held.append((client, token))
        return True

    def _release(self) -> None:
        if not self._held:
            msg = f"{self!r} is not held here: it was released already, or never acquired"
            raise RuntimeError(msg)
        client, token = self._held.popleft()
        sharing.drop(client.live, token)


def _limit(timeout: float | str | None, *, blocking: bool) -> float | None:
    if not blocking:
        if timeout is not None:
            msg = "blocking=False does not wait, so it takes no timeout"
            raise ValueError(msg)
        return 0.0
    return seconds_of(timeout)


class _LockParts(_Leases):
    """What is locked by its name."""

    def _request(self) -> tuple[str, dict[str, Any]]:
        return "lock.acquire", {"names": [self.name], "need": 1}

    async def _locked(self, client: BaseClient) -> bool:
        return bool((await self._ask(client, "lock.locked"))["locked"])


class Lock(_LockParts):
    """A lock that one has at a time, in the whole cluster. Who asks first has it first.

    It is not reentrant. What a task holds ends with the task, what a client holds when the client
    leaves.

    Example:
        >>> from trio_dask import Client, Lock
        >>> with Client(n_workers=1) as client, Lock("file"):
        ...     Lock("file").acquire(blocking=False)
        False
    """

    def acquire(self, blocking: bool = True, timeout: float | str | None = None) -> bool:  # noqa: FBT001, FBT002 - as in Dask
        """Wait until it is ours; whether it is, within `timeout` seconds if that is given."""
        client = self._find(Client)
        return client.run_blocking(self._acquire(client, _limit(timeout, blocking=blocking)))

    def release(self) -> None:
        """Let the next one have it.

        Raises:
            RuntimeError: this object does not hold it.
        """
        self._release()

    def locked(self) -> bool:
        """Whether somebody has it."""
        client = self._find(Client)
        return client.run_blocking(self._locked(client))

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


class AsyncLock(Awaited, _LockParts):
    """`Lock` for code that awaits."""

    async def acquire(self, blocking: bool = True, timeout: float | str | None = None) -> bool:  # noqa: ASYNC109, FBT001, FBT002
        """Wait until it is ours; whether it is, within `timeout` seconds if that is given."""
        return await self._acquire(self._find(AsyncClient), _limit(timeout, blocking=blocking))

    async def release(self) -> None:
        """Let the next one have it. Waits for nothing, so it is not cancelled half-way.

        Raises:
            RuntimeError: this object does not hold it.
        """
        self._release()

    async def locked(self) -> bool:
        """Whether somebody has it."""
        return await self._locked(self._find(AsyncClient))

    async def __aenter__(self) -> Self:
        await self.acquire()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._release()


class _MultiLockParts(_Leases):
    """What is locked by several names."""

    def __init__(self, names: Iterable[str], client: BaseClient | None = None) -> None:
        #: The names of the locks.
        self.names: list[str] = list(dict.fromkeys(names))
        if isinstance(names, str) or not self.names:
            msg = "names is a list of names, one at least"
            raise ValueError(msg)
        super().__init__(", ".join(self.names), client)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.names,)

    def _request(self) -> tuple[str, dict[str, Any]]:
        return "lock.acquire", {"names": self.names, "need": len(self.names)}


class MultiLock(_MultiLockParts):
    """Several locks at once, or some of them, without waiting for each other in a circle.

    They are those of `Lock` with these names.
    """

    def acquire(
        self,
        blocking: bool = True,  # noqa: FBT001, FBT002 - as in Dask
        timeout: float | str | None = None,
        num_locks: int | None = None,
    ) -> bool:
        """Wait until `num_locks` of them are ours, or all; whether they are."""
        client, more = self._find(Client), {} if num_locks is None else {"need": num_locks}
        limit_s = _limit(timeout, blocking=blocking)
        return client.run_blocking(self._acquire(client, limit_s, **more))

    def release(self) -> None:
        """Let others have them.

        Raises:
            RuntimeError: this object does not hold any.
        """
        self._release()

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


class AsyncMultiLock(Awaited, _MultiLockParts):
    """`MultiLock` for code that awaits."""

    async def acquire(
        self,
        blocking: bool = True,  # noqa: FBT001, FBT002 - as in Dask
        timeout: float | str | None = None,  # noqa: ASYNC109
        num_locks: int | None = None,
    ) -> bool:
        """Wait until `num_locks` of them are ours, or all; whether they are."""
        more = {} if num_locks is None else {"need": num_locks}
        limit_s = _limit(timeout, blocking=blocking)
        return await self._acquire(self._find(AsyncClient), limit_s, **more)

    async def release(self) -> None:
        """Let others have them.

        Raises:
            RuntimeError: this object does not hold any.
        """
        self._release()

    async def __aenter__(self) -> Self:
        await self.acquire()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._release()


class _SemaphoreParts(_Leases):
    """What so many have at a time."""

    def __init__(
        self, max_leases: int = 1, name: Any = None, client: BaseClient | None = None
    ) -> None:
        if type(max_leases) is not int or max_leases < 1:
            msg = f"max_leases={max_leases!r}: it is a whole number, 1 or more"
            raise ValueError(msg)
        super().__init__(name, client)
        #: So many may have it at a time.
        self.max_leases = max_leases

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.max_leases, self.name)

    def _request(self) -> tuple[str, dict[str, Any]]:
        return "semaphore.acquire", {"name": self.name, "limit": self.max_leases}

    async def _get_value(self, client: BaseClient) -> int:
        return int((await self._ask(client, "semaphore.value"))["value"])

    async def _close(self, client: BaseClient) -> None:
        await self._ask(client, "semaphore.close")


class Semaphore(_SemaphoreParts):
    """What `max_leases` have at a time, in the whole cluster. Who asks first has it first.

    Example:
        >>> from trio_dask import Client, Semaphore
        >>> with Client(n_workers=1) as client, Semaphore(2, "database") as connections:
        ...     connections.get_value()
        1
    """

    def acquire(self, timeout: float | str | None = None) -> bool:
        """Wait for a lease; whether there is one, within `timeout` seconds if that is given.

        Raises:
            ValueError: it is in use with another `max_leases`, or was closed meanwhile.
        """
        client = self._find(Client)
        return client.run_blocking(self._acquire(client, seconds_of(timeout)))

    def release(self) -> bool:
        """Give one lease back, the oldest of this object's: True, as in Dask.

        Raises:
            RuntimeError: this object has none.
        """
        self._release()
        return True

    def get_value(self) -> int:
        """How many leases are held, by whomever."""
        client = self._find(Client)
        return client.run_blocking(self._get_value(client))

    def close(self) -> None:
        """Nobody holds it any more, and who waits for it has a `ValueError`."""
        client = self._find(Client)
        client.run_blocking(self._close(client))

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


class AsyncSemaphore(Awaited, _SemaphoreParts):
    """`Semaphore` for code that awaits."""

    async def acquire(self, timeout: float | str | None = None) -> bool:  # noqa: ASYNC109
        """Wait for a lease; whether there is one, within `timeout` seconds if that is given.

        Raises:
            ValueError: it is in use with another `max_leases`, or was closed meanwhile.
        """
        return await self._acquire(self._find(AsyncClient), seconds_of(timeout))

    async def release(self) -> bool:
        """Give one lease back, the oldest of this object's: True, as in Dask.

        Raises:
            RuntimeError: this object has none.
        """
        self._release()
        return True

    async def get_value(self) -> int:
        """How many leases are held, by whomever."""
        return await self._get_value(self._find(AsyncClient))

    async def close(self) -> None:
        """Nobody holds it any more, and who waits for it has a `ValueError`."""
        await self._close(self._find(AsyncClient))

    async def __aenter__(self) -> Self:
        await self.acquire()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._release()
