"""The cluster's token: where it is found, and how it is made.

Whoever has it may use the cluster, so it is never an argument of a command, and its
file belongs to its owner alone.
"""

from __future__ import annotations

import secrets
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from trio_dask.config.loading import config_directory
from trio_dask.config.private_files import create_private, read_private, write_private
from trio_dask.errors import AuthenticationError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from trio_dask.config.settings import Config

_BYTES: Final = 32
#: So many that were replaced are accepted at most, the latest.
_FORMER_MAX: Final = 4


@dataclass(frozen=True, slots=True)
class Tokens:
    """The token, and those that it has replaced, with the times until which they are accepted."""

    token: str = field(repr=False)
    former: tuple[tuple[str, float], ...] = field(default=(), repr=False)


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
    token = read_tokens(path).token
    if not token:
        msg = (
            "no token of a cluster: run `trio-dask token show` where the scheduler runs, "
            f"and set TRIO_DASK_TOKEN to what it prints, or put it into {path} (mode 0600); "
            "where there is no scheduler yet, `trio-dask token new` makes one"
        )
        raise AuthenticationError(msg)
    return token


def read_tokens(path: Path) -> Tokens:
    """What is in a token file; without one there is none.

    Raises:
        AuthenticationError: others can read it, or it is none.
    """
    try:
        first, *rest = read_private(path).strip().splitlines() or [""]
    except FileNotFoundError:
        return Tokens("")
    except AuthenticationError:  # an OSError too, and it says all there is to say
        raise
    except OSError as error:
        msg = f"cannot read the token file {path}: {error.strerror}"
        raise AuthenticationError(msg) from error
    except ValueError as error:
        msg = f"the token file {path} holds no text"
        raise AuthenticationError(msg) from error
    return Tokens(first.strip(), tuple(_former(line, path) for line in rest if line.strip()))


def _former(line: str, path: Path) -> tuple[str, float]:
    token, _, until = line.strip().partition(" ")
    try:
        return token, datetime.fromisoformat(until).timestamp()
    except ValueError:
        msg = (
            f"the token file {path} holds a second token without the time until which it is "
            "accepted; `trio-dask token rotate` writes such lines"
        )
        raise AuthenticationError(msg) from None


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


def replace_token(
    *, path: Path | None = None, token: str = "", accept_former_s: float = 0.0
) -> str:
    """A new token in the user's file, in place of any there, which may be accepted for a while.

    Raises:
        AuthenticationError: what is there cannot be read.
    """
    path = token_path() if path is None else path
    token = token or new_token()
    former: dict[str, float] = {}
    if accept_former_s > 0:
        before, now = read_tokens(path), datetime.now(UTC).timestamp()
        former = {before.token: now + accept_former_s} if before.token else {}
        former |= {each: until for each, until in before.former if until > now}
        former.pop(token, None)
    lines = [token]
    for each, until in list(former.items())[:_FORMER_MAX]:
        lines.append(f"{each} {datetime.fromtimestamp(until, UTC).isoformat(timespec='seconds')}")
    with _explained(path):
        _make_directory(path.parent)
        write_private(path, "\n".join(lines) + "\n")
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
