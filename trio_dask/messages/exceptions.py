"""Exceptions to failures and back. For runners and clients only: here things are unpickled.

An exception is taken apart into its type, arguments and attributes, rather than pickled
whole: so one whose ``__init__`` wants other arguments than it hands on is rebuilt too,
one with an attribute that cannot be pickled comes without that attribute, and the rest
(cause, context, notes, members of a group) travels beside it.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final

from trio_dask import errors
from trio_dask.errors import RemoteError
from trio_dask.messages.failure import NODES_MAX, Failure, walk

_PROTOCOL: Final = 5
_TEXT_MAX: Final = 64 * 1024
_KIND_MAX: Final = 1000
#: Exceptions that would steer the process in which they are raised again.
_STEERING: Final = frozenset(
    (
        "SystemExit",
        "KeyboardInterrupt",
        "GeneratorExit",
        "asyncio.exceptions.CancelledError",
        "trio.Cancelled",
        "trio_dask.errors.TaskCancelled",
        "trio._core._exceptions.Cancelled",
    )
)
#: What Python keeps in an exception's dict, and we carry beside it.
_OURS: Final = ("__notes__",)


def describe(
    exc: BaseException, *, origin: dict[str, Any] | None = None, pickle_limit: int = 1 << 20
) -> Failure:
    """All there is to say about an exception, as data. Never raises.

    `origin` says where it happened; `pickle_limit` is how many bytes the pickled part
    of each exception may have.
    """
    return _Describer(origin or {}, pickle_limit).describe(exc)


class _Describer:
    """One pass over an exception and those behind it."""

    def __init__(self, origin: dict[str, Any], pickle_limit: int) -> None:
        self._origin = origin
        self._pickle_limit = pickle_limit
        self._done: dict[int, Failure] = {}
        self._begun: set[int] = set()
        # The other half is for what says, in every group, that members were left out.
        self._room = NODES_MAX // 2 - 1

    def describe(self, exc: BaseException) -> Failure:
        """Describe those behind it first, without recursion: chains may be long."""
        stack = [exc]
        while stack:
            top = stack[-1]
            if id(top) in self._done:
                stack.pop()
                continue
            waiting = []
            if id(top) not in self._begun:
                self._begun.add(id(top))
                # A cycle finds its start begun but not done, and ends there.
                waiting = [each for each in _behind(top) if id(each) not in self._begun]
                waiting = waiting[: self._room]
                self._room -= len(waiting)
            if waiting:
                stack += waiting
                continue
            self._done[id(top)] = self._one(top, self._origin if top is exc else {})
            stack.pop()
        return self._done[id(exc)]

    def _one(self, exc: BaseException, origin: dict[str, Any]) -> Failure:
        cause, context = exc.__cause__, exc.__context__
        lead, own = _frames(exc)
        children: tuple[Failure, ...] = ()
        if isinstance(exc, BaseExceptionGroup):
            children = tuple(self._members(exc))
        return Failure(
            kind=_kind(type(exc)),
            message=_text(exc),
            traceback=own,
            notes=_notes(exc),
            cause=None if cause is None else self._done.get(id(cause)),
            context=None if context is None else self._done.get(id(context)),
            suppress_context=bool(exc.__suppress_context__),
            children=children,
            pickled=_taken_apart(exc, self._pickle_limit),
            origin=origin,
            lead=lead,
        )

    def _members(self, group: BaseExceptionGroup[BaseException]) -> list[Failure]:
        found = [self._done.get(id(each)) for each in group.exceptions]
        members = [each for each in found if each is not None]
        if len(members) < len(found) or not members:
            left_out = f"and {len(found) - len(members)} more"
            members.append(Failure(kind="trio_dask.errors.RemoteError", message=left_out))
        return members


def _behind(exc: BaseException) -> list[BaseException]:
    found = [exc.__context__, exc.__cause__]
    if isinstance(exc, BaseExceptionGroup):
        found += reversed(exc.exceptions)
    return [each for each in found if each is not None]


def _kind(kind: type) -> str:
    module = kind.__module__
    name = kind.__qualname__ if module == "builtins" else f"{module}.{kind.__qualname__}"
    return name[:_KIND_MAX]


def _text(exc: BaseException) -> str:
    try:
        # A group's own text counts its members, and the rebuilt one does so again.
        text = exc.message if isinstance(exc, BaseExceptionGroup) else str(exc)
    except BaseException as error:  # noqa: BLE001 - a task's exception may be broken itself
        return f"<its text cannot be had: {type(error).__name__}>"
    return _cut(text)


def _cut(text: str) -> str:
    if len(text) <= _TEXT_MAX:
        return text
    return f"{text[: _TEXT_MAX // 2]}\n… {len(text) - _TEXT_MAX} more …\n{text[-_TEXT_MAX // 2 :]}"


def _notes(exc: BaseException) -> tuple[str, ...]:
    try:
        notes = getattr(exc, "__notes__", None)
        return tuple(_cut(str(note)) for note in notes) if isinstance(notes, (list, tuple)) else ()
    except BaseException:  # noqa: BLE001 - a broken note is no reason to lose the error
        return ()


def _frames(exc: BaseException) -> tuple[str, str]:
    """Its traceback as text: the frames of the runner that called the task, and the rest."""
    import traceback

    frame, bare, ours = exc.__traceback__, _BARE_FRAMES, 0
    while frame is not None and frame.tb_frame.f_globals.get("__name__", "").startswith(bare):
        frame = frame.tb_next
        ours += 1
    try:
        lead = traceback.format_tb(exc.__traceback__, ours) if ours else []
        return _cut("".join(lead)), _cut("".join(traceback.format_tb(frame)))
    except BaseException as error:  # noqa: BLE001 - sources and their loaders may be anything
        return "", f"<its traceback cannot be had: {type(error).__name__}>\n"


_BARE_FRAMES: Final = ("trio_dask.runner.", "trio_dask.messages.")


def _taken_apart(exc: BaseException, limit: int) -> bytes:
    """The pickled (constructor, arguments, attributes), or b"" where they cannot be."""
    try:
        made, args, state = _parts(exc)
        data = _pickled((made, args, state))
        if data is None:
            data = _pickled((made, args, _picklable_only(state)))
    except BaseException:  # noqa: BLE001 - __reduce__ and all it calls are the user's
        return b""
    return data if data is not None and len(data) <= limit else b""


def _parts(exc: BaseException) -> tuple[Any, Any, Any]:
    made: Any = type(exc)
    args: Any = None
    state: Any = None
    if isinstance(exc, BaseExceptionGroup):
        state = dict(vars(exc))
    else:
        reduced: Any = exc.__reduce_ex__(_PROTOCOL)
        made, args, state = (*reduced, None)[:3]
    if isinstance(state, dict):
        state = {name: value for name, value in state.items() if name not in _OURS} or None
    return made, args, state


def _picklable_only(state: Any) -> Any:
    if not isinstance(state, dict):
        return None
    return {name: value for name, value in state.items() if _pickled(value) is not None} or None


def _pickled(value: Any) -> bytes | None:
    from trio_dask.messages.payload import pack

    try:
        packed = pack(value, ship_modules=False)
    except BaseException:  # noqa: BLE001 - that it cannot be pickled is the answer
        return None
    return b"".join(packed) if isinstance(packed, list) else bytes(packed)


# ------------------------------------------------------------------------------ and back


def rebuild(failure: Failure, *, full: bool = False) -> BaseException:
    """The exception that was described: of its own type where that can be had here.

    Else it is a `RemoteError` with the type's name. Its remote traceback is a note, with
    our own frames only if it is to be `full`. So is every exception behind it: cause, context,
    and the members of groups. Never raises an `Exception`.
    """
    made: dict[int, BaseException] = {}
    members = {id(child) for node in walk(failure) for child in node.children}
    for node in walk(failure):
        head = _head(node, failure, members)
        children = [made[id(child)] for child in node.children]
        exc = _without_raising(node, children)
        exc.__cause__ = None if node.cause is None else made[id(node.cause)]
        exc.__context__ = None if node.context is None else made[id(node.context)]
        exc.__suppress_context__ = node.suppress_context
        for note in (*node.notes, *_remote_notes(node, head, full=full)):
            try:
                exc.add_note(note)
            except Exception:  # noqa: BLE001 - a type that refuses notes goes without
                break
        made[id(node)] = exc
    return made[id(failure)]


def _without_raising(node: Failure, children: list[BaseException]) -> BaseException:
    try:
        exc = _original(node, children)
    except Exception:  # noqa: BLE001 - constructors and imports are the user's
        exc = None
    if exc is None or not isinstance(exc, BaseException):
        exc = _stand_in(node, children)
    # One object may stand for two failures, when a constructor gives what it gave before.
    exc.__traceback__ = None
    return exc


def _original(node: Failure, children: list[BaseException]) -> BaseException | None:
    if node.kind in _STEERING:
        return None
    if not node.pickled:
        return _by_name(node)
    from trio_dask.messages.payload import unpack

    made, args, state = unpack(node.pickled)
    if args is None:
        exc = _group(made, node.message, children)
    else:
        exc = _construct(made, args)
    if state is not None:
        with suppress(Exception):  # without its attributes it still has its type and text
            exc.__setstate__(state)
    return exc


def _construct(made: Any, args: Any) -> BaseException:
    if not (isinstance(made, type) and issubclass(made, BaseException)):
        return made(*args)  # type: ignore[no-any-return]
    try:
        exc: BaseException = made(*args)
    except Exception:  # noqa: BLE001 - an __init__ that wants other arguments than it hands on
        exc = made.__new__(made, *args)
    if type(args) is tuple and exc.args != args and not isinstance(exc, OSError):
        exc.args = args  # __init__ made something else of them
    return exc


def _group(made: Any, message: str, children: list[BaseException]) -> BaseException:
    try:
        return made(message, children)  # type: ignore[no-any-return]
    except Exception:  # noqa: BLE001 - another constructor, or members it does not admit
        return BaseExceptionGroup(message, children)


def _by_name(node: Failure) -> BaseException | None:
    """One of our own errors, or a built-in one that takes its message alone."""
    module, _, name = node.kind.rpartition(".")
    if module == errors.__name__:
        kind = getattr(errors, name, None)
    elif not module:
        import builtins

        kind = getattr(builtins, name, None)
    else:
        return None
    if not (isinstance(kind, type) and issubclass(kind, BaseException)):
        return None
    exc = kind(node.message)
    if isinstance(exc, errors.KilledWorker):
        _give_deaths(exc, node.origin)
    if isinstance(exc, errors.TaskTimeout):
        _give_details(exc, node.origin)
    return exc if str(exc) == node.message else None


def _give_deaths(exc: errors.KilledWorker, origin: dict[str, Any]) -> None:
    """What its scheduler knows of a task whose process died too often."""
    deaths, key, allowed = origin.get("deaths"), origin.get("key"), origin.get("allowed")
    exc.deaths = tuple(deaths) if isinstance(deaths, list) else ()
    exc.task = key if isinstance(key, str) else ""
    exc.allowed_failures = allowed if type(allowed) is int else 0
    last = exc.deaths[-1] if exc.deaths and isinstance(exc.deaths[-1], dict) else {}
    place = (last.get("worker"), origin.get("address"), last.get("host"))
    exc.last_worker = errors.LastWorker(*(each if isinstance(each, str) else "" for each in place))


def _give_details(exc: errors.TaskTimeout, origin: dict[str, Any]) -> None:
    """What its scheduler knows of a task whose time was up."""
    phase, host, ran_for = origin.get("phase"), origin.get("host"), origin.get("ran_for")
    exc.phase = phase if isinstance(phase, str) else ""
    exc.host = host if isinstance(host, str) else ""
    exc.ran_for = ran_for if isinstance(ran_for, float) else None


def _stand_in(node: Failure, children: list[BaseException]) -> BaseException:
    if children:
        return BaseExceptionGroup(f"{node.kind}: {node.message}", children)
    return RemoteError(node.message, node.kind, node.traceback)


def _head(node: Failure, main: Failure, members: set[int]) -> str:
    """Where it was raised, said once: of those behind `main` only that it was there, too."""
    if main.origin and not node.origin:
        return f"Raised {'' if id(node) in members else 'earlier '}in the same task"
    origin = node.origin
    task = f"task {origin['key']}" if origin.get("key") else ""
    worker = f"worker {origin['worker']}" if origin.get("worker") else ""
    process = str(origin.get("host") or "")
    if process and "pid" in origin:
        process = f"{process}, pid {origin['pid']}"
    where = " on ".join(part for part in (task, worker) if part)
    where = f"{where} ({process})" if where and process else where or process
    return f"Raised in {where}" if where else "Raised remotely"


def _remote_notes(node: Failure, head: str, *, full: bool) -> list[str]:
    shown = node.lead + node.traceback if full else node.traceback
    if not shown:
        # What is known of deaths is all in the message.
        return [f"{head}."] if node.origin and "deaths" not in node.origin else []
    return [f"{head}:\nTraceback (most recent call last):\n{shown}".rstrip("\n")]
