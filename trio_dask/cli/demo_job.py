"""What the demo's tasks do. Imported by the processes that run them, so it imports little."""

from __future__ import annotations

import ast
import sysconfig
import warnings
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(slots=True)
class Tally:
    """What is known of some source files."""

    files: int = 0
    source_bytes: int = 0
    unparsed: int = 0
    imports: Counter[str] = field(default_factory=Counter)


def source_files() -> list[str]:
    """Every source file of the running Python's standard library."""
    root = Path(sysconfig.get_path("stdlib"))
    installed = {"site-packages", "dist-packages"}
    found = (path for path in root.rglob("*.py") if not installed & set(path.parts))
    return sorted(map(str, found))


def tally_file(name: str) -> Tally:
    """Parse one file and say which top-level modules it imports."""
    source = Path(name).read_bytes()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source, name)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        # The library's own tests have files that are meant to be wrong.
        return Tally(1, len(source), 1)
    imported: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            imported.add(node.module.partition(".")[0])
    return Tally(1, len(source), 0, Counter(imported))


def merge(tallies: list[Tally]) -> Tally:
    """One tally of several."""
    total = Tally()
    for each in tallies:
        total.files += each.files
        total.source_bytes += each.source_bytes
        total.unparsed += each.unparsed
        total.imports.update(each.imports)
    return total
