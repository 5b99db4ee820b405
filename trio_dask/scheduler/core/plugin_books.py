"""Which plugins there are, and which are about to come or go."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trio_dask.scheduler.core.state import Client, Worker


@dataclass(slots=True, eq=False)
class Change:
    """A plugin that comes or goes, and the client, if any, that waits until that is so everywhere."""

    number: int
    client: Client | None
    question: int
    name: str
    blob: bytes
    left: dict[Worker, None] = field(default_factory=dict)
    failures: dict[str, bytes] = field(default_factory=dict)  # by address


@dataclass(slots=True, eq=False)
class PluginBooks:
    """All plugins, in the order in which they came, and the changes that are under way."""

    there: dict[str, bytes] = field(default_factory=dict)
    changes: dict[int, Change] = field(default_factory=dict)
    changes_ever: int = 0
    #: Those that nobody has set up so far: who comes is asked how that went.
    untried: dict[str, None] = field(default_factory=dict)
