"""The files of `contrib`: what they call is there, and they are what they seem."""

from __future__ import annotations

import configparser
import json
import re
import shlex
import shutil
import socket
import subprocess
import tomllib
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.cli.commands import in_pipes
from trio_dask.cli.app import app
from trio_dask.cli.notify import notify
from trio_dask.config import new_token, parse_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

CONTRIB = Path(__file__).parents[2] / "contrib"
ANALYZE = shutil.which("systemd-analyze")


def calls() -> Iterator[tuple[str, list[str]]]:
    """Every call of ours, as its words."""
    for path in sorted(CONTRIB.glob("systemd/*.service")):
        [line] = re.findall(r"^ExecStart=\S+/trio-dask (.*)$", path.read_text(), re.MULTILINE)
        yield path.name, shlex.split(line)
    text = (CONTRIB / "slurm" / "cluster.sbatch").read_text()
    for line in re.findall(r"trio-dask ((?:scheduler|worker) .*) &$", text, re.MULTILINE):
        yield "sbatch", shlex.split(line)
    text = (CONTRIB / "kubernetes" / "cluster.yaml").read_text()
    for line in re.findall(r"args: \[(.*)\]$", text, re.MULTILINE):
        yield "kubernetes", [word.strip().strip('"') for word in line.split(",")]


@pytest.mark.parametrize(("where", "words"), list(calls()))
def test_what_they_call_is_understood(where: str, words: list[str]) -> None:
    """Each command exists and takes the options it is given."""
    command, _, _ = app.parse_args(words, exit_on_error=False, print_error=False)
    assert callable(command), where


def test_units_are_units() -> None:
    """With the sections that there are, and by the tool's own judgement where that is here."""
    for path in CONTRIB.glob("systemd/*.service"):
        parser = configparser.RawConfigParser(strict=False)
        parser.read_string(path.read_text())
        assert parser.sections() == ["Unit", "Service", "Install"]
        assert parser["Service"]["Type"] == "notify"


@pytest.mark.skipif(ANALYZE is None, reason="there is no systemd-analyze, of Debian's systemd")
@pytest.mark.parametrize(("unit", "exposed"), [("scheduler", 4.0), ("worker", 6.5)])
def test_systemd_takes_the_units(unit: str, exposed: float, tmp_path: Path) -> None:
    """Without a complaint, and thinks that they can do little harm; it does complain, if asked to."""
    assert ANALYZE is not None
    text = (CONTRIB / "systemd" / f"trio-dask-{unit}.service").read_text()
    program = tmp_path / "trio-dask"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    path = tmp_path / f"trio-dask-{unit}.service"
    path.write_text(text.replace("/opt/trio-dask/bin/trio-dask", str(program)))
    words = [ANALYZE, "--man=no", "verify", str(path)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    words = [ANALYZE, "--offline=yes", "--no-pager", "security", str(path)]
    said = subprocess.run(words, capture_output=True, text=True, check=False).stdout
    level = re.search(r"exposure level for \S+: ([\d.]+)", said)
    if level is not None:  # an older one only knows units that are installed
        assert float(level[1]) <= exposed
    path.write_text(path.read_text().replace("Restart=", "Restarts="))
    words = [ANALYZE, "--man=no", "verify", str(path)]
    assert "Restarts" in subprocess.run(words, capture_output=True, text=True, check=False).stderr


@pytest.mark.processes
@pytest.mark.network
def test_systemd_is_told_by_servers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That they are there: a scheduler when it listens, a worker when it is registered, and not
    before; and that they are about to end.
    """
    monkeypatch.setenv("TRIO_DASK_TOKEN", new_token())
    with ExitStack() as stack:
        managers = []
        for name in ("scheduler", "worker"):
            manager = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
            manager.bind(str(tmp_path / name))
            manager.settimeout(60)
            managers.append(manager)
        of_scheduler, of_worker = managers
        file = f"--scheduler-file={tmp_path / 'cluster.json'}"
        words = ["worker", file, "--nthreads=1", "--no-nanny"]
        worker = stack.enter_context(in_pipes(*words, NOTIFY_SOCKET=str(tmp_path / "worker")))
        worker.read_until("Waiting for scheduler file:")
        words = ["scheduler", "--host=127.0.0.1", "--port=0", "--no-dashboard", file]
        scheduler = stack.enter_context(in_pipes(*words, NOTIFY_SOCKET=str(tmp_path / "scheduler")))
        assert of_scheduler.recv(100) == b"READY=1"
        assert "Scheduler at:" in scheduler.read_until("Scheduler at:")
        assert of_worker.recv(100) == b"READY=1"
        assert "Registered to:" in worker.read_until("Registered to:")
        for process, manager in ((worker, of_worker), (scheduler, of_scheduler)):
            process.process.terminate()
            assert manager.recv(100) == b"STOPPING=1"
            assert process.wait() == 0


def test_the_image_is_made_of_what_is_there() -> None:
    """The steps are those of an image; what is copied is there, and all that the package needs; it
    runs as nobody in particular, and what it runs is a command of ours.
    """
    text = (CONTRIB / "Containerfile").read_text()
    steps = re.findall(r"^([A-Z]+) (.*)$", text, re.MULTILINE)
    assert [line for line in text.splitlines() if not re.match(r"# |[A-Z]+ ", line)] == []
    names = [name for name, _ in steps]
    assert names[0] == "FROM"
    assert set(names) <= {"FROM", "COPY", "RUN", "USER", "WORKDIR", "ENTRYPOINT", "CMD"}
    root = CONTRIB.parent
    copied = [word for name, rest in steps if name == "COPY" for word in rest.split()[:-1]]
    assert all((root / each).exists() for each in copied)
    with (root / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)
    needed = {project["project"]["readme"], *project["project"]["license-files"]}
    needed |= {*project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]}
    assert needed | {"pyproject.toml"} <= set(copied)
    [python] = [rest for name, rest in steps if name == "FROM"]
    version = tuple(map(int, re.search(r"python:(\d+)\.(\d+)-slim$", python).groups()))  # type: ignore[union-attr]
    least = re.fullmatch(r">=(\d+)\.(\d+)", project["project"]["requires-python"])
    assert least is not None
    assert version >= tuple(map(int, least.groups()))
    [user] = [rest for name, rest in steps if name == "USER"]
    assert int(user) >= 1000
    assert f"--uid {user} " in text
    said = {name: json.loads(rest) for name, rest in steps if name in {"ENTRYPOINT", "CMD"}}
    assert said["ENTRYPOINT"] == [*project["project"]["scripts"]]
    assert said["CMD"] == ["--help"]
    if bash := shutil.which("bash"):
        for command in (rest for name, rest in steps if name == "RUN"):
            subprocess.run([bash, "-n", "-c", command], check=True)


def test_the_job_is_a_script() -> None:
    """As far as the shell can tell without running it."""
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("there is no bash")
    subprocess.run([bash, "-n", str(CONTRIB / "slurm" / "cluster.sbatch")], check=True)


def manifests() -> list[dict[str, Any]]:
    """All documents in all files."""
    yaml = pytest.importorskip("yaml", reason="to read them")
    texts = [path.read_text() for path in sorted(CONTRIB.glob("kubernetes/*.yaml"))]
    return [each for text in texts for each in yaml.safe_load_all(text)]


@pytest.mark.parametrize("version", ["1.30", "1.33", "1.37"])
def test_manifests_fit_the_schemas(version: str) -> None:
    """Those that Kubernetes has published, without a field that is not in them."""
    validate = pytest.importorskip("kubernetes_validate", reason="it has the schemas").validate
    for each in manifests():
        validate(each, version, strict=True)


def test_manifests_fit_together() -> None:
    """Selectors and labels, names and ports, the secret, and what containers are told."""
    service, scheduler, worker, secret = manifests()
    kinds = [each["kind"] for each in (service, scheduler, worker, secret)]
    assert kinds == ["Service", "Deployment", "Deployment", "Secret"]
    args: list[str] = []
    for each in (scheduler, worker):
        labels = each["spec"]["template"]["metadata"]["labels"]
        assert each["spec"]["selector"]["matchLabels"] == labels
        [container] = each["spec"]["template"]["spec"]["containers"]
        reference = container["env"][0]["valueFrom"]["secretKeyRef"]
        assert (reference["name"], {reference["key"]}) == (
            secret["metadata"]["name"],
            set(secret["stringData"]),
        )
        ports = {port["name"] for port in container["ports"]}
        probes = [container[name]["httpGet"] for name in container if name.endswith("Probe")]
        assert {probe["port"] for probe in probes} <= ports
        assert {probe["path"] for probe in probes} == {"/health"}
        if each is scheduler:
            assert {port["targetPort"] for port in service["spec"]["ports"]} == ports
            assert service["spec"]["selector"] == labels
        args = container["args"]
    assert f"tcp://{service['metadata']['name']}:8786" in args


def test_manifests_give_no_more_than_is_needed() -> None:
    """Nothing to gain by breaking out, no place to write but those that are listed."""
    for each in manifests()[1:3]:
        pod = each["spec"]["template"]["spec"]
        assert not pod["automountServiceAccountToken"]
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        [container] = pod["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        volumes = {volume["name"] for volume in pod["volumes"]}
        assert {mount["name"] for mount in container["volumeMounts"]} == volumes


def test_a_worker_fits_into_its_container() -> None:
    """Its limit leaves room for its own process, and not much more."""
    worker = manifests()[2]
    [container] = worker["spec"]["template"]["spec"]["containers"]
    args = container["args"]
    limit = parse_bytes(args[args.index("--memory-limit") + 1])
    memory = parse_bytes(container["resources"]["limits"]["memory"].replace("Gi", "GiB"))
    assert 0.8 * memory < limit <= memory - 128 * 2**20
    assert (
        container["resources"]["requests"]["memory"] == container["resources"]["limits"]["memory"]
    )
    [scratch] = [args[at + 1] for at, word in enumerate(args) if word == "--local-directory"]
    assert scratch in {mount["mountPath"] for mount in container["volumeMounts"]}


def test_the_manager_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is one; and where it is gone nothing happens."""
    notify("READY=1")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        notify("READY=1")
        assert manager.recv(100) == b"READY=1"
    (tmp_path / "notify").unlink()
    notify("STOPPING=1")
