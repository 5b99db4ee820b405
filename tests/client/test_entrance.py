"""Where a client goes, and with which token; no loop is needed to find out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.client.fake_cluster import CONFIG
from trio_dask import AsyncClient, Client
from trio_dask.client.entrance import own_cluster
from trio_dask.config import Config, SchedulerFile, write_scheduler_file
from trio_dask.errors import AuthenticationError, ConfigError

if TYPE_CHECKING:
    from pathlib import Path


def test_where_the_scheduler_is() -> None:
    """An address, something that has one, or the settings; anything else is refused."""

    class Cluster:
        scheduler_address = "tcp://there:1"

    def address(given: object = None, config: Config = CONFIG) -> str:
        return AsyncClient(given, config=config).scheduler_address

    assert address("there") == "tcp://there:8786"
    assert address(Cluster()) == "tcp://there:1"
    assert address(config=Config(token=CONFIG.token, scheduler_address="x:1")) == "tcp://x:1"
    for wrong in ("", 42, "udp://x:1"):
        with pytest.raises(ConfigError):
            address(wrong)
    assert AsyncClient("there", config=CONFIG).cluster is None
    assert AsyncClient(config=CONFIG, n_workers=3).cluster is not None
    with pytest.raises(ConfigError, match="n_workers= would be for a cluster of the client's own"):
        AsyncClient("there", config=CONFIG, n_workers=3)
    with pytest.raises(ConfigError, match="token= is no option of a client: TRIO_DASK_TOKEN"):
        AsyncClient("there", config=CONFIG, token=CONFIG.token)
    with pytest.raises(AuthenticationError, match="trio-dask token show"):
        AsyncClient("there", config=Config())
    with pytest.raises(AuthenticationError, match="the token in the settings is too short"):
        AsyncClient("there", config=Config(token="short"))
    with pytest.raises(ConfigError, match="not both"):
        AsyncClient("there", scheduler_file="x", config=CONFIG)


def test_a_scheduler_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be in the home directory; one that is not there is named, and what writes it."""
    monkeypatch.setenv("HOME", str(tmp_path))
    path = tmp_path / "cluster.json"
    with pytest.raises(ConfigError) as caught:
        AsyncClient(scheduler_file="~/cluster.json", config=CONFIG)
    assert f"no scheduler file {path}: " in str(caught.value)
    assert f"trio-dask scheduler --scheduler-file {path}" in str(caught.value)
    write_scheduler_file(path, SchedulerFile(id="x", address="tcp://there:1", token=CONFIG.token))
    for given in ("~/cluster.json", path, str(path)):
        client = AsyncClient(scheduler_file=given, config=CONFIG)
        assert client.scheduler_address == "tcp://there:1"


def test_what_dasks_client_is_told() -> None:
    """Taken where it is so anyway; else refused, naming what is there instead."""

    def client(given: object = "there", **options: Any) -> AsyncClient:
        return AsyncClient(given, config=CONFIG, **options)

    def words(kind: type[Client | AsyncClient], given: object, **options: Any) -> str:
        with pytest.raises(ConfigError) as caught:
            kind(given, config=CONFIG, **options)
        return str(caught.value)

    harmless = {"asynchronous": False}
    assert own_cluster("there", None, CONFIG, harmless, asynchronous=False) is None
    for given in ("there", None):
        client(given, asynchronous=True, set_as_default=False, security=None)
        for kind in (Client, AsyncClient):
            assert "leave it out" in words(kind, given, heartbeat_interval=5000)
            assert "it is a trio_dask.Security" in words(kind, given, security=object())
        assert "AsyncClient is the one to await" in words(Client, given, asynchronous=True)
        assert "Client is the one that blocks" in words(AsyncClient, given, asynchronous=False)
