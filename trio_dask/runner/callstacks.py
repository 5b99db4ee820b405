"""What the tasks of a runner are doing right now: their calls, seen from another thread."""

from __future__ import annotations

from threading import get_ident
from typing import TYPE_CHECKING, Any, Final

from trio_dask.messages.ids import auto_key
from trio_dask.messages.inquiring import packed
from trio_dask.runner.frames import caller, current_frames, frame_inside

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import CodeType, CoroutineType, FrameType

    from trio_dask.messages.inquiring import Inquire
    from trio_dask.runner.asynchronous import AsyncTask
    from trio_dask.runner.slots import Slots, Task

#: Calls that are told of one task: the outermost and the innermost.
_FRAMES_MAX: Final = 200
_TEXT_MAX: Final = 500


def running(slots: Slots) -> Iterator[tuple[Task, list[FrameType], bool]]:
    """Each task that has begun, its calls, the outermost first, and whether it waits for others.

    Frames keep all that is in them: whoever gets some lets them go at once.
    """
    stacks = current_frames()
    stacks.pop(get_ident(), None)  # a frame that has itself in it keeps all others for ever
    coroutines = slots.coroutines()
    strikes = slots.strikes
    for row, attempt in enumerate(list(strikes.current)):
        seat = slots.seat_in(row) if attempt and attempt not in coroutines else None
        task = seat.task if seat is not None else None
        if seat is None or task is None or task[4] is slots.reservations.function:
            continue  # it has ended, or is no task but a place kept for one
        if task[2] == attempt:
            yield task, _above(stacks.get(strikes.idents[row]), slots.call_code), seat.slot < 0
    for each in coroutines.values():
        yield each.task, _awaited(each, stacks), each.outcome is None


def _above(frame: FrameType | None, call: CodeType) -> list[FrameType]:
    """The calls that a function of a task has made, itself first."""
    path: list[FrameType] = []
    while frame is not None:
        if frame.f_code is call:
            path.reverse()
            return path
        path.append(frame)
        frame = caller(frame)
    return []


def _awaited(task: AsyncTask, stacks: dict[int, FrameType]) -> list[FrameType]:
    """The calls of a coroutine: of what runs as a thread's are, of what waits as it awaits."""
    coroutine, loop = task.coroutine, task.loop
    outermost = frame_inside(coroutine)
    if coroutine is None or outermost is None:
        return []
    if not coroutine.cr_running:
        return _suspended(coroutine)
    path: list[FrameType] = []
    frame = stacks.get(loop.ident) if loop is not None else None
    while frame is not None:
        path.append(frame)
        if frame is outermost:
            path.reverse()
            return path
        frame = caller(frame)
    return [outermost]


def _suspended(coroutine: CoroutineType[Any, Any, Any]) -> list[FrameType]:
    path: list[FrameType] = []
    inner: Any = coroutine
    while inner is not None and len(path) < _FRAMES_MAX:
        frame = frame_inside(inner)
        if frame is None:
            break
        path.append(frame)
        inner = getattr(inner, "cr_await", None) or getattr(inner, "gi_yieldfrom", None)
    return path


def call_stacks(slots: Slots, question: Inquire) -> bytes:
    """The answer: of each task that is asked for its calls, as many as there is room for."""
    wanted, room = question.params.get("attempts"), question.params.get("bytes_max")
    found: list[dict[str, Any]] = []
    left_out = 0
    left = room if type(room) is int else 0
    for task, path, waits in running(slots):
        if type(wanted) is list and task[2] not in wanted:
            continue
        name = task[4].name
        shown = [frame for frame in path if not is_import(frame.f_code)]
        told = {
            "key": (task[7] or auto_key(name, task[3]))[:_TEXT_MAX],
            "name": name[:_TEXT_MAX],
            "attempt": task[2],
            "waits": waits,
            "frames": [_told(frame) for frame in _shortened(shown)],
            "left_out": max(0, len(shown) - _FRAMES_MAX),
        }
        left -= len(packed(told)) + 1
        if left < _ROOM:
            left_out += 1
        else:
            found.append(told)
    return packed({"stacks": found, "left_out": left_out})


def _shortened(path: list[FrameType]) -> list[FrameType]:
    if len(path) <= _FRAMES_MAX:
        return path
    half = _FRAMES_MAX // 2
    return path[:half] + path[-half:]


def is_import(code: CodeType) -> bool:
    """Whether it is how modules are found, of which there is much and nobody wants to read it."""
    return code.co_filename.startswith("<frozen importlib")


def _told(frame: FrameType) -> list[str | int]:
    code = frame.f_code
    return [code.co_qualname[:_TEXT_MAX], code.co_filename[-_TEXT_MAX:], frame.f_lineno or 0]


#: For what is around the list.
_ROOM: Final = 64
