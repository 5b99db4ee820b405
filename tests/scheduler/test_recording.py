"""A scheduler's event log happens again: the same decisions, and a wrong one is found by its number."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from itertools import count
from typing import TYPE_CHECKING, Any, cast

import pytest

from tests.scheduler.conftest import Driver
from trio_dask.errors import RemoteProtocolError
from trio_dask.eventlog import LogReader, Outcome, replay
from trio_dask.messages import nested, session, tasks as words
from trio_dask.messages.failure import Failure
from trio_dask.messages.ids import first_id
from trio_dask.messages.kept import VALUE_BYTES_MAX
from trio_dask.scheduler import Misuse, ReplayedScheduler, SchedulerCore
from trio_dask.scheduler.core import machine
from trio_dask.scheduler.recording import recorded
from trio_dask.testing import Fault, Simulation
from trio_dask.testing.simulation import scheduler as simulated

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from trio_dask.scheduler.recording import Core


@contextmanager
def recorded_cluster(path: Path) -> Iterator[Driver]:
    """A cluster whose core keeps a log."""
    driver = Driver()
    core = driver.core
    with recorded(core, str(path)) as told:
        driver.core = cast("SchedulerCore", told)
        yield driver


def again(path: Path, *, every: int | None = 1) -> tuple[Outcome, ReplayedScheduler]:
    """What comes out when the log happens again."""
    with path.open("rb") as file:
        log = LogReader(file)
        cores = ReplayedScheduler(log.recording)
        return replay(log, cores, every=every), cores


def story(cluster: Driver) -> None:
    """A bit of everything."""
    first = cluster.client()
    cluster.worker(2, resources={"GPU": 1})
    cluster.worker(3)
    tids = cluster.submit(first, [b"x", b"y", b"z"], [[], [], [first]], resources={"GPU": 1})
    run = cluster.run_last(2)
    cluster.done(2, run)
    cluster.tell(2, words.Slots(0))
    cluster.tell(2, words.RunnerDied([], cluster.run_of(2), [], {"signal": 9}))
    cluster.tell(2, words.Slots(1))
    more = cluster.submit(first + 100, [b""] * 2500)
    cluster.fail(3, cluster.run_last(3))
    cluster.tell(1, words.Cancel(more[2000:], "enough"))
    cluster.tick(1.0)
    cluster.leave(3)
    with pytest.raises(Misuse):
        cluster.tell(1, words.Release([7]))
    cluster.tell(1, words.Release(tids + more))


def test_a_log_happens_again(tmp_path: Path) -> None:
    """All decisions are the same, no rule is broken, and the end is the same."""
    path = tmp_path / "a.log"
    with recorded_cluster(path) as cluster:
        story(cluster)
        state = cluster.core.state
    outcome, cores = again(path)
    assert outcome.violations == []
    assert outcome.events > outcome.looks > 30, "in the middle of large jobs there is none"
    found = cores.core.state
    assert found.tasks.keys() == state.tasks.keys()
    assert (found.attempt, found.finished_ever) == (state.attempt, state.finished_ever)
    assert found.prefixes["inc"].mean_s == state.prefixes["inc"].mean_s
    assert cores.summary()["turned away"] == "1 times, for what made no sense"


def test_clients_inside_tasks_are_in_the_log(tmp_path: Path) -> None:
    """They come, submit and end with their tasks, then as now."""
    path = tmp_path / "a.log"
    with recorded_cluster(path) as cluster:
        first = cluster.client()
        cluster.worker(2)
        cluster.submit(first, [b"parent"])
        run = cluster.run(2)
        cluster.tell(2, nested.NumbersWanted(1))
        join = nested.NestedJoin(run.attempts[0], 2)
        cluster.core.nested_joined(-1, 2, join)
        cluster.tell(2, nested.Parked(run.attempts, [1]))
        inside = first_id(2)
        cluster.tell(-1, words.Functions([inside], ["inc"], [b"INC"]))
        cluster.submit(inside, [b"child", b"child"], peer=-1)
        cluster.done(2, run)
    outcome, cores = again(path)
    assert outcome.violations == []
    assert cores.summary()["in tasks"] == "1 clients"


def test_another_decision_is_found_by_its_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A core that forgets what is given back: the next time it speaks is the event that is named."""
    path = tmp_path / "a.log"
    with recorded_cluster(path) as cluster:
        first = cluster.client()
        cluster.worker(2)
        cluster.submit(first, [b"x"])
        cluster.tell(2, words.Returned(cluster.run_of(2)))
        cluster.tick(1.0)
    assert again(path)[0].violations == []
    with path.open("rb") as file:
        records = list(LogReader(file))
    given_back = next(each.number for each in records if type(each.message) is words.Returned)
    monkeypatch.setitem(machine._FROM_WORKER, words.Returned, lambda *_: None)
    (violation,) = again(path)[0].violations
    assert (violation.number, violation.what) == (given_back + 1, "flush")
    assert "Now it is nothing" in violation.text


def test_a_broken_rule_is_found_by_its_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A core that loses a worker's window when that changes its slots."""
    path = tmp_path / "a.log"
    with recorded_cluster(path) as cluster:
        first = cluster.client()
        cluster.worker(2)
        cluster.submit(first, [b"x"])
        cluster.tell(2, words.Slots(0))
        cluster.tick(1.0)

    def lose(_state: Any, worker: Any, _message: Any) -> None:
        worker.window.clear()
        worker.load.clear()

    monkeypatch.setitem(machine._FROM_WORKER, words.Slots, lose)
    outcome, _ = again(path)
    assert outcome.violations[0].what == "handle"
    assert outcome.violations[0].number == outcome.events
    assert "an assigned task is in a living worker's window" in str(outcome.violations[0])


def test_a_core_that_raises_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the error and the line."""
    path = tmp_path / "a.log"
    with recorded_cluster(path) as cluster:
        cluster.worker(2)
        cluster.tell(2, words.Slots(0))

    def fail(*_: object) -> None:
        raise KeyError("of a table")

    monkeypatch.setitem(machine._FROM_WORKER, words.Slots, fail)
    (violation,) = again(path)[0].violations
    assert "KeyError: 'of a table' (" in violation.text


def test_a_log_of_something_else_is_refused(tmp_path: Path) -> None:
    """Events that a scheduler is not told, and settings that it has not."""
    path = tmp_path / "a.log"
    with recorded_cluster(path) as cluster:
        cast("Any", cluster.core)._log.tell("runner_ready", 0)
    with pytest.raises(RemoteProtocolError, match="event 1 cannot be replayed: 'runner_ready'"):
        again(path)
    with path.open("rb") as file:
        recording = LogReader(file).recording
    recording.settings["lucky_number"] = 7
    with pytest.raises(RemoteProtocolError, match="lucky_number"):
        ReplayedScheduler(recording)


def test_without_a_log_the_core_is_not_wrapped() -> None:
    """It costs nothing not to record."""
    core = SchedulerCore(Driver().core.state.settings, cluster="c")
    with recorded(core, "") as told:
        assert told is core


@pytest.mark.simulation
@pytest.mark.parametrize("seed", range(12))
def test_simulated_clusters_happen_again(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Deaths, broken connections, cancellations: what simulated schedulers were told."""
    with ExitStack() as stack:

        def make(*arguments: Any, **named: Any) -> Core:
            core = SchedulerCore(*arguments, **named)
            return stack.enter_context(recorded(core, str(tmp_path / "a.log")))

        monkeypatch.setattr(simulated, "SchedulerCore", make)
        assert Simulation(seed=seed).run().ok
    outcomes = [again(path, every=None)[0] for path in tmp_path.iterdir()]
    assert not any(each.violations for each in outcomes)
    assert sum(each.events for each in outcomes) > 10


@pytest.mark.simulation
@pytest.mark.parametrize("seed", range(3))
def test_what_the_cluster_keeps_happens_again(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Schedulers that have it from workers and clients of the one before: it is theirs in the log, too."""
    with ExitStack() as stack:
        lives = count()

        def make(*arguments: Any, **named: Any) -> Core:
            core = SchedulerCore(*arguments, **named)
            return stack.enter_context(recorded(core, str(tmp_path / f"{next(lives)}.log")))

        monkeypatch.setattr(simulated, "SchedulerCore", make)
        deaths = [
            Fault(at=at, kind="scheduler dies", host="scheduler", seconds=0.05) for at in (0.7, 1.4)
        ]
        run = Simulation(seed=seed, workers=2, clients=3, workload="shared", faults=deaths).run()
        assert run.ok, run.report()
    adopted = 0
    for path in sorted(tmp_path.iterdir()):
        outcome, cores = again(path, every=None)
        assert not outcome.violations
        adopted += len(cores.core.state.mirrors.rows)
    assert next(lives) == 3
    assert adopted


def test_what_is_kept_for_clients_is_in_no_log(tmp_path: Path) -> None:
    """Nor is what errors say; it happens again all the same, lengths and all."""
    path = tmp_path / "a.log"
    with recorded_cluster(path) as cluster:
        first = cluster.client()
        cluster.worker(2)
        cluster.submit(first, [b"x"])
        failure = Failure("builtins.ValueError", "SECRET").to_bytes()
        cluster.fail(2, cluster.run(2), failure)
        asked: list[tuple[str, dict[str, Any]]] = [
            ("why", {"tid": first}),
            ("queue.put", {"token": 1, "name": "q", "data": b"SECRET", "tids": [first]}),
            ("queue.get", {"token": 2, "name": "q", "want": 1}),
            ("variable.set", {"name": "v", "data": b"SECRET" * 10}),
            ("variable.set", {"name": "v", "data": bytes(VALUE_BYTES_MAX + 1)}),
            ("topic.listen", {"topics": ["t"]}),
            ("topic.log", {"topics": ["t"], "event": b"SECRET"}),
            ("metadata.set", {"path": ["m"], "tree": {"a": b"SECRET", "b": {"c": b""}}}),
            ("coordination", {}),
        ]
        for serial, (topic, params) in enumerate(asked):
            cluster.tell(1, session.Ask(serial, topic, params))
        kept = cluster.core.state.records
    assert b"SECRET" not in path.read_bytes()
    _, cores = again(path)
    found = cores.core.state.records
    assert (found.nbytes, found.metadata_bytes) == (kept.nbytes, kept.metadata_bytes)
    assert found.nbytes > 60
    assert found.topics.nbytes == kept.topics.nbytes
