"""Rounds in which the systems take turns, so that a machine whose speed drifts is alike for all."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections import defaultdict
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any, Final, Protocol

from bench.arithmetic import Figures, medians
from bench.servers import ROOT, user_environ

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bench.cases import Case
    from bench.systems import System

#: How long a case may take, and a quick one.
_CASE_S: Final = 900.0
_QUICK_CASE_S: Final = 180.0
_LEAVE_S: Final = 30.0


class Progress(Protocol):
    """Who is told how far it is."""

    def begun(self, what: str) -> None:
        """This is measured now."""

    def done(self, what: str) -> None:
        """This has been measured; one of all."""


@dataclass(slots=True)
class Measured:
    """What has come out so far: of each system, of each case, the figures of each round."""

    rounds: dict[str, dict[str, list[Figures]]] = field(default_factory=dict)
    #: How fast the machine was at the begin of each turn: see `machine.speeds`.
    speeds: dict[str, dict[str, list[float]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list))
    )
    errors: list[dict[str, str]] = field(default_factory=list)

    def medians(self) -> dict[str, dict[str, Figures]]:
        """Of all rounds."""
        return {
            system: {case: medians(rounds) for case, rounds in cases.items()}
            for system, cases in self.rounds.items()
        }


@dataclass(slots=True)
class Rounds:
    """Which systems are measured by which cases."""

    systems: Sequence[System]
    cases: Sequence[Case]
    count: int
    quick: bool
    measured: Measured = field(default_factory=Measured)

    def turns(self) -> Iterator[tuple[str, System, list[str]]]:
        """Whose turn it is, one after the other; each round begins with another system."""
        for number in range(self.count):
            at = number % len(self.systems)
            for system in (*self.systems[at:], *self.systems[:at]):
                names = [
                    case.name
                    for case in self.cases
                    if case.suits(system) and not (number and case.once)
                ]
                if names:
                    yield f"round {number + 1} of {self.count}, {system.name}", system, names

    def steps(self) -> int:
        """How many measurements that makes."""
        return sum(len(names) for _, _, names in self.turns())

    def run(self, progress: Progress) -> Measured:
        """Measure everything."""
        for title, system, names in self.turns():
            self._take(title, system, names, progress)
        return self.measured

    def _take(self, title: str, system: System, names: list[str], progress: Progress) -> None:
        """Measure these; after one that does not come to its end the others go on in a new process."""
        missing = list(names)
        while missing:
            with _child(system.name, missing, quick=self.quick) as said:
                for line in said:
                    told: dict[str, Any] = json.loads(line)
                    for name, speed in told.get("speeds", {}).items():
                        self.measured.speeds[name][system.name].append(speed)
                    if "begun" in told:
                        progress.begun(f"{title}: {told['begun']}")
                    if "case" in told:
                        missing.remove(told["case"])
                        self._note(system.name, told)
                        progress.done(f"{title}: {told['case']}{_headline(told)}")
            if missing:
                name = missing.pop(0)
                error = f"it died, or took longer than {_limit_s(quick=self.quick):g} s"
                self._note(system.name, {"case": name, "error": error})
                progress.done(f"{title}: {name}: not measured")

    def _note(self, system: str, told: dict[str, Any]) -> None:
        case = told["case"]
        if "error" in told:
            self.measured.errors.append({"system": system, **told})
        else:
            cases = self.measured.rounds.setdefault(system, {})
            cases.setdefault(case, []).append(told["figures"])


def _headline(told: dict[str, Any]) -> str:
    """A figure for the impatient."""
    if "error" in told:
        return ": failed"
    figures: Figures = told["figures"]
    name = "tasks/s" if "tasks/s" in figures else next(iter(figures))
    return f": {name} {figures[name]:,.4g}"


def _limit_s(*, quick: bool) -> float:
    return _QUICK_CASE_S if quick else _CASE_S


@contextmanager
def _child(system: str, names: list[str], *, quick: bool) -> Iterator[Iterator[bytes]]:
    """A process that measures, line by line. It, and what it has started, ends with the block."""
    command = [sys.executable, "-m", "bench.child", system, *names, *(["--quick"] if quick else [])]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, env=user_environ(), cwd=ROOT, start_new_session=True
    )
    limit_s = _limit_s(quick=quick)
    assert process.stdout is not None
    try:
        with process.stdout as stdout:
            yield _limited(stdout, process, limit_s)
    except BaseException:
        process.terminate()
        raise
    finally:
        _end(process)


def _limited(
    stdout: IO[bytes], process: subprocess.Popen[bytes], limit_s: float
) -> Iterator[bytes]:
    """Its lines; a process that says nothing for too long is ended."""
    while True:
        impatient = threading.Timer(limit_s, process.terminate)
        impatient.start()
        try:
            line = stdout.readline()
        finally:
            impatient.cancel()
        if not line:
            return
        yield line


def _end(process: subprocess.Popen[bytes]) -> None:
    """It leaves by itself; if not, or not in peace, its whole group goes."""
    with suppress(subprocess.TimeoutExpired):
        if process.wait(_LEAVE_S) == 0:
            return
    with suppress(OSError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
