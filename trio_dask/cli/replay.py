"""``trio-dask replay``."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

from cyclopts import Parameter, validators

from trio_dask.cli.demo_screen import Screen
from trio_dask.cli.failures import FAILED
from trio_dask.errors import ConfigError, RemoteProtocolError
from trio_dask.eventlog import LogReader, Outcome, Replayed, replay as replay_log
from trio_dask.messages.session import SCHEDULER, WORKER
from trio_dask.scheduler import ReplayedScheduler
from trio_dask.worker import ReplayedWorkers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from trio_dask.messages import recorded

_VIOLATIONS_SHOWN: Final = 20
_LABEL: Final = 12


def replay(
    file: Path,
    /,
    *,
    every: Annotated[int | None, Parameter(validator=validators.Number(gte=1))] = None,
) -> int:
    """Let a server's event log happen again, and look for what went wrong.

    Args:
        file: What `--event-log` of a scheduler or worker has written.
        every: Check all rules after each so-manieth event; by default after each while
            there is little to check, and less often as the tables grow.
    """
    screen = Screen()
    try:
        with file.open("rb") as opened:
            log = LogReader(opened)
            cores = _cores(log.recording)
            with _progress(screen, os.fstat(opened.fileno()).st_size) as on_progress:
                outcome = replay_log(log, cores, every=every, on_progress=on_progress)
    except RemoteProtocolError as error:
        raise ConfigError(f"{file}: {error}") from error
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}") from error
    _report(screen, log.recording, outcome, cores.summary())
    return FAILED if outcome.violations else 0


def _cores(recording: recorded.Recording) -> Replayed:
    if recording.role == SCHEDULER:
        return ReplayedScheduler(recording)
    if recording.role == WORKER:
        return ReplayedWorkers()
    raise RemoteProtocolError(f"the event log of a {recording.role}, which cannot be replayed")


@contextmanager
def _progress(screen: Screen, nbytes: int) -> Iterator[Callable[[int], None] | None]:
    """A bar while the block lasts, where there is a terminal for it."""
    if not screen.alive:
        yield None
        return
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TimeRemainingColumn

    columns = (BarColumn(bar_width=None), TaskProgressColumn(), TimeRemainingColumn())
    # Without a thread of its own, and gone when there is something to read.
    with Progress(*columns, console=screen, auto_refresh=False, transient=True) as progress:
        task = progress.add_task("", total=nbytes)
        shown = -1

        def on_progress(read: int) -> None:
            nonlocal shown
            if 100 * read // max(1, nbytes) > shown:
                shown = 100 * read // max(1, nbytes)
                progress.update(task, completed=read, refresh=True)

        yield on_progress


def _report(
    screen: Screen, recording: recorded.Recording, outcome: Outcome, summary: dict[str, str]
) -> None:
    cluster = f", cluster {recording.cluster}, epoch {recording.epoch}" if recording.epoch else ""
    lines = {
        "recorded by": f"a {recording.role} of trio_dask {recording.version}{cluster}",
        "events": f"{outcome.events:,} in {outcome.seconds:,.1f} s; "
        f"all rules were checked {outcome.looks:,} times",
        **summary,
    }
    if outcome.torn:
        lines["torn"] = f"the last {outcome.torn:,} bytes are no whole event"
    for label, text in lines.items():
        screen.code(f"{label:{_LABEL}} {text}")
    if not outcome.violations:
        screen.code("Nothing is wrong: it said the same again, and no rule was broken.")
        return
    screen.code("It stops here, because something is wrong:")
    for violation in outcome.violations[:_VIOLATIONS_SHOWN]:
        screen.code(f"  {violation}")
