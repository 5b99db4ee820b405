"""Where a client goes, and with which token; no loop is needed to find out."""

from __future__ import annotations

import pytest

from tests.client.fake_cluster import CONFIG
from trio_dask import AsyncClient
from trio_dask.config import Config
from trio_dask.errors import AuthenticationError, ConfigError


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
    with pytest.raises(AuthenticationError, match="trio-dask token show"):
        AsyncClient("there", config=Config())
    with pytest.raises(AuthenticationError, match="the token in the settings is too short"):
        AsyncClient("there", config=Config(token="short"))
    with pytest.raises(ConfigError, match="not both"):
        AsyncClient("there", scheduler_file="x", config=CONFIG)
