"""The scheduler file: how workers and clients that share a file system find a scheduler.

It carries the token, so whoever can read it needs nothing else; it is for its
owner's eyes only.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING

from trio_dask.config.private_files import read_private, write_private
from trio_dask.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerFile:
    """What the file says."""

    id: str
    address: str
    token: str = field(repr=False)
    type: str = "Scheduler"


def write_scheduler_file(path: Path, content: SchedulerFile) -> None:
    """Put the file there, complete at once: a reader never sees half of it."""
    write_private(path, json.dumps(asdict(content), indent=2) + "\n")


def read_scheduler_file(path: Path) -> SchedulerFile:
    """Read what a scheduler wrote.

    Raises:
        FileNotFoundError: no scheduler has written it yet.
        AuthenticationError: others can read it.
        ConfigError: it is not a scheduler file.
    """
    names = {each.name for each in fields(SchedulerFile)}
    try:
        raw = json.loads(read_private(path))
        content = {name: value for name, value in raw.items() if name in names}
        if not all(isinstance(value, str) for value in content.values()):
            raise TypeError
        return SchedulerFile(**content)
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        msg = f"{path} is not a scheduler file"
        raise ConfigError(msg) from error
