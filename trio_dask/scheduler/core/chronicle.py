"""What has happened to the cluster, for people: who came and went, and what died.

Only what is rare is written down, so that a task pays nothing for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from trio_dask.scheduler.core.state import ClusterState

#: What kind of thing has happened.
WORKER: Final = "worker"
CLIENT: Final = "client"
DEATH: Final = "death"
FAILURE: Final = "failure"
CLUSTER: Final = "cluster"

#: So many are remembered.
KEPT: Final = 1_000
_TEXT_MAX: Final = 500
#: What was said among the last few entries, so long ago at most, is counted there.
_TOGETHER_S: Final = 10.0
_AMONG: Final = 8


class Happened(NamedTuple):
    """Something has happened, perhaps several times in a row."""

    at: float  # the last time
    kind: str
    who: str
    text: str
    times: int = 1


def note(state: ClusterState, kind: str, who: str, text: str) -> None:
    """Write it down; what is said again at once is counted."""
    happened = state.happened
    entry = Happened(state.now, kind, who[:_TEXT_MAX], text[:_TEXT_MAX])
    for back in range(1, min(len(happened), _AMONG) + 1):
        before = happened[-back]
        if before[1:4] == entry[1:4] and entry.at - before.at < _TOGETHER_S:
            del happened[-back]  # the last one is always the newest
            entry = entry._replace(times=before.times + 1)
            break
    happened.append(entry)
