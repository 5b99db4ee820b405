"""``trio-dask demo``: a cluster of this machine does a real job."""

from __future__ import annotations

import io
import platform
import sys
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

import trio
from rich.console import Console
from rich.table import Table

from trio_dask.cli.demo_job import Tally, merge, source_files, tally_file
from trio_dask.cli.serving import run_until_signal
from trio_dask.deploy import open_local_cluster
from trio_dask.errors import ConfigError

if TYPE_CHECKING:
    from trio_dask import AsyncFuture

_FAN_IN: Final = 16
_SHOWN: Final = 12


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came out, and how long what took."""

    tally: Tally
    tasks: int
    start_s: float
    work_s: float


def demo(*, nworkers: int = 2) -> None:
    """Do a real job on a cluster of this machine, and clean up.

    Args:
        nworkers: How many workers, of one thread each.
    """
    if nworkers < 1:
        msg = f"--nworkers {nworkers}: the demo needs at least one worker"
        raise ConfigError(msg)
    run_until_signal(partial(_demo, nworkers))


async def _demo(nworkers: int) -> None:
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # not every terminal knows every character
    console = Console(highlight=False, soft_wrap=True)
    files = source_files()
    console.print(
        f"A scheduler and {nworkers} workers on this machine parse the {len(files):,} source files\n"
        f"of the standard library of Python {platform.python_version()} …"
    )
    began = trio.current_time()
    outcome = await _work(files, nworkers)
    _report(console, outcome, trio.current_time() - began)


async def _work(files: list[str], nworkers: int) -> Outcome:
    from trio_dask import AsyncClient  # not for `trio-dask demo --help`

    began = trio.current_time()
    async with open_local_cluster(nworkers, 1) as cluster:
        async with AsyncClient(cluster) as client:
            ready = trio.current_time()
            level: list[AsyncFuture[Tally]] = client.map(tally_file, files)
            tasks = len(level)
            while len(level) > 1:
                groups = [level[at : at + _FAN_IN] for at in range(0, len(level), _FAN_IN)]
                level = client.map(merge, groups)
                tasks += len(level)
            tally = await level[0]
            return Outcome(tally, tasks, ready - began, trio.current_time() - ready)


def _report(console: Console, outcome: Outcome, elapsed_s: float) -> None:
    tally, work_s = outcome.tally, outcome.work_s
    table = Table(title="Most imported", title_justify="left", box=None)
    table.add_column("module")
    table.add_column("files", justify="right")
    table.add_column("")
    most = tally.imports.most_common(_SHOWN)
    for module, files in most:
        table.add_row(module, f"{files:,}", "█" * round(30 * files / most[0][1]))
    console.print()
    console.print(table)
    console.print(
        f"\n{tally.files:,} files, {tally.source_bytes / 1e6:.1f} MB, in {work_s:.2f} s: "
        f"{tally.files / work_s:,.0f} files/s, {tally.source_bytes / 1e6 / work_s:.1f} MB/s\n"
        f"{outcome.tasks:,} tasks, {outcome.tasks / work_s:,.0f} a second; "
        f"{tally.unparsed} files are meant not to parse\n"
        f"{outcome.start_s:.2f} s to start the cluster, {elapsed_s:.2f} s in all; "
        "every process has ended\n"
    )
    console.print(
        "On several machines:\n\n"
        "  trio-dask scheduler                                       # prints its address\n"
        "  trio-dask token show                                      # on the same machine\n"
        "  TRIO_DASK_TOKEN=… trio-dask worker tcp://<address>:8786   # on each of the others"
    )
