"""What happens on a cluster for a while, recorded for a report: a viewer that forgets nothing."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Self

from trio_dask.dashboard.following import Follower
from trio_dask.dashboard.mirror import Event, Mirror
from trio_dask.errors import SchedulerUnreachable, TrioDaskError

if TYPE_CHECKING:
    from trio_dask.dashboard.following import Source

#: The first picture is waited for so long, and the last.
READY_S: Final = 15.0
_LAST_S: Final = 1.5
_LOOK_S: Final = 0.25
_POINTS_MAX: Final = 2_000


@dataclass(slots=True)
class Recorded:
    """All that a report is made of."""

    began: float  # on the scheduler's clock, which begins with it
    ended: float
    mirror: Mirror
    #: When that clock began, in seconds since 1970 of this machine's.
    epoch: float = 0.0
    #: Addresses of workers by number, those that have left too.
    workers: dict[int, str] = field(default_factory=dict)
    #: Time, tasks a second, given out, queued, bytes of memory, busy slots, workers.
    points: list[tuple[float, ...]] = field(default_factory=list)
    #: What had run before, by function: runs, failures, seconds.
    before: dict[str, tuple[int, int, float]] = field(default_factory=dict)
    failures: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    system: dict[str, Any] = field(default_factory=dict)


class Recorder:
    """Records in threads, between `begin` and `finish`; both may block."""

    def __init__(self, source: Source) -> None:
        self._source: Final = source
        self._follower: Final = Follower(source)
        self._mirror: Final = Mirror()
        self._recorded: Final = Recorded(0.0, 0.0, self._mirror)
        self._every = 1  # of so many points one is kept
        self._told = 0
        self._ready = threading.Event()
        self._ended = threading.Event()
        self._error: TrioDaskError | None = None
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)

    def begin(self) -> Self:
        """Be there from now on.

        Raises:
            TrioDaskError: we may not look, or nobody answers.
        """
        self._follower.__enter__()
        self._thread.start()
        if not self._ready.wait(READY_S):
            self.give_up()
            msg = f"the dashboard at {self._source.place} has said nothing for {READY_S:g} s"
            raise SchedulerUnreachable(msg)
        if self._error is not None:
            self.give_up()
            raise self._error
        recorded, mirror = self._recorded, self._mirror
        recorded.began = mirror.t
        recorded.before = {
            each["name"]: (each["runs"], each["failures"], each["seconds"])
            for each in mirror.groups.values()
        }
        return self

    def finish(self) -> Recorded:
        """What there was, the last moment included."""
        recorded = self._recorded
        recorded.epoch = _now() - self._mirror.t
        with suppress(OSError, TrioDaskError, ValueError):
            until = self._source.get("api/v1/cluster")["uptime_s"]
            recorded.epoch = _now() - until
            deadline = time.monotonic() + _LAST_S
            while self._mirror.t < until and time.monotonic() < deadline:
                time.sleep(_LOOK_S / 5)  # noqa: TID251 - in a thread of its own
            recorded.failures = self._source.get("api/v1/failures")["failures"]
            recorded.events = self._source.get("api/v1/events")["events"]
            recorded.system = self._source.get("api/v1/system")
        self.give_up()
        recorded.ended = max(self._mirror.t, recorded.began)
        return recorded

    def give_up(self) -> None:
        """Record nothing more."""
        self._ended.set()
        if self._thread.ident is not None:
            self._follower.__exit__(None, None, None)
            self._thread.join()

    def _run(self) -> None:
        try:
            while not self._ended.is_set():
                self._follower.hear(self._take, _LOOK_S)
        except TrioDaskError as error:
            self._error = error
            self._ready.set()

    def _take(self, event: Event) -> None:
        mirror, recorded = self._mirror, self._recorded
        if not mirror.ready and event.kind == "snapshot":
            event.data.pop("blocks", None)  # of before
        mirror.take(event, blocks=True)
        if not mirror.ready:
            return
        if "workers" in event.data:
            recorded.workers |= {n: str(row["address"]) for n, row in mirror.workers.items()}
        self._told += 1
        if self._told % self._every == 0:
            names = ("rate", "processing", "queued", "memory", "busy", "workers")
            recorded.points.append((mirror.t, *(mirror.totals.get(name, 0) for name in names)))
        if len(recorded.points) > _POINTS_MAX:
            del recorded.points[::2]
            self._every *= 2
        self._ready.set()


def _now() -> float:
    return datetime.now(UTC).timestamp()
