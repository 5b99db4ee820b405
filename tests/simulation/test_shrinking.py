"""A failing seed is reduced to what it needs to fail, and replayed by one command."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

import pytest

from tests.simulation.mutations import MUTATIONS, first_failing
from trio_dask.testing import Simulation
from trio_dask.testing.simulation.__main__ import main
from trio_dask.testing.simulation.plan import Plan
from trio_dask.testing.simulation.shrinking import Parts, shrink, symptom
from trio_dask.testing.simulation.simulation import play

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.simulation


@pytest.mark.parametrize("mutation", ["ignore_resources", "forget_what_was_queued"])
def test_what_is_left_fails_in_the_same_way(mutation: str) -> None:
    """Only parts without which it would not are left."""
    with MUTATIONS[mutation]():
        seed = first_failing()
        assert seed is not None
        plan = Simulation(seed=seed).plan()
        whole = symptom(play(plan))
        parts = shrink(plan)
        assert symptom(play(parts.applied_to(plan))) == whole != ""
    assert len(parts.parts) < len(Parts.of(plan).parts) / 2
    assert play(parts.applied_to(plan)).ok, "it is the broken rule that fails"


def test_parts_are_text() -> None:
    """In a short form, and all of them are the whole plan."""
    plan = Simulation(seed=5, workers=3).plan()
    every = Parts.of(plan)
    assert Parts.parse(str(every)) == every
    assert every.applied_to(plan) == plan
    assert str(Parts((("w", 0, 1), ("w", 0, 2), ("c", 1, 4), ("t", 0, 9)))) == "w:1-2 c1:4 t:9"
    with pytest.raises(ValueError, match="does not say which parts"):
        Parts.parse("nonsense")


NUMBER = re.compile(r"[0-9a-f]{12,}")


def test_the_printed_command_replays_it(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """From the first look at a failing range to the smallest plan in a file."""
    with MUTATIONS["ignore_resources"]():
        seed, file = first_failing(), tmp_path / "plan.json"
        assert main(["--seeds", f"{seed}:", "--shrink", "--out", str(file)]) == 1
        said = capsys.readouterr().out
        command = shlex.split(said.splitlines()[-1])
        assert command[:3] == ["python", "-m", "trio_dask.testing.simulation"]
        assert main(command[3:]) == 1
        # Of fewer tasks the same one has another number.
        (violated,) = re.findall("violated: .*", NUMBER.sub("…", capsys.readouterr().out))
        assert violated in NUMBER.sub("…", said)
        assert main(["--replay", str(file)]) == 1
    assert main(["--replay", str(file)]) == 0
    assert Plan.from_json(file.read_text(encoding="utf-8")).seed == seed


def test_a_quick_look(capsys: pytest.CaptureFixture[str]) -> None:
    """So many seeds, or for so long, and what they came to."""
    assert main(["--seeds", "3", "--workload", "tree", "--no-faults"]) == 0
    assert "3 seeds in" in capsys.readouterr().out
    assert main(["--minutes", "0.001", "--workers", "1", "--clients", "1"]) == 0
    assert "not exercised: attempt" in capsys.readouterr().out
