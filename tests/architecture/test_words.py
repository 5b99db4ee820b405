"""Words that must not stand in the sources, each with what it would mean."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
CODE = sorted(path for room in ("trio_dask", "tests") for path in (ROOT / room).rglob("*.py"))

#: For all code: loose ends.
EVERYWHERE = {
    "a note to do something later": r"\b(TO" r"DO|FIX" r"ME|XX" r"X)\b",
    "an ignored type error without its code": r"# type: " r"ignore(?!\[)",
    "a silenced rule without its code": r"# no" r"qa(?!:)",
}
#: For tests: looking away.
IN_TESTS = {"a test that never runs": r"mark\.(skip|xfail)\b(?!if)"}
#: Fixtures whose time is virtual: with them a test sleeps without waiting.
CLOCKS = {"autojump_clock", "mock_clock"}


def sleeps(tree: ast.AST, *, virtual: bool = False) -> Iterator[int]:
    """The lines of calls that wait for real time to pass."""
    for node in ast.iter_child_nodes(tree):
        inside = virtual
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            inside = virtual or bool(CLOCKS & {each.arg for each in node.args.args})
        # Not awaited, it is a task's own business: what long tasks in tests are made of.
        called = node.value if isinstance(node, ast.Await) else None
        function = called.func if isinstance(called, ast.Call) else None
        if isinstance(function, ast.Attribute) and function.attr == "sleep" and not inside:
            yield function.lineno
        yield from sleeps(node, virtual=inside)


@pytest.mark.parametrize("path", CODE, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_loose_ends(path: Path) -> None:
    """No notes to self, no stubs, nothing silenced wholesale, no sleeping tests."""
    rules = EVERYWHERE | (IN_TESTS if path.is_relative_to(ROOT / "tests") else {})
    text = path.read_text(encoding="utf-8")
    found = {
        f"line {text.count(chr(10), 0, match.start()) + 1}: {meaning}"
        for meaning, pattern in rules.items()
        for match in re.finditer(pattern, text)
    }
    assert found == set()


@pytest.mark.parametrize(
    "path", sorted((ROOT / "tests").rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT))
)
def test_tests_do_not_sleep(path: Path) -> None:
    """A test waits for what happens; only where the clock is its own may it sleep."""
    assert list(sleeps(ast.parse(path.read_text(encoding="utf-8")))) == []
