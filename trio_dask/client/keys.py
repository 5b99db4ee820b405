"""The keys of calls, where they are not made by themselves: chosen, or the same for the same call."""

from __future__ import annotations

import functools
import hashlib
import secrets
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from trio_dask.client.core import Function, Rows
from trio_dask.client.options import flag
from trio_dask.errors import SubmitError

if TYPE_CHECKING:
    from collections.abc import Mapping

#: What makes the keys of calls.
Keys: TypeAlias = Callable[[Function, Rows], list[str]]
#: What takes one call in.
Add: TypeAlias = "Callable[[Rows, tuple[Any, ...], Mapping[str, Any]], None]"

KEY_MAX: Final = 4096
#: What is added to a prefix is not longer than this.
_ADDED_MAX: Final = 64


def chosen_keys(key: Any, *, pure: bool, single: bool) -> Keys | None:
    """How the keys of calls are made, when the user wants to have them made.

    Raises:
        SubmitError: `key` is none, or no list of them.
    """
    if pure is not False:
        pure = flag("pure", pure)
    if key is None:
        return _pure() if pure else None
    if single:
        one = [_checked_key(key)]
        return lambda _, rows: one
    if not isinstance(key, Iterable):
        msg = (
            f"key={key!r:.100}: it is a prefix for all calls, or a list with a key for each of them"
        )
        raise SubmitError(msg)
    if not isinstance(key, str):
        return lambda _, rows: _many_keys(key, len(rows.args))
    prefix = _checked_key(key, KEY_MAX - _ADDED_MAX)
    return _pure(prefix) if pure else lambda _, rows: _prefixed(prefix, len(rows.args))


def _checked_key(key: Any, length_max: int = KEY_MAX) -> str:
    if not isinstance(key, str) or not 0 < len(key) <= length_max:
        msg = f"key={key!r:.100}: a key is a string of 1 to {length_max} characters"
        raise SubmitError(msg)
    return str.__str__(key)  # of numpy and of enumerations, too, as it is said to the scheduler


def _prefixed(prefix: str, count: int) -> list[str]:
    """Others than those of any other call: the same key would be the same task."""
    lead = f"{prefix}-{secrets.token_hex(6)}"  # what follows the last hyphen is no part of a name
    return [f"{lead}{row:05x}" for row in range(count)]


def _many_keys(key: Iterable[Any], count: int) -> list[str]:
    keys = [_checked_key(each) for each in key]
    if len(keys) != count:
        msg = f"key= has {len(keys)} keys for {count} calls"
        raise SubmitError(msg)
    if len(set(keys)) != count:
        twice = next(each for row, each in enumerate(keys) if each in keys[:row])
        msg = f"key= has {twice!r} more than once"
        raise SubmitError(msg)
    return keys


def _pure(prefix: str = "") -> Keys:
    """How equal calls get equal keys: as Dask has it where that is installed."""
    if find_spec("dask") is not None:
        return Tokens(prefix)
    return functools.partial(pure_keys, prefix=prefix)


class Tokens:
    """Keys made by Dask's `tokenize` of function and arguments: the same in every process.

    A future in the arguments is the same as itself only. They begin with `prefix`, or with the
    function's name.
    """

    def __init__(self, prefix: str = "") -> None:
        self._prefix = prefix
        self._found: list[str] = []

    def note(self, fn: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """One call."""
        from dask.tokenize import tokenize

        self._found.append(tokenize(fn, dict(kwargs), *args))

    def noting(self, fn: Any, kwargs: Mapping[str, Any], add: Add) -> Add:
        """`add`, which notes each call before."""

        def noted(rows: Rows, args: tuple[Any, ...], given: Mapping[str, Any]) -> None:
            self.note(fn, args, kwargs)
            add(rows, args, given)

        return noted

    def __call__(self, function: Function, rows: Rows) -> list[str]:
        """The keys of the calls that were noted."""
        assert len(self._found) == len(rows.args)
        return [f"{self._prefix or function.name}-{token}" for token in self._found]


def pure_keys(function: Function, rows: Rows, *, prefix: str = "") -> list[str]:
    """Keys made from what is called: `prefix` or the function's name, and a digest of both pickles.

    Equal calls have equal keys as far as their pickles are equal. They are for functions
    that can be imported, with plain arguments. They are not, which costs sharing and
    nothing else, for functions sent by value (from ``__main__``, lambdas) by several
    processes, for sets of strings, and for arguments that are futures or were so large
    that they were stored first.
    """
    lead = hashlib.sha256(function.blob)
    keys: list[str] = []
    for blob in rows.args:
        digest = lead.copy()
        digest.update(blob)
        keys.append(f"{prefix or function.name}-{digest.hexdigest()[:32]}")
    return keys
