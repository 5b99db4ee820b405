"""The keys of the token that the settings have; one that is none is an error that says where."""

from __future__ import annotations

from trio_dask.comm.auth import Keys, keys_from_token
from trio_dask.comm.tls import Security, Tls
from trio_dask.config import Config, load_settings, token_path
from trio_dask.errors import AuthenticationError


def own_keys(
    token: str, config: Config, *, origin: str = "", security: Security | None = None
) -> Keys:
    """The keys of a token, by default one that `find_token` or `ensure_token` has found.

    Args:
        token: what all parts of the cluster share.
        config: the settings, for certificates.
        origin: where it is from, if not from the settings.
        security: certificates other than those.

    Raises:
        AuthenticationError: it is too weak, or no token at all.
        ConfigError: certificates are asked for that there are not.
    """
    security = Security.of(config.comm.tls) if security is None else security
    tls = Tls(security) if security else None
    if origin:
        return keys_from_token(token, origin, tls=tls)
    try:
        return keys_from_token(token, tls=tls)
    except AuthenticationError:
        # Only now is it worth the while to look where it is from.
        place: object = token_path()
        if config.token:
            place = load_settings().origins.get("token", "the settings")
        return keys_from_token(token, f"the token in {place}")
