"""What `cluster` and `run` have in common: the size of a cluster on this machine, and its lines."""

from __future__ import annotations

import logging
import re
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Final

from cyclopts import Parameter

from trio_dask.cli.checks import check_scratch, some_path, visible
from trio_dask.cli.logs import in_colour
from trio_dask.config import AUTO, load_settings

_NAMES: Final = ("nworkers", "nthreads", "memory_limit", "name", "local_directory", "resources")
_SPELLED: Final = {f"worker.{name}": f"--{name.replace('_', '-')}" for name in _NAMES}
#: Each worker may add so much to the time that a start may take.
_START_S: Final = 30.0
_START_PER_WORKER_S: Final = 1.0

_LOG_LINE: Final = re.compile(r"[-\d]{10} [:,\d]{12} - trio_dask[.\w]* - ([A-Z]+) - ")


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class LocalOptions:
    """How many workers of which kind.

    Args:
        nworkers: How many workers; -1 for one per processor. [default: as many as suit the
            processors]
        nthreads: How many tasks each worker runs at once. [default: the processors, shared]
        memory_limit: Memory of each worker, as `4GiB`, `0.25` (of the machine's), or 0 for no
            limit. [default: the machine's, shared]
        name: What the workers' names begin with. [default: local]
        local_directory: Where tasks may write files, and values go when memory is short.
            [default: the temporary directory]
        resources: What tasks may ask for, of each worker, as `"GPU=2 MEM=10e9"`.
    """

    nworkers: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None
    nthreads: int | None = None
    memory_limit: str | None = None
    name: Annotated[str | None, Parameter(validator=visible)] = None
    local_directory: Annotated[Path | None, Parameter(validator=visible, converter=some_path)] = (
        None
    )
    resources: str | None = None

    def given(self) -> list[str]:
        """The options that were given."""
        return [
            _SPELLED[f"worker.{name}"] for name, value in asdict(self).items() if value is not None
        ]

    def arguments(self) -> dict[str, Any]:
        """The same for `open_local_cluster`, completed by what the user has configured.

        Raises:
            ConfigError: a value makes no sense.
        """
        check_scratch(self.local_directory)
        values = asdict(self) | {"local_directory": _text(self.local_directory)}
        overrides = {f"worker.{name}": value for name, value in values.items()}
        loaded = load_settings(overrides=overrides, spelled=_SPELLED)
        worker, asked = loaded.config.worker, loaded.origins
        n_workers = worker.nworkers if "worker.nworkers" in asked else AUTO
        return {
            "n_workers": None if n_workers == AUTO else n_workers,
            "threads_per_worker": None if worker.nthreads == AUTO else worker.nthreads,
            "memory_limit": "auto" if worker.memory_limit == AUTO else worker.memory_limit,
            "name": worker.name or None,
            "local_directory": worker.local_directory or None,
            "resources": worker.resources or None,
            "start_timeout_s": _START_S + _START_PER_WORKER_S * max(0, n_workers),
        }


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


def show(line: str) -> None:
    """Show a line that a server has written on stderr: of its log, or what a task prints."""
    if not line.startswith("trio-dask: "):  # why it did not start or has ended: ours to say
        found = _LOG_LINE.match(line)
        say(in_colour(line, logging.getLevelNamesMapping().get(found[1], 0)) if found else line)


def say(line: str) -> None:
    """Print a line on stderr; if nobody reads it, that is no reason to end."""
    with suppress(OSError, ValueError):
        print(line, file=sys.stderr, flush=True)
