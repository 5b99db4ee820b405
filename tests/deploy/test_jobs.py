"""Clusters of jobs: what is decided, what is said, and how it goes with a batch system of ours."""

from __future__ import annotations

import os
import signal
import stat
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
import trio

from tests.deploy import fake_batch
from trio_dask import Client, Future
from trio_dask.deploy import AsyncSLURMCluster, LSFCluster, SLURMCluster
from trio_dask.deploy.job_books import Cancel, GiveUp, JobBooks, Retire, Submit
from trio_dask.deploy.job_plan import JobPlan, plan_jobs
from trio_dask.deploy.job_systems import LSF, PBS, SGE, SLURM, JobSystem
from trio_dask.errors import ConfigError, SchedulerUnreachable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


# ------------------------------------------------------------------------ what is decided


def books(wanted: int, per_job: int = 1) -> JobBooks:
    """Books with as many jobs as there shall be, with numbers of the system from 100 on."""
    made = JobBooks("w", per_job)
    for wish in made.look(wanted, set(), None):
        assert isinstance(wish, Submit)
        made.submitted(wish.number, str(100 + wish.number))
    return made


def test_as_many_jobs_as_are_needed() -> None:
    """A job may have several workers; one that waits is one that there is."""
    made = JobBooks("w", 2)
    assert made.look(3, set(), None) == [Submit(0), Submit(1)]
    assert made.look(3, set(), set()) == []
    assert made.jobs[1].names == ("w-1-0", "w-1-1")


def test_what_waits_is_cancelled_before_what_works_is_retired() -> None:
    """The youngest first."""
    made = books(4)
    here = {"w-0", "w-1", "w-3"}
    assert made.look(4, here, None) == []
    assert made.look(2, here, None) == [Retire(("w-3",), ("103",)), Cancel(("102",))]
    assert made.look(2, here, None) == []
    assert made.look(3, here, None) == [Submit(4)]
    assert made.submitted(4, "104") == []


def test_one_that_is_not_wanted_any_more_when_it_is_taken() -> None:
    """Is cancelled at once."""
    made = JobBooks("w")
    assert made.look(1, set(), None) == [Submit(0)]
    assert made.look(0, set(), None) == []
    assert made.submitted(0, "100") == [Cancel(("100",))]


def test_a_job_that_has_ended_is_made_up_for() -> None:
    """When the system says so a few times, or its worker does not come back."""
    made = books(2)
    here = {"w-0", "w-1"}
    assert made.look(2, here, {"100", "101"}) == []
    looks = [made.look(2, {"w-0"}, {"100"}) for _ in range(4)]
    assert looks == [[], [], [Submit(2)], []]
    made.submitted(2, "102")
    looks = [made.look(2, {"w-2"}, None) for _ in range(11)]
    assert looks[:-2] == [[]] * 9
    assert [Submit(3)] in looks


def test_workers_that_have_left_by_themselves_are_not_made_up_for_by_others() -> None:
    """As when the scheduler has chosen who is to go: of those that are here nobody must."""
    made = books(3)
    assert made.look(3, {"w-0", "w-1", "w-2"}, None) == []
    assert made.look(2, {"w-0", "w-2"}, None) == []


def test_who_has_been_let_go_of_is_not_counted_though_still_seen() -> None:
    """What was here a moment ago may be what is known now."""
    made = books(3)
    here = {"w-0", "w-1", "w-2"}
    assert made.look(3, here, None) == []
    made.gone({"w-0", "x-1"})
    assert made.look(2, here, None) == []
    assert made.look(3, here, None) == [Submit(3)]
    pairs = JobBooks("w", 2)
    both = {"w-0-0", "w-0-1", "w-1-0", "w-1-1"}
    assert pairs.look(4, set(), None) == [Submit(0), Submit(1)]
    pairs.submitted(0, "100"), pairs.submitted(1, "101")
    assert pairs.look(4, both, None) == []
    pairs.gone({"w-0-0"})  # the other one stays, and so does the job
    assert pairs.look(3, both, None) == []
    pairs.gone({"w-0-1"})
    assert pairs.look(2, both, None) == []


def test_jobs_that_come_to_nothing() -> None:
    """So many in a row are enough; one with a worker is a fresh start."""
    made = JobBooks("w")
    for number in range(4):
        assert made.look(1, set(), None) == [Submit(number)]
        made.refused(number)
    assert made.look(1, set(), None) == [Submit(4)]
    made.submitted(4, "104")
    assert made.look(1, {"w-4"}, None) == []
    said = []
    for look in range(100):
        for wish in made.look(1, set(), set()):
            said.append(wish)
            if isinstance(wish, Submit):
                made.submitted(wish.number, f"2{look}")
        if said and isinstance(said[-1], GiveUp):
            break
    submits = [Submit(number) for number in range(5, 10)]
    assert said == [*submits, GiveUp("5 jobs in a row have ended without a worker")]


# ------------------------------------------------------------------------ what is said

OPTIONS: dict[str, Any] = {
    "cores": 8, "memory": "4GiB", "processes": 2, "queue": "fast", "account": "us",
    "walltime": "1:00", "job_extra_directives": ["-x y"], "job_script_prologue": ["module load z"],
    "name": "mine", "python": "python3", "log_directory": "/logs", "worker_options": {"nanny": True},
}  # fmt: skip


@pytest.mark.parametrize(
    ("system", "lines"),
    [
        (SLURM, [
            "#SBATCH --job-name=mine", "#SBATCH --ntasks=1", "#SBATCH --cpus-per-task=8",
            "#SBATCH --mem=4096M", "#SBATCH --partition=fast", "#SBATCH --account=us",
            "#SBATCH --time=1:00", "#SBATCH --output=/logs/mine-%j.log", "#SBATCH -x y",
        ]),
        (PBS, [
            "#PBS -N mine", "#PBS -q fast", "#PBS -A us", "#PBS -l select=1:ncpus=8:mem=4096mb",
            "#PBS -l walltime=1:00", "#PBS -j oe", "#PBS -o /logs", "#PBS -x y",
        ]),
        (SGE, [
            "#$ -N mine", "#$ -q fast", "#$ -P us", "#$ -l h_rt=1:00", "#$ -j y", "#$ -o /logs",
            "#$ -x y",
        ]),
        (LSF, [
            "#BSUB -J mine", "#BSUB -q fast", "#BSUB -P us", "#BSUB -n 8",
            '#BSUB -R "span[hosts=1]"', "#BSUB -M 4096MB", "#BSUB -W 1:00",
            "#BSUB -o /logs/mine-%J.log", "#BSUB -x y",
        ]),
    ],
    ids=lambda each: each.name if isinstance(each, JobSystem) else "",
)  # fmt: skip
def test_scripts(system: JobSystem, lines: list[str], tmp_path: Path) -> None:
    """What the system is told, what the user wants first, and a worker in the script's place."""
    plan = plan_jobs(system, shared_directory=tmp_path, **OPTIONS)
    text = plan.job_script(3).splitlines()
    assert text[:-1] == ["#!/bin/sh", *lines, "module load z"]
    assert text[-1] == (
        f"exec python3 -P -m trio_dask worker --scheduler-file={plan.scheduler_file} "
        "--name=mine-3 --nworkers=2 --nthreads=4 --death-timeout=60s --memory-limit=2147483648 "
        "--nanny"
    )
    assert plan.token not in "".join(text)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"cores": 0}, "cores=0"),
        ({"cores": 1, "processes": 2}, "at least one core"),
        ({"n_workers": -1}, "n_workers=-1"),
        ({"queue": "a\n#SBATCH -x"}, "more than one line"),
        ({"name": "a b"}, "letters, digits"),
        ({"memory": "much"}, "much"),
    ],
)
def test_what_makes_no_sense(options: dict[str, Any], says: str) -> None:
    """Is said before anything starts."""
    with pytest.raises(ConfigError, match=says):
        plan_jobs(SLURM, **{"cores": 1, **options})


# ------------------------------------------------------------------------ how it goes


@pytest.fixture
def batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A batch system; the directory in which it keeps its jobs."""
    monkeypatch.setattr("trio_dask.deploy.jobs.LOOK_S", 0.05)
    jobs, commands = tmp_path / "jobs", tmp_path / "bin"
    jobs.mkdir()
    commands.mkdir()
    for name in (*fake_batch.SAID, "scancel", "qdel", "bkill", "squeue", "qstat", "bjobs"):
        path = commands / name
        path.write_text(
            f'#!/bin/sh\nexec {sys.executable} {fake_batch.__file__} {jobs} {name} "$@"\n'
        )
        path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{commands}{os.pathsep}{os.environ['PATH']}")
    yield jobs
    left = fake_batch.jobs(jobs)
    for pid in left.values():
        with suppress(OSError, ValueError):
            os.killpg(int(pid), signal.SIGKILL)
    assert left == {}


def quick(tmp_path: Path, **options: Any) -> dict[str, Any]:
    """Arguments of clusters in tests."""
    return {
        "cores": 1, "shared_directory": tmp_path / "shared", "listing_interval": "50ms",
        "scheduler_options": {"host": "127.0.0.1", "dashboard": False}, **options,
    }  # fmt: skip


def workers_are(cluster: SLURMCluster, *names: str) -> None:
    """Wait until these are the workers."""

    async def wait() -> None:
        with trio.fail_after(60):
            while list(cluster.workers) != list(names):
                await cluster._live_handle.next_change()

    cluster._engine.call(wait)


@pytest.mark.processes
@pytest.mark.network
def test_a_cluster_of_jobs(batch: Path, tmp_path: Path) -> None:
    """It grows, works, makes up for a job that dies, and shrinks; nothing of it stays."""
    with SLURMCluster(1, **quick(tmp_path)) as cluster, Client(cluster) as client:
        cluster.wait_for_workers(1, timeout=30)
        assert client.submit(pow, 2, 10).result(timeout=30) == 1024
        [path] = (tmp_path / "shared").glob("*/scheduler.json")
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        cluster.scale(jobs=2)
        cluster.wait_for_workers(2, timeout=30)
        assert list(cluster.workers) == ["dask-slurm-0", "dask-slurm-1"]
        first, _ = fake_batch.jobs(batch).values()
        os.killpg(int(first), signal.SIGKILL)
        workers_are(cluster, "dask-slurm-1", "dask-slurm-2")
        cluster.scale(1)
        workers_are(cluster, "dask-slurm-1")
        (batch / "held").touch()
        cluster.scale(3)
        while "4.job" not in os.listdir(batch):
            client.scheduler_info()
        with pytest.raises(ConfigError, match="one of n, jobs"):
            cluster.scale(1, cores=1)
        with pytest.raises(ConfigError, match="how much memory"):
            cluster.scale(memory="1GiB")
    assert list((tmp_path / "shared").iterdir()) == []
    calls = (batch / "calls").read_text()
    assert "sbatch --parsable" in calls
    assert "scancel" in calls


@pytest.mark.processes
@pytest.mark.network
def test_another_system(batch: Path, tmp_path: Path) -> None:
    """It is the same with other words; a job may have several workers."""
    options = quick(tmp_path, cores=2, processes=2, memory="1GiB")
    with LSFCluster(**options) as cluster, Client(cluster) as client:
        cluster.scale(memory="1GiB")
        cluster.wait_for_workers(2, timeout=30)
        assert sorted(client.map(abs, [-1, -2])[0].client.nthreads().values()) == [1, 1]
    assert "bkill" in (batch / "calls").read_text()


@pytest.mark.processes
@pytest.mark.network
def test_whole_jobs_come_and_go(batch: Path, tmp_path: Path) -> None:
    """Also as many as the work needs: none is left with some of its workers."""
    options = quick(tmp_path, cores=4, processes=2, worker_options={"nthreads": 1})
    with SLURMCluster(3, **options) as cluster, Client(cluster) as client:
        cluster.wait_for_workers(timeout=60)
        assert cluster.n_workers == 4
        assert set(client.nthreads().values()) == {1}
        for pid in client.run(os.getpid).values():
            assert pid != os.getpid()
        kept: Future[bytes] = client.submit(bytes, 1_000_000, workers="dask-slurm-1-1")
        assert len(kept.result()) == 1_000_000
        with pytest.raises(ConfigError, match=r"from 0 to 0 \(.*; 2 come together\)"):
            cluster.adapt(maximum_cores=1)
        cluster.adapt(maximum_cores=5, interval="20ms", minimum=1)
        workers_are(cluster, "dask-slurm-1-0", "dask-slurm-1-1")  # the other one had less to lose
        assert len(kept.result()) == 1_000_000


@pytest.mark.processes
@pytest.mark.network
def test_a_job_goes_also_if_nobody_takes_its_values(batch: Path, tmp_path: Path) -> None:
    """When there shall be none, there is none."""
    with SLURMCluster(1, **quick(tmp_path)) as cluster, Client(cluster) as client:
        cluster.wait_for_workers(1, timeout=30)
        held: Future[bytes] = client.submit(bytes, 1_000_000)
        assert len(held.result()) == 1_000_000
        cluster.scale(0)
        workers_are(cluster)
        assert "scancel" in (batch / "calls").read_text()


@pytest.mark.processes
@pytest.mark.network
async def test_jobs_that_end_at_once(batch: Path, tmp_path: Path) -> None:
    """Are not submitted for ever."""
    options = quick(tmp_path, job_script_prologue=["exit 3"])
    async with AsyncSLURMCluster(**options) as cluster:
        await cluster.scale(1)
        with pytest.raises(SchedulerUnreachable, match="5 jobs in a row have ended"):
            await cluster.wait_for_workers(1)


def test_without_a_batch_system(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It says which command is not there."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="there is no sbatch on this machine"):
        SLURMCluster(cores=1, shared_directory=tmp_path)


def test_plans_are_settled(tmp_path: Path) -> None:
    """Each cluster has a directory of its own."""
    one, other = (plan_jobs(SLURM, cores=4, shared_directory=tmp_path) for _ in range(2))
    assert isinstance(one, JobPlan)
    assert one.directory != other.directory
