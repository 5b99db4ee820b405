"""What dies costs time, not results; what cannot be made again is lost with a reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from trio_dask.messages import session, tasks as words
from trio_dask.messages.failure import Failure
from trio_dask.messages.fleet import Copy
from trio_dask.scheduler.core.deaths import Deaths, death_of
from trio_dask.scheduler.core.failures import killed
from trio_dask.scheduler.core.lifecycle import MOVES_MAX

if TYPE_CHECKING:
    from tests.scheduler.conftest import Driver

CLIENT, A, B = 1, 10, 11


def test_a_lost_worker_costs_time_only(cluster: Driver) -> None:
    """Its attempts and the values only it held are made again elsewhere."""
    first = cluster.client()
    cluster.worker(A)
    cluster.submit(first, [b"a"])
    cluster.done(A, cluster.run(A), None)
    cluster.submit(first + 1, [b"b"], [[first]])
    assert cluster.run(A).tids == [first + 1]
    b = cluster.worker(B)
    cluster.heard(CLIENT)
    cluster.leave(A)
    assert cluster.heard(CLIENT) == [words.Again([first])]
    run = cluster.run(B)
    assert run.tids == [first]
    cluster.done(B, run, None)
    assert cluster.heard(CLIENT) == [words.Finished([first], [9], [b""], [0], [b])]
    assert cluster.run(B).tids == [first + 1]


def test_what_was_released_is_made_again_for_a_dependent(cluster: Driver) -> None:
    """An intermediate nobody holds any more is run again if a later value is lost."""
    first = cluster.client()
    cluster.worker(A)
    cluster.submit(first, [b"a"])
    cluster.submit(first + 1, [b"b"], [[first]])
    cluster.tell(CLIENT, words.Release([first]))
    cluster.done(A, cluster.run(A), b"small")
    cluster.done(A, cluster.run(A), None)
    cluster.worker(B)
    cluster.leave(A)
    run = cluster.run(B)
    assert run.tids == [first]
    cluster.done(B, run, b"small")
    assert cluster.run(B).tids == [first + 1]


def test_scattered_values_are_lost_with_a_reason(cluster: Driver) -> None:
    """A value that a client put on a dead worker is lost, and so is what needs it."""
    first = cluster.client()
    a = cluster.worker(A)
    cluster.tell(CLIENT, words.Put([first], [100], [], False))
    assert cluster.heard(CLIENT) == [words.PutAt([first], [0], [a])]
    cluster.submit(first + 1, [b"b"], [[first]])
    cluster.tell(A, words.Stored([first], [100]))
    assert cluster.heard(CLIENT) == [words.Finished([first], [100], [b""], [0], [a])]
    cluster.run(A)
    cluster.leave(A)
    failed, lost = sorted(cluster.heard(CLIENT), key=lambda each: type(each).__name__)
    assert isinstance(failed, words.Failed)
    assert isinstance(lost, words.Lost)
    assert (lost.tids, failed.tids) == ([first], [first + 1])
    assert "w10" in lost.reason
    cluster.tell(CLIENT, words.Release([first, first + 1]))
    assert cluster.at_rest()


def test_a_dependent_of_a_lost_value_fails(cluster: Driver) -> None:
    """It fails at once, with DataLost, whether it waited or comes later."""
    first = cluster.client()
    cluster.worker(A)
    cluster.tell(CLIENT, words.Put([first], [100], [], False))
    cluster.tell(A, words.Stored([first], [100]))
    cluster.leave(A)
    cluster.heard(CLIENT)
    cluster.submit(first + 1, [b"b"], [[first]])
    (failed,) = cluster.heard(CLIENT)
    assert isinstance(failed, words.Failed)
    failure = Failure.from_bytes(failed.failures[0])
    assert failure.kind == "trio_dask.errors.DataLost"
    assert "left" in failure.message


def test_what_failed_for_want_of_data_runs_anew(cluster: Driver) -> None:
    """Its key is submitted again, with another input; who holds the old future keeps its error."""
    first, second = cluster.client(1), cluster.client(2)
    cluster.worker(A)
    cluster.tell(CLIENT, words.Put([first], [100], [], False))
    cluster.tell(A, words.Stored([first], [100]))
    cluster.submit(first + 1, [b"b"], [[first]], keys=["x"])
    cluster.submit(first + 2, [b"c"], [[first + 1]], keys=["y"])
    cluster.leave(A)
    assert {type(each) for each in cluster.heard(CLIENT)} >= {words.Lost, words.Failed}
    cluster.submit(second, [b"b"], [[first]], keys=["x"], peer=2)  # of what is lost: the same again
    (failed,) = cluster.heard(2)
    assert isinstance(failed, words.Failed)
    cluster.worker(B)
    cluster.submit(second + 1, [b"b"], keys=["x"], peer=2)
    cluster.submit(second + 2, [b"c"], [[second + 1]], keys=["y"], peer=2)
    run = cluster.run_last(B)
    assert (run.tids, run.keys) == ([second + 1], ["x"])
    cluster.done(B, run)
    run = cluster.run_last(B)
    assert (run.tids, run.keys) == ([second + 2], ["y"])
    cluster.done(B, run)
    told = [each.tids for each in cluster.heard(2) if isinstance(each, words.Finished)]
    assert [tid for tids in told for tid in tids] == [second + 1, second + 2]
    assert not cluster.heard(CLIENT), "those are over"
    cluster.leave(CLIENT)
    cluster.leave(2)
    assert cluster.at_rest()


@pytest.mark.parametrize("kind", ["ValueError", "trio_dask.errors.DataLost"])
def test_what_its_function_failed_with_fails_for_all(cluster: Driver, kind: str) -> None:
    """Also where that is what a task of its own has raised."""
    first = cluster.client(1)
    cluster.worker(A)
    cluster.submit(first, [b"b"], keys=["x"])
    failure = Failure(kind=kind, message="no", origin={"key": "x"}).to_bytes()
    (attempt,) = cluster.run(A).attempts
    cluster.tell(A, words.Done([attempt], [words.ERROR], [0.1], [9], [failure]))
    cluster.heard(CLIENT)
    cluster.submit(first + 1, [b"b"], keys=["x"])
    (failed,) = cluster.heard(CLIENT)
    assert isinstance(failed, words.Failed)
    assert failed.tids == [first + 1]
    assert failed.failures == [failure]
    assert not cluster.heard(A)


def test_puts_wait_for_a_worker(cluster: Driver) -> None:
    """Where to store is said when there is somewhere."""
    first = cluster.client()
    cluster.tell(CLIENT, words.Put([first], [100], [], False))
    assert cluster.heard(CLIENT) == []
    a = cluster.worker(A)
    assert cluster.heard(CLIENT) == [words.PutAt([first], [0], [a])]


def test_a_put_at_a_worker_that_left_is_placed_again(cluster: Driver) -> None:
    """The worker may have died before it could say that it stores the value."""
    first = cluster.client()
    cluster.worker(A)
    cluster.tell(CLIENT, words.Put([first], [100], [], False))
    cluster.heard(CLIENT)
    cluster.leave(A)
    assert cluster.heard(CLIENT) == []
    b = cluster.worker(B)
    assert cluster.heard(CLIENT) == [words.PutAt([first], [0], [b])]


def test_scattered_data_let_go_of_cannot_be_made_again(cluster: Driver) -> None:
    """A result whose scattered input was released is lost with its holder, and says why."""
    first = cluster.client()
    cluster.worker(A)
    cluster.tell(CLIENT, words.Put([first], [100], [], False))
    cluster.tell(A, words.Stored([first], [100]))
    cluster.submit(first + 1, [b"b"], [[first]])
    cluster.tell(CLIENT, words.Release([first]))
    cluster.done(A, cluster.run(A), None)
    cluster.heard(CLIENT)
    cluster.leave(A)
    again, failed = cluster.heard(CLIENT)
    assert again == words.Again([first + 1])
    assert isinstance(failed, words.Failed)
    assert "let go of" in Failure.from_bytes(failed.failures[0]).message
    cluster.tell(CLIENT, words.Release([first + 1]))
    assert cluster.at_rest()


def test_one_bad_input_stops_the_others(cluster: Driver) -> None:
    """Inputs begun for a task that cannot run after all are brought to rest again."""
    first = cluster.client()
    cluster.worker(A)
    cluster.tell(CLIENT, words.Put([first], [100], [], False))
    cluster.tell(A, words.Stored([first], [100]))
    cluster.submit(first + 1, [b"a"])
    cluster.submit(first + 2, [b"b"], [[first + 1, first]])
    cluster.tell(CLIENT, words.Release([first, first + 1]))
    cluster.done(A, cluster.run(A), b"small")
    cluster.done(A, cluster.run(A), None)
    cluster.leave(A)
    cluster.worker(B)
    assert cluster.heard(B) == []


def test_a_broadcast_goes_everywhere(cluster: Driver) -> None:
    """Every worker gets the value, and holds it until it is released."""
    first = cluster.client()
    a = cluster.worker(A)
    cluster.worker(B)
    cluster.tell(CLIENT, words.Put([first], [100], [], True))
    assert cluster.heard(CLIENT) == [words.PutAt([first], [0], [a])]
    cluster.tell(A, words.Stored([first], [100]))
    assert cluster.heard(B) == [Copy([first], [0], [a])]
    cluster.tell(B, words.Replicas([first]))
    cluster.leave(A)
    assert [type(each) for each in cluster.heard(CLIENT)] == [words.Finished]
    cluster.tell(CLIENT, words.Release([first]))
    assert cluster.heard(B) == [words.Free([first])]


def test_a_dead_runner_is_blamed_on_what_ran(cluster: Driver) -> None:
    """What was running when it died is tried again, but not for ever; the rest is innocent."""
    first = cluster.client()
    cluster.worker(A)
    cluster.submit(first, [b"killer", b"bystander"])
    for death in range(4):
        cluster.tell(A, words.Slots(1))
        running, *queued = cluster.run(A).attempts
        cluster.tell(A, words.Slots(0))
        cluster.tell(A, words.RunnerDied([running], queued, [], {"signal": 9, "pid": death}))
    (failed,) = cluster.heard(CLIENT)
    assert isinstance(failed, words.Failed)
    assert failed.tids == [first]
    failure = Failure.from_bytes(failed.failures[0])
    assert failure.kind == "trio_dask.errors.KilledWorker"
    assert failure.message.count("signal 9") == 4
    cluster.tell(A, words.Slots(1))
    assert cluster.run(A).args == [b"bystander"]


def test_a_killers_failure_reads_well() -> None:
    """A line for each death: how, after how long, where, with how much memory; nothing twice."""
    known = {"worker": "w-0", "host": "vm", "pid": 42, "lasted_s": 0.755}
    exited = known | {"exit_code": 3, "reason": "exited with code 3", "rss": 16375808}
    crashed = known | {"signal": 11, "reason": "killed by SIGSEGV", "lasted_s": 61.0}
    odd = {"worker": "w-1", "lasted_s": "long", "rss": [1], "reason": 7, "exit_code": 1}
    deaths = Deaths()
    for certificate in (exited, crashed, odd):
        deaths.add(death_of(certificate, 1, str(certificate["worker"])))
    message = Failure.from_bytes(killed("f-1", deaths, "tcp://a:1", 3)).message
    assert message.splitlines() == [
        "f-1 was running each of the 3 times its process died:",
        "  1. exited with code 3 after 0.8 s on worker w-0 (host vm, pid 42), last seen with 15.6 MiB",
        "  2. killed by SIGSEGV after 61.0 s on worker w-0 (host vm, pid 42)",
        "  3. exited with code 1 on worker w-1",
    ]


def test_a_worker_without_runner_gets_nothing(cluster: Driver) -> None:
    """Zero slots, zero tasks."""
    first = cluster.client()
    cluster.worker(A)
    cluster.tell(A, words.Slots(0))
    cluster.submit(first, [b"a"])
    assert cluster.heard(A) == []
    cluster.tell(A, words.Slots(2))
    assert cluster.run(A).tids == [first]


def test_missing_inputs_are_found_elsewhere(cluster: Driver) -> None:
    """A holder that does not hold is corrected, and the value is made again."""
    first = cluster.client()
    a = cluster.worker(A)
    cluster.submit(first, [b"a"])
    cluster.done(A, cluster.run(A), None)
    cluster.submit(first + 1, [b"b"], [[first]])
    run = cluster.run(A)
    cluster.tell(A, words.Unrunnable(run.attempts, [first], [a]))
    free, rerun = cluster.heard(A)
    assert free == words.Free([first])
    assert isinstance(rerun, words.Run)
    assert rerun.tids == [first]


def test_replicas_are_freed_with_the_value(cluster: Driver) -> None:
    """Copies that workers fetched are known, useful when one is lost, and dropped at the end."""
    first = cluster.client()
    cluster.worker(A)
    cluster.worker(B)
    cluster.submit(first, [b"a"])
    holder, other = (A, B) if cluster.said[A] else (B, A)
    cluster.done(holder, cluster.run(holder), None)
    cluster.tell(other, words.Replicas([first]))
    cluster.heard(CLIENT)
    cluster.leave(holder)
    assert cluster.heard(CLIENT) == []
    cluster.tell(CLIENT, words.Release([first]))
    assert cluster.heard(other) == [words.Free([first])]
    cluster.tell(other, words.Replicas([first]))
    assert cluster.heard(other) == [words.Free([first])], "it came too late to be of use"


def test_silent_workers_are_reported(cluster: Driver) -> None:
    """A worker that says nothing for its time to live is named by the tick."""
    cluster.worker(A)
    cluster.worker(B)
    cluster.now = 200.0
    cluster.tell(B, session.Heartbeat({}))
    assert cluster.tick(150.0) == [A]


@pytest.mark.parametrize("held", [True, False])
def test_a_copy_of_what_is_being_made_again_there(cluster: Driver, *, held: bool) -> None:
    """It is not freed before the new value is there, or that would go; and not kept after."""
    first = cluster.client()
    a = cluster.worker(A)
    cluster.submit(first, [b"a"])
    cluster.done(A, cluster.run(A), None)
    for _ in range(MOVES_MAX + 1):
        cluster.tell(CLIENT, words.Unreachable([first], a))
    again, freed = sorted(cluster.heard(A), key=lambda each: isinstance(each, words.Free))
    assert isinstance(again, words.Run)
    assert freed == words.Free([first])
    cluster.tell(A, words.Replicas([first]))
    assert cluster.heard(A) == []
    cluster.done(A, again, None if held else b"small")
    assert cluster.heard(A) == ([] if held else [words.Free([first])])


def test_workers_that_never_reach_each_other(cluster: Driver) -> None:
    """An input is made anew in the hope of a better place, but not for ever."""
    first = cluster.client()
    addresses = {A: cluster.worker(A), B: cluster.worker(B)}
    cluster.submit(first, [b"a"], workers=[f"w{A}"])
    cluster.submit(first + 1, [b"b"], [[first]], workers=[f"w{B}"])
    rounds = 0
    while True:
        cluster.done(A, cluster.run_last(A), None)
        run = cluster.run_last(B)
        cluster.heard(CLIENT)
        cluster.tell(B, words.Unrunnable(run.attempts, [first], [addresses[A]]))
        rounds += 1
        failed = [each for each in cluster.heard(CLIENT) if isinstance(each, words.Failed)]
        if failed:
            break
    assert rounds == cluster.core.state.settings.allowed_unreached + 1
    failure = Failure.from_bytes(failed[0].failures[0])
    assert failure.kind == "trio_dask.errors.DataLost"
    assert f"w{B}, could not fetch inc-{first:x} from {addresses[A]}" in failure.message


def test_a_client_that_never_reaches_a_worker(cluster: Driver) -> None:
    """It looks again, then its value is made anew in the hope of a better place, not for ever."""
    first = cluster.client()
    a = cluster.worker(A)
    cluster.submit(first, [b"a"])
    cluster.done(A, cluster.run_last(A), None)
    for count in range(1, cluster.core.state.settings.allowed_unreached + 1):
        cluster.heard(CLIENT)
        cluster.tell(CLIENT, words.Unreachable([first], a))
        if count <= MOVES_MAX:
            (still,) = cluster.heard(CLIENT)
            assert isinstance(still, words.Finished)
            assert still.places == [a]
        else:
            assert cluster.heard(CLIENT) == [words.Again([first])]
            cluster.done(A, cluster.run_last(A), None)
    cluster.heard(CLIENT)
    cluster.tell(CLIENT, words.Unreachable([first], a))
    (lost,) = cluster.heard(CLIENT)
    assert lost == words.Lost([first], f"it could not be fetched, the last time from {a}")
    assert cluster.at_rest()


def test_a_task_goes_to_its_input_that_could_not_be_fetched(cluster: Driver) -> None:
    """A broken connection does not cost a value; a value that is not there is made anew."""
    first = cluster.client()
    addresses = {A: cluster.worker(A), B: cluster.worker(B)}
    cluster.submit(first, [b"a"], workers=[f"w{A}"])
    cluster.done(A, cluster.run_last(A), None, seconds=10.0)
    cluster.submit(first + 1, [b"long"] * 3, workers=[f"w{A}"])
    cluster.heard(A)
    cluster.submit(first + 4, [b"b"], [[first]])
    run = cluster.run_last(B)
    assert run.args == [b"b"], "its home is busy"
    cluster.heard(CLIENT)
    cluster.tell(B, words.Unrunnable(run.attempts, [first], [addresses[A]]))
    assert cluster.heard(CLIENT) == []
    again = cluster.run_last(B)
    cluster.leave(B)
    assert again.args == [b"b"], "tried again, as its home is as busy as before"
    assert [each for each in cluster.heard(A) if isinstance(each, words.Free)] == []


def test_an_actor_is_not_made_again(cluster: Driver) -> None:
    """It would be another one: it is lost with its holder, and so is what waits for it."""
    first = cluster.client()
    cluster.worker(A)
    cluster.submit(first, [b"a"], actor=True)
    cluster.done(A, cluster.run(A), None)
    cluster.submit(first + 1, [b"b"], [[first]])
    cluster.heard(CLIENT)
    cluster.leave(A)
    said = [type(each) for each in cluster.heard(CLIENT)]
    assert sorted(said, key=lambda kind: kind.__name__) == [words.Failed, words.Lost]
    cluster.tell(CLIENT, words.Release([first, first + 1]))
    assert cluster.at_rest()


def test_an_actor_whose_worker_dies_before_it_was_made_is_made_elsewhere(cluster: Driver) -> None:
    """Nobody has used it."""
    first = cluster.client()
    cluster.worker(A)
    cluster.submit(first, [b"a"], actor=True)
    cluster.worker(B)
    cluster.leave(A)
    assert len(cluster.run_of(B)) == 1
