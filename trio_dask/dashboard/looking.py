"""What is in workers' processes, for viewers: where time went, and what tasks do right now.

Workers are asked when a viewer asks, and viewers who ask the same soon after share the answer.
What workers say is what user code may have made of it: it is checked, bounded, and only shown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import anyio
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from trio_dask.dashboard.plain import plain
from trio_dask.errors import RemoteProtocolError
from trio_dask.messages.inquiring import CALL_STACK, LOGS, PROFILE, TASK_LOGS, unpacked
from trio_dask.messages.profiles import Profile
from trio_dask.messages.speech import last_said

if TYPE_CHECKING:
    from starlette.requests import Request

    from trio_dask.dashboard.view import View

#: Answers are shared for so long, and so many are kept.
_SHARED_S: Final = 1.5
_KEPT: Final = 16
#: What a viewer gets of a profile: those seen most.
_NODES_MAX: Final = 1_500
_NAMES_MAX: Final = 200
#: Time is told apart in pieces of so many seconds, as many as workers keep.
_PIECE_S: Final = 10.0
_PIECES: Final = 60
_STACKS_MAX: Final = 200
_WINDOW_MAX: Final = 1e9


class Looking:
    """The routes over one view."""

    def __init__(self, view: View) -> None:
        self._view: Final = view
        self._made: Final[dict[Any, tuple[float, dict[str, Any]]]] = {}
        self._making: Final = anyio.Lock()

    def routes(self) -> list[Route]:
        """All of them."""
        return [
            Route("/api/v1/profile", self.profile),
            Route("/api/v1/stacks", self.stacks),
            Route("/api/v1/worker_logs", self.logs),
            Route("/api/v1/task_logs", self.task_logs),
        ]

    async def profile(self, request: Request) -> Response:
        """Where time went, of a function or all, in a window of time."""
        query = request.query_params
        window = {name: _seconds(query[name]) for name in ("since", "until") if query.get(name)}
        if None in window.values():
            return _error("since and until are numbers of seconds", 400)
        params: dict[str, Any] = {f"{name}_s": seconds for name, seconds in window.items()}
        if query.get("name"):
            params["name"] = query["name"]
        if query.get("worker"):
            params["workers"] = [query["worker"]]
        return await self._shared(PROFILE, params)

    async def stacks(self, request: Request) -> Response:
        """What running tasks do: all of them, those of a worker, or one by key."""
        query = request.query_params
        params: dict[str, Any] = {}
        if query.get("worker"):
            params["workers"] = [query["worker"]]
        if query.get("task"):
            params["keys"] = [query["task"]]
        return await self._shared(CALL_STACK, params)

    async def logs(self, request: Request) -> Response:
        """What a worker has logged, and what its tasks have printed."""
        name = request.query_params.get("worker")
        if not name:
            return _error("worker is the name or address of one", 400)
        return await self._shared(LOGS, {"workers": [name]})

    async def task_logs(self, request: Request) -> Response:
        """What a task has said."""
        key = request.query_params.get("task")
        if not key:
            return _error("task is the key of one", 400)
        return await self._shared(TASK_LOGS, {"key": key})

    async def _shared(self, topic: str, params: dict[str, Any]) -> Response:
        what = topic, repr(sorted(params.items()))
        async with self._making:
            until, known = self._made.get(what, (0.0, {}))
            if anyio.current_time() >= until:
                try:
                    answer = await self._view.ask(topic, params)
                except ValueError as error:
                    return _error(str(error), 404)
                make = _MAKERS[topic]
                known = await make(answer, params)
                self._made.pop(what, None)
                while len(self._made) >= _KEPT:
                    del self._made[next(iter(self._made))]
                self._made[what] = anyio.current_time() + _SHARED_S, known
        return JSONResponse(plain(known))


def _seconds(text: str) -> float | None:
    """A number of seconds; None if it is none."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if 0 <= number < _WINDOW_MAX else None


def _error(text: str, status: int) -> Response:
    return JSONResponse({"error": text}, status)


async def merged(answer: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
    """One profile of what many workers say, and when how much was seen, in seconds."""
    name, profile, interval_s = str(params.get("name", "")), Profile(), 0.0
    pieces, names, bad = [0.0] * (_PIECES + 1), dict[str, float](), 0
    for blob in answer["said"].values():
        await anyio.lowlevel.checkpoint()
        try:
            said = unpacked(blob)
            each = said.get("interval_s")
            one = float(each) if type(each) is float and 0 <= each < 1 else 0.0
            times = _times(said.get("times"))
            profile.merge(said.get("profile") or {}, name)
        except RemoteProtocolError:
            bad += 1
            continue
        interval_s = max(interval_s, one)
        for ago_s, counts in times:
            at = min(int(ago_s // _PIECE_S), _PIECES)
            for function, count in counts.items():
                names[function] = names.get(function, 0.0) + count * one
                pieces[at] += count * one if not name or name == function else 0.0
    most = sorted(names.items(), key=lambda item: -item[1])[:_NAMES_MAX]
    return {
        "name": name,
        "workers": len(answer["said"]) - bad,
        "silent": len(answer["silent"]) + len(answer["refused"]) + bad,
        "interval_s": interval_s,
        "piece_s": _PIECE_S,
        "pieces": [round(each, 3) for each in pieces],
        "names": {function: round(seconds, 3) for function, seconds in most},
        "seconds": round(profile.root.count * interval_s, 3),
        **profile.columns(_NODES_MAX),
    }


def _times(told: Any) -> list[tuple[float, dict[str, int]]]:
    """How long ago a piece ended, and how often functions were seen in it.

    Raises:
        RemoteProtocolError: it is not that.
    """
    found: list[tuple[float, dict[str, int]]] = []
    for row in told if type(told) is list else []:
        match row:
            case [float(ago_s), float(), dict(counts)] if 0 <= ago_s < _WINDOW_MAX and {
                *map(type, counts.values())
            } <= {int}:
                found.append((ago_s, counts))
            case _:
                msg = "times that are none"
                raise RemoteProtocolError(msg)
    return found


async def listed(answer: dict[str, Any], _: dict[str, Any]) -> dict[str, Any]:
    """The calls of all tasks in one list."""
    found: list[dict[str, Any]] = []
    left_out = 0
    for address, blob in answer["said"].items():
        await anyio.lowlevel.checkpoint()
        try:
            said = unpacked(blob)
        except RemoteProtocolError:
            continue
        stacks = said.get("stacks")
        for each in stacks if type(stacks) is list else []:
            if len(found) >= _STACKS_MAX:
                left_out += 1
            elif type(each) is dict:
                found.append({"worker": address, **_stack(each)})
        more = said.get("left_out")
        left_out += more if type(more) is int and more > 0 else 0
    refused = {address: why.decode(errors="replace") for address, why in answer["refused"].items()}
    return {
        "stacks": found,
        "left_out": left_out,
        "silent": answer["silent"],
        "refused": refused,
    }


async def lines(answer: dict[str, Any], _: dict[str, Any]) -> dict[str, Any]:
    """The lines of one worker."""
    said: dict[str, Any] = {}
    for blob in answer["said"].values():
        try:
            said = unpacked(blob)
        except RemoteProtocolError:
            continue
    rows, output = said.get("lines"), said.get("output")
    return {
        "lines": [
            {"ago_s": each[0], "level": str(each[1]), "logger": str(each[2]), "text": str(each[3])}
            for each in (rows if type(rows) is list else [])
            if type(each) is list and [type(each[0])] * (len(each) == _LINE_PARTS) == [float]
        ],
        "output": [str(each) for each in (output if type(output) is list else [])],
        "silent": [*answer["silent"], *answer["refused"]],
    }


async def words(answer: dict[str, Any], _: dict[str, Any]) -> dict[str, Any]:
    """The lines of one task."""
    try:
        found = last_said(answer["said"])
    except RemoteProtocolError:
        found = last_said({})
    return {
        "lines": [line._asdict() for line in found.lines],
        "dropped": found.missed,
        "silent": [*answer["silent"], *answer["refused"]],
    }


def _stack(told: dict[str, Any]) -> dict[str, Any]:
    frames = told.get("frames")
    return {
        "key": str(told.get("key", "")),
        "name": str(told.get("name", "")),
        "waits": told.get("waits") is True,
        "left_out": told.get("left_out", 0) if type(told.get("left_out")) is int else 0,
        "frames": [
            {"function": str(function), "file": str(file), "line": line}
            for function, file, line in (
                each
                for each in (frames if type(frames) is list else [])
                if type(each) is list and len(each) == _FRAME_PARTS and type(each[2]) is int
            )
        ],
    }


_FRAME_PARTS: Final = 3
_LINE_PARTS: Final = 4
#: What is made of the answers to a question.
_MAKERS: Final = {PROFILE: merged, CALL_STACK: listed, LOGS: lines, TASK_LOGS: words}
