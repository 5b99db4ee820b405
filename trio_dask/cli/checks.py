"""Values that make no sense whatever else is said: one line with the option, before anything starts."""

from __future__ import annotations

import re
import socket
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from trio_dask.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cyclopts import Token

_NAMED: Final = re.compile(r"^([a-z_]+)=")
#: Errors of who looks hosts up that say nothing about the host.
_ASK_AGAIN: Final = {socket.EAI_AGAIN, socket.EAI_MEMORY, socket.EAI_SYSTEM}


def visible(_kind: Any, value: Any) -> None:
    """Whether every character of a value can be seen; what validates all options, also those
    that take any text: a name with a line break in it would be two lines of every log.

    Raises:
        ValueError: it has others; the command line's parser names the option and the value.
    """
    for each in value if isinstance(value, list | tuple) else (value,):
        if isinstance(each, str | Path) and not str(each).isprintable():
            msg = "It would be more than one line, or has characters that cannot be seen."
            raise ValueError(msg)


def some_path(_kind: Any, tokens: Sequence[Token]) -> Path:
    """A path, and not the text of nothing that a shell makes of a variable which is not set: that
    would be the directory where one is.

    Raises:
        ValueError: it is empty; the command line's parser names what it was given to.
    """
    if not tokens[0].value:
        msg = "The path is empty; write . for the directory where you are."
        raise ValueError(msg)
    return Path(tokens[0].value)


@contextmanager
def given_to(option: str) -> Iterator[None]:
    """What is found to be wrong in there was given to this option, which the error then names."""
    try:
        yield
    except ConfigError as error:
        msg = f"{option}: {error}"
        raise ConfigError(msg) from error


@contextmanager
def as_options() -> Iterator[None]:
    """Errors that begin with an argument's name, as ``n_x=1``, begin with the option's: ``--n-x 1``."""
    try:
        yield
    except ConfigError as error:
        msg = _NAMED.sub(lambda found: f"--{found[1].replace('_', '-')} ", str(error))
        raise ConfigError(msg) from error


def check_directory_of(path: Path | None, option: str) -> None:
    """A file is to be written there, later: the directory has to be there already.

    Raises:
        ConfigError: it is not.
    """
    if path is None:
        return
    if path.is_dir():
        msg = f"{option}: {path} is a directory; give the path of a file"
        raise ConfigError(msg)
    if not path.parent.is_dir():
        msg = f"{option}: {path} cannot be written: there is no directory {path.parent}"
        raise ConfigError(msg)


def check_file(path: Path | None, option: str) -> None:
    """A file is to be read: it has to be there.

    Raises:
        ConfigError: it is not.
    """
    if path is not None and not path.is_file():
        msg = f"{option}: there is no file {path}"
        raise ConfigError(msg)


def check_scratch(path: Path | None, option: str = "--local-directory") -> None:
    """A directory is to be written into; where there is none it is made, below one that is there.

    Raises:
        ConfigError: something else is in its place.
    """
    if path is None:
        return
    for each in (path, *path.absolute().parents):
        if each.is_dir():
            return
        if each.exists():
            msg = f"{option}: {path} cannot be a directory: {each} is a file"
            raise ConfigError(msg)


def check_word(text: str | None, option: str, what: str) -> None:
    """One word, that is no option of somebody else's.

    Raises:
        ConfigError: it is more, or looks like one.
    """
    if text is not None and (not text or text.startswith("-") or len(text.split()) != 1):
        msg = f"{option}: {text!r} is no {what}"
        raise ConfigError(msg)


def check_hosts(hosts: str, given_as: str) -> None:
    """Where there is to be listened can be looked up; several hosts are separated by commas.

    A name server that does not answer may do so when it is asked again, so that is not found to
    be wrong here.

    Raises:
        ConfigError: nobody knows a host.
    """
    for host in filter(None, map(str.strip, hosts.split(","))):
        if said := _why_unknown(host):
            msg = (
                f"{given_as}: the host {host!r} cannot be resolved: {said}; give a name or an "
                "address of this machine"
            )
            raise ConfigError(msg)


def _why_unknown(host: str) -> str:
    """Why nobody knows a host; empty if somebody does, or may if asked again."""
    try:
        socket.getaddrinfo(host, None)
    except UnicodeError:
        return "it is no name of a host"
    except socket.gaierror as error:
        return "" if error.errno in _ASK_AGAIN else str(error.strerror)
    return ""
