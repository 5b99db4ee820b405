"""Profiles: how often which code was seen at work, as a tree of calls; merged, cut, and sent.

Below the root are functions of tasks, below each what it called. Of code there is the name, the
file and the line where it begins: never a value.
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from trio_dask.errors import RemoteProtocolError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: Calls deeper than this are not told apart.
DEPTH_MAX: Final = 120
#: So much of a name is kept.
_TEXT_MAX: Final = 300
_COUNT_MAX: Final = 1 << 50
_COLUMNS: Final = ("functions", "files", "lines", "parents", "frames", "counts")


class Frame(NamedTuple):
    """Code: a function, its file, and the line where it begins. A task's function has no file."""

    function: str
    file: str = ""
    line: int = 0


class Node:
    """How often some code was seen, called as the nodes above say; and what it called."""

    __slots__ = ("children", "count")

    def __init__(self) -> None:
        self.count = 0
        self.children: dict[Frame, Node] = {}


class Profile:
    """A tree of calls that grows."""

    def __init__(self) -> None:
        self.root = Node()
        #: Nodes that there are, without the root.
        self.size = 0

    def add(self, path: Iterable[Frame], count: int = 1) -> None:
        """It was seen so often, called like this, the outermost first."""
        node = self.root
        node.count += count
        for frame in path:
            node = self._child(node, frame)
            node.count += count

    def _child(self, node: Node, frame: Frame) -> Node:
        child = node.children.get(frame)
        if child is None:
            child = node.children[frame] = Node()
            self.size += 1
        return child

    def merge(self, columns: dict[str, Any], name: str = "") -> None:
        """Add what somebody has sent; only what tasks of a function did, if it is named.

        Raises:
            RemoteProtocolError: that is no profile.
        """
        frames, rows = _checked(columns)
        nodes: list[Node | None] = []
        depths: list[int] = []
        for parent, at, count in rows:
            depth = depths[parent] + 1 if parent >= 0 else 1
            if depth > DEPTH_MAX + 1:
                msg = "a profile that is too deep"
                raise RemoteProtocolError(msg)
            depths.append(depth)
            above = nodes[parent] if parent >= 0 else self.root
            if above is None or (parent < 0 and name and frames[at].function != name):
                nodes.append(None)
                continue
            node = self._child(above, frames[at])
            node.count += count
            if parent < 0:
                self.root.count += count
            nodes.append(node)

    def columns(self, limit: int) -> dict[str, Any]:
        """The tree in columns: the `limit` nodes that were seen most, each after its parent."""
        known: dict[Frame, int] = {}
        parents: list[int] = []
        frames: list[int] = []
        counts: list[int] = []
        # A node was seen as often as each below it, so those seen most are a tree.
        heap: list[tuple[int, int, int, Frame, Node]] = []
        serial = 0

        def offer(node: Node, parent: int) -> None:
            nonlocal serial
            for frame, child in node.children.items():
                serial += 1
                heappush(heap, (-child.count, serial, parent, frame, child))

        offer(self.root, -1)
        while heap and len(parents) < limit:
            _, _, parent, frame, node = heappop(heap)
            parents.append(parent)
            frames.append(known.setdefault(frame, len(known)))
            counts.append(node.count)
            offer(node, len(parents) - 1)
        columns = [list(each) for each in zip(*known, strict=True)] or [[], [], []]
        return dict(zip(_COLUMNS, (*columns, parents, frames, counts), strict=True))

    def cut(self, limit: int) -> None:
        """Forget what was seen least, if there is more than that."""
        if self.size > limit:
            columns = self.columns(limit)
            self.root, self.size = Node(), 0
            self.merge(columns)

    def names(self) -> dict[str, int]:
        """How often tasks of which functions were seen."""
        return {frame.function: node.count for frame, node in self.root.children.items()}


def _checked(columns: dict[str, Any]) -> tuple[list[Frame], Iterator[tuple[int, int, int]]]:
    """The frames, and the rows of a tree, parents before their children."""
    lists = [columns.get(each) for each in _COLUMNS]
    if not all(type(each) is list for each in lists):
        msg = "a profile without its columns"
        raise RemoteProtocolError(msg)
    functions, files, lines, parents, at, counts = lists
    if not (len(functions) == len(files) == len(lines) and len(parents) == len(at) == len(counts)):  # type: ignore[arg-type]
        msg = "a profile with columns of different lengths"
        raise RemoteProtocolError(msg)
    texts = {*map(type, functions), *map(type, files)}  # type: ignore[arg-type]
    numbers = {*map(type, lines), *map(type, parents), *map(type, at), *map(type, counts)}  # type: ignore[arg-type]
    if texts - {str} or numbers - {int}:
        msg = "a profile with something else in it"
        raise RemoteProtocolError(msg)
    rows = list(zip(parents, at, counts, strict=True))  # type: ignore[arg-type]
    if not all(
        -1 <= parent < row and 0 <= frame < len(functions) and 0 <= count < _COUNT_MAX  # type: ignore[arg-type]
        for row, (parent, frame, count) in enumerate(rows)
    ):
        msg = "a profile that refers to what is not there"
        raise RemoteProtocolError(msg)
    frames = [
        Frame(function[:_TEXT_MAX], file[-_TEXT_MAX:], line)
        for function, file, line in zip(functions, files, lines, strict=True)  # type: ignore[arg-type]
    ]
    return frames, iter(rows)
