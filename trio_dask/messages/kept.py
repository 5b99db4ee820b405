"""What the scheduler keeps for clients and passes on between them, and how much of it."""

from __future__ import annotations

from typing import ClassVar, Final

from trio_dask.messages.codec import Message, message
from trio_dask.messages.columns import Blobs, Strs

#: One value in a queue or a variable is no larger than this: what is larger belongs on a worker,
#: and its future here.
VALUE_BYTES_MAX: Final = 1 << 20
#: A data set, of which there are few, may be larger.
DATASET_BYTES_MAX: Final = 16 << 20
#: One event is no larger than this.
EVENT_BYTES_MAX: Final = 64 << 10

#: Topics that all clients outside of tasks are told of: what tasks print, and warn of.
PRINT: Final = "print"
WARN: Final = "warn"


@message(180)
class Said(Message):
    """Events that the client listens to, in the order in which they were said (scheduler → client).

    Each is a packed pair: the time by its sender's clock, and the message.
    """

    topics: Strs
    events: Blobs
    PARALLEL: ClassVar = ("topics", "events")
