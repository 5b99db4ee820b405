"""Dask's own tests, part after part, and for what fails, who else fails at it.

    python tests/collections/dask_suite_run.py [--jobs N] [--resume] [--out DIR] [ROOM …]

A room is a path below the installed package of Dask, as `array` or `dataframe/io/tests/test_csv.py`.
Logs and results lie in DIR; `--resume` goes on with what is not there yet.
What fails is run again, without the rest, then by Dask's threads, and what passes there by
dask.distributed's client, so that each failure has its kind. Run by the nox session `dask_suite`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree as ET

HERE = Path(__file__).resolve().parent
#: Those of `tests` that are about collections and graphs, not about Dask's own schedulers.
GRAPHS = (
    "backends", "base", "composite_expr", "context", "core", "datasets", "delayed", "dot", "expr",
    "graph_manipulation", "hashing", "highgraph", "hlgexpr", "layers", "ml", "optimization", "order",
    "rewrite", "task_spec", "tokenize", "traceback",
)  # fmt: skip
ROOMS = (*(f"tests/test_{each}.py" for each in GRAPHS), "bag", "array", "dataframe")
#: What takes minutes is a part of its own; the rest of a directory is one together.
LONG = (
    "array/tests/test_array_core.py",
    "array/tests/test_reductions.py",
    "array/tests/test_routines.py",
    "dataframe/dask_expr/tests/test_collection.py",
    "dataframe/dask_expr/tests/test_distributed.py",
    "dataframe/dask_expr/tests/test_groupby.py",
    "dataframe/dask_expr/tests/test_merge.py",
    "dataframe/dask_expr/tests/test_shuffle.py",
    "dataframe/tests/test_arithmetics_reduction.py",
    "dataframe/tests/test_dataframe.py",
    "dataframe/tests/test_groupby.py",
    "dataframe/tests/test_multi.py",
    "dataframe/tests/test_rolling.py",
    "dataframe/tests/test_shuffle.py",
    "dataframe/tests/test_ufunc.py",
)
#: What pytest ends with if it has run all there is: all passed, some failed.
_COMPLETE = (0, 1)
_TRIES = 2


@dataclass
class Outcome:
    """What became of the tests of one run."""

    counts: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)


def parts(dask: Path, rooms: list[str]) -> list[tuple[str, list[str]]]:
    """Names, and the modules that belong to each, in a fixed order."""
    found: dict[str, list[str]] = {}
    for room in rooms:
        path = dask / room
        modules = [path] if path.is_file() else sorted(path.rglob("test_*.py"))
        if not modules:
            sys.exit(f"there is no test below {path}")
        for module in modules:
            name = module.relative_to(dask).as_posix()
            part = name if name in LONG else module.parent.relative_to(dask).as_posix()
            found.setdefault(part, []).append(name)
    return sorted(found.items())


class Runner:
    """Runs parts of Dask's tests with one scheduler or another, and remembers how they ended."""

    def __init__(self, dask: Path, out: Path, jobs: int) -> None:
        self.dask, self.out, self.jobs = dask, out, jobs

    def run(self, who: str, part: str, names: list[str], again: str = "") -> Outcome:
        """One process of pytest, unless its results are there."""
        stem = f"{part.removesuffix('.py').replace('/', '.')}{again}.{who}"
        asked, tests = self.out / f"{stem}.asked", "".join(f"{self.dask / n}\n" for n in names)
        report, failed = self.out / f"{stem}.xml", self.out / f"{stem}.failed"
        if not failed.exists() or asked.read_text(encoding="utf-8") != tests:
            failed.unlink(missing_ok=True)
            asked.write_text(tests, encoding="utf-8")
            for _ in range(_TRIES):
                say(f"{who}: {part} {again}")
                if self._pytest(who, stem) in _COMPLETE:
                    break
                # It has not run them all: Python 3.11 may fail at parsing in two threads at once.
                failed.unlink(missing_ok=True)
            else:
                sys.exit(f"pytest did not come to its end: {self.out / stem}.log")
        return read(report, failed)

    def _pytest(self, who: str, stem: str) -> int:
        out = self.out / stem
        scratch = self.out / "scratch"
        scratch.mkdir(exist_ok=True)
        with Path(f"{out}.log").open("wb") as log:
            done = subprocess.run(
                [
                    sys.executable, "-m", "pytest", "-v", "-c", HERE / "dask_suite.ini",
                    "--rootdir", self.dask, "-p", "no:cacheprovider", "-p", "dask_suite",
                    "--computed-by", who, "--failed", f"{out}.failed", "--junitxml", f"{out}.xml",
                    "-n", str(self.jobs), "--dist", "loadgroup", "--durations=10", "-rfEX",
                    "--tb=short", f"@{out}.asked",
                ],
                cwd=scratch, stdout=log, stderr=subprocess.STDOUT, check=False,
                env={**os.environ, "PYTHONPATH": str(HERE), "PYTHONDONTWRITEBYTECODE": "1"},
            )  # fmt: skip
        return done.returncode

    def why(self, part: str, failed: list[str]) -> dict[str, str]:
        """For each of these, with whom it fails."""
        kinds = dict.fromkeys(failed, "ours alone")
        left = failed
        for who, again, kind in (
            ("client", ".again", "not again"),
            ("threads", ".again", "with Dask's threads, too"),
            ("distributed", ".again", "with dask.distributed, too"),
        ):
            if not left:
                break
            outcome = self.run(who, part, left, again)
            fails = set(outcome.failed)
            answered = {name for name in left if (name in fails) is not (who == "client")}
            kinds.update(dict.fromkeys(answered, kind))
            left = [name for name in left if name not in answered]
        return kinds


def read(report: Path, failed: Path) -> Outcome:
    """What pytest has written down."""
    outcome = Outcome(failed=failed.read_text(encoding="utf-8").splitlines())
    for case in ET.parse(report).iter("testcase"):
        kinds = {child.tag: child.get("type", "") for child in case}
        if {"failure", "error"} & set(kinds):
            outcome.counts["failed"] += 1
        elif "skipped" in kinds:
            expected = kinds["skipped"] == "pytest.xfail"
            outcome.counts["expected to fail" if expected else "skipped"] += 1
        else:
            outcome.counts["passed"] += 1
    return outcome


def told(counts: Counter[str]) -> str:
    """Counts, in words."""
    return ", ".join(f"{number} {kind}" for kind, number in sorted(counts.items()))


def say(line: str) -> None:
    """To whoever waits for it."""
    print(line, flush=True)  # noqa: T201 -- its output is what it is for


def main() -> None:
    """Run what is asked for, and say what came of it."""
    parser = argparse.ArgumentParser(description="Dask's own tests, computed by a client")
    parser.add_argument("rooms", nargs="*", default=list(ROOMS), metavar="ROOM")
    parser.add_argument("--jobs", type=int, default=1, help="processes that share a part")
    parser.add_argument("--resume", action="store_true", help="what is in DIR is not run again")
    parser.add_argument("--out", type=Path, default=Path("dask_suite.out"), metavar="DIR")
    asked = parser.parse_args()
    spec = find_spec("dask")
    if spec is None or spec.origin is None:
        sys.exit("dask is not installed")
    out: Path = asked.out.resolve()
    if not asked.resume:
        shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True, exist_ok=True)
    runner = Runner(Path(spec.origin).parent, out, asked.jobs)
    todo = parts(runner.dask, asked.rooms)
    # All of the client's runs come first: they are what is asked for.
    outcomes = {part: runner.run("client", part, names) for part, names in todo}
    kinds = {
        name: kind
        for part, outcome in outcomes.items()
        for name, kind in runner.why(part, outcome.failed).items()
    }
    for part, outcome in outcomes.items():
        say(f"{part}: {told(outcome.counts)}")
    total = sum((outcome.counts for outcome in outcomes.values()), Counter[str]())
    say(f"all: {told(total)}")
    for name, kind in sorted(kinds.items(), key=lambda pair: (pair[1], pair[0])):
        say(f"{kind}: {name}")


if __name__ == "__main__":
    main()
