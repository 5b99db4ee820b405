"""What went wrong in a task, as plain data that every process may read.

An exception travels as a `Failure`: all that people read of it is text, so servers can
show it, and only `pickled` holds anything of the user's own types. Making one from an
exception, and an exception from one, is the business of `exceptions`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import msgpack

from trio_dask.errors import RemoteProtocolError
from trio_dask.messages.columns import Buffer

#: Exceptions in one failure: those it was raised from, and the members of groups.
NODES_MAX: Final = 256

_FIELDS: Final = (str, str, str, str, list, int, int, bool, list, bytes, dict)


@dataclass(frozen=True, slots=True)
class Failure:
    """One exception and those behind it.

    `kind` is the type's full name (without a module for built-in ones), `traceback`
    the text of the user's frames, `lead` that of ours which led to them, `children` the members of a group, `pickled` what
    rebuilds the original (empty where that cannot be), `origin` where it happened:
    key, worker, host, pid.
    """

    kind: str
    message: str = ""
    traceback: str = ""
    notes: tuple[str, ...] = ()
    cause: Failure | None = None
    context: Failure | None = None
    suppress_context: bool = False
    children: tuple[Failure, ...] = ()
    pickled: bytes = b""
    origin: dict[str, Any] = field(default_factory=dict)
    lead: str = ""

    def to_bytes(self) -> bytes:
        """Its form on the wire: a list of failures, each after those it refers to."""
        nodes = list(walk(self))
        index = {id(node): at for at, node in enumerate(nodes)}
        rows = [
            [
                node.kind,
                node.message,
                node.traceback,
                node.lead,
                list(node.notes),
                -1 if node.cause is None else index[id(node.cause)],
                -1 if node.context is None else index[id(node.context)],
                node.suppress_context,
                [index[id(child)] for child in node.children],
                node.pickled,
                node.origin,
            ]
            for node in nodes
        ]
        packed: bytes = msgpack.packb(rows, use_bin_type=True, unicode_errors="surrogatepass")
        return packed

    @classmethod
    def from_bytes(cls, data: Buffer) -> Failure:
        """The failure in `data`.

        Raises:
            RemoteProtocolError: it is none.
        """
        try:
            rows = msgpack.unpackb(data, raw=False, unicode_errors="surrogatepass")
        except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as error:
            msg = f"a failure that is not msgpack: {type(error).__name__}"
            raise RemoteProtocolError(msg) from error
        if type(rows) is not list or not 0 < len(rows) <= NODES_MAX:
            msg = "a failure that is not a list of exceptions"
            raise RemoteProtocolError(msg)
        nodes: list[Failure] = []
        for row in rows:
            nodes.append(_node(row, nodes))
        return nodes[-1]


def _node(row: Any, earlier: list[Failure]) -> Failure:
    if type(row) is not list or tuple(map(type, row)) != _FIELDS:
        msg = "a failure whose fields have other types"
        raise RemoteProtocolError(msg)
    kind, message, traceback, lead, notes, cause, context, suppress, children, pickled, origin = row
    if notes and set(map(type, notes)) != {str}:
        msg = "a failure with notes that are no text"
        raise RemoteProtocolError(msg)
    if any(type(at) is not int or not -1 <= at < len(earlier) for at in (cause, context)) or any(
        type(at) is not int or not 0 <= at < len(earlier) for at in children
    ):
        msg = "a failure that refers to one that is not there"
        raise RemoteProtocolError(msg)
    return Failure(
        kind,
        message,
        traceback,
        tuple(notes),
        None if cause < 0 else earlier[cause],
        None if context < 0 else earlier[context],
        suppress,
        tuple(earlier[at] for at in children),
        pickled,
        origin,
        lead,
    )


def walk(failure: Failure) -> Iterator[Failure]:
    """The failure and those behind it, each once and after those it refers to."""
    seen: set[int] = set()
    stack: list[tuple[Failure, bool]] = [(failure, False)]
    while stack:
        node, ready = stack.pop()
        if ready:
            yield node
            continue
        if id(node) in seen:
            continue
        seen.add(id(node))
        stack.append((node, True))
        behind = [*node.children, node.context, node.cause]
        stack += [(each, False) for each in behind if each is not None and id(each) not in seen]
