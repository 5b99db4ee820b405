"""``trio-dask mpi``: which process is which, how they find one another, and a launch as a whole."""

from __future__ import annotations

import json
import os
import shutil
import socket
import stat
import subprocess
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from trio_dask.cli import main
from trio_dask.cli.launch import Place, place_in
from trio_dask.cli.mpi import check_size, launch_asked, meeting_file
from trio_dask.comm import Security
from trio_dask.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

OPEN_MPI = {
    "OMPI_COMM_WORLD_RANK": "3", "OMPI_COMM_WORLD_SIZE": "8", "OMPI_COMM_WORLD_LOCAL_SIZE": "4",
    "PMIX_RANK": "3", "PMIX_NAMESPACE": "677904385",
}  # fmt: skip
HYDRA = {"PMI_RANK": "1", "PMI_SIZE": "5", "PMI_FD": "8", "MPI_LOCALNRANKS": "2"}
JOB = {"SLURM_JOB_ID": "17", "SLURM_PROCID": "0", "SLURM_NTASKS": "6"}
SRUN = JOB | {
    "SLURM_STEP_ID": "2", "SLURM_PROCID": "5", "SLURM_STEP_NUM_TASKS": "6", "SLURM_NODEID": "1",
    "SLURM_STEP_TASKS_PER_NODE": "4,2",
}  # fmt: skip


@pytest.mark.parametrize(
    ("environ", "asked", "place"),
    [
        ({}, "", None),
        ({"PATH": "/bin", "PMI_SIZE": "2"}, "", None),
        (OPEN_MPI, "", Place(3, 8, 4, "677904385")),
        (OPEN_MPI | JOB, "", Place(3, 8, 4, "677904385")),
        (HYDRA, "kvs_1", Place(1, 5, 2, "kvs_1")),
        (HYDRA, "", Place(1, 5, 2, "")),
        (HYDRA | JOB, "", Place(1, 5, 2, "17")),
        (HYDRA | JOB, "kvs_1", Place(1, 5, 2, "kvs_1")),
        (HYDRA | {"PBS_JOBID": "9.server"}, "", Place(1, 5, 2, "9.server")),
        ({"PMI_RANK": "0", "PMI_SIZE": "2"}, "", Place(0, 2, 1, "")),
        (JOB, "", None),  # a job's script, and nothing that srun has started
        (SRUN, "", Place(5, 6, 2, "17.2")),
        (SRUN | {"PMI_RANK": "5", "PMI_SIZE": "6"}, "", Place(5, 6, 1, "17.2")),
        ({"SLURM_STEP_ID": "0", "SLURM_PROCID": "0", "SLURM_JOB_ID": "1"}, "", Place(0, 1, 1, "1.0")),
    ],
)  # fmt: skip
def test_places(environ: dict[str, str], asked: str, place: Place | None) -> None:
    """What launchers tell, alone and in jobs of a batch system."""
    assert place_in(environ, asked) == place


@pytest.mark.parametrize(
    ("environ", "says"),
    [
        ({"PMI_RANK": "x", "PMI_SIZE": "2"}, "PMI_RANK='x' in the environment"),
        ({"PMI_RANK": "-1", "PMI_SIZE": "2"}, "no number of a process"),
        ({"PMI_RANK": "0", "PMI_SIZE": "²"}, "PMI_SIZE='²'"),
        ({"PMI_RANK": "2", "PMI_SIZE": "2"}, "contradicts itself"),
        ({"OMPI_COMM_WORLD_RANK": "1"}, "contradicts itself"),
        ({"PMI_RANK": "1" * 5000, "PMI_SIZE": "2"}, "no number"),
    ],
)
def test_what_no_launcher_tells(environ: dict[str, str], says: str) -> None:
    """Is said, with the variable."""
    with pytest.raises(ConfigError, match=says):
        place_in(environ)


@pytest.mark.parametrize(
    ("place", "script", "says"),
    [
        (None, False, "no launcher has started this"),
        (Place(0, 1), False, "scheduler and worker take at least 2 processes, not 1"),
        (Place(0, 2), True, "scheduler, script and worker take at least 3 processes, not 2"),
    ],
)
def test_too_few(place: Place | None, *, script: bool, says: str) -> None:
    """One line says how many it takes."""
    with pytest.raises(ConfigError, match=says):
        check_size(place, script=script)


def test_where_they_meet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a file of this launch alone; what is left of another one is not looked at."""
    monkeypatch.setattr("trio_dask.cli.mpi.config_directory", lambda: tmp_path / "config")
    place, given = Place(0, 2, launch="kvs_1"), tmp_path / "cluster.json"
    path = meeting_file(place, None, given)
    assert path.parent == tmp_path / "config" / "clusters"
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert path == meeting_file(Place(1, 2, launch="kvs_1"), None, None)
    assert path != meeting_file(Place(1, 2, launch="kvs_2"), None, None)
    assert meeting_file(place, tmp_path, None) == tmp_path / path.name
    assert meeting_file(Place(0, 2), None, given) == given
    with pytest.raises(ConfigError, match="give --scheduler-file"):
        meeting_file(Place(0, 2), None, None)
    with pytest.raises(ConfigError, match="there is no directory"):
        meeting_file(place, tmp_path / "gone", None)


@pytest.mark.parametrize(
    ("answer", "name"),
    [
        (b"cmd=my_kvsname kvsname=kvs_7_0_1_host\n", "kvs_7_0_1_host"),
        (b"cmd=unknown\n", ""),
        (b"", ""),
    ],
)
def test_hydra_is_asked(answer: bytes, name: str) -> None:
    """And told that there will be nothing more, or it would take the end for a crash."""
    ours, theirs = socket.socketpair()
    heard = bytearray()

    def answering() -> None:
        with theirs, theirs.makefile("rb") as lines:
            for line in lines:
                heard.extend(line)
                theirs.sendall(answer if b"kvsname" in line else b"cmd=finalize_ack\n")
                if not answer:
                    return

    launcher = threading.Thread(target=answering)
    launcher.start()
    with ours:
        assert launch_asked({"PMI_FD": str(ours.fileno())}) == name
    launcher.join()
    assert heard.startswith(b"cmd=get_my_kvsname\n")
    assert bool(answer) == heard.endswith(b"cmd=finalize\n")
    assert launch_asked({"PMI_FD": "x"}) == launch_asked({"PMI_FD": "99999"}) == ""
    assert launch_asked({"PMI_FD": str(theirs.fileno()), "SLURM_STEP_ID": "0"}) == ""


def test_who_becomes_what(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first is the scheduler, the second runs the script if there is one, the rest work."""
    calls: list[tuple[str, dict[str, Any]]] = []
    monkeypatch.setattr(
        "trio_dask.cli.mpi._call", lambda name, options: calls.append((name, options))
    )
    monkeypatch.setattr(
        "trio_dask.cli.mpi._run_script",
        lambda words, path, _: calls.append(("run", {"words": words})),
    )
    monkeypatch.setattr("trio_dask.cli.mpi.cpu_count", lambda: 8)
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    words = ["--interface=lo", f"--shared-directory={tmp_path}", "--no-dashboard", "--nanny"]
    for rank in range(3):
        for name, value in (("RANK", rank), ("SIZE", 3), ("LOCAL_SIZE", 4)):
            monkeypatch.setenv(f"OMPI_COMM_WORLD_{name}", str(value))
        monkeypatch.setenv("PMIX_NAMESPACE", "1")
        assert main(["mpi", *words]) == main(["mpi", *words, "s.py", "--nworkers"]) == 0
    names = [name for name, _ in calls]
    assert names == ["scheduler", "scheduler", "worker", "run", "worker", "worker"]
    scheduler, worker = calls[0][1], calls[2][1]
    assert scheduler["workers_file"] == worker["scheduler_file"]
    assert worker["scheduler_file"].parent == tmp_path
    assert (scheduler["port"], scheduler["dashboard"], scheduler["interface"]) == ("0", False, "lo")
    assert (worker["name"], worker["nthreads"], worker["nanny"]) == ("mpi-1", "2", True)
    assert calls[3][1] == {"words": ("s.py", "--nworkers")}


# ------------------------------------------------------------------------ as a whole

SCRIPT = """
import json, os, sys
from trio_dask import Client

def preloaded():
    import for_tasks
    return for_tasks.there

with Client() as client:
    client.wait_for_workers(1, timeout=60)
    info = client.scheduler_info()
    worker = sorted(info["workers"].values(), key=lambda each: each["name"])[0]
    print(client.submit(pow, 2, 10).result(timeout=60), worker["name"])
    if sys.argv[2:]:
        told = [worker[each] for each in ("nthreads", "memory_limit", "resources")]
        told += [info["dashboard"], client.scheduler_address, client.submit(preloaded).result()]
        told += [worker["local_directory"], len(client.run(os.getpid))]
        open(sys.argv[2], "w").write(json.dumps(told))
sys.exit(int(sys.argv[1]))
"""
#: Open MPI starts no programs of root, and no more than there are processors, unless told.
TOLD = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "OMPI_MCA_rmaps_base_oversubscribe": "1",
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
}  # fmt: skip


def launched(mpirun: str | None, words: list[str]) -> list[subprocess.CompletedProcess[str]]:
    """Three processes of this command, by a launcher or, without one, as one would start them."""
    environ = os.environ | TOLD
    if mpirun is not None:
        return [
            subprocess.run(
                [mpirun, "-n", "3", *words],
                env=environ, capture_output=True, text=True, timeout=120, check=False,
            )
        ]  # fmt: skip
    processes = [
        subprocess.Popen(
            words, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env=environ | {"PMI_RANK": str(rank), "PMI_SIZE": "3", "PMIX_NAMESPACE": "tests"},
        )
        for rank in range(3)
    ]  # fmt: skip
    try:
        said = [each.communicate(timeout=120) for each in processes]
    finally:
        for each in processes:
            with suppress(OSError):
                each.kill()
    return [
        subprocess.CompletedProcess(words, each.returncode, *streams)
        for each, streams in zip(processes, said, strict=True)
    ]


@pytest.mark.processes
@pytest.mark.network
def test_options_reach_the_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the scheduler the first, of workers the others; and what is for all of them, all."""
    pytest.importorskip("cryptography", reason="certificates are made with it")
    made = Security.temporary().written_to(tmp_path)
    script, told, file = (tmp_path / name for name in ("script.py", "told", "cluster.json"))
    script.write_text(SCRIPT)
    (tmp_path / "for_tasks.py").write_text("there = 17\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    for name, path in (
        ("CA_FILE", made.tls_ca_file), ("CERT", made.tls_cert), ("KEY", made.tls_key),
    ):  # fmt: skip
        monkeypatch.setenv(f"TRIO_DASK_COMM__TLS__{name}", str(path))
    words = [
        sys.executable, "-m", "trio_dask", "mpi", f"--shared-directory={tmp_path}",
        f"--scheduler-file={file}", f"--local-directory={tmp_path}", "--nworkers=2",
        "--nthreads=1", "--memory-limit=1GiB", "--name=m", "--resources=GPU=2", "--no-nanny",
        "--preload=for_tasks", "--scheduler-port=0", "--interface=lo", "--protocol=tls",
        f"--tls-ca-file={made.tls_ca_file}", f"--tls-cert={made.tls_cert}",
        f"--tls-key={made.tls_key}", "--tls-dashboard", "--dashboard",
        "--dashboard-address=127.0.0.1:0", "--death-timeout=60s", "--log-level=info",
        "--log-format=json", str(script), "0", str(told),
    ]  # fmt: skip
    ended = launched(None, words)
    assert [each.returncode for each in ended] == [0] * 3, ended
    assert ended[1].stdout in {"1024 m-2-0\n", "1024 m-2-1\n"}, "whoever has joined first"
    *settings, dashboard, address, loaded, directory, processes = json.loads(told.read_text())
    assert settings == [1, 1 << 30, {"GPU": 2.0}]
    assert dashboard.startswith("https://127.0.0.1:")
    assert address.startswith("tls://127.0.0.1:")
    assert (loaded, processes) == (17, 2)
    assert directory.startswith(str(tmp_path))
    for rank, says in enumerate(("Scheduler at:", "", "Start worker at:")):
        messages = [json.loads(line)["message"] for line in ended[rank].stderr.splitlines()]
        assert any(says in each for each in messages) or not says
    assert not file.exists()  # it was there, and went with the scheduler
    nobody = [*words[:4], f"--shared-directory={tmp_path}", "--death-timeout=10ms", str(script)]
    environ = os.environ | {"PMI_RANK": "2", "PMI_SIZE": "3", "PMIX_NAMESPACE": "others"}
    done = subprocess.run(nobody, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "no scheduler has written" in done.stderr


@pytest.mark.processes
@pytest.mark.network
@pytest.mark.parametrize("launcher", ["none", "mpirun.mpich", "mpirun.openmpi", "mpirun"])
def test_a_launch(launcher: str, tmp_path: Path) -> None:
    """A scheduler, a script, a worker: they find one another, and end with the script."""
    mpirun = shutil.which(launcher)
    if launcher == "mpirun" and shutil.which("mpirun.mpich"):
        pytest.skip("the launchers are tried under names of their own")
    if launcher != "none" and mpirun is None:
        pytest.skip(f"there is no {launcher}, as of Debian's mpich or openmpi-bin")
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    words = [
        sys.executable, "-m", "trio_dask", "mpi", "--no-dashboard", "--log-level=warning",
        f"--shared-directory={tmp_path}", "--interface=lo", "--nthreads=1", str(script), "0",
    ]  # fmt: skip
    ended = launched(mpirun, words)
    assert [each.returncode for each in ended] == [0] * len(ended), ended
    assert "".join(each.stdout for each in ended) == "1024 mpi-2\n"
    assert "".join(each.stderr for each in ended) == ""
    assert list(tmp_path.iterdir()) == [script]
