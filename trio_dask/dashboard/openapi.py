"""The description of the routes for programs, in OpenAPI's words."""

from __future__ import annotations

from typing import Any, Final

from trio_dask.dashboard.view import STATES

_TEXT: Final = {"type": "string"}
_NUMBER: Final = {"type": "number"}
_WHOLE: Final = {"type": "integer"}
_FLAG: Final = {"type": "boolean"}
_TEXTS: Final = {"type": "array", "items": _TEXT}
_WHOLES: Final = {"type": "array", "items": _WHOLE}


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def _list(name: str, of: str) -> dict[str, Any]:
    return _object(**{name: {"type": "array", "items": _ref(of)}})


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


_TASK_LINE: Final = {
    "key": _TEXT, "name": _TEXT, "state": {"type": "string", "enum": list(STATES)},
    "worker": _TEXT, "nbytes": _WHOLE,
}  # fmt: skip
_WORKER: Final = {
    "name": _TEXT, "address": _TEXT, "host": _TEXT, "status": _TEXT, "nthreads": _WHOLE,
    "slots": _WHOLE, "processing": _WHOLE, "held": _WHOLE, "memory": _WHOLE,
    "memory_limit": _WHOLE, "resources": {"type": "object"}, "last_seen_s": _NUMBER,
}  # fmt: skip
_ERROR: Final = {"kind": _TEXT, "message": _TEXT, "traceback": _TEXT, "notes": _TEXTS}
_TOTALS: Final = (
    "tasks", "queued", "processing", "finished", "failures", "workers", "workers_ever",
    "clients", "clients_ever", "slots", "busy", "held", "memory", "memory_limit",
)  # fmt: skip

_SCHEMAS: Final = {
    "Cluster": _object(
        cluster=_TEXT, epoch=_WHOLE, address=_TEXT, uptime_s=_NUMBER, told=_WHOLE, told_s=_NUMBER,
        **dict.fromkeys(_TOTALS, _WHOLE),
    ),
    "Worker": _object(**_WORKER),
    "WorkerPage": _object(
        **_WORKER, load={"type": "object"}, window={"type": "array", "items": _ref("TaskLine")},
        window_count=_WHOLE, held_count=_WHOLE, held_bytes=_WHOLE,
    ),
    "Group": _object(name=_TEXT, **dict.fromkeys(STATES, _WHOLE), nbytes=_WHOLE, runs=_WHOLE,
                     failures=_WHOLE, seconds=_NUMBER),
    "TaskLine": _object(**_TASK_LINE),
    "Task": _object(
        **_TASK_LINE, why=_TEXTS, inputs={"type": "array", "items": _ref("TaskLine")},
        outputs={"type": "array", "items": _ref("TaskLine")}, where=_TEXTS, wanted=_FLAG,
        retries=_WHOLE, retried=_WHOLE, workers=_TEXTS, resources={"type": "object"},
        expected_s={"type": ["number", "null"]}, history=_TEXTS,
        ran_s={"type": ["number", "null"]}, failure={"type": ["object", "null"]},
    ),
    "Failure": _object(key=_TEXT, name=_TEXT, worker=_TEXT, ago_s={"type": ["number", "null"]},
                       **_ERROR, causes={"type": "array", "items": _object(**_ERROR)}),
    "Event": _object(kind=_TEXT, who=_TEXT, text=_TEXT, times=_WHOLE, ago_s=_NUMBER),
    "LogLine": _object(ago_s=_NUMBER, level=_TEXT, logger=_TEXT, text=_TEXT),
    "SaidLine": _object(time=_NUMBER, stream=_TEXT, text=_TEXT),
    "Graph": _object(
        groups={"type": "array", "items": _object(name=_TEXT, states={"type": "object"})},
        others=_object(groups=_WHOLE, states={"type": "object"}),
        edges={"type": "array", "items": {"type": "array"}}, edges_left_out=_WHOLE,
        count=_WHOLE, complete=_FLAG,
    ),
    "Profile": _object(
        name=_TEXT, workers=_WHOLE, silent=_WHOLE, interval_s=_NUMBER, piece_s=_NUMBER,
        pieces={"type": "array", "items": _NUMBER}, names={"type": "object"}, seconds=_NUMBER,
        functions=_TEXTS, files=_TEXTS, lines=_WHOLES, parents=_WHOLES, frames=_WHOLES,
        counts=_WHOLES,
    ),
    "Stack": _object(
        worker=_TEXT, key=_TEXT, name=_TEXT, waits=_FLAG, left_out=_WHOLE,
        frames={"type": "array", "items": _object(function=_TEXT, file=_TEXT, line=_WHOLE)},
    ),
    "Client": _object(name=_TEXT, number=_WHOLE),
    "System": _object(pid=_WHOLE, host=_TEXT, python=_TEXT, version=_TEXT, rss=_WHOLE,
                      cpu_s=_NUMBER, threads=_WHOLE, descriptors=_WHOLE, viewers=_WHOLE,
                      uptime_s=_NUMBER, garbage_searches=_WHOLE, garbage_found=_WHOLE,
                      messages_in=_WHOLE, messages_out=_WHOLE, bytes_in=_WHOLE, bytes_out=_WHOLE,
                      queued_bytes=_WHOLE),
    "Missing": _object(error=_TEXT),
}  # fmt: skip


def openapi(version: str) -> dict[str, Any]:
    """The document."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "trio_dask scheduler", "version": version},
        "security": [{"token": []}, {}],
        "components": {
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "control": {"type": "http", "scheme": "bearer"},
            },
            "schemas": _SCHEMAS,
        },
        "paths": {**_reading(), **_orders()},
    }


def _reading() -> dict[str, Any]:
    return {
        "/api/v1/cluster": _get("The cluster in a few numbers", _ref("Cluster")),
        "/api/v1/workers": _get("Every worker", _list("workers", "Worker")),
        "/api/v1/workers/{name}": _get(
            "One worker, by name or address", _ref("WorkerPage"), path="name"
        ),
        "/api/v1/groups": _get("Tasks by function", _list("groups", "Group")),
        "/api/v1/tasks": _get(
            "Tasks that fit",
            _object(tasks={"type": "array", "items": _ref("TaskLine")}, complete=_FLAG, seen=_WHOLE),
            query={
                "text": _TEXT, "name": _TEXT, "limit": {"type": "integer", "default": 50},
                "state": {"type": "string", "enum": list(STATES)},
            },
        ),
        "/api/v1/tasks/{key}": _get(
            "One task, and why it is where it is", _ref("Task"), path="key"
        ),
        "/api/v1/failures": _get("The last failures", _list("failures", "Failure")),
        "/api/v1/events": _get("What has happened to the cluster", _list("events", "Event")),
        "/api/v1/logs": _get("The last lines of the log", _list("lines", "LogLine")),
        "/api/v1/graph": _get(
            "Which functions take whose values (null: one of the others); of a few tasks, which takes which",
            _ref("Graph"),
            query={"tasks": {"type": "integer", "default": 0}, "name": _TEXT},
        ),
        "/api/v1/timeline": _get(
            "The task stream in the format of chrome://tracing",
            _object(traceEvents={"type": "array", "items": {"type": "object"}}),
        ),
        "/api/v1/profile": _get(
            "Where time went: a tree of calls in columns, parents before their children",
            _ref("Profile"),
            query={"name": _TEXT, "since": _NUMBER, "until": _NUMBER, "worker": _TEXT},
        ),
        "/api/v1/stacks": _get(
            "What running tasks do at the moment", _list("stacks", "Stack"),
            query={"worker": _TEXT, "task": _TEXT},
        ),
        "/api/v1/worker_logs": _get(
            "What a worker has logged, and what its tasks have printed, the last lines",
            _object(lines={"type": "array", "items": _ref("LogLine")}, output=_TEXTS),
            query={"worker": _TEXT},
        ),
        "/api/v1/task_logs": _get(
            "What a task has said: lines printed, logged, or warned with, the last of them",
            _object(lines={"type": "array", "items": _ref("SaidLine")}, dropped=_WHOLE),
            query={"task": _TEXT},
        ),
        "/api/v1/adaptive_target": _get(
            "How many workers there should be, and between which numbers `adapt` keeps it, if it does",
            _object(workers=_WHOLE, adapting={"type": ["object", "null"]}),
        ),
        "/api/v1/get_workers": _get(
            "Names and addresses of workers, as in Dask",
            _object(
                num_workers=_WHOLE,
                workers={"type": "array", "items": _object(name=_TEXT, address=_TEXT)},
            ),
        ),
        "/api/v1/may": _get(
            "What this browser may do; the mark is to be in the header of its orders",
            _object(orders=_FLAG, mark=_TEXT),
        ),
        "/api/v1/clients": _get("Who is connected", _list("clients", "Client")),
        "/api/v1/system": _get("The scheduler's own process", _ref("System")),
    }  # fmt: skip


def _orders() -> dict[str, Any]:
    return {
        "/api/v1/retire_workers": _post(
            "Workers leave in good order",
            _object(workers={"type": "object"}, stayed={"type": "object"}),
            body={"workers": _TEXTS, "n": _WHOLE, "minimum": _WHOLE},
        ),
        "/api/v1/restart_workers": _post(
            "Workers get new processes for their tasks", _object(workers={"type": "object"}),
            body={"workers": _TEXTS},
        ),
        "/api/v1/restart": _post(
            "All tasks are forgotten, all processes that run them replaced",
            _object(workers={"type": "object"}),
        ),
        "/api/v1/tasks/{key}/cancel": _post(
            "A task is stopped for all who want it",
            _object(stopped=_TEXTS, ended=_TEXTS, unknown=_TEXTS), path="key",
        ),
    }  # fmt: skip


def _get(
    about: str, schema: Any, *, path: str = "", query: dict[str, Any] | None = None
) -> dict[str, Any]:
    parameters = [
        {"name": name, "in": "query", "schema": each} for name, each in (query or {}).items()
    ]
    responses: dict[str, Any] = {
        "200": {"description": about, "content": {"application/json": {"schema": schema}}}
    }
    if path:
        parameters.append({"name": path, "in": "path", "required": True, "schema": _TEXT})
        missing = {"application/json": {"schema": _ref("Missing")}}
        responses["404"] = {"description": "There is none", "content": missing}
    return {"get": {"summary": about, "parameters": parameters, "responses": responses}}


def _post(
    about: str, schema: Any, *, path: str = "", body: dict[str, Any] | None = None
) -> dict[str, Any]:
    order = _get(about, schema, path=path)["get"]
    refused = {"application/json": {"schema": _ref("Missing")}}
    order["security"] = [{"control": []}]
    order["responses"] |= {
        "202": {"description": "It is under way, and takes longer"},
        "400": {"description": "It makes no sense", "content": refused},
        "401": {"description": "It needs the token for control", "content": refused},
        "403": {"description": "It may not come from here", "content": refused},
    }
    if body is not None:
        content = {"application/json": {"schema": _object(**body)}}
        order["requestBody"] = {"content": content}
    return {"post": order}
