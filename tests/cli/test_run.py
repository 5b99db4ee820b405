"""A cluster around a script: whose are the options, the signals, the terminal and the exit code."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.cli.commands import Command, in_pipes, on_terminal
from trio_dask.cli import main
from trio_dask.cli.app import ours_and_theirs
from trio_dask.config import ensure_token

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.processes, pytest.mark.network]

CTRL_C = b"\x03"
SMALL = ["--nworkers", "1", "--nthreads", "1"]

#: Shows the signals it gets, until a file tells it to leave, and a moment longer.
COUNTING = """
import os, signal, sys
def say(text):
    os.write(1, f"{text}\\n".encode())  # a signal may come while something is said
def count(number, _):
    say(f"[{signal.Signals(number).name}]")
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, count)
say("ready")
while not os.path.exists(sys.argv[1]):
    signal.sigtimedwait([], 0.02)
signal.sigtimedwait([], 0.3)
sys.exit(7)
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """A script that counts signals."""
    path = tmp_path / "counting.py"
    path.write_text(COUNTING, encoding="utf-8")
    return path


def leave(command: Command, script: Path) -> int:
    """Let the script end by itself."""
    (script.parent / "leave").touch()
    return command.wait()


@pytest.mark.parametrize(
    ("words", "marked"),
    [
        ("scheduler --port 1", "scheduler --port 1"),
        ("run s.py", "run -- s.py"),
        ("run s.py --nworkers 2 -m -- x", "run -- s.py --nworkers 2 -m -- x"),
        ("run --nworkers 2 s.py -x", "run --nworkers 2 -- s.py -x"),
        ("run --nworkers -1 s.py", "run --nworkers -1 -- s.py"),
        ("run --nworkers=2 s.py", "run --nworkers=2 -- s.py"),
        ("run -m a.b --help", "run --module -- a.b --help"),
        ("run --name n --module a.b", "run --name n --module -- a.b"),
        ("run - a", "run -- - a"),
        ("run -- s.py -x", "run -- s.py -x"),
        ("run --help", "run --help"),
        ("run", "run"),
    ],
)
def test_what_follows_the_script_is_the_scripts(words: str, marked: str) -> None:
    """Also if it looks like an option of ours."""
    assert ours_and_theirs(words.split()) == marked.split()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "what shall be run?"),
        (["-m"], "what shall be run?"),
        (["nowhere.py"], "there is no script nowhere.py"),
        (["--nworkers", "0", "-"], "--nworkers: '0'"),
        (["--nwrkers", "2", "-"], "--nwrkers"),
        (["--scheduler", "tcp://h:1", "--scheduler-file", "f", "-"], "name two schedulers"),
        (["--scheduler", "ucx://h:1", "-"], "ucx"),
        (["--scheduler", "tcp://h:1", "--nthreads", "2", "-"], "--nthreads is for a cluster that"),
    ],
)
def test_what_is_not_understood(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2 and a line that names the culprit; nothing has been started."""
    ensure_token()
    try:
        code = main(["run", *words])
    except SystemExit as leaving:
        code = int(leaving.code or 0)
    shown = capsys.readouterr()
    assert said in shown.err + shown.out
    assert code == 2


def test_a_script_finds_its_cluster_its_arguments_and_what_stands_beside_it(
    tmp_path: Path,
) -> None:
    """And its output is all there is."""
    (tmp_path / "beside.py").write_text("def double(x):\n    return 2 * x\n", encoding="utf-8")
    path = tmp_path / "script.py"
    path.write_text(
        "import json, sys\nfrom trio_dask import Client\nimport beside\n"
        "with Client() as client:\n"
        "    print(client.gather(client.map(beside.double, map(int, sys.argv[2:]))))\n"
        "    [worker] = client.scheduler_info()['workers'].values()\n"
        "print(json.dumps(worker))\n",
        encoding="utf-8",
    )
    asked = ["--memory-limit=1GiB", "--name=w", "--resources=GPU=2", "--local-directory"]
    with in_pipes(
        "run", *SMALL, *asked, str(tmp_path), str(path), "--nworkers", "3", "4"
    ) as command:
        assert command.wait() == 0
    first, told = command.said.decode().splitlines()
    assert first == "[6, 8]"
    worker = json.loads(told)
    assert (worker["name"], worker["nthreads"]) == ("w-0", 1)
    assert (worker["memory_limit"], worker["resources"]) == (1 << 30, {"GPU": 2.0})
    assert worker["local_directory"].startswith(str(tmp_path))


def test_a_module_with_a_cluster_that_is_there(tmp_path: Path) -> None:
    """It finds address and token that the file has."""
    path = tmp_path / "cluster.json"
    path.write_text('{"id": "i", "address": "tcp://h:1", "token": "t"}', encoding="utf-8")
    path.chmod(0o600)
    (tmp_path / "shows.py").write_text(
        "import os, sys\nprint(os.environ['TRIO_DASK_SCHEDULER_ADDRESS'],"
        " os.environ['TRIO_DASK_TOKEN'], *sys.argv[1:])\n",
        encoding="utf-8",
    )
    words = ["run", "--scheduler-file", str(path), "-m", "shows", "-m"]
    with in_pipes(*words, PYTHONPATH=str(tmp_path)) as command:
        assert command.wait() == 0
    assert command.said == b"tcp://h:1 t -m\n"


@pytest.mark.parametrize(
    ("ending", "code"),
    [
        ("sys.exit(3)", 3),
        ("sys.exit()", 0),
        ("os.kill(os.getpid(), signal.SIGKILL)", 128 + signal.SIGKILL),
        ("os.kill(os.getpid(), signal.SIGINT)", 128 + signal.SIGINT),
    ],
)
def test_the_exit_code_is_the_scripts(ending: str, code: int, tmp_path: Path) -> None:
    """As a shell would say it."""
    ensure_token()
    path = tmp_path / "ending.py"
    told = "assert os.environ['TRIO_DASK_SCHEDULER_ADDRESS'] == 'tcp://127.0.0.1:9'"
    path.write_text(f"import os, signal, sys\n{told}\n{ending}\n", encoding="utf-8")
    with in_pipes("run", "--scheduler", "tcp://127.0.0.1:9", str(path)) as command:
        assert command.wait() == code


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_for_the_command_is_passed_on(number: signal.Signals, script: Path) -> None:
    """The script has it once, and the time it needs."""
    with in_pipes("run", *SMALL, str(script), str(script.parent / "leave")) as command:
        command.read_until("ready")
        command.process.send_signal(number)
        command.read_until(f"[{number.name}]")
        assert leave(command, script) == 7
    assert re.findall(r"\[\w+\]", command.said.decode()) == [f"[{number.name}]"]


def test_a_second_signal_ends_it(script: Path) -> None:
    """The script is killed, the cluster ends in peace."""
    with in_pipes("run", *SMALL, str(script), str(script.parent / "leave")) as command:
        command.read_until("ready")
        command.process.terminate()
        command.read_until("[SIGTERM]")
        command.process.terminate()
        assert command.wait() == 128 + signal.SIGKILL


def test_ctrl_c_on_a_terminal_reaches_the_script_once(script: Path) -> None:
    """From the terminal, and not from the command as well."""
    with on_terminal("run", *SMALL, str(script), str(script.parent / "leave")) as command:
        command.read_until("ready")
        command.type(CTRL_C)
        command.read_until("[SIGINT]")
        assert leave(command, script) == 7
    assert command.said.decode().count("[SIGINT]") == 1


def test_on_a_terminal_a_signal_for_the_command_alone_is_passed_on(script: Path) -> None:
    """The script shares the terminal's group, and has it all the same."""
    with on_terminal("run", *SMALL, str(script), str(script.parent / "leave")) as command:
        command.read_until("ready")
        command.process.send_signal(signal.SIGINT)
        command.read_until("[SIGINT]")
        assert leave(command, script) == 7
    assert command.said.decode().count("[SIGINT]") == 1


def test_a_script_whose_cluster_is_gone_is_ended(tmp_path: Path) -> None:
    """It might wait for ever; the command says why, and exits with 1."""
    path = tmp_path / "waiting.py"
    path.write_text("import signal\nprint('ready', flush=True)\nsignal.pause()", encoding="utf-8")
    with in_pipes("run", *SMALL, str(path)) as command:
        command.read_until("ready")
        children = psutil.Process(command.process.pid).children()
        [scheduler] = [each for each in children if "scheduler" in each.cmdline()]
        scheduler.kill()
        assert command.wait() == 1
    assert "trio-dask: the scheduler has ended by itself (killed by SIGKILL): " in (
        command.said.decode()
    )
    assert f"; ending {path}\n" in command.said.decode()


GROUP = """
import os, signal, trio
from trio_dask.cli.bystander import Bystander

async def main():
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        for send in (os.killpg, os.kill, os.killpg):
            for number in (signal.SIGINT, signal.SIGTERM):
                send(0 if send is os.killpg else os.getpid(), number)
                came = await anext(signals)
                print(signal.Signals(came).name, await bystander.saw(came))

with Bystander([signal.SIGINT, signal.SIGTERM]) as bystander:
    trio.run(main)
"""


def test_a_bystander_knows_whom_a_signal_was_for() -> None:
    """The group, or this process alone, whatever the signal."""
    done = subprocess.run(
        [sys.executable, "-c", GROUP],
        start_new_session=True, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stderr == ""
    assert done.stdout.split() == [
        *("SIGINT", "True", "SIGTERM", "True"),
        *("SIGINT", "False", "SIGTERM", "False"),
        *("SIGINT", "True", "SIGTERM", "True"),
    ]


def test_a_signal_before_the_script_runs(script: Path) -> None:
    """It is never run, and that is no success."""
    with in_pipes("run", "--log-level", "info", *SMALL, str(script), "x") as command:
        command.read_until("Scheduler at:")
        command.process.terminate()
        assert command.wait() == 128 + signal.SIGTERM
    assert "ready" not in command.said.decode()
