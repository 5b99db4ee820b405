"""A scheduler's event log, told to a core anew."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from trio_dask.errors import RemoteProtocolError
from trio_dask.messages import nested, session
from trio_dask.scheduler.core import CoreSettings, Misuse, SchedulerCore
from trio_dask.scheduler.core.invariants import violations
from trio_dask.scheduler.core.state import STATE_NAMES
from trio_dask.scheduler.importing import find_placement
from trio_dask.scheduler.recording import digest_of

if TYPE_CHECKING:
    from trio_dask.eventlog import Record
    from trio_dask.messages import Message, recorded


class ReplayedScheduler:
    """A core that lives through a log."""

    def __init__(self, recording: recorded.Recording) -> None:
        """Make the core as it was made.

        Raises:
            RemoteProtocolError: this version has other settings.
            ConfigError: its placement policy is not to be found here.
        """
        try:
            settings = CoreSettings(**recording.settings)
        except TypeError as error:
            msg = f"recorded by trio_dask {recording.version}, with other settings: {error}"
            raise RemoteProtocolError(msg) from error
        placement = find_placement(settings.placement)
        self.core = SchedulerCore(
            settings,
            cluster=recording.cluster,
            epoch=recording.epoch,
            placement=placement() if placement is not None else None,
        )
        self._seen: Counter[str] = Counter()

    def apply(self, record: Record) -> str:
        """Tell the core; what it now says otherwise than then, or nothing.

        Raises:
            RemoteProtocolError: schedulers are not told such a thing.
        """
        event, message = record.event, record.message
        if event.what == "flush":
            return self._flush(event.number, event.now)
        try:
            self._tell(event, message)
        except Misuse:
            self._seen["turned away"] += 1
        return ""

    def _tell(  # noqa: C901 - a case for each
        self, event: recorded.Event, message: Message | None
    ) -> None:
        core, peer = self.core, event.who
        match event.what, message:
            case "handle", message if message is not None:
                core.handle(peer, message, event.now)
            case "work", None:
                core.work(event.number)
            case "tick", None:
                core.tick(event.now)
            case "expire", None:
                core.expire(event.now)
            case "client_joined", session.RegisterClient():
                core.client_joined(peer, message, event.now)
                self._seen["clients"] += 1
            case "worker_joined", session.RegisterWorker():
                core.worker_joined(peer, message, event.now)
                self._seen["workers"] += 1
            case "nested_joined", nested.NestedJoin():
                core.nested_joined(peer, event.number, message)
                self._seen["nested"] += 1
            case "local_joined", session.Goodbye(name):
                core.local_joined(peer, name)
            case "shown_at", session.Goodbye(link):
                core.shown_at(link)
            case _, message if message is not None and self._tell_of_lines(event, message):
                pass
            case _:
                msg = f"{event.what!r} with {type(message).__name__} is nothing a scheduler is told"
                raise RemoteProtocolError(msg)

    def _tell_of_lines(self, event: recorded.Event, message: Message) -> bool:
        """Tell the core what happened to a connection; whether it was that."""
        core, peer = self.core, event.who
        match event.what, message:
            case "heard", _:
                core.heard(peer, message)
            case "said", _:
                core.said(peer, message)
            case "resume", session.Resume():
                core.resume(message, event.now)
            case "lost", session.Goodbye(reason):
                core.lost(peer, reason, event.now)
            case "left", session.Goodbye(reason):
                core.left(peer, reason)
            case _:
                return False
        return True

    def _flush(self, digest: int, at: float) -> str:
        said = self.core.flush(at)
        if digest_of(said) == digest:
            return ""
        now = "; ".join(f"to peer {peer}: {_shown(messages)}" for peer, messages in said[:10])
        return f"the core does not say now what it said then. Now it is {now or 'nothing'}"

    def broken(self) -> list[str] | None:
        """Rules that do not hold; None in the middle of a large job."""
        return None if self.core.busy else violations(self.core.state)

    @property
    def size(self) -> int:
        """So many tasks there are."""
        return len(self.core.state.tasks)

    def summary(self) -> dict[str, str]:
        """Who has been there, and what there is at the end."""
        state = self.core.state
        states = Counter(STATE_NAMES[task.state] for task in state.tasks.values())
        left = ", ".join(f"{states[name]:,} {name}" for name in STATE_NAMES if states[name])
        out = {
            "clients": f"{self._seen['clients']:,}, {len(state.clients):,} at the end",
            "workers": f"{self._seen['workers']:,}, {len(state.workers):,} at the end",
            "tasks": f"{state.finished_ever:,} attempts ended; at the end {left or 'no tasks'}",
        }
        if self._seen["nested"]:
            out["in tasks"] = f"{self._seen['nested']:,} clients"
        if self._seen["turned away"]:
            out["turned away"] = f"{self._seen['turned away']:,} times, for what made no sense"
        return out


def _shown(messages: list[Message]) -> str:
    """What was said, in short: the kinds, and how many rows each has at most."""
    return ", ".join(f"{type(each).__name__}{_ids(each)}" for each in messages[:10])


def _ids(message: Message) -> str:
    tids = getattr(message, "tids", None) or getattr(message, "attempts", [])
    more = " …" if len(tids) > 3 else ""
    return f" of {' '.join(f'{tid:x}' for tid in tids[:3])}{more}" if tids else ""
