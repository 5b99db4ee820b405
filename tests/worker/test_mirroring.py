"""What a worker keeps for a scheduler to come."""

from __future__ import annotations

from typing import Any

import pytest

from tests.worker.test_announcing import lasting_core, told
from trio_dask.errors import RemoteProtocolError
from trio_dask.messages import session
from trio_dask.messages.reunion import Announced, Mirror, Mirrored
from trio_dask.worker.core import ToScheduler, WorkerCore, mirroring


def mirror(version: int, ids: list[int], *gone: int, anew: bool = False) -> Mirror:
    """Records with these ids."""
    heads: dict[str, Any] = {"of": [["item", each] for each in ids]} if ids else {}
    blobs = [b"%d" % each for each in ids]
    return Mirror(version, anew=anew, ids=ids, heads=heads, blobs=blobs, gone=list(gone))


def hear(core: WorkerCore, *messages: Mirror) -> None:
    """The scheduler says these."""
    for each in messages:
        core.on_scheduler(each)


def kept(core: WorkerCore) -> list[tuple[int, list[int]]]:
    """What another scheduler is told: versions and ids."""
    core.scheduler_lost()
    core.on_scheduler(session.Resumed(-1))
    core.on_scheduler(session.Welcome(1, "c", 2))
    (action,) = core.flush()
    assert isinstance(action, ToScheduler)
    assert type(action.messages[-1]) is Announced
    return [(each.version, each.ids) for each in action.messages if isinstance(each, Mirror)]


def test_it_says_that_it_has_them() -> None:
    """Once for all that it was told meanwhile."""
    core = lasting_core()
    hear(core, mirror(0, [1, 2], anew=True), mirror(5, [3]), mirror(6, [4], 1, 9))
    assert core.flush() == [ToScheduler([Mirrored(6)])]
    assert kept(core) == [(6, [2, 3, 4])]
    assert kept(core) == [(6, [2, 3, 4])]  # as often as it is asked


def test_it_tells_them_as_it_has_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """In parts that are not too large; the last says which version it is."""
    monkeypatch.setattr(mirroring, "_ROWS_MAX", 2)
    core = lasting_core()
    hear(core, mirror(5, [1, 2, 3], anew=True))
    core.flush()
    assert kept(core) == [(0, [1, 2]), (5, [3])]
    said = told(core)[Mirror]
    assert said == Mirror(5, False, [3], {"of": [["item", 3]]}, [b"3"], [])


def test_it_keeps_what_it_has_until_it_has_the_next() -> None:
    """A scheduler that dies while it tells all has told nothing."""
    core = lasting_core()
    hear(core, mirror(5, [1, 2], anew=True), mirror(0, [8], anew=True))
    core.flush()
    assert kept(core) == [(5, [1, 2])]
    hear(core, mirror(9, [7]))
    core.flush()
    assert kept(core) == [(9, [8, 7])]


def test_what_is_not_whole_is_better_than_nothing() -> None:
    """It says so."""
    core = lasting_core()
    hear(core, mirror(0, [8], anew=True))
    core.flush()
    assert kept(core) == [(0, [8])]


def test_it_need_not_keep_them_any_more() -> None:
    """And then has nothing to tell."""
    core = lasting_core()
    hear(core, mirror(5, [1, 2], anew=True), mirror(0, [], anew=True))
    core.flush()
    assert kept(core) == []


@pytest.mark.parametrize("heads", [{}, {"of": 3}, {"of": []}, {"of": [1, 2]}])
def test_records_without_heads(heads: dict[str, Any]) -> None:
    """A scheduler does not say that."""
    core = lasting_core()
    with pytest.raises(RemoteProtocolError, match="heads"):
        core.on_scheduler(Mirror(1, anew=True, ids=[1], heads=heads, blobs=[b""], gone=[]))
