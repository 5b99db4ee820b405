"""Plugins and files wherever tasks run."""

from __future__ import annotations

import os
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from tests.client.plugin_files import Awaits, Later, Note, Refuses
from trio_dask import (
    AsyncClient,
    Client,
    KilledWorker,
    LocalCluster,
    SchedulerPlugin,
    SubmitError,
    WorkerPlugin,
)
from trio_dask.messages.plugins import PLUGIN_BYTES_MAX

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def client() -> Iterator[Client]:
    """A client of a cluster in this process."""
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, processes=False, name="w") as cluster,
        Client(cluster) as made,
    ):
        yield made


def said(directory: Path) -> dict[str, str]:
    """What has been said on each worker."""
    return {path.name: path.read_text().strip() for path in sorted(directory.iterdir())}


def test_it_comes_and_goes(tmp_path: Path) -> None:
    """On workers that are there and on those that come later; another of its name takes its place."""
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, processes=False, name="w") as cluster,
        Client(cluster) as client,
    ):
        done = client.register_plugin(Note(str(tmp_path)))
        assert done == {address: {"status": "OK"} for address in client.nthreads()}
        assert said(tmp_path) == {"w-0": "up"}
        cluster.scale(2)
        cluster.wait_for_workers(2)
        names = client.run(lambda: None)
        assert len(names) == 2
        assert said(tmp_path) == {"w-0": "up", "w-1": "up"}
        client.register_plugin(Note(str(tmp_path), "other"))
        assert said(tmp_path) == dict.fromkeys(["w-0", "w-1"], "up down other")
        client.unregister_worker_plugin("note")
        assert said(tmp_path) == dict.fromkeys(["w-0", "w-1"], "up down other down")
        with pytest.raises(ValueError, match="there is no plugin 'note'"):
            client.unregister_worker_plugin("note")
        client.register_plugin(Note(str(tmp_path), "last"), name="mine")
    assert said(tmp_path) == dict.fromkeys(["w-0", "w-1"], "up down other down last down")


def test_one_that_is_there_may_be_left_alone(client: Client, tmp_path: Path) -> None:
    """If it says so."""
    plugin = Note(str(tmp_path))
    plugin.idempotent = True
    client.register_plugin(plugin)
    assert client.register_plugin(plugin) == {}
    assert said(tmp_path) == dict.fromkeys(["w-0", "w-1"], "up")


def read(path: str) -> str:
    """What comes through a pipe."""
    from pathlib import Path

    return Path(path).read_text()


def touch(path: str) -> None:
    """Make a file."""
    from pathlib import Path

    Path(path).touch()


def test_tasks_wait_for_it(client: Client, tmp_path: Path) -> None:
    """Those that come after it; what runs goes on, and what waits can be cancelled."""
    for name in ("w-0.pipe", "w-1.pipe", "task.pipe"):
        os.mkfifo(tmp_path / name)
    running = client.submit(read, str(tmp_path / "task.pipe"), workers=["w-0"])
    with (tmp_path / "task.pipe").open("w") as task:  # it runs
        with ThreadPoolExecutor(1) as pool:
            registering = pool.submit(client.register_plugin, Later(str(tmp_path)))
            with (tmp_path / "w-0.pipe").open("w"), (tmp_path / "w-1.pipe").open("w"):
                # Now it is being set up on both.
                later = client.submit(touch, str(tmp_path / "later"), workers=["w-1"])
                dropped = client.submit(touch, str(tmp_path / "dropped"), workers=["w-1"])
                client.cancel(dropped)
                task.write("it goes on")
                task.close()
                assert running.result(timeout=10) == "it goes on"
                assert not (tmp_path / "later").exists()
            assert len(registering.result(timeout=10)) == 2
    later.result(timeout=10)
    assert (tmp_path / "later").exists()
    assert not (tmp_path / "dropped").exists()


def test_a_failure_is_raised_and_it_is_nowhere(client: Client, tmp_path: Path) -> None:
    """With the error of where it failed."""
    with pytest.raises(OSError, match="not on w-1") as caught:
        client.register_plugin(Refuses("w-1"))
    notes = "\n".join(caught.value.__notes__)
    assert "Raised in worker w-1" in notes
    assert "is registered no longer" in notes
    client.register_worker_callbacks(Note(str(tmp_path)).setup)
    assert said(tmp_path) == dict.fromkeys(["w-0", "w-1"], "up")


def test_what_callbacks_take(client: Client, tmp_path: Path) -> None:
    """The worker, by any name or none; or nothing, as in Dask."""

    def alone() -> None:
        (tmp_path / "alone").touch()

    def named(*, dask_worker: Any) -> None:
        (tmp_path / f"named {dask_worker.name}").touch()

    def given(worker: Any) -> None:
        (tmp_path / f"given {worker.name}").touch()

    for setup in (alone, named, given):
        client.register_worker_callbacks(setup)
    found = {path.name for path in tmp_path.iterdir()}
    assert found == {"alone", "named w-0", "named w-1", "given w-0", "given w-1"}


@pytest.mark.parametrize(
    ("plugin", "says"),
    [
        (Note, "takes an object"),
        (3, "neither setup nor teardown"),
        (SchedulerPlugin(), "--preload package.module:Name"),
    ],
)
def test_what_is_no_plugin(client: Client, plugin: object, says: str) -> None:
    """Is refused at once."""
    with pytest.raises(TypeError, match=says):
        client.register_plugin(plugin)


def test_what_cannot_travel(client: Client, tmp_path: Path) -> None:
    """Says what it is."""
    plugin = Note(str(tmp_path))
    plugin.text = sys.stdout  # type: ignore[assignment]
    with pytest.raises(SubmitError):
        client.register_plugin(plugin)
    plugin.text = client.submit(abs, -1)  # type: ignore[assignment]
    with pytest.raises(SubmitError, match="futures inside"):
        client.register_plugin(plugin)
    (tmp_path / "large").write_bytes(bytes(PLUGIN_BYTES_MAX))
    with pytest.raises(SubmitError, match="can be uploaded"):
        client.upload_file(tmp_path / "large")
    with pytest.raises(FileNotFoundError):
        client.upload_file(tmp_path / "gone")


def use(name: str) -> int:
    """What a module has, where the task runs."""
    import importlib

    value: int = importlib.import_module(name).value
    return value


@pytest.mark.anyio
async def test_with_await(client: Client, tmp_path: Path) -> None:
    """The other client has the same."""
    async with AsyncClient(client.scheduler_address) as other:
        await other.register_plugin(Awaits(str(tmp_path)))
        await other.unregister_worker_plugin("note")
        await other.register_worker_callbacks(Note(str(tmp_path), "called").setup)
        assert said(tmp_path) == dict.fromkeys(["w-0", "w-1"], "up down called")
        (tmp_path / "data.txt").write_text("text")
        await other.upload_file(tmp_path / "data.txt")


@pytest.mark.processes
def test_files_and_processes_that_die(tmp_path: Path) -> None:
    """Modules and archives are where tasks run, also in a process that takes another's place."""
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, name="w") as cluster,
        Client(cluster) as client,
    ):
        module = tmp_path / "uploaded_module.py"
        for value in (1, 2):
            module.write_text(f"value = {value}\n")
            client.upload_file(module)
            assert client.submit(use, "uploaded_module").result() == value
        with zipfile.ZipFile(tmp_path / "uploaded.zip", "w") as archive:
            archive.writestr("uploaded_package/__init__.py", "value = 3\n")
        client.upload_file(tmp_path / "uploaded.zip")
        assert client.submit(use, "uploaded_package").result() == 3
        seen = tmp_path / "seen"
        seen.mkdir()
        client.register_plugin(Note(str(seen)))
        with pytest.raises(KilledWorker):
            client.submit(os._exit, 3).result()
        assert client.submit(use, "uploaded_module").result() == 2
        assert client.submit(use, "uploaded_package").result() == 3
        assert set(said(seen)["w-0"].split()) == {"up"}
        assert len(said(seen)["w-0"].split()) > 1
    assert said(seen)["w-0"].endswith("up down")


def test_the_base_does_nothing() -> None:
    """Both of its methods may be left out."""
    plugin = WorkerPlugin()
    plugin.setup(None)
    plugin.teardown(None)
