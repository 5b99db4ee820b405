"""What happens on a cluster for a while, recorded for a report: a viewer that forgets nothing."""

from __future__ import annotations

import http.client
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
    """Records in threads, between `begin` and `finish`; both may block.

    With `past` also what others have seen of the task stream before.
    """

    def __init__(self, source: Source, *, past: bool = False) -> None:
        self._source: Final = source
        self._past: Final = past
        self._follower: Final = Follower(source)
        self._mirror: Final = Mirror()
        self._recorded: Final = Recorded(0.0, 0.0, self._mirror)
        self._every = 1  # of so many points one is kept
        self._told = 0
        self._seq = 0  # of the last event
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
        recorded.began = 0.0 if self._past else mirror.t
        recorded.before = {
            each["name"]: (each["runs"], each["failures"], each["seconds"])
            for each in mirror.groups.values()
        }
        return self

    def finish(self) -> Recorded:
        """What there was, the last moment included."""
        recorded = self._recorded
        with suppress(OSError, http.client.HTTPException, TrioDaskError, ValueError):
            self._catch_up()
            recorded.failures = self._source.get("api/v1/failures")["failures"]
            recorded.events = self._source.get("api/v1/events")["events"]
            recorded.system = self._source.get("api/v1/system")
        recorded.epoch = recorded.epoch or _now() - self._mirror.t
        self.give_up()
        recorded.ended = max(self._mirror.t, recorded.began)
        return recorded

    def so_far(self) -> Recorded:
        """What there is by now, while it goes on; for those who want the task stream only.

        Raises:
            TrioDaskError: nobody answers any more, or not to us.
        """
        if self._error is not None:
            raise self._error
        try:
            self._catch_up()
        except (OSError, http.client.HTTPException, ValueError) as error:
            msg = f"the dashboard at {self._source.place} does not answer: {error}"
            raise SchedulerUnreachable(msg) from error
        return self._recorded

    def _catch_up(self) -> None:
        """Hear of all that has happened until now."""
        cluster = self._source.get("api/v1/cluster")
        until = cluster["uptime_s"]
        if not self._recorded.epoch:  # once, so that a row stays the same
            self._recorded.epoch = _now() - until
        deadline = time.monotonic() + _LAST_S
        while time.monotonic() < deadline:
            if cluster["told_s"] > until and self._seq >= cluster["told"]:
                break
            time.sleep(_LOOK_S / 5)  # noqa: TID251 - in a thread of its own
            if cluster["told_s"] <= until:
                cluster = self._source.get("api/v1/cluster")

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
        except BaseException as error:  # noqa: BLE001 - who waits for it is told
            msg = f"the dashboard at {self._source.place} cannot be followed any more: {error!r}"
            self._error = TrioDaskError(msg)
        finally:
            self._ready.set()

    def _take(self, event: Event) -> None:
        mirror, recorded = self._mirror, self._recorded
        if event.kind == "snapshot":
            if not mirror.ready and not self._past:
                event.data.pop("blocks", None)  # of before
            if mirror.ready and event.data.get("identity") != mirror.identity:
                # What there is, is by the clock of a scheduler that is no more.
                mirror.blocks.clear()
                recorded.points.clear()
                recorded.began = recorded.epoch = 0.0
        mirror.take(event, blocks=True)
        self._seq = event.data.get("seq", self._seq)
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
