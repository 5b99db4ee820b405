"""``trio-dask spec``: servers as a file describes them, or a text, for tools that start them so."""

from __future__ import annotations

import difflib
import json
import logging
import os
import signal
import subprocess
import sys
import tomllib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final

import trio
from cyclopts import Parameter

from trio_dask.cli.logs import log_to_stderr
from trio_dask.cli.options import LogOptions
from trio_dask.cli.serving import run_until_signal
from trio_dask.config import load_config
from trio_dask.errors import ConfigError

logger = logging.getLogger("trio_dask.spec")

_LOG = LogOptions()
#: The command of each class, by the last part of its name.
_COMMANDS: Final = {"Scheduler": "scheduler", "Worker": "worker", "Nanny": "worker"}
_PLACES: Final = ("", "distributed", "dask.distributed", "trio_dask")
#: Arguments of Dask's classes that its command lines, and so ours, call otherwise.
_RENAMED: Final = {
    "scheduler": {"http_prefix": "dashboard_prefix"},
    "worker": {"port": "worker_port", "ncores": "nthreads"},
}
#: Options of ours that are for those who start us as a child.
_OURS: Final = ("tied", "unnumbered", "token_on_stdin", "workers_file", "help", "version")
_OF_CHILDREN: Final = {"scheduler": (), "worker": ("--unnumbered",)}


@dataclass(frozen=True, slots=True)
class Planned:
    """One server: a command, its words, and what is added to its environment."""

    command: str
    words: tuple[str, ...]
    environ: Mapping[str, str] = field(default_factory=dict)

    @property
    def lost(self) -> bool:
        """Whether it is a worker that is not told where its scheduler is."""
        told = any(not word.startswith("--") or "--scheduler-file=" in word for word in self.words)
        return self.command == "worker" and not told


def spec(
    *args: str,
    spec: Annotated[str | None, Parameter(name="--spec", validator=())] = None,
    spec_file: Path | None = None,
    log: LogOptions = _LOG,
) -> Any:
    """Start servers as a text or a file describes them, until a signal comes.

    Args:
        args: The address of the scheduler, for workers.
        spec: What to start, in JSON: an object with `cls` and `opts`, or several by name.
        spec_file: The same in a file, in YAML, JSON or TOML.
        log: What is said on stderr.
    """
    if (spec is None) == (spec_file is None):
        msg = "give either --spec, with JSON, or --spec-file, with a file that says what to start"
        raise ConfigError(msg)
    where = "--spec" if spec_file is None else f"--spec-file {spec_file}"
    logged = {"log_level": log.log_level, "log_format": log.log_format}
    plans = plan(_read(spec, spec_file), args, where, logged)
    if len(plans) == 1:  # then this process is it
        from trio_dask.cli.app import app

        [only] = plans.values()
        os.environ.update(only.environ)
        return app([only.command, *only.words])
    config = load_config(overrides={"log_format": log.log_format})
    lost = [name for name, each in plans.items() if each.lost]
    if lost and not config.scheduler_address:  # tied, they would wait to be told by us
        msg = f"{where}, {lost[0]}: where is the scheduler? Give its address after the options"
        raise ConfigError(msg)
    log_to_stderr(log.log_level, config.log_format)
    crew = _Crew(plans)
    run_until_signal(crew.run, gently=crew.leave)
    return crew.code


# ------------------------------------------------------------------ what it says


def _read(text: str | None, path: Path | None) -> Any:
    if text is not None:
        try:
            return json.loads(text)
        except ValueError as error:
            msg = f"--spec: this is no JSON: {error}"
            raise ConfigError(msg) from error
    assert path is not None
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
        msg = f"--spec-file: {path} cannot be read: {why}"
        raise ConfigError(msg) from error
    try:
        return tomllib.loads(text) if path.suffix == ".toml" else _json_or_yaml(text)
    except ImportError as error:
        msg = (
            f"--spec-file: {path} is no JSON, and YAML needs the package pyyaml; there is TOML, too"
        )
        raise ConfigError(msg) from error
    except Exception as error:  # yaml has errors of its own
        msg = f"--spec-file: {path} cannot be understood: {' '.join(str(error).split())}"
        raise ConfigError(msg) from error


def _json_or_yaml(text: str) -> Any:
    with suppress(ValueError):
        return json.loads(text)
    import yaml

    return yaml.safe_load(text)


def plan(
    content: Any, args: Sequence[str], where: str, options: Mapping[str, Any]
) -> dict[str, Planned]:
    """What is to be started, by name, with these options where it says nothing else.

    Raises:
        ConfigError: it is not understood.
    """
    if isinstance(content, Mapping) and "cls" in content:
        content = {"": content}
    if not isinstance(content, Mapping) or not content:
        msg = f'{where}: an object with cls and opts, as {{"cls": "Worker", "opts": {{}}}}, or several by name'
        raise ConfigError(msg)
    return {
        str(name): _planned(str(name), each, args, where, options) for name, each in content.items()
    }


def _planned(
    name: str, content: Any, args: Sequence[str], where: str, given: Mapping[str, Any]
) -> Planned:
    place = f"{where}, {name}" if name else where
    if not isinstance(content, Mapping) or set(content) - {"cls", "opts"} or "cls" not in content:
        msg = f"{place}: cls and opts belong there, and nothing else"
        raise ConfigError(msg)
    package, _, last = str(content["cls"]).rpartition(".")
    command = _COMMANDS.get(last)
    if command is None or package not in _PLACES:
        msg = f"{place}: cls {content['cls']!r} is none of {', '.join(_COMMANDS)}; your code runs in runners"
        raise ConfigError(msg)
    opts = content.get("opts") or {}
    if not isinstance(opts, Mapping):
        msg = f"{place}: opts is an object, by name of the option"
        raise ConfigError(msg)
    options = {**given, **{str(key): value for key, value in opts.items()}}
    environ = options.pop("env", None) or options.pop("environ", None) or {}
    if not isinstance(environ, Mapping):
        msg = f"{place}: env is an object, by name of the variable"
        raise ConfigError(msg)
    if name and command == "worker":
        options.setdefault("name", name)
    words = [*(args if command == "worker" else ()), *_words(options, command, place)]
    return Planned(command, tuple(words), {str(key): str(value) for key, value in environ.items()})


def _words(options: Mapping[str, Any], command: str, place: str) -> list[str]:
    known = _known(command)
    words: list[str] = []
    for given, value in options.items():
        name = _RENAMED[command].get(given, given).replace("_", "-")
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; the nearest is {near[0].replace('-', '_')}" if near else ""
            msg = f"{place}: {command} has no option {given}{hint}"
            raise ConfigError(msg)
        words += option_words(name, value)
    return words


def option_words(name: str, value: Any) -> list[str]:
    """An option of a command line with a value of any kind; nothing for None.

    >>> option_words("resources", {"GPU": 1}), option_words("nanny", False)
    (['--resources=GPU=1'], ['--no-nanny'])
    """
    if value is None:
        return []
    if isinstance(value, bool):
        return [f"--{name}" if value else f"--no-{name}"]
    if isinstance(value, Mapping):
        return [f"--{name}=" + " ".join(f"{key}={each}" for key, each in value.items())]
    each_value = value if isinstance(value, list | tuple) else [value]
    return [f"--{name}={each}" for each in each_value]


def _known(command: str) -> list[str]:
    from trio_dask.cli.app import app

    names = [
        name.removeprefix("--")
        for each in app[command].assemble_argument_collection()
        for name in each.names
        if name.startswith("--") and not name.startswith("--no-")
    ]
    return [name for name in names if name.replace("-", "_") not in _OURS]


# ------------------------------------------------------------------ several of them


class _Crew:
    """Several servers as children: they end together, and with this process."""

    def __init__(self, plans: Mapping[str, Planned]) -> None:
        self._plans: Final = plans
        self._processes: dict[str, trio.Process] = {}
        self._leaving = False
        #: The exit code: of the first that did not end well.
        self.code = 0

    async def run(self) -> None:
        """Until all have ended. Cancelled, they are cut short."""
        async with trio.open_nursery() as nursery:
            try:
                for name, planned in self._plans.items():
                    self._processes[name] = process = await self._start(planned)
                    nursery.start_soon(self._watch, name, process)
            except OSError:
                self._tell_all(signal.SIGKILL)
                raise

    async def _start(self, planned: Planned) -> trio.Process:
        own = [sys.executable, "-P", "-m", "trio_dask", planned.command, *planned.words]
        process: trio.Process = await trio.lowlevel.open_process(
            [*own, "--tied", *_OF_CHILDREN[planned.command]],
            stdin=subprocess.PIPE,  # it ends with that, and so with us, however we end
            env=os.environ | dict(planned.environ),
            start_new_session=True,  # Ctrl-C is ours to pass on
        )
        return process

    async def _watch(self, name: str, process: trio.Process) -> None:
        code = await process.wait()
        if process.stdin is not None:
            await process.stdin.aclose()
        if code:
            logger.error("%s has ended with exit code %d", name, code)
            self.code = self.code or (code if code > 0 else 1)
            self.leave("")

    def leave(self, reason: str) -> bool:
        """Have all of them end in good order, whatever the `reason`."""
        if not self._leaving:
            self._leaving = True
            self._tell_all(signal.SIGTERM)
        return True

    def _tell_all(self, number: signal.Signals) -> None:
        for process in self._processes.values():
            with suppress(OSError):
                process.send_signal(number)
