"""The commands and how each is found. What a command needs is imported when it is called."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from cyclopts import App

from trio_dask import __version__
from trio_dask.cli.failures import exit_code, failure_line

if TYPE_CHECKING:
    from collections.abc import Sequence

app = App(
    name="trio-dask",
    help="""Run Python functions on a cluster.

    A cluster is one scheduler and any number of workers:

        trio-dask scheduler
        trio-dask worker tcp://192.0.2.10:8786 --nworkers 4

    To see one at work on this machine: `trio-dask demo`.""",
    help_format="markdown",
    version=f"trio-dask {__version__}",
    result_action="return_value",
    suppress_keyboard_interrupt=False,
)
# What is said here shows without importing the command: its docstring repeats the first line.
app.command(
    "trio_dask.cli.scheduler:scheduler",
    name="scheduler",
    help="""Start the scheduler of a cluster, and run it until a signal comes.

    Workers and clients need the cluster's token: `trio-dask token show` prints it. The
    scheduler makes one if there is none.""",
    help_epilogue="""Examples:

        trio-dask scheduler
        trio-dask scheduler --host 127.0.0.1 --port 0
        trio-dask scheduler --scheduler-file ~/cluster.json""",
)
app.command(
    "trio_dask.cli.worker:worker",
    name="worker",
    help="""Start workers that run tasks for a scheduler.

    On another machine than the scheduler's, set `TRIO_DASK_TOKEN` to what
    `trio-dask token show` prints there.""",
    help_epilogue="""Examples:

        trio-dask worker tcp://192.0.2.10:8786
        trio-dask worker 192.0.2.10:8786 --nworkers 4 --nthreads 1
        trio-dask worker --scheduler-file ~/cluster.json --memory-limit 4GiB""",
)
app.command(
    "trio_dask.cli.demo:demo",
    name="demo",
    help="""Do a real job on a cluster of this machine, and clean up.

    Parses every source file of the running Python's standard library, counts what each
    imports, and merges the counts in a tree of tasks.""",
)

token = App(name="token", help="The secret that all parts of a cluster share.")
token.command("trio_dask.cli.token:show", name="show", help="Print the token.")
token.command("trio_dask.cli.token:create", name="create", help="Make a token.")
app.command(token)

config = App(name="config", help="The settings, and where they come from.")
config.command("trio_dask.cli.config:list_settings", name="list", help="Print all settings.")
config.command("trio_dask.cli.config:show", name="show", help="Print the value of one setting.")
app.command(config)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command; whatever goes wrong becomes one line on stderr and an exit code."""
    try:
        app(list(sys.argv[1:] if arguments is None else arguments))
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever reads our output has enough of it; nothing more can be said there.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (SystemExit, KeyboardInterrupt):
        raise
    except BaseException as error:  # noqa: BLE001 - the edge: nobody above could tell the user
        line = failure_line(error)
        if line:
            print(f"trio-dask: {line}", file=sys.stderr)
        return exit_code(error)
    return 0
