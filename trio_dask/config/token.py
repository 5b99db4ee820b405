"""The cluster's token: where it is found, and how it is made.

Whoever has it may use the cluster, so it is never an argument of a command, and its
file belongs to its owner alone.
"""

from __future__ import annotations

import secrets
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from trio_dask.config.loading import config_directory
from trio_dask.config.private_files import create_private, read_private, write_private
from trio_dask.errors import AuthenticationError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from trio_dask.config.settings import Config

_BYTES: Final = 32


def new_token() -> str:
    """A token nobody can guess: 256 bits, as text."""
    return secrets.token_urlsafe(_BYTES)


def token_path() -> Path:
    """The user's token file."""
    return config_directory() / "token"


def find_token(config: Config | None = None, *, path: Path | None = None) -> str:
    """The token to use: ``TRIO_DASK_TOKEN``, else the user's token file.

    Raises:
        AuthenticationError: there is none, or others can read it.
    """
    if config is not None and config.token:
        return config.token
    path = token_path() if path is None else path
    try:
        token = read_private(path).strip()
    except FileNotFoundError:
        token = ""
    except AuthenticationError:  # an OSError too, and it says all there is to say
        raise
    except OSError as error:
        msg = f"cannot read the token file {path}: {error.strerror}"
        raise AuthenticationError(msg) from error
    except ValueError as error:
        msg = f"the token file {path} holds no text"
        raise AuthenticationError(msg) from error
    if not token:
        msg = (
            "no token of a cluster: run `trio-dask token show` where the scheduler runs, "
            f"and set TRIO_DASK_TOKEN to what it prints, or put it into {path} (mode 0600); "
            "where there is no scheduler yet, `trio-dask token create` makes one"
        )
        raise AuthenticationError(msg)
    return token


def ensure_token(config: Config | None = None, *, path: Path | None = None) -> str:
    """The token to use, made now if there is none; only what starts a cluster calls this."""
    path = token_path() if path is None else path
    if config is not None and config.token:
        return config.token
    with _explained(path):
        _make_directory(path.parent)
        with suppress(FileExistsError):
            create_private(path, new_token() + "\n")
    return find_token(path=path)


def replace_token(*, path: Path | None = None) -> str:
    """A new token in the user's file, in place of any there."""
    path = token_path() if path is None else path
    token = new_token()
    with _explained(path):
        _make_directory(path.parent)
        write_private(path, token + "\n")
    return token


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        msg = f"cannot write the token file {path}: {error.strerror}; TRIO_DASK_TOKEN needs none"
        raise AuthenticationError(msg) from error


def _make_directory(directory: Path) -> None:
    directory.parent.mkdir(parents=True, exist_ok=True)
    directory.mkdir(mode=0o700, exist_ok=True)


#: Of clusters that this process has started and nobody else knows, by address.
_own: Final[dict[str, str]] = {}


def remember_token(address: str, token: str) -> None:
    """This process has started a cluster there: its clients find the token by the address."""
    _own[address] = token


def forget_token(address: str) -> None:
    """That cluster is gone."""
    _own.pop(address, None)


def known_token(address: str) -> str:
    """The token of a cluster that this process has started there; empty if there is none."""
    return _own.get(address, "")
