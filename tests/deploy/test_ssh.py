"""Clusters over ssh: against a real server on this machine."""

from __future__ import annotations

import getpass
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
import trio

import trio_dask
from tests.cli.commands import in_pipes
from trio_dask import Client, Future
from trio_dask.cli import main
from trio_dask.config import ensure_token, find_token
from trio_dask.deploy import SSHCluster, plan_ssh
from trio_dask.deploy.ssh_plan import ssh_words, words_of
from trio_dask.errors import ConfigError, SchedulerUnreachable

if TYPE_CHECKING:
    from collections.abc import Iterator

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
needs_ssh = pytest.mark.skipif(
    SSHD is None or shutil.which("ssh") is None, reason="there is no OpenSSH on this machine"
)
LOOPBACK = {"host": "127.0.0.1"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """A server of ours, and what a connection to it has to be told."""
    place = tmp_path_factory.mktemp("ssh")
    for name in ("host", "user"):
        words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(place / name)]
        subprocess.run(words, check=True)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    (place / "config").write_text(
        f"ListenAddress 127.0.0.1\nPort {port}\nHostKey {place / 'host'}\n"
        f"AuthorizedKeysFile {place / 'user.pub'}\nStrictModes no\nUsePAM no\n"
        f"PasswordAuthentication no\nPidFile none\n"
        f"SetEnv PYTHONPATH={Path(trio_dask.__file__).parents[1]}\n"
    )
    assert SSHD is not None
    sshd = subprocess.Popen(
        [SSHD, "-D", "-e", "-f", str(place / "config")], stderr=subprocess.PIPE, text=True
    )
    with sshd:
        assert sshd.stderr is not None
        said = ""
        while "Server listening" not in said:
            line = sshd.stderr.readline()
            if not line:
                pytest.skip(f"sshd does not start here: {said}")
            said += line
        yield {
            "port": port,
            "username": getpass.getuser(),
            "client_keys": str(place / "user"),
            "known_hosts": None,
        }
        sshd.terminate()


def remote_servers() -> list[psutil.Process]:
    """What has been started over ssh, by our own sshd, and is still there."""
    ours = psutil.Process().children(recursive=True)
    found: list[psutil.Process] = []
    for each in ours:
        with suppress(psutil.NoSuchProcess):
            words = each.cmdline()
            if words[:1] == [sys.executable] and "--token-on-stdin" in words:
                found.append(each)
    return found


@pytest.mark.parametrize(
    ("hosts", "options", "says"),
    [
        (["one"], {}, "at least one for workers"),
        ("one two", {}, "a list"),
        (["a", "-oProxyCommand=x"], {}, "no name of a host"),
        (["a", "b"], {"connect_options": [{}]}, "1 connect_options for 2 hosts"),
        (["a", "b"], {"connect_options": {"password": "x"}}, "unknown option password"),
        (["a", "b"], {"worker_options": {"n_workers": 0}}, "n_workers=0"),
    ],
)
def test_what_makes_no_sense(hosts: Any, options: dict[str, Any], says: str) -> None:
    """Is said before anything starts."""
    with pytest.raises(ConfigError, match=says):
        plan_ssh(hosts, **options)


def test_how_ssh_is_called() -> None:
    """It asks nothing, and what is configured is left to it."""
    assert ssh_words("h", {}) == [
        "ssh", "-T", "-o", "BatchMode=yes", "-o", "ServerAliveInterval=15", "h",
    ]  # fmt: skip
    words = ssh_words("h", {"known_hosts": "f", "config": "c", "options": ["A=b", "C=d"]})
    assert words[6:] == ["-o", "UserKnownHostsFile=f", "-F", "c", "-o", "A=b", "-o", "C=d", "h"]
    assert words_of({"a_b": None, "c": True}) == ("--c",)


@needs_ssh
@pytest.mark.network
@pytest.mark.processes
def test_a_cluster_over_ssh(server: dict[str, Any]) -> None:
    """It works, its token is nowhere to be seen, and nothing of it stays."""
    with SSHCluster(
        ["127.0.0.1", "127.0.0.1"], connect_options=server,
        scheduler_options={**LOOPBACK, "port": 0, "dashboard": False},
        worker_options={"nthreads": 1, "n_workers": 2},
    ) as cluster:  # fmt: skip
        assert len(cluster.workers) == 2
        with Client(cluster) as client:
            assert client.gather(client.map(abs, range(-10, 0))) == list(range(10, 0, -1))
        servers = remote_servers()
        assert len(servers) == 2
        for each in servers:
            assert cluster.token not in " ".join(each.cmdline())
    assert psutil.wait_procs(servers, timeout=20)[1] == []


def until(cluster: SSHCluster, count: int) -> None:
    """Wait for so many workers, no more and no fewer."""

    async def wait() -> None:
        with trio.fail_after(60):
            while len(cluster.workers) != count:
                await cluster._live_handle.next_change()

    cluster._engine.call(wait)


@needs_ssh
@pytest.mark.network
@pytest.mark.processes
def test_it_follows_the_work(server: dict[str, Any]) -> None:
    """Hosts are taken and left; values move first; a process that is killed is made up for."""
    with SSHCluster(
        ["127.0.0.1"] * 4, connect_options=server,
        scheduler_options={**LOOPBACK, "port": 0, "dashboard_address": "127.0.0.1:0"},
        worker_options={"nthreads": 1, "memory_limit": "1GiB"},
    ) as cluster:  # fmt: skip
        assert list(cluster.workers) == ["ssh-0-0", "ssh-1-0", "ssh-2-0"]
        assert cluster.dashboard_link.startswith("http://127.0.0.1:")
        for wrong in ({"n": 4}, {"cores": 4}, {"memory": "4GiB"}):
            with pytest.raises(ConfigError, match="4 workers: there is room for 3"):
                cluster.scale(**wrong)
        with pytest.raises(ConfigError, match=r"from 4 to 3 \(minimum_cores=4"):
            cluster.adapt(minimum_cores=4)
        with Client(cluster) as client:
            kept: Future[bytes] = client.submit(
                bytes, 1_000_000, workers="ssh-2-0", allow_other_workers=True
            )
            assert len(kept.result()) == 1_000_000
            cluster.scale(2)
            until(cluster, 2)
            assert list(cluster.workers) == ["ssh-0-0", "ssh-1-0"]
            assert len(kept.result()) == 1_000_000
            cluster.adapt(minimum_cores=1, maximum_memory="2.5GiB", interval="20ms")
            until(cluster, 1)
            assert len(kept.result()) == 1_000_000
            [killed] = cluster.workers.values()
            [port] = re.findall(r":(\d+)$", killed)
            for each in remote_servers():
                if any(at.laddr == ("127.0.0.1", int(port)) for at in each.net_connections()):
                    each.kill()
            futures = client.map(lambda number: number + 1, range(20))
            assert client.gather(futures) == list(range(1, 21))
            assert len(kept.result()) == 1_000_000  # made again
            assert killed not in cluster.workers.values()
            cluster.scale(0)
            until(cluster, 0)
            assert len(remote_servers()) <= 2  # the scheduler, and what is about to end
            cluster.scale(1)
            cluster.wait_for_workers(1, timeout=60)
            assert len(kept.result()) == 1_000_000


@needs_ssh
@pytest.mark.network
@pytest.mark.processes
def test_what_does_not_start_says_why(server: dict[str, Any]) -> None:
    """The last words of ssh, or of the server, are the error."""
    with pytest.raises(SchedulerUnreachable, match="did not start"):
        SSHCluster(["127.0.0.1"] * 2, connect_options=server, remote_python="/no/such/python")


@needs_ssh
@pytest.mark.network
@pytest.mark.processes
@pytest.mark.parametrize("nohost", [True, False])
def test_the_command(server: dict[str, Any], tmp_path: Path, nohost: bool) -> None:
    """It runs until a signal, with the user's token; each server's lines are in a file."""
    ensure_token()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        first = min(taken.getsockname()[1], 65_000)
    of_scheduler, of_workers = range(first, first + 30), range(first + 30, first + 60)
    hosts = tmp_path / "hosts"
    hosts.write_text("127.0.0.1\n")
    config = tmp_path / "home" / ".ssh"
    config.mkdir(parents=True)
    words = [
        "ssh", "--hostfile", str(hosts), f"--ssh-port={server['port']}",
        f"--ssh-private-key={server['client_keys']}", f"--ssh-username={server['username']}",
        f"--scheduler-port={of_scheduler[0]}:{of_scheduler[-1]}", "--nthreads=1", f"--log-directory={tmp_path / 'logs'}",
        "--nanny-port=3000", "--remote-dask-worker=x", "--scheduler=localhost", "--nworkers=2",
        "--memory-limit=1GiB", f"--local-directory={tmp_path}",
        f"--worker-port={of_workers[0]}:{of_workers[-1]}", *(["--nohost"] if nohost else []),
        f"--remote-python={sys.executable}", "--log-level=warning", "--log-format=json",
    ]  # fmt: skip
    with known_host(server, tmp_path) as environ, in_pipes(*words, **environ) as command:
        command.read_until("It ends with Ctrl-C.")
        said = command.said.decode()
        [*told] = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
        assert [each["message"].partition(":")[0] for each in told] == [
            "--remote-dask-worker changes nothing", "--nanny-port changes nothing",
        ]  # fmt: skip
        assert "[ worker 127.0.0.1 ] :" in said
        assert "[ scheduler localhost ] :" in said
        address = said.partition("Scheduler at:   ")[2].split()[0]
        with Client(address) as client:
            assert client.submit(abs, -1).result() == 1
            workers = client.scheduler_info()["workers"]
            assert len(workers) == 2
            ports = [int(each.rpartition(":")[2]) for each in (address, *workers)]
            assert ports[0] in of_scheduler
            assert set(ports[1:]) <= set(of_workers)
            told_host = ["--host" in each.cmdline() for each in remote_servers()]
            assert any(told_host) is not nohost
            for each in workers.values():
                assert (each["nthreads"], each["memory_limit"]) == (1, 1 << 30)
                assert each["local_directory"].startswith(str(tmp_path))
        assert find_token() not in said
        command.process.send_signal(signal.SIGTERM)
        assert command.wait() == 0
    assert sorted(path.name for path in (tmp_path / "logs").iterdir()) == [
        "scheduler-localhost.log", "worker-127.0.0.1.log",
    ]  # fmt: skip


@contextmanager
def known_host(server: dict[str, Any], tmp_path: Path) -> Iterator[dict[str, str]]:
    """An ``ssh`` that knows the server: the command has no option for that."""
    real = shutil.which("ssh")
    fake = tmp_path / "bin" / "ssh"
    fake.parent.mkdir()
    never = "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR"
    fake.write_text(f'#!/bin/sh\nexec {real} {never} "$@"\n')
    fake.chmod(0o755)
    yield {"PATH": f"{fake.parent}:{os.environ['PATH']}"}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "on which hosts?"),
        (["--hostfile=/no/such/file"], "--hostfile: /no/such/file cannot be read"),
        (["h", "--scheduler-port=x"], "--scheduler-port: 'x' is no"),
        (["h", "--ssh-port=x"], "--ssh-port: 'x' is no"),
        (["h", "--nworkers=few"], "--nworkers 'few'"),
        (["h", "--nthreads=few"], "--nthreads: 'few'"),
        (["h", "--memory-limit=lots"], "--memory-limit: 'lots'"),
        (["h", "--worker-port=x"], "--worker-port: 'x'"),
        (["h", "--ssh-private-key=/no/key"], "--ssh-private-key: there is no file /no/key"),
    ],
)
def test_what_the_command_does_not_take(
    words: list[str], says: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 2, the option and the value."""
    monkeypatch.setattr("trio_dask.cli.ssh.log_to_stderr", lambda *_: None)
    assert main(["ssh", *words]) == 2
    assert says in capsys.readouterr().err
