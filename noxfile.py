"""Everything that is checked: ``nox`` runs it all, ``nox --list`` shows what there is."""

from __future__ import annotations

import os
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import nox

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

nox.needs_version = ">=2025.5.1"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_venv = "yes"
nox.options.error_on_missing_interpreters = False
# `tests` is the last of them, so that pytest's closing line is the last word.
nox.options.sessions = ["checks", "simulate", "tests"]

PROJECT = nox.project.load_toml("pyproject.toml")
OTHER_PYTHONS = ["3.12", "3.13"]
SEEDS = "600"
#: Processes share the tests, and take from each other what is left.
SHARED = ("--dist", "worksteal")
#: Property tests find what they find each time here; a plain ``pytest`` tries others each time.
SAME_EXAMPLES = {"HYPOTHESIS_PROFILE": "ci"}
#: Where the simulations are: to look for them in all files takes longer than some of them.
SIMULATIONS = (
    "tests/simulation", "tests/scheduler/test_recording.py", "tests/worker/test_recording.py",
)  # fmt: skip
#: What makes a module one that flake8-async has anything to say about; the pure cores are not.
ASYNCHRONOUS = re.compile(r"\b(async|await|trio|anyio|asyncio)\b")
# Figures are compared over time: a new one is a decision.
DISTRIBUTED = "distributed==2026.8.0"
RAY = "ray==2.60.0"


def install(session: nox.Session, *groups: str) -> None:
    """Install the package as a user gets it, from a wheel, and the tools of some groups."""
    session.install(".", *nox.project.dependency_groups(PROJECT, *groups))


def async_checks() -> dict[str, list[str]]:
    """What flake8-async is told to leave out, and where.

    ASYNC9: checkpoints are not wanted everywhere. ASYNC114, 128: `task_status` may be handed
    on. ASYNC123: one error of a group is raised at
    the edges, for people. ASYNC103, 104: whatever a user's code raises is a result. ASYNC124, 401:
    a test's coroutine may have nothing to wait for, and looks into groups in its own way.
    """
    everywhere, user_code = "ASYNC9,ASYNC114,ASYNC123,ASYNC128", ",ASYNC103,ASYNC104"
    for_tests = ",ASYNC124,ASYNC401"
    checks: dict[str, list[str]] = {}
    for path in sorted(
        path for room in ("trio_dask", "tests") for path in Path(room).rglob("*.py")
    ):
        runs_user_code = {"runner", "messages", "cli"} & set(path.parts)
        disabled = everywhere + (user_code if runs_user_code else "")
        disabled += for_tests if path.parts[0] == "tests" else ""
        # What answers a request is a coroutine, whether it has to wait or not.
        disabled += ",ASYNC124" if path.parts[:2] == ("trio_dask", "dashboard") else ""
        if ASYNCHRONOUS.search(path.read_text(encoding="utf-8")):
            checks.setdefault(disabled, []).append(str(path))
    return checks


def together(session: nox.Session, commands: Iterable[Sequence[str]]) -> None:
    """Run these in as many processes as there are CPUs; what one says is shown if it fails."""
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        # Hundreds of files are no command that anybody reads.
        list(
            pool.map(lambda words: session.run(*words, silent=True, log=len(words) < 20), commands)
        )


def style() -> list[tuple[str, ...]]:
    """Style, async pitfalls, layers and purity, spelling."""
    # flake8-async takes half a second for a file.
    parts = 2 * (os.cpu_count() or 1)
    asynchronous = [
        ("flake8-async", f"--disable={disabled}", *sources[part::parts])
        for disabled, sources in async_checks().items()
        for part in range(min(parts, len(sources)))
    ]
    return [
        ("lint-imports", "--no-cache"),
        *asynchronous,
        ("ruff", "check", "."),
        ("ruff", "format", "--check", "."),
        ("codespell", "-q", "3", "trio_dask", "tests", "docs", *map(str, Path().glob("*.md"))),
    ]


MYPY = ("mypy",)
SPHINX = (
    "sphinx-build", "-n", "-W", "--keep-going", "-q", "-b", "html", "docs", "docs/_build/html",
)  # fmt: skip


@nox.session
def checks(session: nox.Session) -> None:
    """`lint`, `types` and `docs` at the same time: three minutes at most."""
    install(session, "lint", "types", "docs")
    together(session, [MYPY, SPHINX, *style()])


@nox.session(default=False)
def lint(session: nox.Session) -> None:
    """Style, async pitfalls, layers and purity, spelling: two minutes at most."""
    install(session, "lint")
    together(session, style())


@nox.session(default=False)
def types(session: nox.Session) -> None:
    """Mypy, strict, on package, tests and this file: two minutes at most."""
    install(session, "types")
    session.run(*MYPY)


@nox.session
def tests(session: nox.Session) -> None:
    """All tests but the simulations on one Python: seven minutes at most."""
    install(session, "test", "neighbours")
    session.run(
        "pytest", "-n", "2", *SHARED, "-m", "not simulation and not nightly", "--durations=5",
        *session.posargs, env=SAME_EXAMPLES,
    )  # fmt: skip


@nox.session(default=False)
def beside_distributed(session: nox.Session) -> None:
    """What Dask does with a scheduler, where dask.distributed is installed, too: two minutes."""
    install(session, "test", "neighbours")
    session.install(DISTRIBUTED)
    session.run("pytest", *(session.posargs or ["tests/collections"]))


@nox.session(default=False)
def dask_suite(session: nox.Session) -> None:
    """Dask's own tests of its collections, computed by a client: two hours; why each that fails does.

    With what that version of Dask was tested with. ``-- array dataframe/io --jobs 2`` is some of it,
    in two processes; ``-- --resume`` goes on after an interruption.
    """
    session.install(".", "-r", "tests/collections/dask_suite.txt")
    out = str(Path(session.create_tmp()) / "dask_suite")
    run = ("python", "tests/collections/dask_suite_run.py", "--out", out)
    session.run(*run, *session.posargs)


@nox.session(python=OTHER_PYTHONS, default=False)
def other(session: nox.Session) -> None:
    """The tests on the other Pythons."""
    tests(session)


@nox.session
def simulate(session: nox.Session) -> None:
    """Clusters simulated from seeds: three minutes at most; ``-- --seeds N`` or ``-- --minutes N``."""
    install(session, "simulate")
    # A broken rule may take minutes of a busy machine to be found.
    patient = ("-o", "faulthandler_timeout=300")
    session.run(
        "pytest", "-n", "2", *SHARED, *patient, "-m", "simulation and not nightly",
        "--seeds", "20", *SIMULATIONS, env=SAME_EXAMPLES,
    )  # fmt: skip
    asked = session.posargs or ["--seeds", SEEDS]
    play = ("python", "-m", "trio_dask.testing.simulation", "--jobs", "2")
    session.run(*play, *asked)
    session.run(*play, "--schedulers-die", "--seeds", "100")


@nox.session(default=False)
def nightly(session: nox.Session) -> None:
    """Long runs: many seeds, many examples."""
    install(session, "test")
    session.run("pytest", *session.posargs, env={"HYPOTHESIS_PROFILE": "nightly"})


@nox.session(default=False)
def chaos(session: nox.Session) -> None:
    """Real processes killed and stopped while they work: ten minutes; ``-- --minutes N --seed S``."""
    install(session, "test")
    session.run("python", "-m", "bench.chaos", *session.posargs)


@nox.session(default=False)
def soak(session: nox.Session) -> None:
    """Clusters that live and end a hundred times, and leave nothing: ten minutes; ``-- --cycles N``."""
    install(session, "test")
    session.run("python", "-m", "bench.soak", *session.posargs)


@nox.session(default=False)
def fuzz(session: nox.Session) -> None:
    """Fuzzing led by coverage, new failures into the corpus: ``-- --minutes N --target NAME``."""
    install(session, "fuzz")
    session.run("python", "-m", "tests.fuzzing.fuzz", *session.posargs)


@nox.session(default=False)
def docs(session: nox.Session) -> None:
    """The documentation, where a dangling reference is an error: two minutes at most."""
    install(session, "docs")
    session.run(*SPHINX)


@nox.session(default=False)
def pictures(session: nox.Session) -> None:
    """Pictures of each page of the dashboard for the documentation, by the tests: three minutes."""
    install(session, "test")
    walk = ("tests/dashboard/test_pages.py", "-k", "every_page")
    session.run("pytest", *walk, env={"TRIO_DASK_PICTURES": "docs/images"})


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """Figures beside dask.distributed: 20 minutes, ``-- --quick`` under two; see ``-- --help``."""
    session.install(".", DISTRIBUTED, *([RAY] if "--ray" in session.posargs else []))
    session.run("python", "-m", "bench", *session.posargs)


@nox.session(default=False)
def coverage(session: nox.Session) -> None:
    """How much of the package the tests run, branches included."""
    install(session, "test")
    session.install("coverage[toml]")
    session.run("coverage", "run", "-m", "pytest", "-m", "not nightly", *session.posargs)
    session.run("coverage", "report", "--show-missing")


@nox.session(default=False)
def minimums(session: nox.Session) -> None:
    """The tests with the oldest versions that `pyproject.toml` admits."""
    oldest = [line.replace(">=", "==") for line in PROJECT["project"]["dependencies"]]
    session.install(".", *oldest, *nox.project.dependency_groups(PROJECT, "test"))
    session.run("pytest", "-m", "not simulation and not nightly", *session.posargs)


@nox.session(default=False)
def build(session: nox.Session) -> None:
    """Wheel and sdist; the wheel is installed and used."""
    shutil.rmtree("dist", ignore_errors=True)
    session.install("build")
    session.run("python", "-m", "build")
    session.install("--force-reinstall", *map(str, Path("dist").glob("*.whl")))
    session.cd(session.create_tmp())
    session.run("trio-dask", "--version")
    session.run("trio-dask", "demo")
