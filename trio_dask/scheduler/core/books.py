"""What the scheduler notes of its conversations and of those who come back, beside the tables."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trio_dask.messages import Lasting, Message
    from trio_dask.messages.reunion import Members
    from trio_dask.messages.session import RegisterClient, RegisterWorker
    from trio_dask.scheduler.core.agreeing import Doubt
    from trio_dask.scheduler.core.state import Client, Task, Worker


@dataclass(slots=True)
class Sessions:
    """The conversations, by peer."""

    peers: dict[str, int] = field(default_factory=dict)  # by secret
    secrets: dict[int, str] = field(default_factory=dict)
    away: dict[int, float] = field(default_factory=dict)  # since when
    owing: dict[int, Lasting] = field(default_factory=dict)  # a confirmation
    again: dict[int, list[Message]] = field(default_factory=dict)  # to be said before all else


@dataclass(slots=True)
class Membership:
    """Who is in the cluster, as everybody is told, so that a scheduler to come can be told."""

    version: int = 0
    witness: int = 0  # the peer that is told of each change at once
    workers: dict[str, None] = field(default_factory=dict)
    clients: dict[int, None] = field(default_factory=dict)
    come: dict[str | int, None] = field(default_factory=dict)  # since everybody was told
    gone: dict[str | int, None] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class Report:
    """What one who is back has told so far."""

    who: Client | Worker
    cluster: str  # the name of the one that it was in
    messages: list[Message] = field(default_factory=list)
    #: When submissions with a deadline came, by their first id: that counts from then on.
    came: dict[int, float] = field(default_factory=dict)
    whole: bool = False


@dataclass(slots=True)
class Reunion:
    """Those who come back to a scheduler that does not know them.

    While it is `recovering` all that others say waits in `backlog`, and `newcomers` wait.
    """

    #: The cluster may turn out to be one that had a scheduler before.
    provisional: bool = True
    own: str = ""  # the name that this scheduler gave its cluster, once somebody was back
    names: dict[str, None] = field(default_factory=dict)  # others that the cluster has had
    clients_to: int = 0  # newcomers, before anybody came back, got numbers up to this
    began: float | None = None  # when anything was first heard
    recovering: bool = False
    until: float = 0.0
    epoch: int = 0  # the highest that was heard of
    version: int = -1  # the highest of what is remembered
    memories: dict[str, Members] = field(default_factory=dict)  # the latest, by the cluster's name
    reports: dict[int, Report] = field(default_factory=dict)
    backlog: list[tuple[int, Message, float]] = field(default_factory=list)
    newcomers: dict[int, tuple[RegisterClient | RegisterWorker, float]] = field(
        default_factory=dict
    )
    #: Running attempts whose inputs are not there: those are not needed for them.
    adopted: dict[Task, None] = field(default_factory=dict)
    #: For clients inside tasks: those that workers had when they came back.
    numbers: dict[int, None] = field(default_factory=dict)
    #: Attempts that workers are told to stop, and the message after which they know it.
    disowned: dict[int, tuple[int, dict[int, int]]] = field(default_factory=dict)
    #: Workers that do not have what they were given, and how often they were asked.
    doubts: dict[int, Doubt] = field(default_factory=dict)

    @property
    def open(self) -> bool:
        """Whether there is anything out of the ordinary."""
        return self.recovering or bool(self.reports)
