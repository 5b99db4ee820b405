"""Every option of every command, as the application itself has them, and what a test mentions."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, get_args, get_origin

from trio_dask.cli.app import app

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cyclopts import App

TESTS: Final = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class Option:
    """One of them: its names, the first is what it is called here, and what it takes."""

    names: tuple[str, ...]
    kind: str
    #: Of those for people: not what servers tell their children.
    shown: bool

    @property
    def name(self) -> str:
        """What it is called."""
        return self.names[0]


def _commands(of: App, above: tuple[str, ...]) -> Iterator[tuple[str, App]]:
    for name in of:
        if not name.startswith("-"):
            words = (*above, name)
            if of[name].default_command is None:
                yield from _commands(of[name], words)
            else:
                yield " ".join(words), of[name]


def _kind(hint: Any) -> str:
    """``bool``, ``number``, ``choice`` or ``text``."""
    hints = [hint]
    while hints:
        each = hints.pop()
        if get_origin(each) is Literal:
            return "choice"
        if each in (bool, int, float):
            return "bool" if each is bool else "number"
        hints += get_args(each)
    return "text"


@cache
def every_option() -> dict[str, list[Option]]:
    """By command, as ``token rotate``, those that begin with a dash."""
    found: dict[str, list[Option]] = {}
    for command, of in sorted(_commands(app, ())):
        found[command] = [
            Option(names, _kind(each.hint), each.show)
            for each in of.assemble_argument_collection()
            if (names := tuple(name for name in each.names if name.startswith("-")))
            and each.parse
            and each.field_info.kind != each.field_info.POSITIONAL_ONLY
        ]
    return found


@cache
def _module(path: Path) -> dict[str, ast.AST]:
    """What a file of tests defines, by name."""
    found: dict[str, ast.AST] = {}
    for each in ast.parse(path.read_text(encoding="utf-8")).body:
        match each:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                found[each.name] = each
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                found[name] = each
            case _:
                pass
    return found


def words_of_test(where: str) -> set[str]:
    """The options that a test, as ``cli/test_x.py::test_y``, or what it uses of its file, writes.

    Raises:
        KeyError: there is no such test.
    """
    file, _, test = where.partition("::")
    defined, words = _module(TESTS / file), set[str]()
    todo, seen = [test], {test}
    while todo:
        for node in ast.walk(defined[todo.pop()]):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                words.update(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", node.value))
            elif isinstance(node, ast.Name) and node.id in defined and node.id not in seen:
                seen.add(node.id)
                todo.append(node.id)
            elif isinstance(node, ast.arg) and node.arg in defined and node.arg not in seen:
                seen.add(node.arg)
                todo.append(node.arg)
    return words
