"""Events: what is said under a topic, and who listens. `print` and `warn` in tasks are such."""

from __future__ import annotations

import builtins
import logging
import sys
import time
import warnings
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from trio_dask.config import STDERR, STDOUT, is_seen, places
from trio_dask.messages.kept import EVENT_BYTES_MAX, PRINT, WARN
from trio_dask.messages.payload import pack, unpack

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from trio_dask.client.base import BaseClient
    from trio_dask.messages import Payload
    from trio_dask.messages.session import Answer

logger = logging.getLogger("trio_dask.client")

#: Of what a task prints so much reaches the clients.
_TEXT_MAX: Final = 16_000


class Listening:
    """Whom one client's events are for."""

    def __init__(self, client: BaseClient) -> None:
        self._client = client
        self._handlers: dict[str, list[Callable[[Any], Any]]] = {}

    def arrived(self, topic: str, event: bytes) -> None:
        """The scheduler passes an event on."""
        handlers = tuple(self._handlers.get(topic, ())) or _DEFAULTS.get(topic, ())
        for handler in handlers:
            self._client.run_handler(partial(_handle, handler, topic, event))

    def add(self, topic: str, handler: Callable[[Any], Any]) -> bool:
        """One more handler; whether it is the first of its topic."""
        handlers = self._handlers.setdefault(topic, [])
        handlers.append(handler)
        return len(handlers) == 1

    def remove(self, topic: str) -> bool:
        """No handler any more; whether there was one."""
        return bool(self._handlers.pop(topic, None))


def _handle(handler: Callable[[Any], Any], topic: str, event: bytes) -> Any:
    try:
        return handler(unpack(event))
    except Exception:
        logger.exception("the handler %r of topic %r failed", handler, topic)
        return None


def names(topic: Any) -> list[str]:
    """The topics that are meant.

    Raises:
        ValueError: they are nothing of that kind.
    """
    single = isinstance(topic, str) or not isinstance(topic, Iterable)
    found = [topic] if single else list(topic)
    if found and all(isinstance(each, str) and each for each in found):
        return found
    msg = f"topic={topic!r:.100}: it is text, or a list of texts"
    raise ValueError(msg)


def packed(event: Any) -> bytes:
    """An event as it travels: with the time at which it was said.

    Raises:
        SubmitError: it cannot be pickled.
        ValueError: it is too large.
    """
    payload: Payload = pack((time.time(), event))  # noqa: TID251 - for people, on their clock
    data = b"".join(payload) if isinstance(payload, list) else bytes(payload)
    if len(data) > EVENT_BYTES_MAX:
        msg = f"an event of {len(data):,} bytes, where {EVENT_BYTES_MAX:,} is the most"
        raise ValueError(msg)
    return data


def say(client: BaseClient, topics: Iterable[str], event: Any) -> None:
    """Say something, without waiting until it has arrived."""
    data = packed(event)
    with client.live.lock:
        client.live.check_open()
        client.live.core.ask("topic.log", {"topics": list(topics), "event": data}, _ignore)
    client.live.flush()


def _ignore(answer: Answer) -> None:
    pass


# ---------------------------------------------------------------- print and warn


def print(  # noqa: A001 - as in Dask
    *args: object,
    sep: str | None = " ",
    end: str | None = "\n",
    file: Any = None,
    flush: bool = False,
) -> None:
    """`print`, also at all clients: inside a task it is written where they run, too.

    A client that writes to the very terminal, notebook or file that the worker writes to leaves
    it at that: it is there once. Only what goes to ``sys.stdout`` or ``sys.stderr`` is. Elsewhere it is the `print` that it is.
    """
    builtins.print(*args, sep=sep, end=end, file=file, flush=flush)
    client = _client_of_task()
    if client is None or file not in (None, sys.stdout, sys.stderr):
        return
    text = (" " if sep is None else sep).join(map(str, args)) + ("\n" if end is None else end)
    from trio_dask.runner import passed_on  # which is loaded, as this is a task

    error = file is sys.stderr
    number, stream = (STDERR, sys.stderr) if error else (STDOUT, sys.stdout)
    seen = places(number, stream, passed_on)
    say(client, [PRINT], {"text": text[:_TEXT_MAX], "error": error, "seen": seen})


def warn(
    message: str | Warning, category: type[Warning] = UserWarning, stacklevel: int = 1
) -> None:
    """`warnings.warn`, also at all clients: inside a task they are warned, too."""
    warnings.warn(message, category, stacklevel=stacklevel + 1)
    client = _client_of_task()
    if client is not None:
        kind = type(message) if isinstance(message, Warning) else category
        file, line = _caller(stacklevel + 1)
        text = str(message)[:_TEXT_MAX]
        say(client, [WARN], {"text": text, "category": kind, "file": file, "line": line})


def _caller(depth: int) -> tuple[str, int]:
    """File and line of who has called, so many calls up."""
    frame: FrameType | None = sys._getframe()  # noqa: SLF001 - documented
    while frame is not None and depth:
        frame, depth = frame.f_back, depth - 1
    return ("<unknown>", 0) if frame is None else (frame.f_code.co_filename, frame.f_lineno)


def _client_of_task() -> Any:
    from trio_dask.client.inside import of_task

    return of_task()


def _on_print(event: Any) -> None:
    said = event[1]
    number, file = (STDERR, sys.stderr) if said["error"] else (STDOUT, sys.stdout)
    if is_seen(said.get("seen"), number, file):
        return  # the worker writes to the same terminal, notebook or file
    builtins.print(said["text"], end="", file=file, flush=True)


def _on_warn(event: Any) -> None:
    said = event[1]
    warnings.warn_explicit(
        said["text"], said["category"], said["file"], said["line"], registry=_warned
    )


#: What was warned of here: of one line once, if nothing else is said.
_warned: Final = dict[Any, Any]()
_DEFAULTS: Final[dict[str, tuple[Callable[[Any], Any], ...]]] = {
    PRINT: (_on_print,),
    WARN: (_on_warn,),
}
