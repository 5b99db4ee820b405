"""Fuzz for as long as one likes: ``python -m tests.fuzzing.fuzz --minutes 10 --target link``.

With atheris the inputs that reach new code are kept and built upon; where it cannot be
had, mutations of the corpus have to do. What a target chokes on is put into the corpus,
where the tests find it.
"""

# ruff: noqa: T201 - it tells people how far it is

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import random
import subprocess
import sys
import tempfile
import time
import traceback
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

CORPUS: Final = Path(__file__).parent / "corpus"
INPUT_BYTES_MAX: Final = 16_384
_REPORT_S: Final = 1.0


@dataclass
class Tally:
    """How far a run has come; written to a file, as libFuzzer ends the process its own way."""

    path: Path | None = None
    began: float = field(default_factory=time.monotonic)
    executions: int = 0
    failures: dict[str, str] = field(default_factory=dict)  # where → the input's file
    written: float = 0.0

    def count(self) -> None:
        """One more; now and then it is written down."""
        self.executions += 1
        now = time.monotonic()
        if self.path is not None and now - self.written > _REPORT_S:
            self.written = now
            self.write()

    def write(self) -> None:
        """For the parent process."""
        if self.path is not None:
            known = {**asdict(self), "path": None, "seconds": time.monotonic() - self.began}
            self.path.write_text(json.dumps(known))


def corpus(target: str) -> list[bytes]:
    """What is kept for a target, in the same order everywhere."""
    return [path.read_bytes() for path in sorted((CORPUS / target).glob("*"))]


def place_of(error: BaseException) -> str:
    """Where it was raised, which is what makes a failure a new one."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "trio_dask" in frame.filename] or frames
    spots = {f"{Path(each.filename).name}:{each.lineno}" for each in (ours[-1], frames[-1])}
    return f"{type(error).__name__} at {' '.join(sorted(spots))}"


def guarded(target: str, run: Callable[[bytes], None], tally: Tally) -> Callable[[bytes], None]:
    """The target, whose failures are put into the corpus instead of ending the run."""

    def once(data: bytes) -> None:
        try:
            run(data)
        except Exception as error:  # noqa: BLE001 - that it raises anything is the finding
            where = place_of(error)
            if where not in tally.failures:
                name = f"crash-{hashlib.sha256(data).hexdigest()[:12]}"
                path = CORPUS / target / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
                tally.failures[where] = str(path)
                tally.write()
                print(f"{target}: {where}: {error}\n  {path}", flush=True)
        tally.count()

    return once


def by_mutation(target: str, seconds: float, chance: random.Random, tally: Tally) -> None:
    """Mutations of the corpus, for so long."""
    from tests.fuzzing.mutating import mutated
    from tests.fuzzing.seeds import seeds
    from tests.fuzzing.targets import TARGETS

    known = [*seeds(target), *corpus(target)]
    once = guarded(target, TARGETS[target], tally)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        once(mutated(chance.choice(known), chance, known))
    tally.write()


def by_coverage(target: str, seconds: float, seed: int, tally: Tally, kept: Path) -> None:
    """The same, led by what code an input reaches. Does not return."""
    import atheris

    with atheris.instrument_imports(include=["trio_dask"]):
        from tests.fuzzing.targets import TARGETS
    from tests.fuzzing.mutating import mutated
    from tests.fuzzing.seeds import seeds

    known = [*seeds(target), *corpus(target)]
    for number, data in enumerate(seeds(target)):
        (kept / f"seed-{number}").write_bytes(data)

    def change(data: bytes, max_size: int, number: int) -> bytes:
        chance = random.Random(number)
        if chance.random() < 0.2:
            return bytes(atheris.Mutate(data, max_size))
        return mutated(data, chance, known)[:max_size]

    arguments = [
        sys.argv[0], str(kept), str(CORPUS / target), f"-max_total_time={int(seconds)}",
        f"-seed={seed}", f"-max_len={INPUT_BYTES_MAX}", "-verbosity=0", "-len_control=0",
        "-timeout=60",
    ]  # fmt: skip
    atheris.Setup(arguments, guarded(target, TARGETS[target], tally), custom_mutator=change)
    atheris.Fuzz()


def child(arguments: argparse.Namespace) -> None:
    """One target, in a process of its own."""
    tally = Tally(Path(arguments.tally))
    if importlib.util.find_spec("atheris") is None:
        chance = random.Random(arguments.seed)
        by_mutation(arguments.target, arguments.seconds, chance, tally)
    else:
        kept = Path(arguments.kept)
        by_coverage(arguments.target, arguments.seconds, arguments.seed, tally, kept)


def fuzz(target: str, seconds: float, seed: int, kept: Path) -> dict[str, Any]:
    """Run one target in a child process; what came of it."""
    kept.mkdir(parents=True, exist_ok=True)
    (CORPUS / target).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as directory:
        tally = Path(directory) / "tally"
        words = [
            sys.executable, "-m", "tests.fuzzing.fuzz", "--child", "--target", target,
            "--seconds", str(seconds), "--seed", str(seed), "--tally", str(tally),
            "--kept", str(kept),
        ]  # fmt: skip
        log = kept.parent / f"{target}.log"
        with log.open("wb") as stderr:
            ended = subprocess.run(words, stderr=stderr, check=False)
        if not tally.exists():
            msg = f"{target} ended with {ended.returncode} before it had begun; see {log}"
            raise RuntimeError(msg)
        out: dict[str, Any] = json.loads(tally.read_text())
        if ended.returncode:
            out["failures"]["the run itself"] = str(log)
            print(f"{target}: ended early with {ended.returncode}; see {log}")
        return out


def main() -> int:
    """All targets in turn, or one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0, help="for each target")
    parser.add_argument("--target", help="only this one")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1, 1 << 31))
    parser.add_argument("--kept", default="", help="where inputs that reach new code are kept")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, help=argparse.SUPPRESS)
    parser.add_argument("--tally", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments)  # imports the package under instruments: nobody may have before
        return 0
    from tests.fuzzing.targets import TARGETS

    if arguments.target and arguments.target not in TARGETS:
        parser.error(f"{arguments.target} is none of {', '.join(TARGETS)}")
    kept = Path(arguments.kept or Path(tempfile.gettempdir()) / "trio-dask-fuzz")
    how = "coverage" if importlib.util.find_spec("atheris") else "mutation alone"
    print(f"seed {arguments.seed}, by {how}; inputs are kept in {kept}")
    failed = 0
    for target in [arguments.target] if arguments.target else TARGETS:
        known = fuzz(target, arguments.minutes * 60, arguments.seed, kept / target)
        rate = known["executions"] / max(known["seconds"], 1e-9)
        found = len(known["failures"])
        failed += found
        print(f"{target:30} {known['executions']:9} runs, {rate:8.0f}/s, {found} failures")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
