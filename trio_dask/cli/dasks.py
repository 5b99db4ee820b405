"""Every option of Dask's commands, and what became of it here: for commands, tests, the reference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

#: It means what it means in Dask.
SAME: Final = "same"
#: It means the same, with a difference that is worth knowing.
DIFFERS: Final = "differs"
#: It is taken, and does nothing: why is said in one line.
MOOT: Final = "moot"


@dataclass(frozen=True, slots=True)
class DaskOption:
    """One option, as it is written, and what there is to say about it."""

    name: str
    state: str = SAME
    note: str = ""


def _moot(name: str, note: str) -> DaskOption:
    return DaskOption(name, MOOT, note)


def _differs(name: str, note: str) -> DaskOption:
    return DaskOption(name, DIFFERS, note)


_TLS: Final = (
    DaskOption("--tls-ca-file"),
    DaskOption("--tls-cert"),
    DaskOption("--tls-key"),
)

#: By command, in the order in which Dask's help has them.
DASK_OPTIONS: Final[dict[str, tuple[DaskOption, ...]]] = {
    "scheduler": (
        DaskOption("--host"),
        _differs("--port", "also ranges; several without as many protocols: the first free one"),
        DaskOption("--interface"),
        _differs("--protocol", "tcp and tls; no ws, wss or ucx"),
        *_TLS,
        DaskOption("--dashboard-address"),
        _differs("--dashboard", "without it nothing is left, and no port is bound"),
        _moot("--jupyter", "the scheduler runs no user code; start Jupyter beside it"),
        _moot("--show", "Dask ignores it, too"),
        DaskOption("--dashboard-prefix"),
        _moot("--use-xheaders", "Dask ignores it, too"),
        DaskOption("--pid-file"),
        _differs("--scheduler-file", "it carries the token, and only its owner can read it"),
        _differs(
            "--preload", "an import path; no file, address or text, which others could change"
        ),
        DaskOption("--idle-timeout"),
        DaskOption("--version"),
        DaskOption("--help"),
    ),
    "worker": (
        *_TLS,
        _differs("--worker-port", "also several by commas; the first that is free is taken"),
        _moot("--nanny-port", "the nanny is part of the worker, and has no port"),
        _differs("--dashboard-address", "one page and metrics of the process"),
        _differs("--dashboard", "off unless there is an address: the scheduler's has all of it"),
        DaskOption("--listen-address"),
        DaskOption("--contact-address"),
        DaskOption("--host"),
        DaskOption("--interface"),
        _differs("--protocol", "tcp and tls; no ws or ucx"),
        DaskOption("--nthreads"),
        _differs("--nworkers", "so many workers in one process, each with a child that runs tasks"),
        _differs("--name", "always text"),
        DaskOption("--memory-limit"),
        _differs("--nanny", "without it several workers are allowed"),
        _differs("--pid-file", "of the process that hosts the workers"),
        DaskOption("--local-directory"),
        DaskOption("--resources"),
        DaskOption("--scheduler-file"),
        DaskOption("--death-timeout"),
        DaskOption("--dashboard-prefix"),
        DaskOption("--lifetime"),
        DaskOption("--lifetime-stagger"),
        _moot("--worker-class", "there is one class of workers; your code runs in runners"),
        DaskOption("--lifetime-restart"),
        _differs("--preload", "a module or a file, loaded in the processes that run tasks"),
        _differs("--preload-nanny", "an import path, loaded in the worker's own process"),
        DaskOption("--scheduler-sni"),
        DaskOption("--version"),
        DaskOption("--help"),
    ),
}


DASK_OPTIONS["ssh"] = (
    DaskOption("--scheduler"),
    _differs("--scheduler-port", "also ranges"),
    DaskOption("--nthreads"),
    DaskOption("--nworkers"),
    DaskOption("--hostfile"),
    _differs("--ssh-username", "without it what ~/.ssh/config says counts"),
    DaskOption("--ssh-port"),
    _differs("--ssh-private-key", "without it what ~/.ssh/config says counts"),
    DaskOption("--nohost"),
    _differs("--log-directory", "on this machine: what each server says, in a file"),
    _differs("--local-directory", "on the hosts; it need not be here"),
    DaskOption("--remote-python"),
    DaskOption("--memory-limit"),
    _differs("--worker-port", "also ranges"),
    _moot("--nanny-port", "the nanny is part of the worker, and has no port"),
    _moot("--remote-dask-worker", "it is trio-dask worker in any case"),
    DaskOption("--version"),
    DaskOption("--help"),
)

DASK_OPTIONS["spec"] = (
    _differs("--spec", "classes are Scheduler, Worker and Nanny; several are processes"),
    _differs("--spec-file", "also JSON, and TOML; YAML needs the package pyyaml"),
    DaskOption("--version"),
    DaskOption("--help"),
)


def why_moot(command: str, option: str) -> str:
    """Why an option does nothing, for one line of the log."""
    [found] = [each for each in DASK_OPTIONS[command] if each.name == option]
    assert found.state == MOOT
    return f"{option} changes nothing: {found.note}"


def table(command: str) -> str:
    """The options of a command as a table of the reference."""
    words = {SAME: "the same", DIFFERS: "the same", MOOT: "taken, without effect"}
    rows = [
        f"| `{each.name}` | {words[each.state]}{'; ' if each.note else ''}{each.note} |"
        for each in DASK_OPTIONS[command]
    ]
    return "\n".join([f"| `dask {command}` | here |", "|---|---|", *rows])
