"""``trio-dask job-script``: scripts for batch systems, which they and the shell understand."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess

import pytest

from trio_dask.cli import main
from trio_dask.cli.app import app, ours_and_theirs

SYSTEMS = ("slurm", "pbs", "sge", "lsf")
#: Lines for each system, of the options in its manual: sbatch, qsub of PBS, qsub of Grid Engine, bsub.
DOCUMENTED = {
    "slurm": r"#SBATCH --(job-name|ntasks|nodes|ntasks-per-node|cpus-per-task|partition|account|"
    r"output)=\S+|#SBATCH --mem=\d+M|#SBATCH --time=[\d:-]+",
    "pbs": r"#PBS -(N|q|A|o) \S+|#PBS -j oe|#PBS -l walltime=[\d:]+|"
    r"#PBS -l select=\d+:ncpus=\d+(:mpiprocs=\d+)?(:mem=\d+mb)?",
    "sge": r"#\$ -(N|q|P|o) \S+|#\$ -j y|#\$ -cwd|#\$ -pe \S+ \d+|#\$ -l \S+=\S+",
    "lsf": r"#BSUB -(J|q|P|o) \S+|#BSUB -n \d+|#BSUB -M \d+MB|#BSUB -W [\d:]+|"
    r'#BSUB -R "(span\[(hosts=1|ptile=\d+)\]|affinity\[core\(\d+\)\])"',
}
EVERYTHING = (
    "--cores=8", "--memory=4GiB", "--queue=fast", "--account=us", "--walltime=1:00", "--name=mine",
    "--log-directory=/logs", "--python=python3", "--parallel-environment=mpi",
    "--job-script-prologue=module load z", "--local-directory=/tmp/a b", "--resources=GPU=1 MEM=2",
)  # fmt: skip
SCRIPT = ("my script.py", "--nodes", "it's")


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """What the command prints."""
    assert main(["job-script", *words]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("script", [(), SCRIPT], ids=["workers", "a script"])
@pytest.mark.parametrize("system", SYSTEMS)
def test_scripts(system: str, script: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """Directives that are in the manuals, all before the first command; a shell, a command of ours."""
    processes = "8" if script and system == "sge" else "4"
    words = [system, *EVERYTHING, f"--processes={processes}"]
    words += ["--nodes=3", *script] if script else ["--scheduler-file=/shared/c.json"]
    text = printed(capsys, *words)
    first, *lines = text.splitlines()
    assert first == "#!/bin/sh"
    directives = [line for line in lines if line.startswith("#")]
    assert lines[: len(directives)] == directives
    assert all(re.fullmatch(DOCUMENTED[system], each) for each in directives), directives
    if shell := shutil.which("bash"):
        subprocess.run([shell, "-n"], input=text, text=True, check=True)
    command = shlex.split(lines[-1])
    assert command[0] == "exec"
    ours = command[command.index("trio_dask") + 1 :]
    _, bound, _ = app.parse_args(ours_and_theirs(ours), exit_on_error=False, print_error=False)
    assert bound.arguments["local_directory"].name == "a b"
    if script:
        assert bound.arguments["words"] == script
        assert ours[0] == "mpi"
    else:
        assert ours[0] == "worker"
        assert bound.arguments["nworkers"] == "4"
    assert bound.arguments["memory_limit"] == str((4 << 30) // int(processes))


@pytest.mark.parametrize(
    ("system", "lines"),
    [
        ("slurm", [
            "#SBATCH --nodes=3", "#SBATCH --ntasks-per-node=4", "#SBATCH --cpus-per-task=2",
            "exec srun --kill-on-bad-exit=1 --cpus-per-task=2 python3",
        ]),
        ("pbs", ["#PBS -l select=3:ncpus=8:mpiprocs=4", 'cd "$PBS_O_WORKDIR"', "exec mpirun -n 12"]),
        ("lsf", [
            "#BSUB -n 12", '#BSUB -R "span[ptile=4]"', '#BSUB -R "affinity[core(2)]"',
            "exec mpirun -n 12",
        ]),
    ],
)  # fmt: skip
def test_jobs_of_several_nodes(
    system: str, lines: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Each process has its share of a node, and the system's launcher starts all of them."""
    words = [system, "--cores=8", "--processes=4", "--nodes=3", "--python=python3", "s.py"]
    text = printed(capsys, *words)
    assert [each for each in lines if f"\n{each}" not in text] == []
    assert "--nthreads=2 -- s.py" in text


def test_a_launcher_of_ones_own(capsys: pytest.CaptureFixture[str]) -> None:
    """Where another one is needed; a slot of Grid Engine is a process."""
    words = ["sge", "--cores=4", "--nodes=2", "--parallel-environment=mpi", "--python=python3"]
    text = printed(capsys, *words, "--launcher=mpiexec -hosts a,b", "s.py")
    assert "\n#$ -pe mpi 8\n" in text
    assert "\nexec mpiexec -hosts a,b python3 -P" in text


@pytest.mark.parametrize(("system", "said"), [("pbs", "#PBS -l x=1"), ("sge", "#$ -l x=1")])
def test_what_is_said_as_it_is(system: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The first line, lines for the system, what is asked for; and what workers are told."""
    words = [system, "--cores=2", "--scheduler-file=c.json", "--shebang=#!/bin/bash -l"]
    words += ["--resource-spec=x=1", "--job-extra-directives=-m n", "--job-extra-directives=-V"]
    words += ["--interface=ib0", "--death-timeout=7s"]
    text = printed(capsys, *words)
    lines = text.splitlines()
    assert lines[0] == "#!/bin/bash -l"
    directive = said.partition(" ")[0]
    assert {said, f"{directive} -m n", f"{directive} -V"} <= set(lines)
    assert {"--interface=ib0", "--death-timeout=7s"} <= set(shlex.split(lines[-1]))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["slurm", "--cores=1"], "for workers give --scheduler-file"),
        (["slurm", "--cores=4", "--scheduler-file=f", "s.py"], "for workers give --scheduler-file"),
        (["slurm", "--cores=4", "--scheduler-file=f", "--nodes=2"], "submit so many jobs"),
        (["slurm", "--cores=0", "--scheduler-file=f"], "--cores 0: a whole"),
        (["slurm", "--cores=2", "--processes=0", "--scheduler-file=f"], "--processes 0: a whole"),
        (["slurm", "--cores=1", "--processes=2", "--scheduler-file=f"], "at least one core"),
        (["slurm", "--cores=4", "--nodes=2", "s.py"], "at least 3 processes, not 2"),
        (["slurm", "--cores=4", "--nodes=-3", "--processes=4", "s.py"], "--nodes -3: a whole"),
        (["sge", "--cores=4", "s.py"], "--parallel-environment"),
        (["sge", "--cores=4", "--processes=3", "s.py"], "as many as --cores 4"),
        (["pbs", "--cores=4", "--memory=much", "--scheduler-file=f"], "much"),
        (["pbs", "--cores=4", "--queue=a\nb", "--scheduler-file=f"], "more than one line"),
        (["lsf", "--cores=4", "--name=a b", "--scheduler-file=f"], "letters, digits"),
        (["condor", "--cores=4", "s.py"], "slurm"),
    ],
)
def test_what_makes_no_sense(
    words: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """One message, exit code 2."""
    try:
        code = main(["job-script", *words])
    except SystemExit as leaving:
        code = int(leaving.code or 0)
    shown = capsys.readouterr()
    assert code == 2
    assert says in " ".join((shown.err + shown.out).replace("│", " ").split())
    assert "internal error" not in shown.err
