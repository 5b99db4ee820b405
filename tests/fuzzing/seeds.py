"""What the corpus begins with: real conversations, as the bytes that carry them."""

from __future__ import annotations

import random
import struct
from typing import TYPE_CHECKING, Final

from tests.fuzzing.bystanders import FIRST, THEIRS
from tests.fuzzing.ends import FID, MINE, A, B
from tests.fuzzing.wire import said
from trio_dask.comm import Handshake, Hello, keys_from_token
from trio_dask.comm.chunks import LZ4, PLAIN, ZSTD, chunk_head
from trio_dask.messages import (
    Message,
    agreeing,
    apart,
    encode,
    fleet,
    inquiring,
    kept,
    nested,
    plugins,
    recorded,
    reunion,
    sealing,
    session,
    speech,
    tasks as words,
    values,
)
from trio_dask.messages.failure import Failure
from trio_dask.messages.ids import first_attempt

if TYPE_CHECKING:
    from collections.abc import Iterable

ATTEMPT: Final = first_attempt(1)


def of_client() -> list[Message]:
    """What a client says to a scheduler."""
    mine = list(range(THEIRS, THEIRS + 12))
    return [
        words.Functions([THEIRS, THEIRS + 1], ["inc", "mul"], [b"INC", b"MUL"]),
        words.Submit(
            THEIRS, [THEIRS], [b"a"] * 4, [0, 1, 2, 1], [mine[0], mine[0], mine[1], FIRST], [], [],
            wanted=True, options={"priority": 3, "retries": 2},
        ),
        words.Submit(
            THEIRS + 4, [THEIRS, THEIRS + 1], [b"a", b"b"], [], [], ["key", "mine"], [1, 0],
            wanted=True, options={"workers": ["w0"], "allow_other_workers": True},
        ),
        words.Submit(
            THEIRS + 6, [THEIRS + 1], [b"a"] * 2, [1, 1], [mine[4], mine[6]], [], [],
            wanted=False, options={"resources": {"GPU": 0.5}},
        ),
        words.Want([mine[8], mine[9]], [FIRST + 1, mine[0]]),
        words.Want([mine[-1] + 1, mine[-1] + 2], [FIRST + 7, FIRST + 8]),
        words.Put([mine[10], mine[11]], [10, 20], ["w0", "w1"], broadcast=True),
        words.Keep(mine[1:3]),
        words.Submit(
            mine[-1] + 3, [THEIRS], [b"a"] * 2, [], [], [], [], wanted=True,
            options={"on_cancel": words.KILL, "priority": 1, "timeout": 5.0, "deadline": 60.0, "actor": True},
        ),
        words.Cancel([*mine[2:5], mine[-1] + 3], "enough"),
        words.Unreachable([mine[0], mine[9]], "tcp://w0:1"),
        words.Release(mine[:6]),
        words.ForgetFunctions([THEIRS]),
        session.Ask(1, "wait_for_workers", {"n": 3}),
        session.Ask(2, "who_has", {"tids": mine}),
        words.Release(mine[6:]),
        session.Ask(3, "restart_workers", {"workers": ["x"]}),
        session.Ask(4, "restarting", {"workers": ["w0", 3]}),
        session.Ask(5, "retire_workers", {"workers": ["x"], "close": False}),
        session.Ask(6, "retire_workers", {"n": 0, "minimum": 1, "memory_ratio": 2.0}),
        session.Ask(7, "lock.acquire", {"names": ["a", "b"], "need": 1, "token": 1}),
        session.Ask(8, "lock.acquire", {"names": ["a", "b"], "need": 2, "token": 2}),
        session.Ask(9, "semaphore.acquire", {"name": "s", "limit": 2, "token": 3}),
        session.Ask(10, "queue.get", {"name": "q", "want": 1, "token": 4}),
        session.Ask(11, "queue.put", {"name": "q", "data": b"x", "tids": [FIRST], "token": 5}),
        session.Ask(12, "ticket.took", {"token": 4}),
        session.Ask(13, "event.wait", {"name": "e", "token": 6}),
        session.Ask(14, "variable.set", {"name": "v", "data": b"x", "tids": [FIRST]}),
        session.Ask(15, "variable.get", {"name": "v", "token": 7}),
        session.Ask(16, "ticket.give_up", {"token": 2, "kind": "lock"}),
        session.Ask(17, "ticket.drop", {"token": 1}),
        session.Ask(18, "coordination", {}),
        session.Ask(70, "adapting", {"minimum": 1, "maximum": None}),
        session.Ask(71, "workers_wanted", {"target_s": 5.0, "threads": 2}),
        session.Ask(20, "topic.listen", {"topics": ["t"]}),
        session.Ask(21, "topic.log", {"topics": ["t", "print"], "event": b"x"}),
        session.Ask(22, "dataset.publish", {"name": "d", "data": b"x", "tids": [FIRST]}),
        session.Ask(23, "dataset.get", {"name": "d", "token": 8}),
        session.Ask(24, "metadata.set", {"path": ["a", "b"], "tree": {"c": b"x"}}),
        session.Ask(30, "plugin.register", {"name": "p", "data": b"P"}),
        session.Ask(31, "plugin.unregister", {"name": "p"}),
        session.Ask(32, "plugin.list", {}),
        session.Ask(19, "why", {"tid": FIRST, "key": "x"}),
        session.Ask(25, "call_stack", {"tids": mine, "keys": ["x"], "workers": ["w0"]}),
        session.Ask(26, "profile", {"name": "f", "since_s": 10.0}),
        session.Ask(27, "logs", {"n": 3}),
        session.Ask(28, "task_logs", {"tid": mine[0], "key": "x", "n": 3}),
    ]  # fmt: skip


def of_worker() -> list[Message]:
    """What a worker says to a scheduler."""
    some = list(range(ATTEMPT + 1, ATTEMPT + 13))
    return [
        session.RegisterWorker("x", "tcp://x:1", 2, 1 << 30, {"GPU": 2.0}, {"host": "h", "pid": 3}),
        session.Heartbeat({"cpu": 1.0, "memory": 5}),
        session.Heartbeat({"cpu": 1.0}, 3, 2, 2 * ATTEMPT),
        agreeing.Counted(3, some[:2], [FIRST, FIRST + 1]),
        words.Done(
            some[:4], [words.OK_HELD, words.OK_INLINE, words.ERROR, words.OK_HELD],
            [0.1, 0.2, 0.3, 1e-6], [8, 8, 0, 1 << 20], [b"", b"v", b"oops", b""],
        ),
        words.Running(some[4:6], [1.5, 2.5]),
        words.Replicas([FIRST, FIRST + 1, FIRST + 2, FIRST + 9]),
        words.Stored([FIRST + 5, FIRST + 10], [10, 11]),
        words.Unrunnable(some[4:6], [FIRST, FIRST + 1], ["tcp://w0:1", "tcp://w1:1 tcp://x:1"]),
        words.Pinned(some[6:8], [FIRST + 2, FIRST + 9], ["tcp://x:1"] * 2, [b"stuck"] * 2),
        words.Returned(some[7:9]),
        words.Slots(0),
        words.RunnerDied(some[9:10], some[10:12], [FIRST, FIRST + 2], {"signal": 9, "pid": 4}),
        words.Slots(2),
        words.Done(some[10:], [words.OK_HELD, words.STOPPED], [0.1] * 2, [8] * 2, [b""] * 2),
        words.Done(some[7:9], [words.TIMED_OUT, words.OVERDUE], [0.1] * 2, [0] * 2, [b""] * 2),
        nested.NumbersWanted(3),
        nested.Parked(some[4:7], [1, 1, 0]),
        nested.NestedStored(some[5], [FIRST + 5, FIRST], [10, 11]),
        nested.Parked(some[4:5], [0]),
        words.RunnerDied(some[8:9], some[9:], [], {"on_purpose": True, "signal": 9}),
        fleet.Uncopied([FIRST, FIRST + 1], [b"", b"stuck"]),
        fleet.Renewed(1),
        inquiring.Told(1, ok=True, said=[b"\x80"]),
        inquiring.Told(2, ok=False, said=[b"nobody is there"]),
        plugins.PluginsDone(1, [b"why"]),
        plugins.PluginsDone(7, []),
        plugins.Plugins(0, ["p"], [b"x"]),
        fleet.Leave("it is told to", at_once=False),
        fleet.Leave("it is told to", at_once=True),
        reunion.Members("c", 1, 3, True, ["tcp://x:1"], [1, 2], ["tcp://y:1"], [3]),
        reunion.Holdings([FIRST, FIRST + 1], [8, 8]),
        reunion.Attempts(some[:2], [FIRST, FIRST + 1], [0, 1]),
        reunion.Mirror(
            5, anew=True, ids=[1, 2], gone=[], blobs=[b"x", b"v"],
            heads={"of": [["item", "q", 3, [FIRST], ["x"]], ["value", FIRST, 4]]},
        ),
        reunion.Mirror(
            6, anew=False, ids=[3, 4, 5], gone=[1], blobs=[b""] * 3,
            heads={"of": [["mark", 1, 5, {}], ["metadata", ["a"], {"b": b"x"}], ["flag", "e"]]},
        ),
        reunion.Mirrored(3),
        reunion.Lingering([some[0]]),
        reunion.Lingering([]),
        reunion.Tickets({"locks": [[1, ["x"]]], "items": [[2, "q", [1], [FIRST]]]}),
        reunion.Tickets({"semaphores": [[3, "s", 2]], "reading": [[4, [FIRST]]]}),
        reunion.Announced(2, [FID]),
        reunion.Known([THEIRS, THEIRS + 1], [0, 1], [b"v", b""], [THEIRS, THEIRS + 1]),
        session.Heard(3),
        session.Resume("secret of somebody", 2),
    ]  # fmt: skip


def to_worker() -> list[Message]:
    """What a scheduler says to a worker."""
    return [
        words.Functions([FID, FID + 1], ["f", "g"], [b"f", b"g"]),
        words.Run([1, 2], [101, 102], [FID, FID], [1, 2], [b"x", b"y"], [], [], [], [], [], []),
        words.Run(
            [3, 4], [103, 104], [FID, FID + 1], [3, 4], [b"x", b"y"], [1, 3],
            [101, 102, 9, 10], [0, words.INLINE, 1, 0], [b"v"], [A, f"{B} {A}"], ["", "key"],
            [11, 12, 13, 14],
        ),
        words.Recall([2, 3]),
        words.Interrupt([1, 4, 9], [words.INTERRUPT, words.COOPERATE, words.KILL]),
        words.Free([101, 102, 9]),
        words.ForgetFunctions([FID]),
        words.Traced([5, 77], "00-1-2-01"),
        words.Run([5], [105], [FID], [5], [b"x"], [1], [9], [0], [], [B], []),
        nested.Numbers([4, 5], [400, 500]),
        nested.Nested(5, [b"to a task"]),
        nested.Nested(77, [b"to nobody"]),
        fleet.Copy([11, 101, 12], [0, 0, 1], [f"{A} {B}", B]),
        fleet.Dismiss("a client retires it"),
        inquiring.Inquire(1, "call_stack", {"attempts": [1], "bytes_max": 1000}),
        inquiring.Inquire(2, "profile", {"bytes_max": 1000}),
        plugins.Plugins(0, ["p"], [b"P"]),
        plugins.Plugins(3, ["q", "p"], [b"Q", b""]),
        fleet.Renew(1, forget=False),
        fleet.Renew(2, forget=True),
        fleet.Farewell(3, 300, 2, 1),
        words.Run(
            [6, 7], [106, 107], [FID] * 2, [6, 7], [b"x"] * 2, [], [], [], [], [], [], [],
            [1.5, float("inf")], [float("inf"), 60.0], [words.INTERRUPT, words.KILL],
        ),
        words.Run(
            [8, 9], [108, 109], [FID] * 2, [8, 9], [b"x"] * 2, [], [], [], [], [], [], apart=[9]
        ),
        reunion.Disown([1, 5, 9]),
        reunion.Mirror(
            5, anew=True, ids=[1, 2], heads={"of": [["flag", "e"], ["item"]]}, blobs=[b"", b"x"],
            gone=[],
        ),
        reunion.Mirror(6, anew=False, ids=[], heads={}, blobs=[], gone=[1, 7]),
        agreeing.Recount(4),
        session.Heard(2),
        session.Resumed(1),
    ]  # fmt: skip


def of_runner() -> list[Message]:
    """What a runner says to its worker."""
    return [
        sealing.Sealed(
            [2, 9, 0], [1002, 1009, 1003], [1, 2, 3], [b"value", b"of nobody", b"not held"]
        ),
        words.Done([2, 4], [words.OK_HELD, words.ERROR], [0.1, 0.1], [8, 0], [b"", b"oops"]),
        sealing.Sealed([0], [1002], [4], [b"asked for"]),
        sealing.Sealed([0, 3], [1002, 1003], [-1, -2], [b"on disk", b"at once"]),
        sealing.Slab([1002, 1003, 1009], [3, 3, 0], [b"onetwo"]),
        words.Returned([6]),
        apart.Reserved([1, 77]),
        words.Interrupting([1, 3]),
        plugins.PluginsDone(3, [b"why", b""]),
        nested.NumbersWanted(2),
        nested.Nested(3, [b"from a task"]),
        nested.Parked([3, 5, 77], [1, 1, 0]),
        nested.NestedFetch(3, 1, A, [600, 1002, 1001]),
        nested.NestedFetch(5, 2, B, [600, 601]),
        nested.NestedStore(5, 3, [700, 1002], [b"one", b"two"]),
        nested.Parked([5], [0]),
        words.Done([3], [words.STOPPED], [0.1], [0], [b""]),
        values.Values(3, [1002], [values.FOUND], [], [b"value"], last=False),
        values.Values(3, [1004], [values.UNPICKLABLE], [b"why"], [], last=True),
        words.Done([1, 8], [words.OK_HELD, words.OK_INLINE], [0.1, 0.1], [8, 1], [b"", b"v"]),
        values.Values(4, [1002, 1001], [values.ABSENT] * 2, [], [], last=True),
        inquiring.Told(1, ok=True, said=[b"\x80"]),
        inquiring.Told(9, ok=True, said=[b"nobody asked"]),
    ]


def of_peer() -> list[Message]:
    """What is said on a worker's data connection."""
    return [
        session.RegisterPeer("peer"),
        values.Fetch(1, [1001, 1003, 1001, 5]),
        values.Store(2, [1003, 77], [b"one", b"two"]),
        values.Fetch(3, [77, 1002, 1004]),
    ]


def of_source() -> list[Message]:
    """What a worker answers that is asked for values."""
    return [
        values.Values(1, [501], [values.FOUND], [], [b"one"], last=False),
        values.Values(1, [503, 505], [values.ABSENT, values.UNPICKLABLE], [b"why"], [], last=False),
        values.Values(2, [503], [values.FOUND], [], [b"three"], last=True),
        values.Values(1, [507], [values.FOUND], [], [b"seven"], last=True),
        values.Values(3, [501, 501], [values.FOUND] * 2, [], [b"x"], last=True),
    ]


def to_client() -> list[Message]:
    """What a scheduler says to a client."""
    few = [MINE + row for row in range(8)]
    return [
        words.Finished(few[:3], [1, 2, 3], [b"v", b"", b""], [-1, 0, 1], [A, f"{A} {B}"], few[:3]),
        words.Failed(few[3:6], [0, 1, 0], [b"one", b"two"]),
        words.Again(few[1:3]),
        words.Cancelled([few[6], few[1]], "enough"),
        words.Lost([few[7], few[2]], "gone"),
        words.PutAt([MINE + 303, MINE + 304, MINE + 303], [0, 1, 1], [A, B]),
        session.Answer(1, ok=True, data={"n": 3}),
        session.Answer(2, ok=False, data={"error": "no"}),
        kept.Said(["steps", "print"], [b"event", b"text"]),
        words.Finished(list(range(MINE + 3, MINE + 305)), [1] * 302, [b"v"] * 302, [-1] * 302, []),
    ]


def of_worker_to_client() -> list[Message]:
    """What a worker says to a client."""
    return [
        session.Welcome(1, "", 0),
        values.Values(2, [MINE, MINE + 1], [values.ABSENT, values.FOUND], [], [b"v"], last=False),
        values.Values(3, [MINE + 1], [values.UNPICKLABLE], [b"why"], [], last=True),
        values.StoreDone(5, ""),
        values.StoreDone(6, "no room"),
    ]


def of_neighbour() -> list[Message]:
    """What a peer of this host says of values that go as descriptors."""
    return [
        sealing.Takes(2),
        sealing.Returned([1, 7], [1, 0]),
        values.Fetch(1, [1001]),
        sealing.Returned([2, 2, 0, -1], [0, 1, 1, 0]),
        sealing.Takes(1 << 40),
        values.Values(2, [1], [values.FOUND], [], [b"as bytes"], last=True),
        values.Store(3, [5], [b"as bytes"]),
        sealing.Takes(-1),
        sealing.Returned([4], [1]),
        sealing.Takes(0),
    ]


#: What is said where nothing but its words is checked: to a runner, in a log, first and last.
ELSEWHERE: Final[tuple[Message, ...]] = (
    session.Goodbye("enough"),
    session.RegisterClient("c", "secret of somebody", 3),
    session.Refused("no room"),
    values.Prepare({"name": "w", "nthreads": 2, "memory_limit": 1 << 30}),
    values.Ready(77),
    values.Give([1, 2], [b"one", b"two"]),
    values.Stop("enough"),
    apart.Reserve([1, 2], [7, -3]),
    apart.Vacate([1, 2]),
    nested.NestedJoin(3, 5),
    nested.NestedGot(3, 1, [1, 2], [values.FOUND, values.UNPICKLABLE], [b"why"]),
    recorded.Recording(1, "2026.11.0", "worker", "c", 1, {"nworkers": 2}),
    recorded.Event("fetched", 0, 3, 1.5, [3, 5]),
    inquiring.Profiled([b"stacks"]),
    speech.Spoken([1, 1], [2, 2], [0, 1], [1.5, 2.5], [0, 3], ["a line\n", "half of"]),
    sealing.Unread([1, 2], [0, 1], [1, 0]),
    sealing.Rewrite([1, 2], [1, 0]),
    sealing.Unload(1, [1002, 1003]),
    sealing.Pressure(2),
)


def everything() -> list[Message]:
    """Each message that is in a seed."""
    return [*(each for made in CONVERSATIONS.values() for each in made()), *ELSEWHERE]


#: For each target that hears messages: a conversation it understands.
CONVERSATIONS: Final = {
    "hostile_client": of_client,
    "hostile_worker": of_worker,
    "hostile_task": of_client,
    "hostile_scheduler_of_worker": to_worker,
    "hostile_runner": of_runner,
    "hostile_peer": of_peer,
    "hostile_source": of_source,
    "hostile_neighbour": of_neighbour,
    "hostile_scheduler_of_client": to_client,
    "hostile_worker_of_client": of_worker_to_client,
}


def seeds(target: str) -> list[bytes]:
    """Inputs for a target that it accepts, or nearly."""
    conversation = CONVERSATIONS.get(target)
    if conversation is not None:
        return list(_shortened(conversation()))
    if target == "chunks":
        return [bytes([cut]) + data for data in _chunked() for cut in (0, 6, 60)]
    if target in ("frames", "link"):
        few = everything()[::9]
        return [bytes([cut]) + said(few[at : at + 4]) for at, cut in enumerate((0, 6, 60))]
    if target == "header":
        return [b"\x00" + said([message])[8:] for message in everything()]
    if target.startswith("handshake"):
        return _hellos(accepting=target.endswith("accepting"))
    return _TEXTS[target]


def _shortened(messages: list[Message]) -> Iterable[bytes]:
    yield said(messages)
    for start in range(len(messages)):
        yield said([*messages[:1], *messages[start : start + 3]])


def _chunked() -> Iterable[bytes]:
    """A payload in chunks of each kind, one after the other, and some that are wrong."""
    header, _ = encode([values.Store(1, [1], [b""])])
    parts = (
        chunk_head(PLAIN, 200) + bytes(200),
        chunk_head(LZ4, 20) + b"0123456789" * 2,
        chunk_head(ZSTD, 1) + b"0",
        chunk_head(ZSTD, 50) + bytes(50),
        chunk_head(LZ4, 300),
        chunk_head(3, 5) + b"01234",
    )
    frames = [struct.pack("<IIQ", len(header), 1, 200 | 1 << 62) + header + part for part in parts]
    yield from frames
    yield b"".join(frames[:3]) + said([values.Store(2, [1], [b"after it"])])


def _hellos(*, accepting: bool) -> list[bytes]:
    role = "client" if accepting else "scheduler"
    theirs = Hello(role, "3.11.4", "1.0", b"t" * 32)
    wrong = Handshake(theirs, keys_from_token("fedcba9876543210" * 4), connecting=accepting)
    mine = Hello("scheduler" if accepting else "client", "3.11.4", "1.0", b"m" * 32).to_bytes()
    proof = wrong.feed(mine[:12]) + wrong.feed(mine[12:])
    hello = theirs.to_bytes()
    return [hello, hello + (proof if accepting else b"\x01") + bytes(32), hello + b"\x00"]


def _failures() -> list[bytes]:
    inner = Failure("ValueError", "no", "line 1", ("a note",), origin={"key": "x", "pid": 3})
    outer = Failure("KeyError", "x", cause=inner, context=inner, pickled=b"\x80\x05N.")
    group = Failure("ExceptionGroup", "both", children=(inner, outer), suppress_context=True)
    return [each.to_bytes() for each in (inner, outer, group)]


_TEXTS: Final = {
    "failure": _failures(),
    "files": [
        b"[scheduler]\nport = 0\nworker-ttl = '5m'\n[worker.resources]\nGPU = 2\n",
        b"[worker]\nnworkers = 'auto'\nmemory_limit = 0.5\nnanny = false\nresources = {a = 1e3}\n",
        b'{"type": "Scheduler", "id": "s", "address": "tcp://h:1", "token": "t"}',
        b"Xk3dXk3dXk3dXk3dXk3dXk3dXk3dXk3dXk3dXk3dXk3\n",
    ],
    "texts": [
        b"tcp://[fe80::1%eth0]:8786", b"host:1", b"1h 30m, 2.5s", b"1.5e3 GiB", b"auto", b"never",
        b"-1", b"GPU=2 MEM=10e9", b"0.25", b"true", b"0123456789abcdef0123456789abcdef",
        "-²".encode(), b"1e999",
    ],
}  # fmt: skip


def random_from(text: str) -> random.Random:
    """Chance that is the same whenever and wherever this runs."""
    return random.Random(text)
