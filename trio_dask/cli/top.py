"""``trio-dask top``."""

from __future__ import annotations

import os
import select
import shutil
import sys
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Annotated, Final

from cyclopts import Parameter
from rich.live import Live

from trio_dask.cli.demo_screen import Screen
from trio_dask.cli.failures import NobodyReads
from trio_dask.cli.following import find_source
from trio_dask.cli.pictures import picture
from trio_dask.dashboard import Follower, Mirror
from trio_dask.errors import ConfigError, SchedulerUnreachable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: How long a key may wait.
_LOOK_S: Final = 0.2
_EVERY_MAX_S: Final = 3600.0
#: The size of what is no terminal, if nobody says another by ``COLUMNS``.
_PIPE: Final = (120, 24)
#: Who has heard nothing by then, and is not looked at, gives up.
PATIENCE_S: Final = 10.0


def top(
    address: str,
    /,
    *,
    every: float = 1.0,
    count: Annotated[int | None, Parameter(name=["--count", "-n"])] = None,
) -> None:
    """See a cluster at work: workers, progress by function, memory, failures.

    `q` or Ctrl-C ends it. Where the output is no terminal it is one picture in plain text,
    or as many as `--count` says.

    Args:
        address: Where the scheduler is, as `tcp://192.0.2.10:8786`, or its dashboard, as
            `http://192.0.2.10:8787`.
        every: Seconds between two pictures.
        count: So many pictures, and then end.
    """
    if not 0 < every < _EVERY_MAX_S:
        msg = f"--every: {every:g}; a number of seconds above 0, and below {_EVERY_MAX_S:g}"
        raise ConfigError(msg)
    if count is not None and count < 1:
        msg = f"--count: {count} pictures; give at least 1"
        raise ConfigError(msg)
    screen, mirror = Screen(), Mirror()
    with suppress(KeyboardInterrupt, NobodyReads), Follower(find_source(address)) as follower:
        if screen.alive and count is None:
            _show(screen, mirror, follower, every)
        else:
            for number in range(count or 1):
                if number:
                    print()
                wait_ready(follower, mirror, every if number else 0.0)
                width = (
                    screen.width if screen.is_terminal else shutil.get_terminal_size(_PIPE).columns
                )
                only = screen.options.ascii_only
                screen.print(
                    picture(mirror, width, None, connected=True, ascii_only=only), width=width
                )


def wait_ready(follower: Follower, mirror: Mirror, at_least_s: float) -> None:
    """Hear something, and go on listening for so long.

    Raises:
        SchedulerUnreachable: nothing is heard.
    """
    began = time.monotonic()
    while not mirror.ready or time.monotonic() < began + at_least_s:
        follower.hear(mirror.take, _LOOK_S)
        if not mirror.ready and time.monotonic() > began + PATIENCE_S:
            msg = f"the dashboard has said nothing for {PATIENCE_S:g} s"
            raise SchedulerUnreachable(msg)


def _show(screen: Screen, mirror: Mirror, follower: Follower, every_s: float) -> None:
    wait_ready(follower, mirror, 0.0)
    connected, drawn = True, -every_s
    with keys() as pressed, Live(console=screen, screen=True, auto_refresh=False) as live:
        while pressed() not in {"q", "Q", "\x03", "\x1b"}:
            heard = follower.hear(mirror.take, min(_LOOK_S, every_s))
            changed = heard is not None and heard != connected
            connected = connected if heard is None else heard
            if changed or time.monotonic() >= drawn + every_s:
                drawn = time.monotonic()
                width, height = screen.size
                only = screen.options.ascii_only
                live.update(
                    picture(mirror, width, height, connected=connected, ascii_only=only),
                    refresh=True,
                )


@contextmanager
def keys() -> Iterator[Callable[[], str]]:
    """What says which key has been pressed, if one has; the terminal is as before afterwards."""
    if sys.platform == "win32" or not sys.stdin.isatty():
        yield lambda: ""
        return
    import termios
    import tty

    fd = sys.stdin.fileno()
    before = termios.tcgetattr(fd)

    def pressed() -> str:
        ready, _, _ = select.select([fd], [], [], 0)
        return os.read(fd, 1).decode("latin-1") if ready else ""

    tty.setcbreak(fd)
    try:
        yield pressed
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)
