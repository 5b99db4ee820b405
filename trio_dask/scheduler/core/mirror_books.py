"""What the scheduler notes of the records that workers keep for it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from trio_dask.messages.session import Answer
    from trio_dask.scheduler.core.state import Client, Worker

#: What a record is, beginning with its kind; the bytes that belong to it; what it takes in all.
Row: TypeAlias = tuple[list[Any], bytes, int]


@dataclass(slots=True, eq=False)
class Holder:
    """A worker that keeps the records, or is about to."""

    worker: Worker
    #: Those that it was not sent; None: it was sent nothing.
    todo: deque[int] | None = None
    # What is new, and it was not told: after what it has yet `todo`.
    added: dict[int, None] = field(default_factory=dict)
    gone: list[int] = field(default_factory=list)
    told: int = 0  # the version that it was told of last
    waits: bool = False  # for it to say that it has what it was sent
    confirmed: int = 0  # the version that it has; 0: not all of any

    @property
    def whole(self) -> bool:
        """Whether it has all the records of some version."""
        return self.confirmed > 0


@dataclass(slots=True, eq=False)
class Mirrors:
    """All records, who keeps them, and who waits until somebody does.

    A record never changes: what it is about gets another one.
    """

    version: int = 0
    needed: int = 0  # the version of the last change that somebody has to know of
    confirmed: int = 0  # the version that somebody else has
    rows: dict[int, Row] = field(default_factory=dict)
    nbytes: int = 0
    ids_ever: int = 0
    added: dict[int, None] = field(default_factory=dict)  # since holders were told
    gone: list[int] = field(default_factory=list)
    due: bool = False  # one holder is to be told something
    all_due: bool = False  # all are
    unsettled: bool = True  # others may have to be the holders
    holders: list[Holder] = field(default_factory=list)
    stale: dict[Worker, None] = field(default_factory=dict)  # they have records of before
    waiting: deque[tuple[int, Client, Answer]] = field(default_factory=deque)
    patient: deque[tuple[int, Client, Answer]] = field(default_factory=deque)  # nobody looks
    complaint: str = ""  # that there are too many; for who runs the scheduler
    # Where things are that have no place for the id of their record.
    flags: dict[str, int] = field(default_factory=dict)
    bounds: dict[str, int] = field(default_factory=dict)  # of queues
    paths: dict[tuple[str, ...], int] = field(default_factory=dict)  # in the metadata
    values: dict[int, int] = field(default_factory=dict)  # small ones, by task
    #: Workers with tasks that may hold locks, as nobody knows, and until when.
    lingering: dict[Worker, float] = field(default_factory=dict)
    expected: dict[int, None] = field(default_factory=dict)  # tasks that nobody has described
    #: Writes that are done, by client and the serial of the question, until the answer is heard.
    marks: dict[int, dict[int, int]] = field(default_factory=dict)
