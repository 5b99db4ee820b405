"""Clusters whose size follows the work: the scheduler says how many, this says when."""

from __future__ import annotations

import difflib
import logging
import math
import secrets
from collections import deque
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import trio

from trio_dask.comm import connect, own_keys
from trio_dask.config import parse_seconds
from trio_dask.errors import CommError, ConfigError
from trio_dask.messages.session import CLIENT, SCHEDULER, Answer, Ask, RegisterClient

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from trio_dask.comm import Connection
    from trio_dask.deploy.handle import ClusterHandle
    from trio_dask.deploy.sizes import WorkerSize
    from trio_dask.messages import Message

#: How long an answer may take; workers that leave have a few seconds for it.
ANSWER_S: Final = 30.0
_BOUNDS: Final = dict.fromkeys(
    f"{bound}{of}" for of in ("", "_cores", "_memory") for bound in ("minimum", "maximum")
).keys()
_PACE: Final = ("interval", "wait_count", "target_duration")
#: Of a worker that the scheduler does not know, or not any more.
_BUSY: Final = {"processing": 1, "in_memory": 0}
#: The wait before a lost scheduler is looked for again.
_AGAIN_S: Final = 5.0

logger: Final = logging.getLogger("trio_dask.deploy")


@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptiveSettings:
    """Between which sizes, and how quickly."""

    minimum: int = 0
    maximum: float = math.inf
    interval_s: float = 1.0
    wait_count: int = 3
    target_s: float = 5.0
    #: So many workers come and go together.
    together: int = 1

    @classmethod
    def of(
        cls,
        size: WorkerSize,
        *,
        interval: object = 1.0,
        wait_count: object = 3,
        target_duration: object = 5.0,
        **bounds: Any,
    ) -> AdaptiveSettings:
        """From what people write, and what a worker has.

        Raises:
            ConfigError: it makes no sense.
        """
        for name in bounds.keys() - _BOUNDS:
            near = difflib.get_close_matches(name, [*_BOUNDS, *_PACE], n=1)
            msg = f"adapt: unknown option {name}; there are {', '.join([*_BOUNDS, *_PACE])}"
            raise ConfigError(f"{msg}: did you mean {near[0]}?" if near else msg)
        minimum, maximum = size.bounds(**bounds)
        if type(wait_count) is not int:
            msg = f"adapt(wait_count={wait_count!r}): it is a whole number"
            raise ConfigError(msg)
        made = cls(
            minimum=minimum,
            maximum=maximum,
            interval_s=parse_seconds(interval),
            wait_count=max(1, wait_count),
            target_s=parse_seconds(target_duration),
            together=size.together,
        )
        if made.interval_s <= 0 or made.target_s <= 0:
            msg = f"adapt(interval={interval!r}, target_duration={target_duration!r}): more than 0"
            raise ConfigError(msg)
        return made


@dataclass(slots=True)
class Sizing:
    """Decides: up at once, down only when less was enough several times in a row.

    >>> sizing = Sizing(AdaptiveSettings(minimum=1, maximum=4, wait_count=2))
    >>> [sizing.decide(wanted, idle=9, now=now) for wanted, now in [(9, 1), (2, 4), (1, 4)]]
    [4, 4, 2]
    """

    settings: AdaptiveSettings
    _recent: deque[int] = field(default_factory=deque)

    def decide(self, wanted: int, *, idle: int, now: int) -> int:
        """How many there shall be, of `now`, of which `idle` can go: they have nothing to do.

        None that works is taken away: it would begin anew elsewhere.
        """
        settings = self.settings
        wanted = math.ceil(wanted / settings.together) * settings.together
        wanted = int(min(max(wanted, settings.minimum), settings.maximum))
        if wanted >= now:
            self._recent.clear()
            return wanted
        self._recent.append(wanted)
        if len(self._recent) < settings.wait_count:
            return now
        enough = max(self._recent)
        self._recent.popleft()
        return max(enough, now - idle)


def idle_together(workers: Mapping[str, str], info: Mapping[str, Any]) -> list[list[str]]:
    """The addresses of those that came together and have nothing to do, all of them.

    Those that hold least come first, of these the youngest.

    >>> info = {each: {"processing": 0, "in_memory": n} for n, each in enumerate("abcd")}
    >>> idle_together({"x-0-0": "a", "x-0-1": "b", "x-1-0": "c", "x-1-1": "d"}, info)
    [['a', 'b'], ['c', 'd']]

    Args:
        workers: the addresses of workers, by name: those of one process differ in the last part.
        info: what the scheduler knows of each, by address.
    """
    found: dict[str, list[str]] = {}
    for name, address in workers.items():
        found.setdefault(name.rpartition("-")[0], []).append(address)
    rows = []
    for number, addresses in enumerate(found.values()):
        of = [info.get(address, _BUSY) for address in addresses]
        if not any(each["processing"] for each in of):
            rows.append((sum(each["in_memory"] for each in of), -number, addresses))
    return [addresses for _, _, addresses in sorted(rows)]


async def keep_adapting(handle: ClusterHandle) -> None:
    """Until cancelled: follow the work, whenever that is asked for."""
    while True:
        while handle.adaptive is None:
            await handle.next_change()
        try:
            await _adapt(handle)
        except CommError as error:
            logger.warning("Adapting waits: %s", error)
            await trio.sleep(_AGAIN_S)


async def _adapt(handle: ClusterHandle) -> None:
    """As long as it is asked for, and the scheduler is there."""
    async with open_asker(handle, "adaptive") as asker:
        settings, sizing = handle.adaptive, None
        while handle.adaptive is not None:
            if sizing is None or settings is not handle.adaptive:
                settings = handle.adaptive
                sizing = Sizing(settings)
                await asker.ask("adapting", _told(settings))
            await _look(handle, asker, sizing)
            with trio.move_on_after(sizing.settings.interval_s):
                await _until_other_settings(handle, settings)


def _told(settings: AdaptiveSettings) -> dict[str, Any]:
    """What the scheduler tells those who ask how large the cluster may be."""
    most = None if settings.maximum == math.inf else int(settings.maximum)
    return {"minimum": settings.minimum, "maximum": most}


async def _until_other_settings(handle: ClusterHandle, settings: AdaptiveSettings | None) -> None:
    while handle.adaptive is settings:
        await handle.next_change()


async def _look(handle: ClusterHandle, asker: Asker, sizing: Sizing) -> None:
    """Ask once, and do what follows."""
    size, together = handle.plan.worker_size, sizing.settings.together
    params = {"target_s": sizing.settings.target_s, "threads": size.cores}
    found = await asker.ask("workers_wanted", params)
    now, idle, groups = handle.wanted, int(found["idle"]), []
    if together > 1 and idle:
        info = await asker.ask("info", {})
        groups = idle_together(handle.workers, info["workers"])
        idle = sum(map(len, groups))
    if handle.adaptive is not sizing.settings:
        return  # somebody has said something else meanwhile, and that holds
    count = sizing.decide(int(found["wanted"]), idle=idle, now=now)
    if count > now or (count == now and len(handle.workers) < now):
        if count > now:
            _say(count, now)
        handle.order(count)
    elif count < now and not count:  # all of them, and then there is nobody to choose from
        _say(0, now)
        handle.order(0)
    elif count < now and now == len(handle.workers):
        # The scheduler chooses: those that have least to do, and whose values can move.
        chosen: dict[str, Any] = {"n": now - count}
        if together > 1:
            going = groups[: (now - count) // together]
            chosen = {"workers": [address for each in going for address in each]}
        names = {address: name for name, address in handle.workers.items()}
        left = (await asker.ask("retire_workers", chosen))["workers"]
        gone = {names[address] for address in left if address in names}
        if _is_fixed(handle):
            handle.retired(gone, handle.wanted)
            handle.order(handle.wanted)  # a number has been given meanwhile: it is made up for
        elif left:
            _say(now - len(left), now)
            handle.retired(gone, handle.wanted - len(left))


def _is_fixed(handle: ClusterHandle) -> bool:
    """Whether it does not follow the work any more."""
    return handle.adaptive is None


def _say(count: int, before: int) -> None:
    many = f"{count or 'no'} worker{'' if count == 1 else 's'}"
    logger.info("Adapting: %s instead of %d", many, before)


@asynccontextmanager
async def open_asker(handle: ClusterHandle, who: str) -> AsyncIterator[Asker]:
    """A client of the cluster's own, as long as the block lasts.

    Raises:
        CommError: the scheduler cannot be reached, or is gone.
    """
    plan = handle.plan
    keys = own_keys(handle.token, plan.config, origin="the cluster's token", security=plan.security)
    connection = await connect(handle.scheduler_address, keys=keys, role=CLIENT, expect=SCHEDULER)
    asker = Asker(connection)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(asker.run)
        connection.send(RegisterClient(f"{who}-{handle.name}-{secrets.token_hex(4)}"))
        yield asker
        connection.close("nothing more is asked")


class Asker:
    """A client that only asks."""

    def __init__(self, connection: Connection) -> None:
        self._connection: Final = connection
        self._serial = 0
        self._answers: dict[int, Answer] = {}
        self._more = trio.Event()

    async def run(self) -> None:
        """Until the connection ends.

        Raises:
            CommError: nobody has asked for that.
        """
        await self._connection.run(self._hear)

    def _hear(self, messages: list[Message]) -> None:
        for each in messages:
            if isinstance(each, Answer):
                self._answers[each.serial] = each
        self._more.set()
        self._more = trio.Event()

    async def ask(self, topic: str, params: dict[str, Any]) -> dict[str, Any]:
        """A question, and its answer.

        Raises:
            CommError: there is none.
        """
        self._serial += 1
        serial = self._serial
        self._connection.send(Ask(serial, topic, params))
        with trio.move_on_after(ANSWER_S):
            while serial not in self._answers:
                await self._more.wait()
            answer = self._answers.pop(serial)
            if not answer.ok:
                raise CommError(str(answer.data.get("error")))
            return dict(answer.data)
        msg = f"the scheduler has not answered within {ANSWER_S:g} s"
        raise CommError(msg)
