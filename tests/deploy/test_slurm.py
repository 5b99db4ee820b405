"""Slurm itself, where it is installed: its daemons on this host, as this user, for one test."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import pytest

from trio_dask import Client
from trio_dask.deploy import SLURMCluster

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SBIN = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
NEEDED = ("munged", "mungekey", "slurmctld", "slurmd", "sbatch", "squeue", "scancel", "sinfo")
MISSING = [name for name in NEEDED if shutil.which(name, path=SBIN) is None]
pytestmark = [
    pytest.mark.network,
    pytest.mark.processes,
    pytest.mark.skipif(bool(MISSING), reason=f"without {', '.join(MISSING)} there is no Slurm"),
    pytest.mark.skipif(os.geteuid() != 0, reason="slurmd starts jobs as root only"),
]

CONFIG = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmdPort={other}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={place}/munge.socket
CredType=cred/munge
StateSaveLocation={place}/state
SlurmdSpoolDir={place}/spool
SlurmctldPidFile={place}/slurmctld.pid
SlurmdPidFile={place}/slurmd.pid
SlurmctldLogFile={place}/slurmctld.log
SlurmdLogFile={place}/slurmd.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
KillWait=2
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_interval=1,batch_sched_delay=0
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} State=UNKNOWN
PartitionName=all Nodes={host} Default=YES MaxTime=INFINITE State=UP OverSubscribe=FORCE:4
"""


def free_port() -> int:
    """Nobody's, for now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@contextmanager
def running(*words: str) -> Iterator[subprocess.Popen[bytes]]:
    """A daemon in the foreground, quiet, as long as the block lasts."""
    with subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A cluster of one node; its directory."""
    place = tmp_path / "slurm"
    for folder in (place, place / "state", place / "spool"):
        folder.mkdir(mode=0o755)
    host = socket.gethostname().partition(".")[0]
    (place / "slurm.conf").write_text(
        CONFIG.format(
            host=host,
            port=free_port(),
            other=free_port(),
            user=getpass.getuser(),
            place=place,
            cpus=max(4, os.cpu_count() or 1),
        )
    )
    monkeypatch.setenv("PATH", SBIN)
    monkeypatch.setenv("SLURM_CONF", str(place / "slurm.conf"))
    key = place / "munge.key"
    subprocess.run(["mungekey", "--create", f"--keyfile={key}"], check=True)
    key.chmod(0o600)
    with ExitStack() as stack:
        munge = [
            f"--{name}={place}/munge.{name.split('-')[0]}"
            for name in ("socket", "pid-file", "log-file", "seed-file")
        ]
        for words in (
            ["munged", "--foreground", "--force", f"--key-file={key}", *munge],
            ["slurmctld", "-D"],
        ):
            stack.enter_context(running(*words))
        daemon = stack.enter_context(running("slurmd", "-D", "-N", host))
        said = ""
        for _ in range(600):
            asked = ["sinfo", "--noheader", "--format=%T"]
            done = subprocess.run(asked, capture_output=True, text=True, check=False, timeout=30)
            said = done.stdout.strip() or done.stderr
            if said == "idle" or daemon.poll() is not None:
                break
        if said != "idle":
            pytest.skip(f"Slurm does not start here: {said}")
        yield place


def test_a_cluster_of_real_jobs(slurm: Path, tmp_path: Path) -> None:
    """They begin, work, are listed, and are gone at the end."""
    with SLURMCluster(
        1, cores=1, walltime="00:10:00", log_directory=str(tmp_path), listing_interval="200ms",
        shared_directory=tmp_path / "shared", scheduler_options={"host": "127.0.0.1", "dashboard": False},
    ) as cluster, Client(cluster) as client:  # fmt: skip
        cluster.wait_for_workers(1, timeout=60)
        job = client.submit(os.getenv, "SLURM_JOB_ID").result(timeout=30)
        listed = subprocess.run(
            ["squeue", "-h", "-o", "%i %j"], capture_output=True, text=True, check=True
        )
        assert listed.stdout.split() == [job, "dask-slurm"]
        cluster.scale(2)
        cluster.wait_for_workers(2, timeout=60)
        assert len(set(client.run(os.getenv, "SLURM_JOB_ID").values())) == 2
    left = subprocess.run(
        ["squeue", "-h", "-o", "%i %T"], capture_output=True, text=True, check=True
    )
    assert "RUNNING" not in left.stdout
    assert "PENDING" not in left.stdout


def test_a_job_with_a_cluster_of_its_own(slurm: Path, tmp_path: Path) -> None:
    """As the command prints it: srun starts the processes, one of which runs the script."""
    script = tmp_path / "script.py"
    script.write_text(
        "from trio_dask import Client\n"
        "with Client() as client:\n"
        "    client.wait_for_workers(1, timeout=60)\n"
        "    print('the sum is', client.submit(sum, range(10)).result(timeout=60))\n"
    )
    words = [
        "slurm", "--cores=3", "--processes=3", "--walltime=00:05:00", "--name=whole",
        f"--log-directory={tmp_path}", "--interface=lo",
    ]  # fmt: skip
    printed = subprocess.run(
        [sys.executable, "-m", "trio_dask", "job-script", *words, str(script)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    subprocess.run(["sbatch", "--wait"], input=printed.stdout, text=True, check=True, timeout=120)
    [log] = tmp_path.glob("whole-*.log")
    assert "the sum is 45" in log.read_text()
