"""``trio-dask migrate``: what of a program's use of dask.distributed is here."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from trio_dask.cli.checks import some_path
from trio_dask.cli.migrating import MISSING, OTHER, SAME, program_of, uses
from trio_dask.errors import ConfigError


def migrate(*paths: Annotated[Path, Parameter(converter=some_path)], all: bool = False) -> int:  # noqa: A002 - the option's name
    """Report what of a program's use of dask.distributed is here, and what is not.

    Args:
        paths: Programs and notebooks, and directories to look through.
        all: Also show what is the same.
    """
    if not paths:
        msg = "which program? Give files or directories, as in `trio-dask migrate src`"
        raise ConfigError(msg)
    counts: Counter[str] = Counter()
    files = 0
    for path in _sources(paths):
        places: list[str] = []
        try:
            text = path.read_text(encoding="utf-8")
            if path.suffix == ".ipynb":
                text, places = program_of(text)
            found = uses(text)
        except (OSError, ValueError, SyntaxError) as error:
            why = getattr(error, "strerror", None) or getattr(error, "msg", None) or "it is no text"
            print(f"{path}: not read: {why}")
            continue
        files += bool(found)
        for each in found:
            counts[each.state] += 1
            if all or each.state != SAME:
                where = f"{path}: {places[each.line - 1]}" if places else f"{path}:{each.line}"
                print(f"{where}: {each.name}: {each.state}{each.note and '; '}{each.note}")
    total = sum(counts.values())
    print(
        f"{total} uses of dask.distributed in {files} files: {counts[SAME]} the same, "
        f"{counts[OTHER]} in another way, {counts[MISSING]} missing"
    )
    if total:
        print(
            "Calls are not pure by default, and other differences: `Coming from dask.distributed`"
        )
    return int(bool(counts[MISSING]))


def _sources(paths: tuple[Path, ...]) -> list[Path]:
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = [each for each in path.rglob("*") if each.suffix in {".py", ".ipynb"}]
            found += sorted(
                each
                for each in inside
                if not any(part.startswith(".") for part in each.relative_to(path).parts)
            )
        elif path.exists():
            found.append(path)
        else:
            msg = f"there is no {path}"
            raise ConfigError(msg)
    return found
