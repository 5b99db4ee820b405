"""The cluster's keys, for a command; a token that is none is an error that says where it is."""

from __future__ import annotations

from trio_dask.comm import Keys, keys_from_token
from trio_dask.config import Config, load_settings, token_path


def own_keys(token: str, config: Config) -> Keys:
    """The keys of the token that `find_token` or `ensure_token` found.

    Raises:
        AuthenticationError: it is too weak, or no token at all.
    """
    origin = load_settings().origins.get("token", "the settings") if config.token else token_path()
    return keys_from_token(token, f"the token in {origin}")
