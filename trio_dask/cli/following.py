"""Where the dashboard of a cluster is, for commands that look at it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_dask.comm import own_keys
from trio_dask.config import find_token, load_config
from trio_dask.dashboard import dashboard_token, source_at
from trio_dask.errors import AuthenticationError, ConfigError

if TYPE_CHECKING:
    from trio_dask.comm import Tls
    from trio_dask.dashboard import Source


def find_source(address: str) -> Source:
    """The dashboard at, or of the scheduler at, this address.

    Raises:
        ConfigError: there is none, or this is no address.
    """
    if address.startswith(("http://", "https://")):
        token, tls = _known_here()
        return source_at(address, token, tls)
    from trio_dask.client import Client

    with Client(address) as client:
        link = client.run_blocking(client.live.ask("dashboard", {}))["link"]
        keys = client.live.entrance.keys
    if not link:
        msg = f"the scheduler at {address} has no dashboard: it was started without one"
        raise ConfigError(msg)
    return source_at(link, dashboard_token(keys), keys.tls)


def _known_here() -> tuple[str, Tls | None]:
    """The dashboard's token and the certificates, as far as the cluster's token is known here."""
    config = load_config()
    try:
        keys = own_keys(find_token(config), config)
    except AuthenticationError:
        return "", None
    return dashboard_token(keys), keys.tls
