"""Every option of Dask's commands: it is there, and it does what it says."""

from __future__ import annotations

import json
import os
import socket
import ssl
import stat
import sys
import textwrap
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing

from tests.cli.commands_here import Here, Said
from tests.cli.dask_options import DASKS
from trio_dask.cli import main
from trio_dask.cli.app import app
from trio_dask.cli.dasks import DASK_OPTIONS, MOOT, table, why_moot
from trio_dask.comm import Security, Tls, connect, keys_from_token
from trio_dask.config import SchedulerConfig, memory_bytes, read_scheduler_file
from trio_dask.dashboard import dashboard_token, source_at

if TYPE_CHECKING:
    from pathlib import Path

    from trio_dask.scheduler import SchedulerHandle

LOOPBACK = ("--host", "127.0.0.1")
QUIET = ("--no-dashboard",)


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Here:
    """Runs commands in this process."""
    return Here(monkeypatch)


def leave(*words: str) -> int:
    """The exit code of a command, however it comes about."""
    try:
        return main(words)
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else 1


# ------------------------------------------------------------------------ all of them


@pytest.mark.parametrize("command", sorted(DASKS))
def test_every_option_is_known(command: str) -> None:
    """Those of Dask, no less and no more, each with its state; and the table has them all."""
    assert [each.name for each in DASK_OPTIONS[command]] == DASKS[command]
    shown = table(command)
    assert all(f"| `{name}` |" in shown for name in DASKS[command])


@pytest.mark.parametrize("command", sorted(DASKS))
def test_every_option_is_taken(command: str) -> None:
    """By the command itself, and its help explains it."""
    known = {name for each in app[command].assemble_argument_collection() for name in each.names}
    known |= {*app.help_flags, *app.version_flags}
    assert set(DASKS[command]) <= known


MOOT_WORDS = {
    "scheduler": ["--jupyter", "--no-show", "--use-xheaders=True"],
    "worker": [
        "--nanny-port=3000:3010", "--worker-class=dask.distributed.Worker",
    ],
}  # fmt: skip


def test_what_changes_nothing_says_so(here: Here, tmp_path: Path) -> None:
    """In one line each, and all goes on."""

    async def check(said: Said, *_: object) -> None:
        await said.wait_for("Scheduler at:" if _ == () else "Registered to:")

    assert (
        here.scheduler(*LOOPBACK, "--port", "0", *QUIET, *MOOT_WORDS["scheduler"], check=check) == 0
    )
    path = tmp_path / "cluster.json"
    assert here.worker(path, "--no-nanny", *MOOT_WORDS["worker"], check=check) == 0
    for command in MOOT_WORDS:
        for each in DASK_OPTIONS[command]:
            if each.state == MOOT:
                assert here.said.lines.count(why_moot(command, each.name)) == 1


# ------------------------------------------------------- what does not go together


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["scheduler", "--host=a", "--interface=lo"], "give one of them"),
        (["scheduler", "--host=tls://a", "--protocol=tcp"], "two protocols"),
        (["scheduler", "--tls-dashboard"], "https takes certificates"),
        (["worker", "tcp://a", "--tls-dashboard"], "https takes certificates"),
        (["scheduler", "--protocol=tcp,tls"], "give a port for each"),
        (["scheduler", "--protocol=tcp,tls", "--port=1,2,3"], "give one port for each"),
        (["scheduler", "--host=a:1,b"], "a port with each host, or with none"),
        (["scheduler", "--protocol=tls", "--no-dashboard"], "TLS takes certificates"),
        (["worker", "h:1", "--listen-address=tcp://:1", "--worker-port=2"], "says all of it"),
        (["worker", "h:1", "--listen-address=tcp://:1", "--nworkers=2"], "are for one worker"),
        (["worker", "h:1", "--nworkers=3", "--worker-port=3000:3001"], "2 ports for 3 workers"),
        (["worker", "h h"], "is no address"),
    ],
)  # fmt: skip
def test_what_does_not_go_together(
    words: list[str], says: str, capsys: pytest.CaptureFixture[str], here: Here
) -> None:
    """Is said before anything starts."""
    assert leave(*words) == 2
    assert says in capsys.readouterr().err


# ------------------------------------------------------------------------ the scheduler


@pytest.mark.network
def test_ports_of_a_scheduler(here: Here, tmp_path: Path) -> None:
    """Of a range the first free one; the files say where it is, and are gone afterwards."""
    cluster, pid = tmp_path / "cluster.json", tmp_path / "pid"
    with ExitStack() as stack:
        taken = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        first = taken.getsockname()[1]

        async def check(said: Said) -> None:
            [address] = await said.wait_for("Scheduler at:")
            port = int(address.rpartition(":")[2])
            assert first < port <= first + 20
            content = read_scheduler_file(cluster)
            assert (content.address, content.token) == (address, here.token)
            assert stat.S_IMODE(cluster.stat().st_mode) == 0o600
            assert pid.read_text() == f"{os.getpid()}\n"
            assert not [line for line in said.lines if "dashboard" in line]

        words = ["--scheduler-file", str(cluster), "--pid-file", str(pid)]
        ports = f"{first}:{min(first + 20, 65535)}"
        assert here.scheduler(*LOOPBACK, "--port", ports, *QUIET, *words, check=check) == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.network
def test_two_protocols_and_an_interface(here: Here, tmp_path: Path) -> None:
    """One scheduler, with and without TLS; each of the places can be used."""
    pytest.importorskip("cryptography", reason="certificates are made with it")
    made = Security.temporary().written_to(tmp_path)
    files = (made.tls_ca_file, made.tls_cert, made.tls_key)
    words = [
        f"{name}={path}"
        for name, path in zip(("--tls-ca-file", "--tls-cert", "--tls-key"), files, strict=True)
    ]
    loopback = "lo" if sys.platform == "linux" else "lo0"

    async def check(said: Said) -> None:
        places = [*await said.wait_for("Scheduler at:"), *await said.wait_for("also at:")]
        assert [each.partition(":")[0] for each in places] == ["tcp", "tls"]
        keys = keys_from_token(here.token, tls=Tls(made))
        for address in places:
            connection = await connect(address, keys=keys, role="client", expect="scheduler")
            connection.close("that was all")
            await connection.run(lambda _: None)

    several = ["--protocol", "tcp,tls", "--port", "0,0", "--interface", loopback]
    assert here.scheduler(*several, *QUIET, *words, check=check) == 0

    async def check_one(said: Said) -> None:
        [*_, address] = await said.wait_for("Scheduler at:", 2)
        assert address.startswith("tls://127.0.0.1:")

    assert here.scheduler(*LOOPBACK, "--port=0", *QUIET, *words, check=check_one) == 0

    async def check_https(said: Said) -> None:
        link = (await said.wait_for("dashboard at:"))[-1]
        assert link.startswith("https://127.0.0.1:")
        keys = keys_from_token(here.token, tls=Tls(made))
        source = source_at(link, dashboard_token(keys), keys.tls)
        assert (await trio.to_thread.run_sync(source.get, "api/v1/system"))["pid"] == os.getpid()

    words += ["--tls-dashboard", "--dashboard-address=:0"]
    assert here.scheduler(*LOOPBACK, "--port=0", *words, check=check_https) == 0


@pytest.mark.network
def test_ipv6(here: Here) -> None:
    """Without brackets, and with."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")

    async def check(said: Said) -> None:
        count = sum("Scheduler at:" in line for line in said.lines) or 1
        assert (await said.wait_for("Scheduler at:", count))[-1].startswith("tcp://[::1]:")

    assert here.scheduler("--host", "::1", "--port", "0", *QUIET, check=check) == 0
    assert here.scheduler("--host", "tcp://[::1]:0", *QUIET, check=check) == 0


@pytest.mark.network
def test_dashboards(here: Here) -> None:
    """At several places, under a prefix."""

    async def check(said: Said) -> None:
        [link] = await said.wait_for("dashboard at:")
        assert link.startswith("http://127.0.0.1:")
        assert link.endswith("/dask/status")

    words = ["--dashboard-address", "127.0.0.1:0,127.0.0.1:0", "--dashboard-prefix", "/dask"]
    assert here.scheduler(*LOOPBACK, "--port=0", *words, check=check) == 0


@pytest.mark.network
def test_the_page_of_a_worker(here: Here, tmp_path: Path) -> None:
    """At a port of its own, for this machine without a token; metrics by worker."""

    async def get(link: str, route: str) -> str:
        port = int(link.rpartition(":")[2].partition("/")[0])
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        async with stream:
            await stream.send_all(
                f"GET /x/{route} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
            )
            return b"".join([data async for data in stream]).decode()

    async def check(said: Said, *_: object) -> None:
        [link] = await said.wait_for("dashboard at:")
        assert (await get(link, "health")).endswith("ok")
        metrics = await get(link, "metrics")
        assert 'trio_dask_worker_threads{worker="ann-0"} 1\n' in metrics
        page = await get(link, "status")
        assert page.startswith("HTTP/1.1 200")
        assert "ann-1" in page
        assert "Registered to" in page or "<h2>Log</h2>" in page

    words = ["--dashboard-address", "127.0.0.1:0", "--dashboard-prefix=/x", "--name=ann"]
    path = tmp_path / "cluster.json"
    words += ["--no-nanny", "--nworkers=2", "--nthreads=1"]
    assert here.worker(path, *words, check=check) == 0


@pytest.mark.network
def test_idle_timeout(here: Here) -> None:
    """It ends by itself, with exit code 0, and says why."""

    async def check(said: Said) -> None:
        await said.wait_for("Scheduler at:")
        await trio.sleep_forever()

    assert here.scheduler(*LOOPBACK, "--port=0", *QUIET, "--idle-timeout=100ms", check=check) == 0
    assert any("Ending: there has been nothing to do" in line for line in here.said.lines)


@pytest.mark.network
def test_preload_of_a_scheduler(
    here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its functions are called with what runs, at the beginning and at the end."""
    (tmp_path / "operators_own.py").write_text(
        textwrap.dedent("""
            said = []
            async def dask_setup(scheduler):
                said.append(scheduler.address)
            def dask_teardown(scheduler):
                said.append("bye")
            from trio_dask import SchedulerPlugin
            class Quiet(SchedulerPlugin):
                pass
            class Plugin:
                def start(self, scheduler):
                    said.append("a plugin of " + scheduler.address)
                async def close(self):
                    said.append("its end")
        """)
    )
    monkeypatch.syspath_prepend(tmp_path)

    async def check(said: Said) -> None:
        [address] = await said.wait_for("Scheduler at:")
        await trio.testing.wait_all_tasks_blocked()
        assert sys.modules["operators_own"].said == [address, f"a plugin of {address}"]

    words = ["--preload=operators_own", "--preload=operators_own:Plugin"]
    words.append("--preload=operators_own:Quiet")
    assert here.scheduler(*LOOPBACK, "--port=0", *QUIET, *words, check=check) == 0
    assert sys.modules.pop("operators_own").said[2:] == ["its end", "bye"]


# ------------------------------------------------------------------------ workers


@pytest.mark.network
def test_what_the_scheduler_is_told_of_a_worker(here: Here, tmp_path: Path) -> None:
    """Name, slots, memory, resources, where it is reached; a file with the process's id."""
    pid = tmp_path / "pid"
    scratch = tmp_path / "scratch"
    scratch.mkdir()

    async def check(said: Said, scheduler: SchedulerHandle) -> None:
        await said.wait_for("Registered to:")
        [worker] = scheduler.core.state.workers.values()
        assert worker.name == "ada"
        assert worker.nthreads == 3
        assert worker.memory_limit == memory_bytes() // 4
        assert worker.resources == {"GPU": 2.0, "MEM": 10e9}
        assert worker.address == "tcp://192.0.2.9:1234"
        assert worker.info["local_directory"].startswith(str(scratch))
        assert pid.read_text() == f"{os.getpid()}\n"

    words = [
        "--name=ada", "--nthreads=3", "--memory-limit=0.25", "--resources=GPU=2 MEM=10e9",
        "--listen-address=tcp://127.0.0.1:0", "--contact-address=192.0.2.9:1234",
        f"--local-directory={scratch}", f"--pid-file={pid}", "--no-nanny",
    ]  # fmt: skip
    assert here.worker(tmp_path / "cluster.json", *words, check=check) == 0


@pytest.mark.network
def test_ports_of_workers(here: Here, tmp_path: Path) -> None:
    """Of a range, one for each; and names with numbers."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        first = min(taken.getsockname()[1], 65500)

        async def check(said: Said, scheduler: SchedulerHandle) -> None:
            await said.wait_for("Registered to:", 2)
            workers = scheduler.core.state.workers.values()
            ports = {int(worker.address.rpartition(":")[2]) for worker in workers}
            assert len(ports) == 2
            assert first not in ports
            assert ports <= set(range(first, first + 20))
            assert {worker.name for worker in workers} == {"w-0", "w-1"}

        words = ["--nworkers=2", "--nthreads=1", "--name=w", "--no-nanny"]
        words += [f"--worker-port={first}:{first + 20}", "--interface=lo"]
        if sys.platform != "linux":
            words[-1] = "--interface=lo0"
        assert here.worker(tmp_path / "cluster.json", *words, check=check) == 0


@pytest.mark.network
def test_workers_with_certificates(
    here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They use the scheduler's protocol, and listen with it, too; by name they ask for whom they
    are told to, in the first words of TLS: a proxy may go by that.
    """
    pytest.importorskip("cryptography", reason="certificates are made with it")
    made = Security.temporary().written_to(tmp_path)
    monkeypatch.setattr(
        Here, "keys", property(lambda here: keys_from_token(here.token, tls=Tls(made)))
    )

    asked: list[Any] = []
    wrap = ssl.SSLContext.wrap_bio

    def wrapped(*args: Any, **options: Any) -> Any:
        asked.append(options["server_hostname"])
        return wrap(*args, **options)

    monkeypatch.setattr(ssl.SSLContext, "wrap_bio", wrapped)

    async def check(said: Said, scheduler: SchedulerHandle) -> None:
        assert (await said.wait_for("Registered to:"))[0].startswith("tls://127.0.0.1:")
        [worker] = scheduler.core.state.workers.values()
        assert worker.address.startswith("tls://127.0.0.1:")

    words = [f"--tls-ca-file={made.tls_ca_file}", f"--tls-cert={made.tls_cert}"]
    words += [f"--tls-key={made.tls_key}", "--scheduler-sni=cluster.example", "--no-nanny"]
    settings = SchedulerConfig(host="127.0.0.1", port=0, protocol="tls")
    assert here.worker(tmp_path / "c.json", *words, check=check, settings=settings) == 0
    assert set(asked) == {b"cluster.example", None}  # None: who accepts


@pytest.mark.network
@pytest.mark.processes
def test_preloads_of_a_worker(here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file where tasks run, in another process; a module in the worker's own."""
    (tmp_path / "for_the_nanny.py").write_text("import os\npid = os.getpid()\n")
    mark = tmp_path / "mark"
    (tmp_path / "for_tasks.py").write_text(
        "import json, os\n"
        "def dask_setup(worker):\n"
        f"    text = json.dumps([worker.name, os.getpid()])\n"
        f"    open({str(mark)!r}, 'w').write(text)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)

    async def check(said: Said, _: SchedulerHandle) -> None:
        await said.wait_for("Registered to:")
        name, pid = json.loads(mark.read_text())
        assert name == "ada"
        assert pid != os.getpid()
        assert sys.modules["for_the_nanny"].pid == os.getpid()

    words = ["--name=ada", "--nthreads=1", f"--preload={tmp_path / 'for_tasks.py'}"]
    words.append("--preload-nanny=for_the_nanny")
    assert here.worker(tmp_path / "cluster.json", *words, check=check) == 0
    assert "for_tasks" not in sys.modules
    sys.modules.pop("for_the_nanny")
