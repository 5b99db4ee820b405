"""The pages of the reference that are made from the code, so that they cannot differ from it."""

from __future__ import annotations

import contextlib
import inspect
import io
from dataclasses import fields
from typing import TYPE_CHECKING, Any, get_type_hints

from rich.console import Console

from bench import kept
from trio_dask.cli.app import app
from trio_dask.cli.dasks import DASK_OPTIONS, table
from trio_dask.config import AUTO, Setting, known_settings
from trio_dask.messages import message_types

if TYPE_CHECKING:
    from pathlib import Path

COMMANDS = [
    "",
    "cluster",
    "run",
    "mpi",
    "job-script",
    "scheduler",
    "worker",
    "demo",
    "migrate",
    "top",
    "progress",
    "retire",
    "ssh",
    "spec",
    "replay",
    "status",
    "why",
    "logs",
    "completion",
]
COMMANDS += [
    "token",
    "token show",
    "token new",
    "token dashboard",
    "token link",
    "token rotate",
    "token forget",
    "certs",
    "certs new",
    "config",
    "config list",
    "config show",
    "config find",
    "config explain",
]


def write_pages(directory: Path) -> None:
    """Write all generated pages; a page that is as it was is left alone."""
    directory.mkdir(parents=True, exist_ok=True)
    pages = {
        "command-line.md": command_line(),
        "dask-options.md": dask_options(),
        "settings.md": settings(),
        "messages.md": messages(),
        "benchmarks.md": kept.page(kept.read()),
    }
    for name, text in pages.items():
        path = directory / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def command_line() -> str:
    """What each command says about itself."""
    parts = ["# Command line", "What `--help` says, command by command."]
    for command in COMMANDS:
        out = io.StringIO()
        console = Console(file=out, width=100, force_terminal=False, color_system=None)
        with contextlib.suppress(SystemExit):
            app([*command.split(), "--help"], console=console)
        title = f"trio-dask {command}".strip()
        text = "\n".join(line.rstrip() for line in out.getvalue().splitlines()).strip()
        parts += [f"## {title}", f"```text\n{text}\n```"]
    return "\n\n".join(parts) + "\n"


def dask_options() -> str:
    """Every option of Dask's commands, and what became of it."""
    parts = [
        "# Options of Dask's commands",
        "All of them are taken, so that scripts go on. Where one changes nothing, a line says why.",
    ]
    for command in DASK_OPTIONS:
        parts += [f"## {command}", table(command)]
    return "\n\n".join(parts) + "\n"


def settings() -> str:
    """Every setting, its variable and its default."""
    parts = ["# Settings"]
    section = None
    for setting in known_settings().values():
        prefix, _, name = setting.name.rpartition(".")
        if prefix != section:
            section = prefix
            parts.append(f"## {f'[{prefix}]' if prefix else 'Without a section'}")
        default = _default(setting)
        parts.append(f"`{name}`\n: {setting.doc}\n  Default: {default}. `{setting.variable}`")
    return "\n\n".join(parts) + "\n"


def _default(setting: Setting) -> str:
    value: Any = setting.default
    if value is None:
        return "never"
    if value == AUTO:
        return "auto"
    return "empty" if value in ("", {}) else f"`{value}`"


def messages() -> str:
    """Every message, by the module that has it."""
    parts = ["# Messages"]
    module = None
    for tag, kind in message_types().items():
        if kind.__module__ != module:
            module = kind.__module__
            doc = inspect.getdoc(inspect.getmodule(kind)) or ""
            parts += [f"## {module.rpartition('.')[2]}", doc]
        hints = get_type_hints(kind, include_extras=True)
        names = ", ".join(f"{each.name}: {_kind(hints[each.name])}" for each in fields(kind))
        doc = (inspect.getdoc(kind) or "").replace("``", "`")
        parts += [f"### {kind.__name__}", f"Tag {tag}: `({names})`", doc]
    return "\n\n".join(parts) + "\n"


def _kind(hint: Any) -> str:
    metadata = getattr(hint, "__metadata__", None)
    return str(metadata[0]) if metadata else hint.__name__
