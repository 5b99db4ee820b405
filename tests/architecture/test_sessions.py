"""What nox runs, it runs all of."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
MARK = "pytest.mark." + "simulation"


def test_all_simulations_are_where_nox_looks_for_them() -> None:
    """Its session names their files, as looking into all others takes its time."""
    (named,) = (
        ast.literal_eval(statement.value)
        for statement in ast.parse((ROOT / "noxfile.py").read_text(encoding="utf-8")).body
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "SIMULATIONS"
    )
    marked = {
        path for path in (ROOT / "tests").rglob("*.py") if MARK in path.read_text(encoding="utf-8")
    }
    assert marked
    assert not {
        path for path in marked if not any(path.is_relative_to(ROOT / room) for room in named)
    }
