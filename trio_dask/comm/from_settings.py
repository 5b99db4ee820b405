"""The keys of the token that the settings have; one that is none is an error that says where."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Final

from trio_dask.comm.auth import Keys, keys_from_token
from trio_dask.comm.compression import offered
from trio_dask.comm.tls import Security, Tls
from trio_dask.config import Config, load_settings, read_tokens, token_path
from trio_dask.errors import AuthenticationError

if TYPE_CHECKING:
    from pathlib import Path


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
        ConfigError: certificates are asked for that there are not, or a way to compress.
    """
    compression = config.comm.compression
    offered(compression)
    security = Security.of(config.comm.tls) if security is None else security
    tls = Tls(security) if security else None
    if origin:
        return keys_from_token(token, origin, tls=tls, compression=compression)
    try:
        keys = keys_from_token(token, tls=tls, compression=compression)
        return keys if config.token else TokenFile(token_path(), keys)()
    except AuthenticationError:
        # Only now is it worth the while to look where it is from.
        place: object = token_path()
        if config.token:
            place = load_settings().origins.get("token", "the settings")
        return keys_from_token(token, f"the token in {place}")


class TokenFile:
    """The keys of the user's token file, as it is by now; it is looked at for each connection.

    While there is none of use in it, those of before are.
    """

    def __init__(self, path: Path, keys: Keys) -> None:
        self._path: Final = path
        self._keys = replace(keys, renew=self)
        self._seen: object = None
        #: Until when each of the former ones is accepted.
        self._until: tuple[float, ...] = ()

    def __call__(self) -> Keys:
        """The keys."""
        now, state = datetime.now(UTC).timestamp(), self._state()
        if state != self._seen:
            self._seen = state
            try:
                self._read()
            except AuthenticationError as error:
                logging.getLogger("trio_dask.comm").warning(
                    "the token stays what it was: %s", error
                )
        if self._until and now >= min(self._until):
            left = [
                each for each in zip(self._keys.former, self._until, strict=True) if each[1] > now
            ]
            self._keys = replace(self._keys, former=tuple(keys for keys, _ in left))
            self._until = tuple(until for _, until in left)
        return self._keys

    def _state(self) -> object:
        """Changes when the file does."""
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino

    def _read(self) -> None:
        tokens, origin = read_tokens(self._path), f"the token in {self._path}"
        make = partial(
            keys_from_token,
            origin=origin,
            tls=self._keys.tls,
            compression=self._keys.compression,
        )
        former = tuple(make(each) for each, _ in tokens.former)
        self._keys = replace(make(tokens.token), former=former, renew=self)
        self._until = tuple(until for _, until in tokens.former)
