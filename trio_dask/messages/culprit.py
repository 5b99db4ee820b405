"""Finding what makes a value or function impossible to pickle, to name it in the error."""

from __future__ import annotations

import functools
import types
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from trio_dask.errors import SubmitError

_DEPTH: Final = 8
_PARTS_MAX: Final = 200
#: Whose frames say nothing about why a value cannot be pickled.
_PICKLERS: Final = ("", "pickle", "copyreg", "cloudpickle", "trio_dask")


def find_culprit(value: Any, error: BaseException | None, where: str = "") -> str:
    """A sentence that names the part of `value` that cannot be pickled, and why.

    `where` is which argument of a call it is: then the sentence says what to do, too.
    """
    steps: list[str] = []
    culprit = value
    for _ in range(_DEPTH):
        found = next((part for part in _parts(culprit) if not _pickles(part[1])), None)
        if found is None:
            break
        steps.append(found[0])
        culprit = found[1]
    subject = where or _named(value)
    why = _reason(error) + (advice(error) if where else "")
    if steps:
        path = " → ".join(steps)
        return f"{subject} cannot be pickled because of {path}, {_named(culprit)}{why}"
    return f"{subject}{f', {_named(value)},' if where else ''} cannot be pickled{why}"


def find_call_culprit(
    args: Iterable[Any], kwargs: Mapping[str, Any], error: BaseException | None
) -> str:
    """The same for the arguments of a call, as its caller counts and names them."""
    named = [(argument_name(at), value) for at, value in enumerate(args)]
    named += [(argument_name(name), value) for name, value in kwargs.items()]
    for where, value in named:
        if not _pickles(value):
            return find_culprit(value, error, where)
    return f"the arguments cannot be pickled{_reason(error)}"


def argument_name(which: int | str) -> str:
    """What an argument is called, by its position or its name."""
    return f"argument {which!r}"


def advice(error: BaseException | None) -> str:
    """What to do about it, for the end of the sentence."""
    if isinstance(error, SubmitError) or isinstance(getattr(error, "__cause__", 0), RecursionError):
        return ""  # that it cannot leave this process is not what is wrong with it
    return "; make it where it is used, in the function that runs on the cluster"


def worth_telling(error: BaseException | None) -> BaseException | None:
    """The error if its traceback leads into users' code, None if only into the picklers'."""
    last = None if error is None else error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    module = "" if last is None else str(last.tb_frame.f_globals.get("__name__", ""))
    return None if module.partition(".")[0] in _PICKLERS else error


def _reason(error: BaseException | None) -> str:
    if error is None:
        return ""
    kind = "" if isinstance(error, SubmitError) else f"{type(error).__name__}: "
    return f": {kind}{_said(error)}"


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
    from trio_dask.messages import cloud
    from trio_dask.messages.inputs import finding

    try:
        with finding():
            cloud.dumps(value)
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
        yield from ((argument_name(at), item) for at, item in enumerate(value.args))
        yield from ((argument_name(name), item) for name, item in value.keywords.items())
    elif type(attributes := getattr(value, "__dict__", None)) is dict and not _refuses(value):
        yield from ((f"attribute {name!r}", item) for name, item in attributes.items())


def _refuses(value: Any) -> bool:
    """Whether a value says itself that it is not to be pickled, whatever it is made of."""
    kind: Any = type(value)
    if kind.__reduce__ is object.__reduce__ and kind.__reduce_ex__ is object.__reduce_ex__:
        return False
    try:
        value.__reduce_ex__(5)
    except Exception:  # noqa: BLE001 - so it does
        return True
    return False


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
