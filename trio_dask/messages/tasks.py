"""Tasks on their way: submitted, run, ended, let go. Columns, one row a task."""

from __future__ import annotations

from dataclasses import field
from typing import ClassVar, Final

from trio_dask.messages.codec import Message, message
from trio_dask.messages.columns import Blobs, Floats, Ints, Plain, Strs

# ---------------------------------------------------------------- both ways


@message(20)
class Functions(Message):
    """Functions by id, pickled; sent once to each peer, before their first use."""

    fids: Ints
    names: Strs
    blobs: Blobs
    PARALLEL: ClassVar = ("fids", "names", "blobs")


@message(21)
class ForgetFunctions(Message):
    """Functions whose ids will not be used again."""

    fids: Ints


# ---------------------------------------------------------------- client → scheduler


@message(30)
class Submit(Message):
    """Tasks with ids ``first, first + 1, …``, one for each blob in `args`.

    `fids` has one function id for all, or one each. `dep_counts` is empty when no
    task has inputs; else it has a number each, and `dep_tids` all inputs in order.
    `keys` is empty for automatic keys. `orders` is empty for submission order, else
    it ranks the tasks of this message among each other, lowest first. `wanted` says
    whether the client holds futures for them. `options`: priority, retries,
    workers, allow_other_workers, resources, on_cancel, timeout (seconds of running),
    deadline (seconds from the arrival of this message), asked (the deadline that errors name,
    as it was asked for), actor (its value is not to be made twice), once (nor is that of a call
    of one), apart (each attempt has a process of its own) and trace (the context of a span that
    its attempts are children of); what is not there has its default.
    """

    first: int
    fids: Ints
    args: Blobs
    dep_counts: Ints
    dep_tids: Ints
    keys: Strs
    orders: Ints
    wanted: bool
    options: Plain


@message(31)
class Release(Message):
    """The client no longer wants these of its tasks."""

    tids: Ints


@message(32)
class Want(Message):
    """The client wants, under its own ids `tids`, the tasks known as `targets`."""

    tids: Ints
    targets: Ints
    PARALLEL: ClassVar = ("tids", "targets")


@message(33)
class Cancel(Message):
    """Stop these tasks, also while they run; each is answered by one `Cancelled`, `Finished` or `Failed`.

    A value that has not been stored yet is `Lost`.
    """

    tids: Ints
    reason: str


@message(34)
class Keep(Message):
    """Run these to their end even if nobody wants them any more (fire and forget)."""

    tids: Ints


@message(35)
class Put(Message):
    """The client has values to store; answered by `PutAt`.

    `workers` limits where (names, addresses or hosts; empty: anywhere).
    """

    tids: Ints
    nbytes: Ints
    workers: Strs
    broadcast: bool
    PARALLEL: ClassVar = ("tids", "nbytes")


@message(36)
class Unreachable(Message):
    """The client could not fetch these values from `address`; the scheduler finds another way."""

    tids: Ints
    address: str


# ---------------------------------------------------------------- scheduler → client


@message(40)
class Finished(Message):
    """These tasks have a value: in `values` if it is small, else at ``places[at]``.

    A row with ``at == -1`` is inline. `sources` is empty, or has for each row the id by
    which workers know the value, where that is not its own: another client made it.
    """

    tids: Ints
    nbytes: Ints
    values: Blobs
    at: Ints
    places: Strs
    sources: Ints = field(default_factory=list)
    PARALLEL: ClassVar = ("tids", "nbytes", "values", "at")


@message(41)
class Failed(Message):
    """These tasks raised ``failures[which]`` (an encoded `Failure`), or one of their inputs did."""

    tids: Ints
    which: Ints
    failures: Blobs
    PARALLEL: ClassVar = ("tids", "which")


@message(42)
class Cancelled(Message):
    """These tasks were cancelled and will not run."""

    tids: Ints
    reason: str


@message(43)
class Lost(Message):
    """These values are gone and cannot be made again."""

    tids: Ints
    reason: str


@message(44)
class Again(Message):
    """These tasks had a value, lost it, and are being run again."""

    tids: Ints


@message(45)
class PutAt(Message):
    """Where to store the values of a `Put`: row by row, one worker address a row."""

    tids: Ints
    at: Ints
    places: Strs
    PARALLEL: ClassVar = ("tids", "at")


# ---------------------------------------------------------------- scheduler → worker → runner

#: `dep_at` of an input whose value travels with the task, in `dep_values`.
INLINE: Final = -1
#: `dep_at` of an input that the runner already holds (worker → runner only).
HERE: Final = -2
#: Who fetches so large a value is to know before: how much comes at a time is bounded.
LARGE_BYTES_MIN: Final = 1 << 20


@message(50)
class Run(Message):
    """Attempts to run tasks, lowest rank first.

    `dep_counts` is empty when no task has inputs, else one number each; `dep_tids`
    and `dep_at` have a row for each input: `INLINE` (the next of `dep_values` is it),
    `HERE`, or an index into `places`. An entry of `places` is one or more worker
    addresses, separated by spaces, best first. `keys` is empty, or has one string
    each, empty for an automatic key. `dep_refs` is empty, or has for each input the
    id by which the task's arguments call it, where that is not the value's own.

    `large` has, for inputs of `LARGE_BYTES_MIN` that are elsewhere, id and bytes in turn.
    The three before it are empty, or have one each, where some of the attempts have a limit:
    seconds of running, seconds from now (worker → runner: a time on the clock of their host),
    and the way in which it is stopped then. `inf` is no limit. `apart` are those of the attempts
    that are to have a process of their own.
    """

    attempts: Ints
    tids: Ints
    fids: Ints
    ranks: Ints
    args: Blobs
    dep_counts: Ints
    dep_tids: Ints
    dep_at: Ints
    dep_values: Blobs
    places: Strs
    keys: Strs
    dep_refs: Ints = field(default_factory=list)
    timeouts: Floats = field(default_factory=list)
    deadlines: Floats = field(default_factory=list)
    ways: Ints = field(default_factory=list)
    large: Ints = field(default_factory=list)
    apart: Ints = field(default_factory=list)
    PARALLEL: ClassVar = ("attempts", "tids", "fids", "ranks", "args")


@message(124)
class Traced(Message):
    """The attempts of the `Run` that follows are traced (scheduler → worker → runner).

    `trace` is the context of the span that theirs are children of, as in the headers ``traceparent``
    and, after a space, ``tracestate`` of the W3C.
    """

    attempts: Ints
    trace: str


@message(51)
class Recall(Message):
    """Give these attempts back unless they have started; each that had not is in one `Returned`."""

    attempts: Ints


#: Ways of stopping a running task, from its option `on_cancel` …
COOPERATE: Final = 0  # ask it, and wait until it looks
INTERRUPT: Final = 1  # ask it, then raise an exception in it
KILL: Final = 2  # end its process
#: … and what a worker tells the runner: ask it, or raise.
ASK: Final = 0
RAISE: Final = 1


@message(53)
class Interrupt(Message):
    """Stop these attempts; each is in one `Returned`, `Done` or `RunnerDied`, as any other."""

    attempts: Ints
    ways: Ints
    PARALLEL: ClassVar = ("attempts", "ways")


@message(52)
class Free(Message):
    """These values are not needed any more: drop them."""

    tids: Ints


# ---------------------------------------------------------------- runner → worker → scheduler

#: Statuses in `Done`.
OK_INLINE: Final = 0  # `values` has the packed value
OK_HELD: Final = 1  # the value stays where it was made; `values` has b""
ERROR: Final = 2  # `values` has the encoded `Failure`
STOPPED: Final = 3  # it was interrupted; `values` has b""
AGAIN: Final = 4  # it asked to be run again; `values` has b""
TIMED_OUT: Final = 5  # it was stopped, as it had run for longer than its timeout; b""
OVERDUE: Final = 6  # it was stopped, as its deadline was over; b""


@message(60)
class Done(Message):
    """Attempts that ended, how, and after how many seconds of running."""

    attempts: Ints
    statuses: Ints
    seconds: Floats
    nbytes: Ints
    values: Blobs
    PARALLEL: ClassVar = ("attempts", "statuses", "seconds", "nbytes", "values")


@message(69)
class Interrupting(Message):
    """The runner has heard that it is to stop these (runner → worker only).

    `spared` is empty, or says for how many seconds each is not to be disturbed.
    """

    attempts: Ints
    spared: Floats = field(default_factory=list)


@message(61)
class Returned(Message):
    """Attempts given back without having started."""

    attempts: Ints


@message(62)
class Unrunnable(Message):
    """Attempts that cannot start: input `tids` was not at any of the addresses in `places`.

    The attempt is over; one row for each missing input.
    """

    attempts: Ints
    tids: Ints
    places: Strs
    PARALLEL: ClassVar = ("attempts", "tids", "places")


@message(68)
class Pinned(Message):
    """Attempts that cannot start here: input `tids` cannot leave the runner at `places`.

    The attempt is over; one row for each, with the encoded `Failure` that says why.
    """

    attempts: Ints
    tids: Ints
    places: Strs
    failures: Blobs
    PARALLEL: ClassVar = ("attempts", "tids", "places", "failures")


@message(63)
class Replicas(Message):
    """The worker now also holds copies of these values."""

    tids: Ints


@message(64)
class Stored(Message):
    """The worker now holds these values, put there by a client."""

    tids: Ints
    nbytes: Ints
    PARALLEL: ClassVar = ("tids", "nbytes")


@message(65)
class RunnerDied(Message):
    """A runner process ended.

    `running` are the attempts that were running, or waiting, in it, `queued` those it had not
    begun; all of them are over. `lost` are the values that died with it.
    `certificate` says what is known about the death: exit_code or signal, reason, pid,
    host, lasted_s, rss, peak_rss, memory (pairs of seconds before the end and bytes), output
    (the last lines), running (pairs of attempt and seconds). With `oom` the system has
    killed it for want of memory; with `on_purpose` the worker has ended it, and nobody
    is to blame.
    """

    running: Ints
    queued: Ints
    lost: Ints
    certificate: Plain


@message(66)
class Slots(Message):
    """How many tasks the worker can run at once from now on: 0 while it has no runner."""

    nthreads: int


@message(67)
class Running(Message):
    """Attempts that have been running for a while, with seconds so far; sent by the tick."""

    attempts: Ints
    seconds: Floats
    PARALLEL: ClassVar = ("attempts", "seconds")
