"""``trio-dask run``: a cluster around a script."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final

import trio
from cyclopts import Parameter

from trio_dask.cli.bystander import Bystander
from trio_dask.cli.checks import check_file, given_to
from trio_dask.cli.local_options import LocalOptions, say, show
from trio_dask.cli.logs import LogLevel
from trio_dask.cli.serving import run_with_signals, watched_signals
from trio_dask.comm import own_keys, parse_contact
from trio_dask.config import find_token, load_config, read_scheduler_file
from trio_dask.deploy import ClusterHandle, open_local_cluster
from trio_dask.errors import ConfigError

_DEFAULTS: Final = LocalOptions()
_PORT: Final = 8786
#: Signals within this time belong together: the first asks the script to end, the second makes it.
_TOGETHER_S: Final = 5.0
#: How long a script may take to notice that its cluster is gone.
_BROKEN_S: Final = 10.0
#: What a shell adds to the number of the signal that has killed something.
_KILLED: Final = 128


def run(
    *words: Annotated[str, Parameter(allow_leading_hyphen=True, show=False, validator=())],
    module: Annotated[
        bool, Parameter(name=["-m", "--module"], negative="", show_default=False)
    ] = False,
    scheduler: str | None = None,
    scheduler_file: Path | None = None,
    options: LocalOptions = _DEFAULTS,
    log_level: LogLevel = "warning",
) -> int:
    """Run a script with a cluster around it.

    Args:
        words: The script and its arguments.
        module: Run a module, as Python's option does.
        scheduler: Use the cluster at this address, and start none.
        scheduler_file: Use the cluster that has written this file, and start none.
        options: How many workers of which kind.
        log_level: The least important lines of the servers' logs to show on stderr.
    """
    if not words:
        msg = (
            "what shall be run? Give a script, as in `trio-dask run script.py`, or -m and a module"
        )
        raise ConfigError(msg)
    if not words[0] or (not module and words[0] != "-" and not Path(words[0]).exists()):
        msg = f"there is no script {words[0] or repr(words[0])}"
        raise ConfigError(msg)
    command = [sys.executable, *(("-m",) if module else ()), *words]
    where = _existing(scheduler, scheduler_file)
    if where is not None:
        if options.given():
            msg = f"{options.given()[0]} is for a cluster that is started here, not for {where[0]}"
            raise ConfigError(msg)
        return _watch(_Run(command, environ=_environ(*where)), None)
    arguments = options.arguments() | {
        "on_line": show,
        "silence_logs": log_level,
        # What stands beside the script, its functions may import.
        "worker_environ": {} if module else {"PYTHONPATH": _path_with(words[0])},
    }
    return _watch(_Run(command), arguments)


def _existing(scheduler: str | None, path: Path | None) -> tuple[str, str] | None:
    """Address and token of the cluster to use; None if there shall be a new one."""
    if scheduler is not None and path is not None:
        msg = f"--scheduler {scheduler} and --scheduler-file {path} name two schedulers; give one"
        raise ConfigError(msg)
    if path is not None:
        check_file(path, "--scheduler-file")
        content = read_scheduler_file(path)
        return content.address, content.token
    if scheduler is None:
        return None
    with given_to("--scheduler"):
        address = str(parse_contact(scheduler, default_port=_PORT))
    config = load_config()
    token = find_token(config)
    own_keys(token, config)  # said here if it is none, and not by the script
    return address, token


def _environ(address: str, token: str) -> Mapping[str, str]:
    return {"TRIO_DASK_SCHEDULER_ADDRESS": address, "TRIO_DASK_TOKEN": token}


def _path_with(script: str) -> str:
    """Where Python looks for modules, and before that where it does for the script's."""
    before = os.environ.get("PYTHONPATH")
    own = Path(script).resolve().parent
    return f"{own}{os.pathsep}{before}" if before else str(own)


@dataclass(slots=True, eq=False)
class _Run:
    """A script, from before it runs to what became of it."""

    command: Sequence[str]
    environ: Mapping[str, str] = field(default_factory=dict)
    process: trio.Process | None = None
    interrupted: int = 0
    broken: bool = False

    @property
    def code(self) -> int:
        """The exit code, as a shell would have it."""
        code = self.process and self.process.returncode
        if code is None:
            return _KILLED + self.interrupted
        if code < 0:
            return 1 if self.broken else _KILLED - code
        return code


def _watch(run: _Run, arguments: dict[str, Any] | None) -> int:
    """Run it on Trio; every signal from now on is the script's."""
    with Bystander(watched_signals()) as bystander:
        run_with_signals(partial(_run, run, arguments, bystander))
    return run.code


async def _run(
    run: _Run,
    arguments: dict[str, Any] | None,
    bystander: Bystander,
    signals: AsyncIterator[int],
) -> None:
    async with trio.open_nursery() as watchers:
        work = trio.CancelScope()
        watchers.start_soon(_pass_on, run, signals, bystander, work)
        with work:
            if arguments is None:
                await _script(run)
            else:
                async with open_local_cluster(**arguments) as handle:
                    run.environ = _environ(handle.scheduler_address, handle.token)
                    await _script_within(run, handle)
        watchers.cancel_scope.cancel("the script has ended")


async def _script_within(run: _Run, handle: ClusterHandle) -> None:
    """The script, for as long as its cluster is there."""

    async def watch_cluster() -> None:
        say(f"trio-dask: {await handle.wait_broken()}; ending {' '.join(run.command[1:])}")
        run.broken = True
        if run.process is not None:
            run.process.terminate()
            await trio.sleep(_BROKEN_S)
            run.process.kill()

    async with trio.open_nursery() as watchers:
        watchers.start_soon(watch_cluster)
        await _script(run)
        watchers.cancel_scope.cancel("the script has ended")


async def _script(run: _Run) -> None:
    """The script alone: it has our terminal, our group and our standard streams."""
    run.process = await trio.lowlevel.open_process(
        run.command, stdin=None, env=os.environ | run.environ
    )
    if run.interrupted:  # while it was started
        run.process.send_signal(run.interrupted)
    with trio.CancelScope(shield=True):  # who cancels this has ended the script, too
        await run.process.wait()


async def _pass_on(
    run: _Run, signals: AsyncIterator[int], bystander: Bystander, work: trio.CancelScope
) -> None:
    """Signals reach the script once; where it does not end, the next one ends it."""
    last_s = -_TOGETHER_S
    async for number in signals:
        now = trio.current_time()
        process, again = run.process, now - last_s < _TOGETHER_S
        last_s = now
        if process is None:
            if run.interrupted:
                os._exit(run.code)
            run.interrupted = number
            work.cancel(f"{signal.Signals(number).name} received")
        elif process.returncode is not None:
            if again:
                os._exit(run.code)
        elif again:
            process.kill()
        elif not await bystander.saw(number):
            with suppress(OSError):
                process.send_signal(number)
