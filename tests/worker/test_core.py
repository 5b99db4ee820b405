"""The worker's core by tables: events, and the whole list of actions."""

from __future__ import annotations

import pytest

from tests.worker.worker_driver import (
    FID,
    ME,
    A,
    B,
    absent,
    after,
    found,
    new_core,
    ready_core,
    run,
)
from trio_dask.errors import RemoteProtocolError
from trio_dask.messages import values
from trio_dask.messages.session import Goodbye, RegisterPeer, Welcome
from trio_dask.messages.tasks import (
    HERE,
    INLINE,
    OK_HELD,
    OK_INLINE,
    Done,
    ForgetFunctions,
    Free,
    Functions,
    Pinned,
    Recall,
    Replicas,
    Returned,
    Run,
    RunnerDied,
    Running,
    Slots,
    Stored,
    Unrunnable,
)
from trio_dask.messages.values import (
    ABSENT,
    FOUND,
    UNPICKLABLE,
    Fetch,
    Give,
    StoreDone,
    Values,
)
from trio_dask.worker.core import (
    AwaitDrain,
    FetchFrom,
    StartRunner,
    Store,
    ToPeer,
    ToRunner,
    ToScheduler,
    WorkerCore,
)
from trio_dask.worker.core.serving import (
    ASKED_MAX,
    QUESTIONS_MAX,
    UNDERWAY_BYTES_MAX,
)


def given(attempt: int, *deps: int) -> Run:
    """What the runner gets for `run((attempt, {dep: …}))` when all inputs are with it."""
    return Run(
        [attempt], [1000 + attempt], [FID], [attempt], [b"x"],
        [len(deps)], list(deps), [HERE] * len(deps), [], [], [],
    )  # fmt: skip


def hold(core: WorkerCore, tid: int, nbytes: int = 10) -> None:
    """Let the runner make a value."""
    core.on_scheduler(run((tid - 1000, {})))
    core.on_runner(1, Done([tid - 1000], [OK_HELD], [0.1], [nbytes], [b""]))
    core.flush()


def test_tasks_without_inputs_are_forwarded_untouched() -> None:
    """The message object itself goes to the runner, and the answer to the scheduler."""
    core = ready_core()
    message = run((1, {}), (2, {}))
    core.on_scheduler(message)
    (action,) = after(core)
    assert isinstance(action, ToRunner)
    assert action.messages[0] is message
    done = Done([1, 2], [OK_INLINE, OK_INLINE], [0.1, 0.1], [1, 1], [b"1", b"2"])
    core.on_runner(1, done)
    (answer,) = after(core)
    assert isinstance(answer, ToScheduler)
    assert answer.messages[0] is done
    assert core.books()["in_runner"] == 0


def test_input_made_here_is_here() -> None:
    """What the own runner holds is not fetched."""
    core = ready_core()
    hold(core, 1050)
    core.on_scheduler(run((1, {1050: A})))
    assert after(core) == [ToRunner(1, [given(1, 1050)])]


def test_inline_inputs_and_keys_travel_along() -> None:
    """Inline values, references and chosen keys reach the runner."""
    core = ready_core()
    message = Run(
        [1, 2], [1001, 1002], [FID, FID], [1, 2], [b"x", b"y"],
        [1, 0], [55], [INLINE], [b"v"], [], ["", "mine"], [56],
    )  # fmt: skip
    core.on_scheduler(message)
    assert after(core) == [ToRunner(1, [message])]


def test_value_is_fetched_given_and_announced() -> None:
    """A value from another worker goes to the runner, and the scheduler learns of the copy."""
    core = ready_core()
    core.on_scheduler(run((1, {50: A})))
    assert after(core) == [FetchFrom(A, 1, [50])]
    core.fetched(found(1, {50: b"v"}))
    assert after(core) == [
        ToScheduler([Replicas([50])]),
        ToRunner(1, [Give([50], [b"v"]), given(1, 50)]),
    ]
    core.on_scheduler(run((2, {50: A})))
    assert after(core) == [ToRunner(1, [given(2, 50)])]


def test_fetches_of_one_value_are_one() -> None:
    """Several attempts that need one value wait for one fetch."""
    core = ready_core()
    core.on_scheduler(run((1, {50: A}), (2, {50: A}), (3, {50: B, 51: A})))
    assert after(core) == [FetchFrom(A, 1, [50, 51])]
    core.on_scheduler(run((4, {50: A})))
    assert after(core) == []
    core.fetched(found(1, {50: b"v"}, last=False))
    (_, to_runner) = after(core)
    assert isinstance(to_runner, ToRunner)
    assert isinstance(to_runner.messages[1], Run)
    assert to_runner.messages[1].attempts == [1, 2, 4]
    core.fetched(found(1, {51: b"w"}))
    assert core.books()["waiting"] == 0


@pytest.mark.parametrize("how", ["absent", "failed", "unmentioned"])
def test_the_next_holder_is_asked(how: str) -> None:
    """Where one has it no more, or is dead, or forgets it, the next one is asked."""
    core = ready_core()
    core.on_scheduler(run((1, {50: f"{A} {B}"})))
    after(core)
    if how == "absent":
        core.fetched(absent(1, 50))
    elif how == "failed":
        core.fetch_failed(A)
    else:
        core.fetched(absent(1))
    assert after(core) == [FetchFrom(B, 2, [50])]
    core.fetched(found(2, {50: b"v"}))
    assert core.books() | {"held": 1} == core.books()
    assert core.books()["requests"] == core.books()["wants"] == 0


def test_nobody_has_it() -> None:
    """When all have been asked the attempts are over, and the scheduler hears who was asked."""
    core = ready_core()
    core.on_scheduler(run((1, {50: f"{A} {B}"}), (2, {50: A})))
    core.on_scheduler(run((3, {50: A, 51: B})))
    assert after(core) == [FetchFrom(A, 1, [50]), FetchFrom(B, 2, [51])]
    core.fetched(absent(1, 50))
    assert after(core) == [FetchFrom(B, 3, [50])]
    core.fetched(absent(3, 50))
    assert after(core) == [ToScheduler([Unrunnable([1, 2, 3], [50] * 3, [f"{A} {B}"] * 3)])]
    core.fetch_failed(B)
    assert after(core) == []
    assert core.books() == ready_core().books()


@pytest.mark.parametrize("places", ["", ME])
def test_nobody_to_ask(places: str) -> None:
    """Without any other address the attempt is over at once."""
    core = ready_core()
    core.on_scheduler(run((1, {50: places, 51: A})))
    assert after(core) == [ToScheduler([Unrunnable([1], [50], [places])])]
    assert core.books()["wants"] == 0


def test_a_neighbours_value_needs_no_fetch() -> None:
    """What one worker of the process was given, the others take from the store."""
    store = Store()
    other, core = ready_core("other", A, store), ready_core(store=store)
    other.peer_joined(1, may_store=True)
    other.on_peer(1, values.Store(5, [50], [b"vv"]))
    assert after(other) == [
        ToScheduler([Stored([50], [2])]),
        ToPeer(1, [StoreDone(5, "")]),
    ]
    core.on_scheduler(run((1, {50: A})))
    assert after(core) == [
        ToScheduler([Replicas([50])]),
        ToRunner(1, [Give([50], [b"vv"]), given(1, 50)]),
    ]
    other.on_scheduler(Free([50]))
    assert len(store) == 0
    assert after(other) == []


def test_tasks_go_to_a_pinned_value() -> None:
    """A value cannot leave its runner: the scheduler hears where it is, and why."""
    core = ready_core()
    core.on_scheduler(run((1, {50: A}), (2, {50: A})))
    after(core)
    core.fetched(Values(1, [50], [UNPICKLABLE], [b"why"], [], last=True))
    pinned = Pinned([1, 2], [50] * 2, [A] * 2, [b"why"] * 2)
    assert after(core) == [ToScheduler([pinned])]


def test_recall() -> None:
    """Attempts that wait for inputs come back from here, others from the runner, others not."""
    core = ready_core()
    core.on_scheduler(run((1, {50: A})))
    core.on_scheduler(run((2, {})))
    after(core)
    core.on_scheduler(Recall([1, 2, 3]))
    assert after(core) == [ToScheduler([Returned([1])]), ToRunner(1, [Recall([2])])]
    core.on_runner(1, Returned([2]))
    assert after(core) == [ToScheduler([Returned([2])])]
    core.fetched(found(1, {50: b"nobody waits"}))
    assert after(core) == []
    assert core.books() == ready_core().books()


def test_a_fetch_nobody_waits_for_serves_the_next() -> None:
    """A new attempt joins the fetch that an attempt which was recalled began."""
    core = ready_core()
    core.on_scheduler(run((1, {50: A})))
    core.on_scheduler(Recall([1]))
    after(core)
    core.on_scheduler(run((2, {50: A})))
    assert after(core) == []
    core.fetched(found(1, {50: b"v"}))
    assert after(core)[1] == ToRunner(1, [Give([50], [b"v"]), given(2, 50)])


def test_runner_death() -> None:
    """All attempts are over, all that only it held is lost; stored values are not."""
    core = ready_core()
    hold(core, 1050)
    core.peer_joined(1, may_store=True)
    core.on_peer(1, values.Store(5, [60], [b"vv"]))
    core.on_scheduler(run((1, {}), (2, {})))
    core.on_scheduler(run((3, {60: ME, 50: A})))
    core.flush()
    core.runner_died(1, [2, 99, 2], {"signal": 9})
    died = RunnerDied([2], [1, 3], [1050], {"signal": 9})
    assert after(core) == [ToScheduler([Slots(0), died]), StartRunner(2, 0.0)]
    core.fetched(found(1, {50: b"late"}))
    core.on_scheduler(run((4, {})))
    assert after(core) == [ToScheduler([Returned([4])])]
    core.runner_ready(2)
    core.on_scheduler(run((5, {})))  # the next one is taught what its tasks need
    taught = Functions([FID], ["f"], [b"f"])
    assert after(core) == [ToScheduler([Slots(2)]), ToRunner(2, [taught, run((5, {}))])]
    core.on_runner(2, Done([5], [OK_INLINE], [0.1], [1], [b"v"]))
    core.on_scheduler(Free([60]))
    core.on_scheduler(ForgetFunctions([FID]))
    assert core.books() == new_core().books()


def test_peers_get_values_from_the_runner_once() -> None:
    """Two peers that want a value cost one export; what is absent is said to be."""
    core = ready_core()
    hold(core, 1050)
    core.peer_joined(1, may_store=False)
    core.peer_joined(2, may_store=False)
    core.on_peer(1, RegisterPeer("p"))
    core.on_peer(1, Fetch(10, [1050, 9]))
    core.on_peer(2, Fetch(11, [1050]))
    assert after(core) == [
        ToRunner(1, [Fetch(1, [1050])]),
        ToPeer(1, [Welcome(1, "", 0), Values(10, [9], [ABSENT], [], [], last=False)]),
    ]
    core.on_runner(1, found(1, {1050: b"v"}))
    assert after(core) == [
        ToPeer(1, [found(10, {1050: b"v"})]),
        ToPeer(2, [found(11, {1050: b"v"})]),
    ]
    assert core.books()["exports"] == 0


@pytest.mark.parametrize("answer", ["none", "died", "unpicklable"])
def test_exports_that_fail(answer: str) -> None:
    """A peer gets an answer whatever becomes of the runner or the value."""
    core = ready_core()
    hold(core, 1050)
    core.peer_joined(1, may_store=False)
    core.on_peer(1, Fetch(10, [1050]))
    after(core)
    expected = absent(10, 1050)
    if answer == "none":
        core.on_runner(1, Values(1, [], [], [], [], last=True))
    elif answer == "died":
        core.runner_died(1, [], {})
    else:
        core.on_runner(1, Values(1, [1050], [UNPICKLABLE], [b"why"], [], last=True))
        expected = Values(10, [1050], [UNPICKLABLE], [b"why"], [], last=True)
    assert ToPeer(1, [expected]) in after(core)
    assert core.books()["exports"] == core.books()["unanswered"] == 0


def test_a_peer_gets_no_more_than_it_reads() -> None:
    """Large values wait for what is under way; a drained connection gets the next."""
    core = new_core()
    core.peer_joined(1, may_store=True)
    big = bytes(UNDERWAY_BYTES_MAX)
    core.on_peer(1, values.Store(1, [1, 2], [big, b"second"]))
    after(core)
    core.on_peer(1, Fetch(2, [1, 2]))
    core.on_peer(1, Fetch(3, []))
    assert after(core) == [ToPeer(1, [found(2, {1: big}, last=False)]), AwaitDrain(1)]
    core.drained(1)
    assert after(core) == [ToPeer(1, [found(2, {2: b"second"}), found(3, {})])]


def test_exports_are_bounded_too() -> None:
    """The runner is not asked for more than may be under way to the peer."""
    core = ready_core()
    hold(core, 1050, UNDERWAY_BYTES_MAX)
    hold(core, 1051, 5)
    core.peer_joined(1, may_store=False)
    core.on_peer(1, Fetch(10, [1050, 1051]))
    assert after(core) == [ToRunner(1, [Fetch(1, [1050])])]
    core.on_runner(1, found(1, {1050: b"small after all"}))
    assert after(core) == [
        ToRunner(1, [Fetch(2, [1051])]),
        ToPeer(1, [found(10, {1050: b"small after all"}, last=False)]),
    ]


def test_a_peer_that_left_is_not_answered() -> None:
    """Its questions are forgotten, whatever they wait for."""
    core = ready_core()
    hold(core, 1050)
    core.peer_joined(1, may_store=False)
    core.on_peer(1, Fetch(10, [1050, 3]))
    core.peer_left(1)
    assert after(core) == [ToRunner(1, [Fetch(1, [1050])])]
    core.drained(1)
    core.on_runner(1, found(1, {1050: b"v"}))
    assert after(core) == []
    assert core.books()["exports"] == core.books()["unanswered"] == 0


def test_many_small_values_come_in_parts() -> None:
    """A frame has a limit on its payloads, so an answer has several messages."""
    core = new_core()
    core.peer_joined(1, may_store=True)
    tids = list(range(2500))
    core.on_peer(1, values.Store(1, tids, [b"v"] * 2500))
    after(core)
    core.on_peer(1, Fetch(2, tids))
    (action,) = after(core)
    assert isinstance(action, ToPeer)
    parts = [message for message in action.messages if isinstance(message, Values)]
    assert [(len(part.tids), part.last) for part in parts] == [
        (1024, False), (1024, False), (452, True),
    ]  # fmt: skip
    assert all(status == FOUND for part in parts for status in part.statuses)


def test_double_store() -> None:
    """A value that is stored twice is kept once, and both are told that it is kept."""
    core = new_core()
    core.peer_joined(1, may_store=True)
    core.on_peer(1, values.Store(1, [50], [b"v"]))
    core.on_peer(1, values.Store(2, [50], [b"v"]))
    assert after(core) == [
        ToScheduler([Stored([50], [1]), Stored([50], [1])]),
        ToPeer(1, [StoreDone(1, ""), StoreDone(2, "")]),
    ]
    core.on_scheduler(Free([50]))
    assert len(core.state.store) == 0
    assert core.state.store.nbytes == 0


def test_peers_that_break_the_rules() -> None:
    """What makes no sense is refused."""
    core = new_core()
    core.peer_joined(1, may_store=False)
    with pytest.raises(RemoteProtocolError, match="only clients"):
        core.on_peer(1, values.Store(1, [50], [b"v"]))
    with pytest.raises(RemoteProtocolError, match="Free"):
        core.on_peer(1, Free([1]))
    with pytest.raises(RemoteProtocolError, match="Goodbye"):
        core.on_scheduler(Goodbye("x"))
    with pytest.raises(RemoteProtocolError, match="Done"):
        core.on_runner(1, Done([], [], [], [], []))
    assert after(core) == []


def test_a_runner_that_invents_attempts() -> None:
    """It is refused whole: what it was given stays on the books until it is ended."""
    core = ready_core()
    core.on_scheduler(run((1, {})))
    after(core)
    for attempts in ([1, 2], [1, 1]):
        with pytest.raises(RemoteProtocolError):
            core.on_runner(1, Done(attempts, [0, 0], [0.0, 0.0], [0, 0], [b"", b""]))
    core.on_runner(1, Returned([2]))
    assert after(core) == []
    core.runner_died(1, [], {})
    died = RunnerDied([], [1], [], {})
    assert after(core) == [ToScheduler([Slots(0), died]), StartRunner(2, 0.0)]


def test_answers_to_unknown_questions_are_ignored() -> None:
    """Late and invented answers change nothing."""
    core = ready_core()
    core.fetched(found(99, {50: b"v"}))
    core.on_runner(1, found(98, {50: b"v"}))
    core.on_scheduler(run((1, {50: A})))
    after(core)
    core.fetched(found(1, {77: b"not asked"}, last=False))
    assert after(core) == []


def test_input_freed_while_others_are_fetched() -> None:
    """An attempt whose other input vanished meanwhile is not given to the runner."""
    core = ready_core()
    hold(core, 1050)
    core.on_scheduler(run((1, {1050: ME, 51: A})))
    core.on_scheduler(Free([1050]))
    after(core)
    core.fetched(found(1, {51: b"v"}))
    (told, _) = after(core)
    assert told == ToScheduler([Replicas([51]), Unrunnable([1], [1050], [ME])])


def test_free_and_functions() -> None:
    """The runner hears of what it has, and only of that."""
    core = ready_core()
    hold(core, 1050)
    core.on_scheduler(Free([1050, 3]))
    core.on_scheduler(ForgetFunctions([FID, 99]))
    core.on_scheduler(Free([1050]))
    core.on_scheduler(ForgetFunctions([FID]))
    assert after(core) == [ToRunner(1, [Free([1050]), ForgetFunctions([FID])])]


def test_running() -> None:
    """Attempts that have been running for a second are told, if they are still running."""
    core = ready_core()
    core.on_scheduler(run((1, {}), (2, {})))
    after(core)
    core.tick([(1, 10.0), (2, 11.5), (3, 1.0)], 12.0)
    assert after(core) == [ToScheduler([Running([1], [2.0])])]
    core.tick([], 13.0)
    assert after(core) == []


def test_a_worker_that_leaves_takes_its_values() -> None:
    """Its neighbours keep theirs."""
    store = Store()
    core = new_core(store=store)
    store.put("other", 1, b"a")
    store.put("me", 1, b"a")
    store.put("me", 2, b"b")
    core.leave()
    assert store.get(1) == b"a"
    assert store.get(2) is None


def test_questions_without_end_are_refused() -> None:
    """Many small ones, or few for very many values: who asks and does not read is let go."""
    core = ready_core()
    core.peer_joined(1, may_store=False)
    core.on_peer(1, RegisterPeer("p"))
    core.peer_joined(2, may_store=False)
    core.on_peer(2, RegisterPeer("q"))
    core.state.sessions[1].draining = core.state.sessions[2].draining = True
    for serial in range(QUESTIONS_MAX):
        core.on_peer(1, Fetch(serial, [5]))
    with pytest.raises(RemoteProtocolError, match="10001 questions"):
        core.on_peer(1, Fetch(0, [5]))
    core.on_peer(2, Fetch(1, list(range(ASKED_MAX))))
    with pytest.raises(RemoteProtocolError, match="2 questions for 4000001 values"):
        core.on_peer(2, Fetch(2, [5]))
