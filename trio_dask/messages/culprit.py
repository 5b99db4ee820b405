"""Finding what makes a value or function impossible to pickle, to name it in the error."""

from __future__ import annotations

import functools
import types
from collections.abc import Iterator
from typing import Any, Final

_DEPTH: Final = 8
_PARTS_MAX: Final = 200


def find_culprit(value: Any, error: BaseException | None) -> str:
    """A sentence that names the part of `value` that cannot be pickled, and why."""
    steps: list[str] = []
    culprit = value
    for _ in range(_DEPTH):
        found = next((part for part in _parts(culprit) if not _pickles(part[1])), None)
        if found is None:
            break
        steps.append(found[0])
        culprit = found[1]
    named = _named(value)
    reason = "" if error is None else f": {type(error).__name__}: {_said(error)}"
    if not steps:
        return f"{named} cannot be pickled{reason}"
    return f"{named} cannot be pickled because of {' → '.join(steps)}, {_named(culprit)}{reason}"


def _said(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - an exception that cannot even be printed
        return "(no message)"


def _named(value: Any) -> str:
    if isinstance(value, (types.FunctionType, types.BuiltinFunctionType)):
        return f"function {value.__qualname__}"
    if isinstance(value, type):
        return f"class {value.__qualname__}"
    return f"a value of type {type(value).__module__}.{type(value).__qualname__}"


def _pickles(value: Any) -> bool:
    import cloudpickle

    from trio_dask.messages.inputs import finding

    try:
        with finding():
            cloudpickle.dumps(value, 5)
    except Exception:  # noqa: BLE001 - that it fails is the answer
        return False
    return True


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    """What `value` is made of, each with words for where it is."""
    found = _members(value)
    for _ in range(_PARTS_MAX):
        try:
            part = next(found)
        except Exception:  # noqa: BLE001 - the end, or a value that does not let itself be looked at
            return
        yield part


def _members(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, (list, tuple, set, frozenset)):
        yield from ((f"item {at}", item) for at, item in enumerate(value))
    elif isinstance(value, dict):
        yield from ((f"the value of {key!r:.40}", item) for key, item in value.items())
        yield from ((f"key {key!r:.40}", key) for key in value)
    elif isinstance(value, types.FunctionType):
        yield from _of_function(value)
    elif isinstance(value, types.MethodType):
        yield "its object", value.__self__
        yield "its function", value.__func__
    elif isinstance(value, functools.partial):
        yield "its function", value.func
        yield from ((f"argument {at}", item) for at, item in enumerate(value.args))
        yield from ((f"argument {name!r}", item) for name, item in value.keywords.items())
    elif type(attributes := getattr(value, "__dict__", None)) is dict:
        yield from ((f"attribute {name!r}", item) for name, item in attributes.items())


def _of_function(fn: types.FunctionType) -> Iterator[tuple[str, Any]]:
    for name, cell in zip(fn.__code__.co_freevars, fn.__closure__ or (), strict=False):
        try:
            yield f"its variable {name!r}", cell.cell_contents
        except ValueError:
            continue  # not assigned yet
    for name in _global_names(fn.__code__):
        if name in fn.__globals__:
            yield f"the global {name!r}", fn.__globals__[name]
    for at, item in enumerate(fn.__defaults__ or ()):
        yield f"default {at}", item
    yield from ((f"default {name!r}", item) for name, item in (fn.__kwdefaults__ or {}).items())


def _global_names(code: types.CodeType) -> list[str]:
    names = dict.fromkeys(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names.update(dict.fromkeys(_global_names(constant)))
    return list(names)
