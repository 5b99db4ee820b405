"""The one page there is, from which the browser makes all others; and the page for logging in."""

from __future__ import annotations

import gzip
import hashlib
import html
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

from starlette.responses import HTMLResponse, Response

if TYPE_CHECKING:
    from starlette.requests import Request

_TYPES: Final = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_NO_MODULES: Final = ("again.js", "app.js", "login.js", "theme.js")
_DAY: Final = "public, max-age=86400, immutable"


def root_of(scope: Any) -> str:
    """The way from a page's address to the first one, so that no proxy's prefix matters.

    >>> root_of({"raw_path": b"/status", "path": "/status"})
    './'
    >>> root_of({"raw_path": b"/tasks/a%2Fb", "path": "/tasks/a/b"})
    '../'
    """
    raw = scope.get("raw_path")
    path = raw.decode("latin-1") if raw else scope["path"]
    return "../" * (path.partition("?")[0].count("/") - 1) or "./"


@cache
def _file(name: str) -> bytes | None:
    """A file of ours; None if there is none of this name."""
    if name not in _names():
        return None
    return (files("trio_dask.dashboard") / "static" / name).read_bytes()


@cache
def _packed(name: str) -> bytes:
    return gzip.compress(_file(name) or b"", mtime=0)


@cache
def _names() -> frozenset[str]:
    return frozenset(each.name for each in (files("trio_dask.dashboard") / "static").iterdir())


@cache
def version() -> str:
    """Another one whenever a file is: browsers keep files for as long as their address."""
    digest = hashlib.sha256()
    for name in sorted(_names()):
        digest.update(_file(name) or b"")
    return digest.hexdigest()[:12]


async def static(request: Request) -> Response:
    """A file of ours, kept by browsers under an address that has its version."""
    name = request.path_params["name"]
    content = _file(name)
    kind = _TYPES.get(name.rpartition(".")[2])
    if content is None or kind is None:
        return Response("There is no such file.", 404, media_type="text/plain")
    headers = {"vary": "accept-encoding"}
    if request.path_params["version"] == version():
        headers["cache-control"] = _DAY
    if "gzip" in request.headers.get("accept-encoding", ""):
        headers["content-encoding"] = "gzip"
        content = _packed(name)
    return Response(content, media_type=kind, headers=headers)


async def page(request: Request) -> Response:
    """Any page: which one it is the browser sees from its address."""
    text = _text("index.html").replace("%MODULES%", _modules())
    text = text.replace("%ROOT%", html.escape(root_of(request.scope)))
    return HTMLResponse(text.replace("%VERSION%", version()))


@cache
def _modules() -> str:
    """What the page's script is made of, asked for at once instead of when one names the next."""
    names = sorted(name for name in _names() if name.endswith(".js") and name not in _NO_MODULES)
    return "\n".join(
        f'<link rel="modulepreload" href="%ROOT%static/%VERSION%/{name}">' for name in names
    )


def login_page(root: str, why: str, status: int) -> Response:
    """Where a browser proves who it is."""
    text = _text("login.html").replace("%ROOT%", html.escape(root))
    text = text.replace("%VERSION%", version()).replace("%WHY%", html.escape(why))
    return HTMLResponse(text, status)


def _text(name: str) -> str:
    return (_file(name) or b"").decode()
