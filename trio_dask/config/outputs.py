"""Where output ends: whether what one process writes is seen where another one writes."""

from __future__ import annotations

import os
import secrets
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

#: The numbers of the two streams.
STDOUT: Final = 1
STDERR: Final = 2

_NOWHERE: Final = "-"
_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")
_mark: Final = secrets.token_hex(8)


def to_tell(told: str = "") -> str:
    """What to tell a process whose output we pass on to the streams that we have started with.

    `told` is what we were told ourselves of these, by who passes on what we write there.
    """
    own = [place_of(descriptor_of(stream)) for stream in (sys.__stdout__, sys.__stderr__)]
    given = told.split() or [_NOWHERE] * len(own)
    return " ".join(
        place if ours == _NOWHERE else ours
        for ours, place in zip(given, [place or _NOWHERE for place in own], strict=True)
    )


def errors_are_ours() -> str:
    """What to tell a process of whose output only stderr is passed on, to ours as it then is."""
    return f"{_NOWHERE} {_own()}"


def places(number: int, stream: object, told: Sequence[str]) -> list[str]:
    """Where what this process writes to a stream is seen.

    `told` is what the process was told that passes our output on, if one does.
    """
    if told:
        return [told[number - STDOUT]]
    return [_own(), place_of(descriptor_of(stream, number))]


def is_seen(where: object, number: int, stream: object) -> bool:
    """Whether what was written at these places has been seen where our own stream is."""
    if not isinstance(where, list):
        return False
    here = {_own(), place_of(descriptor_of(stream, number))} - {"", _NOWHERE}
    return not here.isdisjoint(where)


def _own() -> str:
    return f"{_mark}:{os.getpid()}"


def place_of(fd: int | None) -> str:
    """A name of the terminal, pipe or file behind a descriptor; empty if there is none.

    It is the same in all processes that write to the same one, and in no others.
    """
    if fd is None:
        return ""
    try:
        found = os.fstat(fd)
    except OSError:
        return ""
    return f"{_machine()}:{found.st_dev}:{found.st_ino}"


def descriptor_of(stream: Any, number: int = 0) -> int | None:
    """The descriptor whose output is seen where that of a stream is; None if there is none.

    A notebook's stream is none, but shows what is written to the `number` of the one it is for.
    """
    with suppress(AttributeError, OSError, ValueError):
        fd = stream.fileno()  # of a notebook's: fails unless it shows descriptors, too
        if type(stream).__module__ == "ipykernel.iostream":
            return number
        return fd if type(fd) is int else None
    return None


def _machine() -> str:
    try:
        return _BOOT.read_text(encoding="ascii").strip()
    except OSError:  # not Linux
        return socket.gethostname()
