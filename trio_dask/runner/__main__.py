"""``python -m trio_dask.runner <socket> <board>``: a runner with a process to itself."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import time
from contextlib import suppress
from functools import partial
from typing import Any, Final, NoReturn

from trio_dask.errors import RemoteProtocolError
from trio_dask.messages.speech import OUTPUTS
from trio_dask.runner.board import Board
from trio_dask.runner.collections import be_default
from trio_dask.runner.hearing import listen, passed_on
from trio_dask.runner.preloading import preload
from trio_dask.runner.runner import Runner

_PR_SET_PDEATHSIG: Final = 1
#: How long a process that is told to stop may take for its users' exit functions.
_LEAVE_S: Final = 1.0
#: And for what plugins tear down; the worker does not wait for ever, either.
_CLOSE_S: Final = 10.0


def main(arguments: list[str]) -> NoReturn:
    """Run until the worker says `Stop` or is gone. Does not return."""
    fd, board_fd = map(int, arguments)
    parent = os.getppid()
    _stand_apart()
    # Modules of the current directory can be imported, but never in the place of others:
    # the process is started with ``-P``.
    sys.path.append("")
    for each in (fd, board_fd):
        os.set_inheritable(each, False)  # noqa: FBT003 - positional only
    # Not SIG_IGN: processes that tasks start would inherit that.
    signal.signal(signal.SIGINT, lambda *_: None)
    runner = Runner(fd, Board(board_fd))
    be_default()
    runner.slots.strikes.main = True
    # Only what is on its way to a task that is to be stopped means anything.
    signal.signal(signal.SIGINT, runner.slots.strikes.on_signal)
    os.register_at_fork(after_in_child=runner.outbox.forked)
    listen()
    passed_on.extend(os.environ.pop(OUTPUTS, "").split())
    if not _preloaded(runner):
        _leave(1)
    runner.start(range(1, runner.slots.count), read=partial(_read, runner, parent))
    runner.slots.run(0)
    runner.closed.wait(_CLOSE_S)  # the reader tears down what users have set up
    with suppress(BaseException):
        atexit._run_exitfuncs()  # noqa: SLF001 - and then leave without waiting for threads
    _leave(int(runner.failed))


def _preloaded(runner: Runner) -> bool:
    """Load what is to be there before the first task; what goes wrong is printed."""
    try:
        os.environ.update(runner.slots.settings.get("environ") or {})
        preload(runner.slots.settings)
    except BaseException:  # noqa: BLE001 - somebody's code: the process ends with it
        sys.excepthook(*sys.exc_info())
        return False
    return True


def _stand_apart() -> None:
    """Be out of the reach of the terminal: Ctrl-C is the worker's business."""
    if os.getsid(0) != os.getpid() and os.getpgrp() != os.getpid():
        os.setsid()
    for stream in (sys.stdout, sys.stderr):
        # What tasks print is seen when they print it, and not lost when they are killed.
        reconfigure: Any = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(line_buffering=True)


def _read(runner: Runner, parent: int) -> None:
    """The reader thread: at its end the process ends, whatever the slots are doing."""
    try:
        runner.read(on_ready=partial(_die_with, parent))
    except RemoteProtocolError as error:
        sys.stderr.write(f"trio_dask.runner: {error}\n")
        _leave(1)
    except BaseException:  # noqa: BLE001 - what a handler of users' signals has raised, say
        sys.excepthook(*sys.exc_info())
        _leave(1)  # nobody reads any more, so nothing would ever end it
    try:
        runner.close()
    except BaseException:  # noqa: BLE001 - as above
        sys.excepthook(*sys.exc_info())
        _leave(1)
    if runner.slots.idle(0):
        # The main thread leaves by itself, after the users' exit functions.
        time.sleep(_LEAVE_S)
    _leave(int(runner.failed))


def _die_with(parent: int) -> None:
    """Be killed when the worker ends, even if a task then holds the interpreter's lock."""
    if not sys.platform.startswith("linux"):
        return
    import ctypes  # after `Ready`: it takes a while

    with suppress(OSError, AttributeError):
        # The kernel does it while this thread lives, which is as long as the process.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def _leave(status: int = 0) -> NoReturn:
    """End the process without waiting for threads that tasks have left behind."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
    os._exit(status)


if __name__ == "__main__":
    main(sys.argv[1:])
