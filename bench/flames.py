"""Where the calls of one task go, as a picture: ``python -m bench.flames FILE.svg``.

What `bench.single` counts, by who calls whom: what is wide makes many calls, itself or through
those that it calls, who stand above it. The same on every machine.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from unittest.mock import patch

from bench import single

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Iterator
    from types import FrameType

_TASKS: Final = 100
_WIDTH: Final = 1200.0
_ROW: Final = 17
#: What is narrower is left out, and what is narrower than its name has none.
_NARROW: Final = 2.0
_LETTER: Final = 6.6
#: By the room that a function is in: what is not ours is grey.
_COLORS: Final = {
    "messages": "#f0b35f", "comm": "#e98b6b", "scheduler": "#8fb8de", "worker": "#93c99a",
    "client": "#c3a6d8",
}  # fmt: skip


@dataclass(slots=True)
class Node:
    """A function, as called by those below it."""

    name: str
    room: str
    count: int = 0
    above: dict[tuple[str, str], Node] = field(default_factory=dict)

    def called(self, name: str, room: str) -> Node:
        """It calls this, once more."""
        node = self.above.get((name, room))
        if node is None:
            node = self.above[name, room] = Node(name, room)
        node.count += 1
        return node

    @property
    def total(self) -> int:
        """The calls that it stands for, its own among them."""
        return self.count + sum(each.total for each in self.above.values())


def watched(roots: dict[str, Node], role: str, act: Callable[[], Any]) -> Any:
    """Do it, and add all calls to what `role` does."""
    stack = [roots.setdefault(role, Node(role, role))]

    def profile(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call":
            code = frame.f_code
            stack.append(stack[-1].called(code.co_qualname, _room(code.co_filename)))
        elif event == "c_call":
            stack.append(stack[-1].called(getattr(argument, "__name__", "?"), ""))
        elif len(stack) > 1:
            stack.pop()

    sys.setprofile(profile)
    try:
        return act()
    finally:
        sys.setprofile(None)


def _room(filename: str) -> str:
    _, found, rest = filename.rpartition("trio_dask/")
    return rest.partition("/")[0] if found else "messages" if "written out" in filename else ""


def record() -> dict[str, Node]:
    """By process, what it calls for so many tasks, one at a time."""
    roots: dict[str, Node] = {}

    def count(_calls: Counter[str], role: str, act: Callable[[], Any]) -> Any:
        return watched(roots, role, act)

    with patch.object(single, "counted_calls", count):
        single.run(_TASKS, begin=roots.clear)
    return {role: roots[role] for role in ("client", "scheduler", "worker", "runner")}


def svg(roots: dict[str, Node], *, calls_wide: float | None = None) -> str:
    """The picture; `calls_wide` a task fill its width, so that two can be compared."""
    total = sum(each.total for each in roots.values())
    scale = _WIDTH / (calls_wide * _TASKS if calls_wide else total)
    boxes: list[str] = []
    left = 0.0
    deepest = max(map(_depth, roots.values()))
    for root in roots.values():
        boxes += _boxes(root, left, deepest, scale)
        left += root.total * scale
    height = (deepest + 1) * _ROW
    return "\n".join(
        [
            (
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH:.0f} {height}" '
                'font-family="monospace" font-size="11">'
            ),
            f"<title>{total / _TASKS:.0f} calls for one task</title>",
            *boxes,
            "</svg>\n",
        ]
    )


def _depth(node: Node) -> int:
    return 1 + max((_depth(each) for each in node.above.values()), default=0)


def _boxes(node: Node, left: float, row: int, scale: float) -> Iterator[str]:
    width = node.total * scale
    if width < _NARROW:
        return
    color = _COLORS.get(node.room, "#d9d9d9")
    top, name = row * _ROW, escape(node.name)
    yield (
        f'<g><title>{name}: {node.total / _TASKS:.1f}</title><rect x="{left:.1f}" y="{top}" '
        f'width="{width - 0.5:.1f}" height="{_ROW - 1}" fill="{color}"/>'
    )
    letters = int((width - 4) / _LETTER)
    if letters > 2:
        shown = node.name if len(node.name) <= letters else node.name.rpartition(".")[2]
        yield f'<text x="{left + 2:.1f}" y="{top + 12}">{escape(shown[:letters])}</text>'
    yield "</g>"
    left += node.count * scale
    for each in sorted(node.above.values(), key=lambda each: -each.total):
        yield from _boxes(each, left, row - 1, scale)
        left += each.total * scale


def main() -> int:
    """Draw it: ``FILE.svg [calls that fill the width]``."""
    _, path, *wide = sys.argv
    roots = record()
    Path(path).write_text(svg(roots, calls_wide=float(wide[0]) if wide else None), encoding="utf-8")
    for role, root in roots.items():
        print(f"{role}: {root.total / _TASKS:.0f} calls for one task")
    return 0


if __name__ == "__main__":
    sys.exit(main())
