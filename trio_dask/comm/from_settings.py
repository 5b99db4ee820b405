"""The keys of the token that the settings have; one that is none is an error that says where."""

from __future__ import annotations

from trio_dask.comm.auth import Keys, keys_from_token
from trio_dask.config import Config, load_settings, token_path
from trio_dask.errors import AuthenticationError


def own_keys(token: str, config: Config) -> Keys:
    """The keys of the token that `find_token` or `ensure_token` has found.

    Raises:
        AuthenticationError: it is too weak, or no token at all.
    """
    try:
        return keys_from_token(token)
    except AuthenticationError:
        # Only now is it worth the while to look where it is from.
        origin: object = token_path()
        if config.token:
            origin = load_settings().origins.get("token", "the settings")
        return keys_from_token(token, f"the token in {origin}")
