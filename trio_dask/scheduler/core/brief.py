"""What workers say of themselves is passed on to clients: it has to be short."""

from __future__ import annotations

from typing import Any, Final

NODES_MAX: Final = 1000
DEPTH_MAX: Final = 8
TEXT_MAX: Final = 16_384
#: More slots than any machine has, and more memory: sums over all workers stay what can be sent.
NTHREADS_MAX: Final = 1 << 20
MEMORY_MAX: Final = 1 << 50


def is_brief(tree: dict[str, Any]) -> bool:
    """Whether a tree of plain values is small and shallow enough to be part of an answer."""
    level: list[Any] = [tree]
    nodes = text = 0
    for _ in range(DEPTH_MAX):
        inner: list[Any] = []
        for node in level:
            if type(node) is dict:
                text += sum(map(len, node))
                inner += node.values()
            elif type(node) is list:
                inner += node
            elif type(node) in (str, bytes):
                text += len(node)
        nodes += len(inner)
        if nodes > NODES_MAX or text > TEXT_MAX:
            return False
        if not inner:
            return True
        level = inner
    return False
