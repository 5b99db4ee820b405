"""The systems that are measured: how each is opened, and what is said of it."""

from __future__ import annotations

import importlib.util
import os
import secrets
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from bench.clients import Blocking, Client, InLoop, Pool
from bench.ray import open_ray
from bench.servers import open_servers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bench.servers import Servers

#: Two workers with a thread each, as everywhere.
PROCESSES: Final = 2
#: What each may have where memory is to be short, bytes.
LITTLE: Final = 256 << 20
_LITTLE: Final = ("--memory-limit", str(LITTLE))


@dataclass(frozen=True, slots=True)
class Running:
    """An open system: a client, and the processes behind it."""

    client: Client
    servers: Callable[[], dict[str, list[int]]]
    #: What the processes are that run users' code.
    hand: str
    address: str = ""

    def roles(self) -> dict[str, list[int]]:
        """The processes by what they do; this one is the client."""
        return self.servers() | {"client": [os.getpid()]}


@dataclass(frozen=True, slots=True)
class System:
    """Something that runs tasks.

    Args:
        name: what it is called in the figures.
        kinds: the cases that it is measured by, see `bench.cases`.
        open: a block in which it runs.
        connect: a block in which there is another client of the cluster at an address.
        client: the statement that imports its client.
        slow: whether it is given fewer tasks when time is short.
    """

    name: str
    kinds: frozenset[str]
    open: Callable[[], AbstractContextManager[Running]]
    connect: Callable[[str], AbstractContextManager[Client]] | None
    client: str
    slow: bool = False
    #: A block in which its workers have little memory, `LITTLE` each.
    open_little: Callable[[], AbstractContextManager[Running]] | None = None


# ------------------------------------------------------------ trio_dask


@contextmanager
def _async_client(address: str) -> Iterator[Client]:
    from anyio.from_thread import start_blocking_portal

    from trio_dask import AsyncClient

    with start_blocking_portal(backend="trio") as portal:
        with portal.wrap_async_context_manager(AsyncClient(address)) as client:
            yield InLoop(portal, client)


@contextmanager
def _blocking_client(address: str) -> Iterator[Client]:
    trio_dask: Any = import_module("trio_dask")
    with trio_dask.Client(address) as client:
        yield Blocking(client, trio_dask.wait)


def _trio_dask_servers(*options: str) -> AbstractContextManager[Servers]:
    # A token of its own, for everything that this process starts.
    token = os.environ.setdefault("TRIO_DASK_TOKEN", secrets.token_hex(32))
    return open_servers(
        "trio_dask", [], {"TRIO_DASK_TOKEN": token}, hand="runner", parent="worker",
        of_workers=options,
    )  # fmt: skip


# ------------------------------------------------------------ distributed


@contextmanager
def _distributed_client(address: str) -> Iterator[Client]:
    distributed: Any = import_module("distributed")
    with distributed.Client(address) as client:
        yield Blocking(client, distributed.wait, pure=False)


def _distributed_servers(saturation: str, *options: str) -> AbstractContextManager[Servers]:
    environ = {"DASK_DISTRIBUTED__SCHEDULER__WORKER_SATURATION": saturation}
    return open_servers(
        "dask", ["--no-dashboard"], environ, hand="worker", parent="nanny", of_workers=options
    )


# ------------------------------------------------------------ all of them


def _cluster(
    servers: Callable[[], AbstractContextManager[Servers]],
    connect: Callable[[str], AbstractContextManager[Client]],
) -> Callable[[], AbstractContextManager[Running]]:
    @contextmanager
    def opened() -> Iterator[Running]:
        with ExitStack() as stack:
            running = stack.enter_context(servers())
            client = stack.enter_context(connect(running.address))
            yield Running(client, running.roles, running.hand, running.address)

    return opened


@contextmanager
def _pool() -> Iterator[Running]:
    with ProcessPoolExecutor(PROCESSES) as executor:
        processes = executor._processes  # noqa: SLF001 - nothing else tells
        yield Running(Pool(executor), lambda: {"worker": list(processes)}, "worker")


@contextmanager
def _ray() -> Iterator[Running]:
    with open_ray(PROCESSES) as (client, roles):
        yield Running(client, roles, "worker")


OURS: Final = "trio_dask"

SYSTEMS: Final = {
    system.name: system
    for system in (
        System(
            OURS,
            frozenset({"cluster", "ours", "little"}),
            _cluster(_trio_dask_servers, _async_client),
            _async_client,
            "from trio_dask import AsyncClient",
            open_little=_cluster(lambda: _trio_dask_servers(*_LITTLE), _async_client),
        ),
        System(
            "trio_dask Client",
            frozenset({"blocking"}),
            _cluster(_trio_dask_servers, _blocking_client),
            _blocking_client,
            "from trio_dask import Client",
        ),
        System(
            "distributed",
            frozenset({"cluster", "little"}),
            _cluster(lambda: _distributed_servers("1.1"), _distributed_client),
            _distributed_client,
            "from distributed import Client",
            slow=True,
            open_little=_cluster(
                lambda: _distributed_servers("1.1", *_LITTLE), _distributed_client
            ),
        ),
        System(
            "queueing off",
            frozenset({"cluster"}),
            _cluster(lambda: _distributed_servers("inf"), _distributed_client),
            _distributed_client,
            "from distributed import Client",
            slow=True,
        ),
        System(
            "ProcessPoolExecutor",
            frozenset({"pool"}),
            _pool,
            None,
            "from concurrent.futures import ProcessPoolExecutor",
        ),
        System("Ray", frozenset({"pool", "objects"}), _ray, None, "import ray", slow=True),
    )
}


def available(*, distributed: bool, ray: bool = False) -> list[System]:
    """The systems that can be measured here, ours first; Ray if it is asked for.

    Raises:
        SystemExit: it is asked for, and is not installed.
    """
    found = dict(SYSTEMS)
    if not hasattr(import_module("trio_dask"), "Client"):
        del found["trio_dask Client"]
    if not distributed or importlib.util.find_spec("distributed") is None:
        del found["distributed"], found["queueing off"]
    if not ray:
        del found["Ray"]
    elif importlib.util.find_spec("ray") is None:
        msg = "Ray is not installed here: `pip install ray`"
        raise SystemExit(msg)
    return list(found.values())
