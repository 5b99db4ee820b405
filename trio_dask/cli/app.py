"""The commands and how each is found. What a command needs is imported when it is called."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Final

from cyclopts import App, Parameter

from trio_dask import __version__
from trio_dask.cli.checks import visible
from trio_dask.cli.failures import exit_code, failure_line
from trio_dask.cli.help import HelpLayout, examples

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Of the options before a script all others have one.
_WITHOUT_VALUE: Final = {
    "-h", "--help", "--version", "--nanny", "--no-nanny", "--dashboard", "--no-dashboard",
    "--tls-dashboard", "--no-tls-dashboard",
}  # fmt: skip

app = App(
    name="trio-dask",
    help="""Run Python functions on a cluster.

    A cluster is one scheduler and any number of workers:

        trio-dask scheduler
        trio-dask worker tcp://192.0.2.10:8786 --nworkers 4

    All of it on this machine: `trio-dask cluster`. To see one at work: `trio-dask demo`.""",
    help_format="plaintext",
    help_formatter=HelpLayout(),
    version=f"trio-dask {__version__}",
    result_action="return_value",
    default_parameter=Parameter(validator=visible),
    suppress_keyboard_interrupt=False,
    exit_on_error=False,
    print_error=False,
)
# What is said here shows without importing the command: its docstring repeats the first line.
app.command(
    "trio_dask.cli.scheduler:scheduler",
    name="scheduler",
    help="""Start the scheduler of a cluster, and run it until a signal comes.

    Workers and clients need the cluster's token: `trio-dask token show` prints it. The
    scheduler makes one if there is none.""",
    help_epilogue=examples("""
        trio-dask scheduler
        trio-dask scheduler --host 127.0.0.1 --port 0
        trio-dask scheduler --port 8786:8790
        trio-dask scheduler --dashboard-address 127.0.0.1:8787
        trio-dask scheduler --scheduler-file ~/cluster.json
        trio-dask scheduler --tls-ca-file ca.pem \\
            --tls-cert me.pem --tls-key me-key.pem"""),
)
app.command(
    "trio_dask.cli.worker:worker",
    name="worker",
    help="""Start workers that run tasks for a scheduler.

    On another machine than the scheduler's, set `TRIO_DASK_TOKEN` to what
    `trio-dask token show` prints there.""",
    usage="Usage: trio-dask worker [OPTIONS] [SCHEDULER]",
    help_epilogue=examples("""
        trio-dask worker tcp://192.0.2.10:8786
        trio-dask worker 192.0.2.10:8786 --nworkers 4
        trio-dask worker 192.0.2.10:8786 \\
            --worker-port 3000:3026 --interface eth0
        trio-dask worker --scheduler-file ~/cluster.json \\
            --nthreads 1 --memory-limit 4GiB"""),
)
app.command(
    "trio_dask.cli.cluster:cluster",
    name="cluster",
    help="""Start a scheduler and workers on this machine, and run them until a signal comes.

    They listen on the loopback interface, so that programs on this machine can use the
    cluster; programs of the same user find its token by themselves.""",
    help_epilogue=examples("""
        trio-dask cluster
        trio-dask cluster --nworkers 4 --nthreads 1
        trio-dask cluster --scheduler-file ~/cluster.json
        trio-dask cluster --host 0.0.0.0"""),
)
app.command(
    "trio_dask.cli.ssh:ssh",
    name="ssh",
    help="""Start a scheduler and workers on machines that are reached by ssh.

    They run until a signal comes. The system's `ssh` is used, with what `~/.ssh/config`
    says; it never asks anything.""",
    usage="Usage: trio-dask ssh [OPTIONS] [HOSTNAMES...]",
    help_epilogue=examples("""
        trio-dask ssh node-1 node-2 node-3
        trio-dask ssh --scheduler head --hostfile hosts.txt \\
            --nworkers 4 --nthreads 1"""),
)
app.command(
    "trio_dask.cli.spec:spec",
    name="spec",
    help="""Start servers as a text or a file describes them, and run them until a signal comes.

    What is described is what Dask's tools write: `cls`, a Scheduler, Worker or Nanny, and
    `opts`, options of `trio-dask scheduler` and `trio-dask worker`, or `env`, variables. One
    is this process; several, each under a name, are children of it that end together.""",
    usage="Usage: trio-dask spec [OPTIONS] [SCHEDULER]",
    help_epilogue=examples("""
        trio-dask spec tcp://192.0.2.10:8786 \\
            --spec '{"cls": "Worker", "opts": {"nthreads": 2}}'
        trio-dask spec 192.0.2.10:8786 --spec-file workers.yaml"""),
)
app.command(
    "trio_dask.cli.run:run",
    name="run",
    help="""Run a script with a cluster around it.

    Starts a cluster on this machine, runs the script, and ends the cluster with it; the
    exit code is the script's. In there, `Client()` and `AsyncClient()` find the cluster by
    themselves. What follows the script, or the module, is its own.""",
    usage="Usage: trio-dask run [OPTIONS] SCRIPT [ARGUMENTS...]",
    help_epilogue=examples("""
        trio-dask run script.py --an-option-of-the-script
        trio-dask run --nworkers 4 --nthreads 1 script.py
        trio-dask run -m package.module
        trio-dask run --scheduler 192.0.2.10:8786 script.py"""),
)
app.command(
    "trio_dask.cli.mpi:mpi",
    name="mpi",
    help="""Make a cluster of the processes that mpirun, or srun, starts.

    The first is the scheduler, the others are workers, until a signal comes. With a script
    the second runs that, and the cluster ends with it; in there, `Client()` and
    `AsyncClient()` find the cluster by themselves. What follows the script is its own.""",
    usage="Usage: trio-dask mpi [OPTIONS] [SCRIPT [ARGUMENTS...]]",
    help_epilogue=examples("""
        mpirun -n 5 trio-dask mpi \\
            --scheduler-file ~/cluster.json
        mpirun -n 6 trio-dask mpi script.py --its-own-option
        srun --kill-on-bad-exit \\
            trio-dask mpi --interface ib0 script.py"""),
)
app.command(
    "trio_dask.cli.job_script:job_script",
    name="job-script",
    help="""Print a script for a batch system: slurm, pbs, sge or lsf.

    Without a script of yours the job has workers of a scheduler, which they find by its
    file. With one the job is a cluster of its own, around the script: on so many nodes, by
    the system's srun or mpirun, and `trio-dask mpi`.""",
    usage="Usage: trio-dask job-script [OPTIONS] SYSTEM [SCRIPT [ARGUMENTS...]]",
    help_epilogue=examples("""
        trio-dask job-script slurm --cores 16 \\
            --memory 64GiB --scheduler-file ~/cluster.json
        trio-dask job-script slurm --cores 16 --nodes 4 \\
            --walltime 1:00:00 script.py | sbatch
        trio-dask job-script lsf --cores 16 --processes 4 \\
            --nodes 4 --walltime 1:00 script.py | bsub
        trio-dask job-script sge --cores 16 \\
            --parallel-environment mpi script.py | qsub"""),
)
app.command(
    "trio_dask.cli.migrate:migrate",
    name="migrate",
    help="""Report what of a program's use of dask.distributed is here, and what is not.

    The program is read, and not run. The exit code is 1 if something is missing.""",
    usage="Usage: trio-dask migrate [OPTIONS] PATHS...",
    help_epilogue=examples("""
        trio-dask migrate src
        trio-dask migrate script.py --all"""),
)
app.command(
    "trio_dask.cli.demo:demo",
    name="demo",
    help="""Do a real job on a cluster of this machine, and clean up.

    Parses every source file of the running Python's standard library, counts what each
    imports, and merges the counts in a tree of tasks.""",
)
app.command(
    "trio_dask.cli.retire:retire",
    name="retire",
    help="""Have workers leave, and wait until they have.

    What only they hold moves to others first. Without names, and without `-n`, those leave
    that do nothing and whose memory is not needed. Those that have left are printed.""",
    usage="Usage: trio-dask retire [OPTIONS] SCHEDULER [WORKERS...]",
    help_epilogue=examples("""
        trio-dask retire tcp://192.0.2.10:8786 big-0 big-1
        trio-dask retire tcp://192.0.2.10:8786 -n 2
        trio-dask retire tcp://192.0.2.10:8786"""),
)
app.command(
    "trio_dask.cli.top:top",
    name="top",
    help="""See a cluster at work: workers, progress by function, memory, failures.

    `q` or Ctrl-C ends it. Where the output is no terminal it is one picture in plain text,
    or as many as `--count` says.""",
    help_epilogue=examples("""
        trio-dask top tcp://192.0.2.10:8786
        trio-dask top http://192.0.2.10:8787 --every 5
        trio-dask top 192.0.2.10:8786 --count 1 | head"""),
)
app.command(
    "trio_dask.cli.progress:progress",
    name="progress",
    help="""See how far the tasks of each function are, until nothing is left to do.

    `q` or Ctrl-C ends it before. Where the output is no terminal it is a line every five
    seconds.""",
    help_epilogue=examples("""
        trio-dask progress tcp://192.0.2.10:8786
        trio-dask progress 192.0.2.10:8786 --follow"""),
)
app.command(
    "trio_dask.cli.status:status",
    name="status",
    help="""Show a cluster on one screen: its workers, and what there is to do.

    With `--json` it is for programs.""",
    help_epilogue=examples("""
        trio-dask status tcp://192.0.2.10:8786
        trio-dask status tcp://192.0.2.10:8786 --json"""),
)
app.command(
    "trio_dask.cli.worker_logs:logs",
    name="logs",
    help="""Show the last lines that workers have logged, the newest last.

    Workers of one process have one log. What tasks print is on the pages of workers.""",
    usage="Usage: trio-dask logs [OPTIONS] SCHEDULER [WORKERS...]",
    help_epilogue=examples("""
        trio-dask logs tcp://192.0.2.10:8786
        trio-dask logs tcp://192.0.2.10:8786 big-0 -n 20"""),
)
app.command(
    "trio_dask.cli.why:why",
    name="why",
    help="""Say why a task is where it is: what it waits for, and who is in its way.""",
    help_epilogue=examples("""
        trio-dask why tcp://192.0.2.10:8786 square-17"""),
)
app.command(
    "trio_dask.cli.replay:replay",
    name="replay",
    help="""Let a server's event log happen again, and look for what went wrong.

    Tells a new core all that the one of the log was told, in the same order, at the same
    times; checks that it says the same, and that what must always be true is.

    Exit codes: 0 nothing is wrong, 1 something is, 2 the file cannot be replayed.""",
    help_epilogue=examples("""
        trio-dask scheduler --event-log scheduler.log
        trio-dask replay scheduler.log
        trio-dask replay scheduler.log --every 1"""),
)

app.command(
    "trio_dask.cli.completion:completion",
    name="completion",
    help="""Print what has a shell complete commands and options, or install it.""",
    usage="Usage: trio-dask completion [OPTIONS] [SHELL]",
    help_epilogue=examples("""
        trio-dask completion --install
        trio-dask completion bash \\
            > /etc/bash_completion.d/trio-dask"""),
)

token = App(name="token", help="The secret that all parts of a cluster share.")
token.command("trio_dask.cli.token:show", name="show", help="Print the token.")
token.command("trio_dask.cli.token:new", name="new", help="Make a token.")
token.command(
    "trio_dask.cli.token:dashboard",
    name="dashboard",
    help="Print what lets somebody look at the dashboard, and do nothing else.",
)
token.command(
    "trio_dask.cli.token:control",
    name="control",
    help="Print what lets somebody give orders on the dashboard: cancel, retire, restart.",
)
token.command(
    "trio_dask.cli.token:link",
    name="link",
    help="Print a link that logs a browser in to the dashboard, once.",
)
token.command(
    "trio_dask.cli.token:rotate",
    name="rotate",
    help="Put a new token in the place of the old one, which is accepted for a while longer.",
    help_epilogue=examples("""
        trio-dask token rotate
        trio-dask token rotate --keep 0
        trio-dask token show | \\
            ssh node trio-dask token rotate --stdin"""),
)
token.command(
    "trio_dask.cli.token:forget",
    name="forget",
    help="Accept no token any more but the one of now.",
)
app.command(token)

certs = App(name="certs", help="Certificates for encrypted connections.")
certs.command(
    "trio_dask.cli.certs:new",
    name="new",
    help="Make a certificate, and first of all an authority if there is none.",
    usage="Usage: trio-dask certs new [OPTIONS] [DIRECTORY]",
    help_epilogue=examples("""
        trio-dask certs new ~/certs
        trio-dask certs new ~/certs --name ada --days 30"""),
)
app.command(certs)

config = App(name="config", help="The settings, and where they come from.")
config.command("trio_dask.cli.config:list_settings", name="list", help="Print all settings.")
config.command("trio_dask.cli.config:show", name="show", help="Print the value of one setting.")
config.command("trio_dask.cli.config:show", name="get", help="The same as show, as Dask calls it.")
config.command(
    "trio_dask.cli.config:find", name="find", help="Print the settings with a word in them."
)
config.command(
    "trio_dask.cli.config:explain",
    name="explain",
    help="Say what a setting is for, what it is, where that is from, and how it is set.",
)
app.command(config)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command; whatever goes wrong becomes one line on stderr and an exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    _open_what_is_closed()
    try:
        code = app(ours_and_theirs(words))
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever reads our output has enough of it; nothing more can be said there.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except SystemExit as end:
        if isinstance(end.__context__, BrokenPipeError):  # the same, of a page of help
            return 0
        raise
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - the edge: nobody above could tell the user
        if isinstance(error.__cause__, SystemExit):  # a signal, while a class was being made
            raise error.__cause__ from None
        line = failure_line(error)
        if line:
            print(f"trio-dask: {line}", file=sys.stderr)
        return exit_code(error)
    return code if isinstance(code, int) else 0


def _open_what_is_closed() -> None:
    """Have standard streams, as in ``>&-``, or a connection would take the place of one."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            fd = os.open(os.devnull, os.O_RDWR)  # the lowest that is free
            setattr(sys, name, os.fdopen(fd, mode, encoding="utf-8", closefd=fd != number))


def ours_and_theirs(words: list[str]) -> list[str]:
    """Mark where our options end, in front of a script: what follows it is its own.

    >>> ours_and_theirs(["run", "--nworkers", "2", "s.py", "--nworkers"])
    ['run', '--nworkers', '2', '--', 's.py', '--nworkers']
    >>> ours_and_theirs(["run", "-m", "module", "-m"])
    ['run', '--module', '--', 'module', '-m']
    >>> ours_and_theirs(["mpi", "--no-nanny", "s.py", "-x"])
    ['mpi', '--no-nanny', '--', 's.py', '-x']
    >>> ours_and_theirs(["job-script", "lsf", "--cores", "2", "s.py", "-x"])
    ['job-script', 'lsf', '--cores', '2', '--', 's.py', '-x']
    """
    at, before = 1, 1 if words[:1] == ["job-script"] else 0  # the system comes first
    while words[:1] in (["run"], ["mpi"], ["job-script"]) and at < len(words) and words[at] != "--":
        word = words[at]
        if word in {"-m", "--module"} and words[0] == "run":
            return [*words[:at], "--module", "--", *words[at + 1 :]]
        if word == "-" or not word.startswith("-"):
            if not before:
                return [*words[:at], "--", *words[at:]]
            before, at = before - 1, at + 1
        else:
            at += 1 if "=" in word or word in _WITHOUT_VALUE else 2
    return words
