"""Looking into processes: what runs there now, where time went, what was logged.

What is asked goes from the scheduler to a worker, and to its runner where only that knows; the
answer comes back the same way. It is packed by who knows and unpacked by who asked: nobody in
between looks into it.
"""

from __future__ import annotations

from typing import Any, Final

import msgpack

from trio_dask.errors import RemoteProtocolError
from trio_dask.messages.codec import Message, message
from trio_dask.messages.columns import Blobs, FieldError, Plain, check_plain

#: What there is to ask: a runner knows the first, its worker the others.
CALL_STACK: Final = "call_stack"
PROFILE: Final = "profile"
LOGS: Final = "logs"
TASK_LOGS: Final = "task_logs"
#: The scheduler itself knows this, and says it to its own core as that.
SCHEDULER_LOGS: Final = "scheduler_logs"
TOLD_HERE: Final = "told_here"
#: An answer has no more bytes than this, or than its question says.
SAID_BYTES_MAX: Final = 1 << 20


@message(120)
class Inquire(Message):
    """A question about what is in a process (scheduler → worker → runner), answered by one `Told`.

    `topic` is ``call_stack`` (of `params` ``attempts``, or of all that run), ``profile`` (of the
    seconds from ``since_s`` to ``until_s`` ago, of a function if ``name`` is not empty), ``logs``
    (the last ``n`` lines) or ``task_logs`` (those of the task ``tid``). An answer has at most
    ``bytes_max`` bytes.
    """

    serial: int
    topic: str
    params: Plain


@message(121)
class Told(Message):
    """The answer to `Inquire` (runner → worker → scheduler): packed, or, unless `ok`, why there is none."""

    serial: int
    ok: bool
    said: Blobs


@message(122)
class Profiled(Message):
    """Where time went since the last such message (runner → worker): a packed profile."""

    stacks: Blobs


def packed(tree: Any) -> bytes:
    """Plain values as bytes."""
    return msgpack.packb(tree, use_bin_type=True, unicode_errors="surrogatepass")  # type: ignore[no-any-return]


def unpacked(blob: bytes) -> dict[str, Any]:
    """Plain values out of bytes that somebody has sent.

    Raises:
        RemoteProtocolError: these are none.
    """
    try:
        tree = msgpack.unpackb(
            blob, raw=False, use_list=True, strict_map_key=True, unicode_errors="surrogatepass"
        )
        return check_plain(tree)  # type: ignore[no-any-return]
    except FieldError as error:
        msg = f"an answer that is not plain: {error}"
        raise RemoteProtocolError(msg) from error
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as error:
        msg = f"an answer that is not msgpack: {type(error).__name__}"
        raise RemoteProtocolError(msg) from error
