"""Which client dask uses where nothing is said."""

from __future__ import annotations

import copy
import importlib
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from trio_dask import Client
from trio_dask.runner import when_imported

dask = pytest.importorskip("dask", reason="the extra `dask` is not installed")

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType


def chosen() -> tuple[object, object]:
    """The scheduler, and the way to shuffle."""
    get = dask.config.get
    return get("scheduler", None), get("dataframe.shuffle.method", None)


def test_the_last_one_that_is_open(shared_client: Client) -> None:
    """When it is closed it is the one before; who does not want to be it is not."""
    address = shared_client.scheduler_address
    assert chosen() == (shared_client, "tasks")
    with Client(address) as second, Client(address) as third:
        assert chosen() == (third, "tasks")
        second.close()
        assert chosen() == (third, "tasks")
        with Client(address, set_as_default=False):
            assert chosen() == (third, "tasks")
    assert chosen() == (shared_client, "tasks")


def test_the_configuration_can_be_copied(shared_client: Client) -> None:
    """As others do who look after dask's: a copy names the same client."""
    for copied in (copy.copy(dask.config.config), copy.deepcopy(dask.config.config)):
        assert copied["scheduler"] is shared_client


def test_what_the_user_has_chosen_stays(shared_client: Client) -> None:
    """A scheduler by name, and a way to shuffle."""
    with dask.config.set({"scheduler": "sync", "dataframe.shuffle.method": "disk"}):
        with Client(shared_client.scheduler_address):
            assert chosen() == ("sync", "disk")
        assert chosen() == ("sync", "disk")
    assert chosen() == (shared_client, "tasks")


def test_nothing_stays_behind() -> None:
    """After the last one dask chooses by itself again; dask may be imported after it was opened."""
    script = """
import sys
from trio_dask import Client
assert "dask" not in sys.modules
with Client(n_workers=1, processes=False) as client:
    assert "dask" not in sys.modules
    import dask
    assert dask.config.get("scheduler") is client
    assert dask.delayed(abs)(-1).compute() == 1
assert dask.config.get("scheduler", None) is None
assert dask.config.get("dataframe.shuffle.method", None) is None
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, b"")


def test_after_an_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Something is called once, when the module is there, whoever imports it."""
    (tmp_path / "late_module.py").write_text("value = 7\n")
    monkeypatch.syspath_prepend(tmp_path)
    found: list[ModuleType] = []
    before = list(sys.meta_path)  # a client that was open may still wait for a module
    when_imported("late_module", found.append)
    when_imported("sys", found.append)
    assert found == [sys]
    module = importlib.import_module("late_module")
    assert found == [sys, module]
    assert module.value == 7
    importlib.reload(module)
    assert found == [sys, module]
    del sys.modules["late_module"]
    when_imported("no_such_module", found.append)
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("no_such_module")
    assert sys.meta_path == before
