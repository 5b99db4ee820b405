"""What workers may be called: names are in lines of logs, in addresses of pages, on command lines."""

from __future__ import annotations

import re
from typing import Final

from trio_dask.errors import ConfigError

#: Longer than any host, job or user, and still less than a line.
NAME_MAX: Final = 100
#: Neither what a shell, a path, an address of a page or a list by commas would take for its own,
#: nor what begins like an option.
_NAME: Final = re.compile(r"\w[\w.:@+=\[\]-]*")


def worker_name(raw: object) -> str:
    """A worker's name, or what those of several begin with; empty: its address.

    >>> worker_name("rack-3:gpu")
    'rack-3:gpu'

    Raises:
        ConfigError: it is none.
    """
    if isinstance(raw, int) and not isinstance(raw, bool):
        raw = str(raw)
    if raw == "":
        return ""
    if isinstance(raw, str) and len(raw) > NAME_MAX:
        msg = f"{raw[:20]!r}… has {len(raw)} characters; a name of a worker has at most {NAME_MAX}"
        raise ConfigError(msg)
    if not isinstance(raw, str) or not _NAME.fullmatch(raw):
        msg = (
            f"{raw!r} is no name of a worker: it has letters, digits, and . - _ : @ + = [ ], and "
            "begins with a letter, a digit or _"
        )
        raise ConfigError(msg)
    return raw
