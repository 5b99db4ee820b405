"""What a server and the process that started it say to each other: words on a line.

They are said over the child's standard input, which is a socket pair. What makes no
sense is nobody's order, and ignored.
"""

from __future__ import annotations

import re
from typing import Final

#: A scheduler takes peers, at this address.
LISTENING: Final = "listening"
#: A client has shut the cluster down.
SHUT: Final = "shut"
#: The scheduler's dashboard is there: its link.
DASHBOARD: Final = "dashboard"
#: A worker has joined: its address and its name.
JOINED: Final = "joined"
#: A worker has left: its name.
LEFT: Final = "left"
#: To a server: end, all of the cluster does.
CLOSE: Final = "close"
_SCALE: Final = "scale"
_SCHEDULER: Final = "scheduler"
_LINE_MAX: Final = 10_000
_COUNT: Final = re.compile("[0-9]{1,6}")


def scale_order(count: int) -> str:
    """To a worker process: have so many workers."""
    return f"{_SCALE} {count}"


def read_scale(line: str) -> int | None:
    """How many workers an order asks for; None if it is none.

    >>> read_scale("scale 3"), read_scale("scale -1"), read_scale("scale"), read_scale("hello")
    (3, None, None, None)
    """
    match line.split():
        case [word, count] if word == _SCALE and _COUNT.fullmatch(count):
            return int(count)
    return None


def scheduler_order(address: str) -> str:
    """To a worker process that was not told at its start: where its scheduler is."""
    return f"{_SCHEDULER} {address}"


def read_scheduler(line: str) -> str | None:
    """The address an order names; None if it is another one.

    >>> read_scheduler("scheduler tcp://127.0.0.1:1"), read_scheduler("scale 3")
    ('tcp://127.0.0.1:1', None)
    """
    match line.split():
        case [word, address] if word == _SCHEDULER:
            return address
    return None


def change_news(name: str, address: str | None) -> str:
    """To the parent: a worker has joined, at an address, or left."""
    return f"{LEFT} {name}" if address is None else f"{JOINED} {address} {name}"


def read_news(line: str) -> tuple[str, str, str]:
    """The word, the address and the name in what a server says; empty where there is none.

    >>> read_news("joined tcp://127.0.0.1:1 a b"), read_news("left a b")
    (('joined', 'tcp://127.0.0.1:1', 'a b'), ('left', '', 'a b'))
    """
    word, _, rest = line.partition(" ")
    if word == LEFT:
        return word, "", rest
    address, _, name = rest.partition(" ")
    return word, address, name


class Lines:
    r"""Lines out of bytes, however they are split; one without an end is dropped.

    >>> lines = Lines()
    >>> lines.feed(b"a\nb"), lines.feed(b"c\n")
    (['a'], ['bc'])
    """

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes | bytearray) -> list[str]:
        """The lines that are complete now."""
        *lines, rest = (self._rest + bytes(data)).split(b"\n")
        self._rest = rest if len(rest) < _LINE_MAX else b""
        return [line.decode(errors="replace") for line in lines]
