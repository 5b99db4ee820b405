"""What opens, keeps and closes a session, and questions with answers."""

from __future__ import annotations

from typing import Final

from trio_dask.messages.codec import Message, message
from trio_dask.messages.columns import Plain


@message(1)
class Goodbye(Message):
    """The sender is about to close, on purpose; the end of the stream is then no error.

    Whoever said so does not come back: nobody need wait for it.
    """

    reason: str


@message(2)
class RegisterClient(Message):
    """The first message of a client to the scheduler.

    With a `secret` the conversation outlasts its connection: see `Resume`. One that was
    client `number` of a cluster before says so, and then tells all it wants: see `reunion`.
    """

    name: str
    secret: str = ""
    number: int = 0
    cluster: str = ""
    epoch: int = 0
    provisional: bool = False


@message(3)
class RegisterWorker(Message):
    """The first message of a worker to the scheduler.

    `info` holds what `scheduler_info` shows and nothing depends on: host, pid,
    versions, local directory, process it lives in. `secret` is as in `RegisterClient`;
    one that was in a cluster before says so, and then tells all it has: see `reunion`.
    """

    name: str
    address: str
    nthreads: int
    memory_limit: int
    resources: Plain
    info: Plain
    secret: str = ""
    cluster: str = ""
    epoch: int = 0
    provisional: bool = False


@message(4)
class RegisterPeer(Message):
    """The first message of whoever opens a data connection to a worker."""

    name: str


@message(5)
class Welcome(Message):
    """The answer to any registration; `number` is the client's or worker's own.

    A cluster is `provisional` while it may turn out to be one that had a scheduler before.
    """

    number: int
    cluster: str
    epoch: int
    provisional: bool = False


@message(6)
class Refused(Message):
    """The answer to a registration that cannot be accepted."""

    reason: str


@message(7)
class Heartbeat(Message):
    """A worker is alive; `metrics` is for people.

    When it had heard so many messages, it had so many attempts that it has not answered, and
    this is their `agreeing.digest`; nothing is said of them where `heard` is below zero.
    """

    metrics: Plain
    heard: int = -1
    attempts: int = 0
    digest: int = 0


@message(8)
class Ask(Message):
    """A question to the scheduler, answered by exactly one `Answer` with its serial."""

    serial: int
    topic: str
    params: Plain


@message(9)
class Answer(Message):
    """The answer to `Ask`: `data` when `ok`, else `data["error"]` says why not."""

    serial: int
    ok: bool
    data: Plain


@message(10)
class Resume(Message):
    """The first message on a new connection of somebody whose last one broke.

    `secret` is what it registered with, `heard` how many messages it has heard since.
    """

    secret: str
    heard: int


@message(11)
class Resumed(Message):
    """The answer to `Resume`: so many messages were heard; what was not is said again, both ways.

    With -1 there is no such conversation (any more): whoever asks may register.
    """

    heard: int


@message(12)
class Heard(Message):
    """So many messages have been heard so far, and need not be kept."""

    count: int


#: Roles in the handshake, in order of trust: none of them is trusted with another's messages.
CLIENT: Final = "client"
WORKER: Final = "worker"
SCHEDULER: Final = "scheduler"
