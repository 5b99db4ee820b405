"""``trio-dask demo``: a cluster of this machine does a real job."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Final

import trio
from cyclopts import Parameter

from trio_dask.cli.demo_job import Tally, merge, source_files, tally_file
from trio_dask.cli.demo_screen import Screen, Stage, keep_showing
from trio_dask.cli.serving import run_until_signal
from trio_dask.config import cpu_count, load_config
from trio_dask.deploy import open_local_cluster
from trio_dask.errors import ConfigError

if TYPE_CHECKING:
    from trio_dask import AsyncClient, AsyncFuture

_FAN_IN: Final = 16
_SHOWN: Final = 12
#: More find nothing to do; as many as there are processors, up to fewer, are the default.
_NWORKERS_MAX: Final = 64
_NWORKERS_AUTO: Final = 8

_NEXT: Final = """\
Next, a cluster that stays. In one terminal

  trio-dask cluster

which says where its dashboard is; and in another, in Python

  from trio_dask import Client
  client = Client("tcp://127.0.0.1:8786")
  print(client.submit(pow, 2, 100).result())

Or on several machines: on one of them

  trio-dask scheduler
  trio-dask token show

and on each of the others, with what these print

  export TRIO_DASK_TOKEN=<token>
  trio-dask worker tcp://<address>:8786"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came out, how long what took, and who worked how much for it."""

    tally: Tally
    tasks: int
    start_s: float
    work_s: float
    cpu_s: dict[str, float]


def demo(*, nworkers: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None) -> None:
    """Do a real job on a cluster of this machine, and clean up.

    Args:
        nworkers: How many workers, of one thread each; -1 for one per processor. [default:
            as many as there are processors, up to 8]
    """
    automatic = nworkers in {None, "auto"}
    config = load_config(
        overrides={"worker.nworkers": nworkers}, spelled={"worker.nworkers": "--nworkers"}
    )
    count = min(cpu_count(), _NWORKERS_AUTO) if automatic else config.worker.nworkers
    if count > _NWORKERS_MAX:
        msg = f"--nworkers: {nworkers} are more than the demo has work for; {_NWORKERS_MAX} is the most"
        raise ConfigError(msg)
    run_until_signal(partial(_demo, count))


async def _demo(nworkers: int) -> None:
    screen = Screen()
    files = source_files()
    workers = "1 worker" if nworkers == 1 else f"{nworkers} workers"
    screen.print(
        f"A scheduler and {workers} on this machine parse the {len(files):,} source files of "
        f"Python {platform.python_version()}'s standard library and count what each imports.\n"
    )
    began = trio.current_time()
    outcome = await _work(screen, files, nworkers)
    _report(screen, outcome, trio.current_time() - began)
    for paragraph in _NEXT.split("\n\n"):
        screen.print()
        # What is to be copied stays as it is, the rest fits into the width there is.
        (screen.code if paragraph.startswith("  ") else screen.print)(paragraph)


async def _work(screen: Screen, files: Sequence[str], nworkers: int) -> Outcome:
    from trio_dask import AsyncClient  # not for `trio-dask demo --help`

    began = trio.current_time()
    async with open_local_cluster(nworkers, 1) as cluster:
        if cluster.dashboard_link:
            screen.code(f"Its dashboard, while it lasts:\n\n  {cluster.dashboard_link}\n")
        async with AsyncClient(cluster) as client:
            ready = trio.current_time()
            before = _cpu_seconds()
            stages = [Stage("parse", len(files)), Stage("merge", merges(len(files)))]
            with screen.showing(stages) as showing:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(keep_showing, showing, ready)
                    tally = await _compute(client, files, *stages)
                    nursery.cancel_scope.cancel("it is done")
                work_s = trio.current_time() - ready
                showing.update(work_s)
            tasks = sum(each.total for each in stages)
            used = {kind: seconds - before[kind] for kind, seconds in _cpu_seconds().items()}
            return Outcome(tally, tasks, ready - began, work_s, used)


def merges(leaves: int) -> int:
    """How many tasks it takes to make one of so many."""
    return 0 if leaves <= 1 else (inner := -(-leaves // _FAN_IN)) + merges(inner)


async def _compute(
    client: AsyncClient, files: Sequence[str], parsing: Stage, merging: Stage
) -> Tally:
    """Submit everything at once; what is done is counted as the news come in."""

    def counted(stage: Stage, futures: list[AsyncFuture[Tally]]) -> list[AsyncFuture[Tally]]:
        def count(_: object) -> None:
            stage.done += 1

        for future in futures:
            future.add_done_callback(count)
        return futures

    level = counted(parsing, client.map(tally_file, files))
    levels = [level]  # held, as there is no news of what nobody holds
    while len(level) > 1:
        groups = [level[at : at + _FAN_IN] for at in range(0, len(level), _FAN_IN)]
        level = counted(merging, client.map(merge, groups))
        levels.append(level)
    return await level[0]


def _cpu_seconds() -> dict[str, float]:
    """What each kind of process has used until now."""
    import psutil

    kinds = ("scheduler", "worker", "trio_dask.runner")
    used = dict.fromkeys(("client", *kinds, ""), 0.0)
    own = psutil.Process()
    for process in (own, *own.children(recursive=True)):
        try:
            words, times = process.cmdline(), process.cpu_times()
        except psutil.Error:  # it has ended
            continue
        kind = "client" if process == own else next((each for each in kinds if each in words), "")
        used[kind] += times.user + times.system
    return used


def _report(screen: Screen, outcome: Outcome, elapsed_s: float) -> None:
    tally, work_s, cpu_s = outcome.tally, outcome.work_s, outcome.cpu_s
    screen.print()
    screen.bars("Most imported", tally.imports.most_common(_SHOWN))
    screen.print(
        f"\n{tally.files:,} files, {tally.source_bytes / 1e6:.1f} MB, in {work_s:.2f} s: "
        f"{tally.files / work_s:,.0f} files/s, {tally.source_bytes / 1e6 / work_s:.1f} MB/s\n"
        f"{outcome.tasks:,} tasks, {outcome.tasks / work_s:,.0f} a second; "
        f"{tally.unparsed} files are meant not to parse\n"
        f"CPU: tasks {cpu_s['trio_dask.runner']:.2f} s, worker {cpu_s['worker']:.2f} s, "
        f"scheduler {cpu_s['scheduler']:.2f} s, client {cpu_s['client']:.2f} s\n"
        f"{outcome.start_s:.2f} s to start the cluster, {elapsed_s:.2f} s in all; "
        "every process has ended"
    )
