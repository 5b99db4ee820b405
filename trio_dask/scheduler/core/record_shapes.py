"""What records of the cluster can look like: they come back by way of others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from trio_dask.messages.ids import epoch_of
from trio_dask.scheduler.coordination import Refusal
from trio_dask.scheduler.core import coordinating, mirroring, publishing, state as st
from trio_dask.scheduler.core.keeping import FUTURES_MAX
from trio_dask.scheduler.core.misuse import Misuse

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_dask.messages.reunion import Mirror

_ID_MAX: Final = 1 << 62
_EPOCH_MAX: Final = 1 << 22


def is_name(name: object) -> bool:
    """Whether it is a name."""
    return type(name) is str and len(name) <= coordinating.NAME_MAX


def _are_futures(tids: object, keys: object) -> bool:
    if type(tids) is not list or type(keys) is not list or len(tids) != len(keys):
        return False
    whole = {int}.issuperset(map(type, tids)) and {str}.issuperset(map(type, keys))
    return whole and len(tids) <= FUTURES_MAX


def is_amount(number: object) -> bool:
    """Whether it is an id, or how many there are of something."""
    return type(number) is int and 0 <= number < _ID_MAX


def _is_tree(tree: object) -> bool:
    try:
        publishing.size_of(tree)
    except Refusal:
        return False
    return True


def _is_path(path: object) -> bool:
    return (
        type(path) is list
        and 0 < len(path) <= publishing.METADATA_DEPTH_MAX
        and all(map(is_name, path))
    )


#: What heads look like, after the kind.
_SHAPES: Final[dict[str, Callable[..., bool]]] = {
    mirroring.ITEM: lambda name, size, tids, keys: (
        is_name(name) and is_amount(size) and _are_futures(tids, keys)
    ),
    mirroring.BOUND: lambda name, size: is_name(name) and is_amount(size),
    mirroring.VARIABLE: lambda name, tids, keys: is_name(name) and _are_futures(tids, keys),
    mirroring.DATASET: lambda name, tids, keys: is_name(name) and _are_futures(tids, keys),
    mirroring.FLAG: is_name,
    mirroring.METADATA: lambda path, tree: _is_path(path) and _is_tree(tree),
    mirroring.VALUE: lambda tid, how: is_amount(tid) and how in (
        st.DONE, st.FAILED, st.CANCELLED, st.LOST,
    ),
    mirroring.MARK: lambda number, serial, data: (
        is_amount(number) and is_amount(serial) and type(data) is dict
    ),
}  # fmt: skip


def check(message: Mirror) -> None:
    """Whether a worker that is back can have kept these.

    Raises:
        Misuse: it cannot.
    """
    heads = message.heads.get("of", [])
    if type(heads) is not list or len(heads) != len(message.ids):
        raise Misuse("records without heads")
    if not all(0 < row < _ID_MAX for row in message.ids):
        raise Misuse("records with ids that cannot be")
    if not 0 <= message.version < _ID_MAX or epoch_of(message.version) >= _EPOCH_MAX:
        raise Misuse(f"records of a version {message.version}")
    for head in heads:
        shape = _SHAPES.get(head[0]) if type(head) is list and head and is_name(head[0]) else None
        try:
            right = shape is not None and shape(*head[1:])
        except TypeError:
            right = False
        if not right:
            raise Misuse("a record that nobody can have written")


def are_names(names: object) -> bool:
    """Whether these are names, one at least."""
    return type(names) is list and bool(names) and all(map(is_name, names))


def are_ids(ids: object) -> bool:
    """Whether these are ids, not too many."""
    return type(ids) is list and len(ids) <= FUTURES_MAX and all(map(is_amount, ids))
