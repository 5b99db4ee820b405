"""How Dask's own tests are run: in which parts, and what is said of those that fail."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.collections.dask_suite_run import GRAPHS, LONG, Outcome, Runner, parts, read

REQUIREMENTS = Path(__file__).parent / "dask_suite.txt"


class Played(Runner):
    """Nothing is run: who fails at what is said beforehand."""

    def __init__(self, fails: dict[str, set[str]], out: Path) -> None:
        super().__init__(out, out, 1)
        self.fails = fails
        self.asked: dict[str, list[str]] = {}

    def run(self, who: str, part: str, names: list[str], again: str = "") -> Outcome:
        """What was said of these."""
        del part, again
        self.asked[who] = names
        return Outcome(failed=[name for name in names if name in self.fails[who]])


def test_a_module_of_minutes_is_a_part_and_what_is_beside_it_another(tmp_path: Path) -> None:
    """So that nothing runs for long, and starting a cluster costs little."""
    for name in (
        "tests/test_groupby.py",
        "tests/test_a.py",
        "tests/test_b.py",
        "io/tests/test_c.py",
    ):
        path = tmp_path / "dataframe" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert parts(tmp_path, ["dataframe"]) == [
        ("dataframe/io/tests", ["dataframe/io/tests/test_c.py"]),
        ("dataframe/tests", ["dataframe/tests/test_a.py", "dataframe/tests/test_b.py"]),
        ("dataframe/tests/test_groupby.py", ["dataframe/tests/test_groupby.py"]),
    ]
    assert parts(tmp_path, ["dataframe/tests/test_a.py"]) == [
        ("dataframe/tests", ["dataframe/tests/test_a.py"])
    ]


def test_a_room_without_tests_is_named(tmp_path: Path) -> None:
    """A wrong name would otherwise be a suite in which nothing fails."""
    with pytest.raises(SystemExit, match=r"no test below .*/nothing"):
        parts(tmp_path, ["nothing"])


def test_what_is_run_is_there() -> None:
    """Modules that the next Dask has renamed would silently be left out."""
    import dask

    if f"dask=={dask.__version__}\n" not in REQUIREMENTS.read_text(encoding="utf-8"):
        pytest.skip("the suite is run with another version of Dask")
    root = Path(dask.__path__[0])
    graphs = [f"tests/test_{each}.py" for each in GRAPHS]
    assert [name for name in (*LONG, *graphs) if not (root / name).is_file()] == []


def test_a_failure_is_asked_of_others_in_turn(tmp_path: Path) -> None:
    """Only what we fail at twice, and the others do not, is ours."""
    fails = {
        "client": {"everywhere", "pickled", "ours"},
        "threads": {"everywhere"},
        "distributed": {"pickled"},
    }
    player = Played(fails, tmp_path)
    kinds = player.why("a", ["everywhere", "once", "ours", "pickled"])
    assert kinds == {
        "everywhere": "with Dask's threads, too",
        "once": "not again",
        "ours": "ours alone",
        "pickled": "with dask.distributed, too",
    }
    assert player.asked["threads"] == ["everywhere", "ours", "pickled"]
    assert player.asked["distributed"] == ["ours", "pickled"]
    assert player.why("a", []) == {}


class Broken(Runner):
    """Pytest ends by itself in the middle, so many times."""

    def __init__(self, out: Path, times: int) -> None:
        super().__init__(out, out, 1)
        self.times = times

    def _pytest(self, who: str, stem: str) -> int:
        del who
        self.times -= 1
        (self.out / f"{stem}.failed").write_text("", encoding="utf-8")
        (self.out / f"{stem}.xml").write_text("<testsuites/>", encoding="utf-8")
        return 3 if self.times >= 0 else 0


def test_half_a_part_is_no_result(tmp_path: Path) -> None:
    """Pytest that breaks writes down what it has got: as if the rest were not there."""
    with pytest.raises(SystemExit, match="did not come to its end"):
        Broken(tmp_path, 2).run("client", "a", ["a"])
    assert not (tmp_path / "a.client.failed").exists()
    once = Broken(tmp_path, 1)
    once.run("client", "a", ["a"])
    assert once.times == -1
    once.run("client", "a", ["a"])
    assert once.times == -1, "what is there is not run again"
    once.run("client", "a", ["a", "b"])
    assert once.times == -2, "something else was asked for"


def test_outcomes_are_read_as_pytest_writes_them(tmp_path: Path) -> None:
    """Expected failures are no skipped tests, and a test that breaks in its set-up has failed."""
    report, failed = tmp_path / "a.xml", tmp_path / "a.failed"
    report.write_text(
        "<testsuites><testsuite>"
        '<testcase name="a"/><testcase name="b"><failure message="no"/></testcase>'
        '<testcase name="c"><error message="no"/></testcase>'
        '<testcase name="d"><skipped type="pytest.skip"/></testcase>'
        '<testcase name="e"><skipped type="pytest.xfail"/></testcase>'
        "</testsuite></testsuites>",
        encoding="utf-8",
    )
    failed.write_text("b\nc\n", encoding="utf-8")
    outcome = read(report, failed)
    assert outcome.failed == ["b", "c"]
    assert outcome.counts == {"passed": 1, "failed": 2, "skipped": 1, "expected to fail": 1}
