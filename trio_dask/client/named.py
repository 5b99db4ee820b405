"""Workers as users name them: by name, address or host."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trio_dask.client.options import worker_names

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def is_nobody(workers: str | Iterable[str] | None) -> bool:
    """Whether this is a list of no workers, which is not the same as not saying any."""
    return isinstance(workers, list | tuple | set | frozenset | dict) and not workers


def meant(known: Mapping[str, Any], workers: str | Iterable[str] | None) -> list[str]:
    """The addresses of these workers, of those that are `known`; without `workers` of all.

    Raises:
        ValueError: there is none of that name.
        SubmitError: it is no name.
    """
    if workers is None:
        return list(known)
    if is_nobody(workers):
        return []
    found: list[str] = []
    for name in worker_names(workers):
        own = [each for each, worker in known.items() if name in {each, worker.get("name")}]
        there = own or [
            each
            for each, worker in known.items()
            if name in {worker.get("host"), each.partition("://")[2].rpartition(":")[0].strip("[]")}
        ]
        if not there:
            msg = f"there is no worker {name!r}"
            raise ValueError(msg)
        found += there
    return list(dict.fromkeys(found))
