"""What every request passes: who asks, under which prefix, and how the answer is protected."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from starlette.responses import JSONResponse, RedirectResponse, Response

from trio_dask.dashboard.access import Asked, Door, Refusal
from trio_dask.dashboard.orders import is_order
from trio_dask.dashboard.shell import login_page, root_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOGIN: Final = "/login"
_BODY_MAX: Final = 4096
#: What anybody may have: without it nobody could log in.
_PUBLIC: Final = ("/static/", "/health")
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'self'; frame-ancestors 'self'"
)
_PROTECTION: Final = [
    (b"content-security-policy", _POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"SAMEORIGIN"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
]
_HELP: Final = (
    "`trio-dask token dashboard`, where the scheduler runs, prints the token: send it as "
    "`Authorization: Bearer …`. For a browser, `trio-dask token link` makes a link."
)
_CONTROL_HELP: Final = (
    "`trio-dask token control`, where the scheduler runs, prints it: send it as "
    "`Authorization: Bearer …`. For a browser, `trio-dask token link --control` makes a link."
)
#: What this browser may do.
MAY: Final = "/api/v1/may"


class Gate:
    """Around the whole application. Without a door everybody may see everything."""

    def __init__(self, app: ASGIApp, door: Door | None, prefix: str) -> None:
        self._app: Final = app
        self._door: Final = door
        self._prefix: Final = prefix.rstrip("/")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or say why not."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope = self._without_prefix(scope)
        answer = await self._answer(scope, receive)
        await (answer or self._app)(scope, receive, _protected(send))

    def _without_prefix(self, scope: Scope) -> Scope:
        """Some proxies take it off, others do not."""
        path = scope["path"]
        if self._prefix and (path + "/").startswith(self._prefix + "/"):
            raw = bytes(scope.get("raw_path") or b"").removeprefix(self._prefix.encode())
            return {**scope, "path": path.removeprefix(self._prefix) or "/", "raw_path": raw}
        return scope

    async def _answer(self, scope: Scope, receive: Receive) -> Response | None:
        """The answer to who may not go on, or wants to log in."""
        asked, path = asked_of(scope), scope["path"]
        if self._door is None:
            return None if asked.method in {"GET", "HEAD"} else _said(Refusal(405, "Only GET."))
        now = datetime.now(UTC).timestamp()
        if path == LOGIN:
            return await self._login(scope, asked, receive, now)
        if is_order(asked.method, path):
            refusal = self._door.order_refusal(asked, now)
            return _said(refusal, _CONTROL_HELP) if refusal is not None else None
        if path.startswith(_PUBLIC) and asked.method in {"GET", "HEAD"}:
            return None
        refusal = self._door.refusal(asked, now)
        return self._seen(asked, path, now) if refusal is None else self._refused(scope, refusal)

    def _seen(self, asked: Asked, path: str, now: float) -> Response | None:
        """Of one who may look: what only the door can answer."""
        if path != MAY or self._door is None:
            return None
        mark = self._door.mark(asked, now)
        return JSONResponse({"orders": bool(mark), "mark": mark})

    def _refused(self, scope: Scope, refusal: Refusal) -> Response:
        asked = asked_of(scope)
        if "text/html" in asked.headers.get("accept", "") and refusal.status != _NOT_ALLOWED:
            return login_page(root_of(scope), refusal.why, refusal.status)
        return _said(refusal)

    async def _login(self, scope: Scope, asked: Asked, receive: Receive, now: float) -> Response:
        assert self._door is not None
        if asked.method in {"GET", "HEAD"}:
            return login_page(root_of(scope), "", 200)
        if asked.method != "POST":
            return _said(Refusal(405, "Log in with POST."))
        body = await _body(receive)
        if body is None:
            return _said(Refusal(413, "That is no token."))
        refusal = self._door.login_refusal(asked, _ticket_in(body), now)
        if refusal is not None:
            return login_page(root_of(scope), refusal.why, refusal.status)
        answer = RedirectResponse(root_of(scope) + "status", status_code=303)
        control = self._door.controls(_ticket_in(body), now)
        answer.headers["set-cookie"] = self._door.cookie(asked, self._prefix, now, control=control)
        return answer


def asked_of(scope: Scope) -> Asked:
    """What of a request its answer may depend on."""
    headers: dict[str, str] = {}
    for name, value in scope["headers"]:
        key = name.decode("latin-1").lower()
        text = value.decode("latin-1")
        headers[key] = f"{headers[key]}; {text}" if key in headers else text
    client = scope.get("client")
    return Asked(
        method=scope["method"],
        client=str(client[0]) if client else "",
        headers=headers,
        scheme=headers.get("x-forwarded-proto") or str(scope.get("scheme", "http")),
    )


async def _body(receive: Receive) -> bytes | None:
    body = b""
    while len(body) <= _BODY_MAX:
        message = await receive()
        if message["type"] != "http.request":
            return None
        body += bytes(message.get("body", b""))
        if not message.get("more_body", False):
            return body if len(body) <= _BODY_MAX else None
    return None


def _ticket_in(body: bytes) -> str:
    from urllib.parse import parse_qs

    fields = parse_qs(body.decode("latin-1"))
    return fields.get("ticket", [""])[0]


def _said(refusal: Refusal, hint: str = "") -> Response:
    headers = {"www-authenticate": "Bearer"} if refusal.status == _UNKNOWN else {}
    hint = hint or (_HELP if refusal.status == _UNKNOWN else "")
    content = {"error": refusal.why, **({"help": hint} if hint else {})}
    return JSONResponse(content, refusal.status, headers)


def _protected(send: Send) -> Callable[[Message], Awaitable[None]]:
    async def protected(message: Any) -> None:
        if message["type"] == "http.response.start":
            headers = list(message.get("headers", ()))
            if not any(name.lower() == b"cache-control" for name, _ in headers):
                headers.append((b"cache-control", b"no-store"))
            message = {**message, "headers": headers + _PROTECTION}
        await send(message)

    return protected


_UNKNOWN: Final = 401
_NOT_ALLOWED: Final = 405
