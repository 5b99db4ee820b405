"""The scheduler's decisions, as tables: what peers say, and the whole of what they are told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from trio_dask.messages import session, tasks as words
from trio_dask.messages.failure import Failure
from trio_dask.scheduler.core import Misuse

if TYPE_CHECKING:
    from conftest import Driver

CLIENT, A, B = 1, 10, 11


def test_a_task_runs_and_its_value_comes_back(cluster: Driver) -> None:
    """Function, task and small value travel, and after release nothing is left."""
    first = cluster.client()
    cluster.worker(A)
    (tid,) = cluster.submit(first, [b"args"])
    functions, run = cluster.heard(A)
    assert functions == words.Functions([first], ["inc"], [b"INC"])
    assert isinstance(run, words.Run)
    assert (run.tids, run.args, run.dep_counts) == ([tid], [b"args"], [])
    cluster.done(A, run, b"11")
    assert cluster.heard(CLIENT) == [words.Finished([tid], [9], [b"11"], [words.INLINE], [])]
    cluster.tell(CLIENT, words.Release([tid]))
    assert cluster.heard(A) == []
    assert cluster.at_rest()


def test_a_function_travels_once_to_each_worker(cluster: Driver) -> None:
    """The second task with a function brings only its arguments."""
    first = cluster.client()
    cluster.worker(A)
    cluster.submit(first, [b"1"])
    cluster.done(A, cluster.run(A))
    cluster.submit(first + 1, [b"2"])
    assert [type(each) for each in cluster.heard(A)] == [words.Run]


def test_a_function_is_forgotten_when_it_is_in_no_window(cluster: Driver) -> None:
    """Its client will not use it again, but a task given out still may."""
    first = cluster.client()
    cluster.worker(A)
    cluster.submit(first, [b"1"])
    run = cluster.run(A)
    cluster.tell(CLIENT, words.ForgetFunctions([first]))
    assert cluster.heard(A) == []
    cluster.done(A, run)
    cluster.tick(1.0)
    assert cluster.heard(A) == [words.ForgetFunctions([first])]
    cluster.tick(1.0)
    assert cluster.heard(A) == []


def test_without_workers_tasks_wait(cluster: Driver) -> None:
    """Tasks submitted to an empty cluster start when a worker joins."""
    first = cluster.client()
    cluster.submit(first, [b"1"])
    assert cluster.heard(CLIENT) == []
    cluster.worker(A)
    assert cluster.run(A).tids == [first]


def test_few_tasks_spread(cluster: Driver) -> None:
    """Two tasks and two idle workers: one each."""
    first = cluster.client()
    cluster.worker(A)
    cluster.worker(B)
    cluster.submit(first, [b"1", b"2"])
    assert len(cluster.run(A).tids) == len(cluster.run(B).tids) == 1


def test_of_unknown_length_only_the_slots_count(cluster: Driver) -> None:
    """A worker gets one task more than it has slots, until something is known of them."""
    first = cluster.client()
    cluster.worker(A, nthreads=3)
    cluster.submit(first, [b"x"] * 100)
    run = cluster.run(A)
    assert len(run.tids) == 4
    cluster.done(A, run, seconds=1e-6)
    assert len(cluster.run(A).tids) == 96, "short ones travel in large batches"


def test_long_tasks_are_not_given_ahead(cluster: Driver) -> None:
    """Of tasks longer than the horizon a worker has one more than slots."""
    first = cluster.client()
    cluster.worker(A)
    cluster.submit(first, [b"x"] * 100)
    run = cluster.run(A)
    cluster.done(A, run, seconds=10.0)
    assert len(cluster.run(A).tids) == 2


def test_lower_rank_first(cluster: Driver) -> None:
    """Higher priority is given out first, then whatever was submitted first."""
    first = cluster.client()
    cluster.submit(first, [b"low"])
    cluster.submit(first + 1, [b"high"], priority=5)
    cluster.submit(first + 2, [b"high too"], priority=5)
    cluster.submit(first + 3, [b"negative"], priority=-1)
    cluster.worker(A, nthreads=8)
    run = cluster.run(A)
    assert run.args == [b"high", b"high too", b"low", b"negative"]
    assert run.ranks == sorted(run.ranks)


def test_inputs_that_are_small_travel_with_the_task(cluster: Driver) -> None:
    """An inline value is given to whoever needs it, and dropped when nobody does."""
    first = cluster.client()
    cluster.worker(A)
    cluster.submit(first, [b"a"])
    cluster.submit(first + 1, [b"b"], [[first]])
    cluster.tell(CLIENT, words.Release([first]))
    cluster.done(A, cluster.run(A), b"VALUE")
    run = cluster.run(A)
    assert (run.dep_tids, run.dep_at, run.dep_values) == ([first], [words.INLINE], [b"VALUE"])
    cluster.done(A, run)
    assert cluster.core.state.tasks[first].value is None, "nobody needs it any more"
    cluster.tell(CLIENT, words.Release([first + 1]))
    assert cluster.at_rest()


def test_held_inputs_say_where_they_are(cluster: Driver) -> None:
    """A task with a large input goes to its holder, and the value is freed after its last use."""
    first = cluster.client()
    a = cluster.worker(A)
    cluster.worker(B)
    cluster.submit(first, [b"a"])
    holder = A if cluster.said[A] else B
    cluster.done(holder, cluster.run(holder), None)
    address = a if holder == A else f"tcp://host:{B}"
    assert cluster.heard(CLIENT) == [words.Finished([first], [9], [b""], [0], [address])]
    cluster.submit(first + 1, [b"b"], [[first]])
    cluster.tell(CLIENT, words.Release([first]))
    run = cluster.run(holder)
    assert (run.dep_at, run.places) == ([0], [address])
    cluster.done(holder, run)
    assert cluster.heard(holder) == [words.Free([first])]


def test_an_error_fails_dependents(cluster: Driver) -> None:
    """Everything downstream fails with the same failure, which is sent once."""
    first = cluster.client()
    cluster.worker(A)
    cluster.submit(first, [b"a"])
    cluster.submit(first + 1, [b"b", b"c"], [[first], [first + 1]])
    cluster.fail(A, cluster.run(A), b"boom")
    (failed,) = cluster.heard(CLIENT)
    assert failed == words.Failed([first, first + 1, first + 2], [0, 0, 0], [b"boom"])
    cluster.submit(first + 3, [b"late"], [[first]])
    assert cluster.heard(CLIENT) == [words.Failed([first + 3], [0], [b"boom"])]
    cluster.tell(CLIENT, words.Release([first, first + 1, first + 2, first + 3]))
    assert cluster.at_rest()


def test_retries(cluster: Driver) -> None:
    """A task with two retries is run three times at most."""
    first = cluster.client()
    cluster.worker(A)
    cluster.submit(first, [b"a"], retries=2)
    attempts = []
    for _ in range(2):
        run = cluster.run(A)
        attempts += run.attempts
        cluster.fail(A, run)
        assert cluster.heard(CLIENT) == []
    run = cluster.run(A)
    assert len({*attempts, *run.attempts}) == 3, "each try is an attempt of its own"
    cluster.fail(A, run, b"boom")
    assert cluster.heard(CLIENT) == [words.Failed([first], [0], [b"boom"])]


def test_a_report_about_another_attempt_is_ignored(cluster: Driver) -> None:
    """What a worker says of attempts that are not in its window changes nothing."""
    first = cluster.client()
    cluster.worker(A)
    cluster.submit(first, [b"a"])
    run = cluster.run(A)
    stale = words.Run([run.attempts[0] + 99], [first], [first], [0], [b""], [], [], [], [], [], [])
    cluster.done(A, stale)
    assert cluster.heard(CLIENT) == []
    cluster.done(A, run)
    cluster.done(A, run)
    assert len(cluster.heard(CLIENT)) == 1


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
    a, b = cluster.worker(A), cluster.worker(B)
    cluster.tell(CLIENT, words.Put([first], [100], [], True))
    assert cluster.heard(CLIENT) == [words.PutAt([first, first], [0, 1], [a, b])]
    cluster.tell(A, words.Stored([first], [100]))
    cluster.tell(B, words.Stored([first], [100]))
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


def test_a_worker_without_runner_gets_nothing(cluster: Driver) -> None:
    """Zero slots, zero tasks."""
    first = cluster.client()
    cluster.worker(A)
    cluster.tell(A, words.Slots(0))
    cluster.submit(first, [b"a"])
    assert cluster.heard(A) == []
    cluster.tell(A, words.Slots(2))
    assert cluster.run(A).tids == [first]


def test_release_recalls_what_has_not_begun(cluster: Driver) -> None:
    """The slot stays taken until the worker answers; either answer ends it."""
    first = cluster.client()
    cluster.worker(A)
    cluster.submit(first, [b"a", b"b"])
    run = cluster.run(A)
    cluster.tell(CLIENT, words.Release([first, first + 1]))
    assert cluster.heard(A) == [words.Recall(run.attempts)]
    cluster.tell(A, words.Returned(run.attempts[1:]))
    begun = words.Run(run.attempts[:1], run.tids[:1], [first], [0], [b""], [], [], [], [], [], [])
    cluster.done(A, begun, None)
    assert cluster.heard(A) == [words.Free([first])]
    assert cluster.heard(CLIENT) == []
    assert cluster.at_rest()


def test_cancel_before_the_start(cluster: Driver) -> None:
    """What waits is cancelled at once, with what depends on it."""
    first = cluster.client()
    cluster.submit(first, [b"a"])
    cluster.submit(first + 1, [b"b"], [[first]])
    cluster.tell(CLIENT, words.Cancel([first], "enough"))
    assert cluster.heard(CLIENT) == [words.Cancelled([first, first + 1], "enough")]
    cluster.worker(A)
    assert cluster.heard(A) == []


@pytest.mark.parametrize("started", [True, False])
def test_cancel_is_answered_once(cluster: Driver, *, started: bool) -> None:
    """At the worker it is the worker that decides the race; a result that came first wins."""
    first = cluster.client()
    cluster.worker(A)
    cluster.submit(first, [b"a"])
    run = cluster.run(A)
    cluster.tell(CLIENT, words.Cancel([first], "enough"))
    cluster.tell(CLIENT, words.Cancel([first], "twice"))
    assert cluster.heard(A) == [words.Recall(run.attempts)]
    assert cluster.heard(CLIENT) == []
    if started:
        cluster.done(A, run)
        (answer,) = cluster.heard(CLIENT)
        assert isinstance(answer, words.Finished)
    else:
        cluster.tell(A, words.Returned(run.attempts))
        assert cluster.heard(CLIENT) == [words.Cancelled([first], "twice")]
    cluster.tell(CLIENT, words.Release([first]))
    assert cluster.at_rest()


def test_cancel_by_one_of_two(cluster: Driver) -> None:
    """A client takes back only its own claim."""
    first, second = cluster.client(1), cluster.client(2)
    cluster.submit(first, [b"a"], keys=["shared"])
    cluster.submit(second, [b"a"], keys=["shared"], peer=2)
    cluster.tell(2, words.Cancel([second], "not me"))
    assert cluster.heard(2) == [words.Cancelled([second], "not me")]
    cluster.worker(A)
    cluster.done(A, cluster.run(A))
    assert len(cluster.heard(1)) == 1
    assert cluster.heard(2) == []


def test_one_key_is_one_task(cluster: Driver) -> None:
    """Two clients that name the same key share the computation, and arguments find it by either id."""
    first, second = cluster.client(1), cluster.client(2)
    cluster.worker(A)
    cluster.submit(first, [b"a"], keys=["x"])
    cluster.submit(second, [b"a"], keys=["x"], peer=2)
    cluster.submit(second + 1, [b"b"], [[second]], peer=2)
    run = cluster.run(A)
    assert (run.tids, run.keys) == ([first], ["x"])
    cluster.done(A, run, b"1")
    assert [each.tids for each in cluster.heard(1) if isinstance(each, words.Finished)] == [[first]]
    run = cluster.run(A)
    assert (run.dep_tids, run.dep_refs) == ([first], [second])
    cluster.leave(1)
    cluster.done(A, run, b"2")
    finished = [each for each in cluster.heard(2) if isinstance(each, words.Finished)]
    assert [tid for each in finished for tid in each.tids] == [second, second + 1]
    cluster.leave(2)
    assert cluster.at_rest()


def test_fire_and_forget(cluster: Driver) -> None:
    """A kept task runs though nobody wants it, and is forgotten when it ended."""
    first = cluster.client()
    cluster.submit(first, [b"a"])
    cluster.tell(CLIENT, words.Keep([first]))
    cluster.tell(CLIENT, words.Release([first]))
    cluster.worker(A)
    cluster.done(A, cluster.run(A))
    assert cluster.at_rest()


def test_a_client_that_leaves_takes_its_wants_along(cluster: Driver) -> None:
    """Its tasks are dropped, those of others stay."""
    first, second = cluster.client(1), cluster.client(2)
    cluster.submit(first, [b"a"] * 3000)
    cluster.submit(second, [b"b"], peer=2)
    cluster.leave(1)
    cluster.worker(A)
    assert cluster.run(A).args == [b"b"]


def test_restricted_tasks_go_where_they_may(cluster: Driver) -> None:
    """Named workers only, by name or address; others when allowed and none of the named is here."""
    first = cluster.client()
    cluster.worker(A)
    cluster.submit(first, [b"only b"], workers=["w11"])
    cluster.submit(first + 1, [b"b if possible"], workers=["w11"], allow_other_workers=True)
    assert cluster.run(A).args == [b"b if possible"]
    cluster.worker(B)
    assert cluster.run(B).args == [b"only b"]


def test_resources_are_not_over_committed(cluster: Driver) -> None:
    """A task takes its units for as long as it is in the window."""
    first = cluster.client()
    cluster.worker(A, nthreads=4, resources={"GPU": 2})
    cluster.submit(first, [b"x"] * 5, resources={"GPU": 1})
    run = cluster.run(A)
    assert len(run.tids) == 2
    cluster.done(A, run)
    assert len(cluster.run(A).tids) == 2


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


def test_what_waits_behind_a_long_task_is_recalled(cluster: Driver) -> None:
    """When a slot is free elsewhere, the un-begun move there; the worker confirms first."""
    first = cluster.client()
    cluster.worker(A)
    cluster.submit(first, [b"long", b"behind"])
    run = cluster.run(A)
    cluster.worker(B)
    cluster.tick(1.0)
    assert cluster.heard(A) == [words.Recall(run.attempts[1:])]
    cluster.tick(1.0)
    assert cluster.heard(A) == [], "it is asked once"
    cluster.tell(A, words.Returned(run.attempts[1:]))
    assert cluster.run(B).args == [b"behind"]


def test_silent_workers_are_reported(cluster: Driver) -> None:
    """A worker that says nothing for its time to live is named by the tick."""
    cluster.worker(A)
    cluster.worker(B)
    cluster.now = 200.0
    cluster.tell(B, session.Heartbeat({}))
    assert cluster.tick(150.0) == [A]


def test_questions(cluster: Driver) -> None:
    """Each question has one answer; waiting for workers is answered when they are there."""
    cluster.client()
    cluster.tell(CLIENT, session.Ask(1, "flush", {}))
    cluster.tell(CLIENT, session.Ask(2, "wait_for_workers", {"n": 1}))
    cluster.tell(CLIENT, session.Ask(3, "meaning of life", {}))
    cluster.tell(CLIENT, session.Ask(4, "wait_for_workers", {"n": "many"}))
    answers = {
        each.serial: each for each in cluster.heard(CLIENT) if isinstance(each, session.Answer)
    }
    assert {serial: each.ok for serial, each in answers.items()} == {1: True, 3: False, 4: False}
    assert "meaning of life" in answers[3].data["error"]
    a = cluster.worker(A, nthreads=3)
    assert cluster.heard(CLIENT) == [session.Answer(2, ok=True, data={"n": 1})]
    cluster.tell(CLIENT, session.Ask(5, "info", {}))
    (info,) = cluster.heard(CLIENT)
    assert isinstance(info, session.Answer)
    assert info.data["total_threads"] == 3
    assert info.data["workers"][a]["name"] == "w10"


@pytest.mark.parametrize(
    "message",
    [
        words.Submit(1 << 41, [], [], [], [], [], [], True, {}),
        words.Submit(1 << 40, [(1 << 40) + 77], [b""], [], [], [], [], True, {}),
        words.Submit(1 << 40, [1 << 40], [b""], [2], [], [], [], True, {}),
        words.Submit(1 << 40, [1 << 40], [b""], [], [], ["a", "b"], [], True, {}),
        words.Submit(1 << 40, [1 << 40], [b""], [], [], [], [7], True, {}),
        words.Submit(1 << 40, [1 << 40], [b""], [], [], [], [], True, {"colour": "red"}),
        words.Submit(1 << 40, [1 << 40], [b""], [], [], [], [], True, {"priority": 1 << 60}),
        words.Submit(1 << 40, [1 << 40], [b""], [], [], [], [], True, {"retries": -1}),
        words.Submit(1 << 40, [1 << 40], [b""], [], [], [], [], True, {"workers": [3]}),
        words.Submit(1 << 40, [1 << 40], [b""], [], [], [], [], True, {"resources": {"G": -1}}),
        words.Release([7]),
        words.Functions([7], ["f"], [b""]),
        words.Done([], [], [], [], []),
        words.Run([], [], [], [], [], [], [], [], [], [], []),
    ],
    ids=repr,
)
def test_nonsense_is_refused(cluster: Driver, message: words.Message) -> None:
    """What makes no sense raises, and leaves the tables as they were."""
    cluster.client()
    with pytest.raises(Misuse):
        cluster.tell(CLIENT, message)
    cluster.settle()
    assert cluster.at_rest()


def test_an_unknown_input_fails_the_task(cluster: Driver) -> None:
    """A future of another cluster, say: the task fails, everything else goes on."""
    first = cluster.client()
    cluster.submit(first, [b"a"], [[12345]])
    (failed,) = cluster.heard(CLIENT)
    assert isinstance(failed, words.Failed)
    assert Failure.from_bytes(failed.failures[0]).kind.endswith("DataLost")


def test_names_are_unique(cluster: Driver) -> None:
    """A second worker of the same name is turned away, the first stays."""
    cluster.worker(A)
    message = session.RegisterWorker("w10", "tcp://other:1", 1, 0, {}, {})
    with pytest.raises(Misuse, match="w10"):
        cluster.core.worker_joined(B, message, 0.0)
    assert len(cluster.core.state.workers) == 1


def test_large_jobs_are_done_in_slices(cluster: Driver) -> None:
    """A large submission is taken in a slice at a time; what its client says next waits for it."""
    first = cluster.client()
    count = 5000
    cluster.core.handle(
        CLIENT, words.Submit(first, [first], [b"x"] * count, [], [], [], [], True, {}), 0.0
    )
    assert cluster.core.busy
    assert 0 < len(cluster.core.state.tasks) < count
    cluster.core.handle(CLIENT, session.Ask(1, "flush", {}), 0.0)
    cluster.core.flush()
    assert cluster.heard(CLIENT) == []
    cluster.settle()
    assert len(cluster.core.state.tasks) == count
    assert cluster.heard(CLIENT) == [session.Answer(1, ok=True, data={})]


def test_a_client_may_leave_in_the_middle(cluster: Driver) -> None:
    """Half a submission of somebody who is gone leaves nothing."""
    first = cluster.client()
    cluster.core.handle(
        CLIENT, words.Submit(first, [first], [b"x"] * 5000, [], [], [], [], True, {}), 0.0
    )
    cluster.leave(CLIENT)
    assert cluster.at_rest()


def test_a_long_chain_is_released_without_recursion(cluster: Driver) -> None:
    """Ten thousand links come to rest in one go."""
    first = cluster.client()
    count = 10_000
    deps = [[], *([first + link] for link in range(count - 1))]
    tids = cluster.submit(first, [b"x"] * count, deps)
    cluster.tell(CLIENT, words.Release(tids[:-1]))
    cluster.tell(CLIENT, words.Release(tids[-1:]))
    assert cluster.at_rest()
