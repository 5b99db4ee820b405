"""Files that carry the cluster's token: nobody but their owner may read them."""

from __future__ import annotations

import os
import secrets
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from trio_dask.errors import AuthenticationError

if TYPE_CHECKING:
    from pathlib import Path


def read_private(path: Path) -> str:
    """The file's text.

    Raises:
        AuthenticationError: others than its owner can read or change it.
        OSError: it is not there, or cannot be read.
        ValueError: it is no text.
    """
    with path.open(encoding="utf-8") as file:
        status = os.fstat(file.fileno())
        mode = stat.S_IMODE(status.st_mode)
        if os.name == "posix" and mode & 0o077:
            msg = (
                f"{path} holds a secret but others can read it (mode {mode:04o}); chmod 600 {path}"
            )
            raise AuthenticationError(msg)
        return file.read()


def write_private(path: Path, content: str) -> None:
    """Put the file there, complete and for its owner only, replacing what was there."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        create_private(draft, content)
        draft.replace(path)
    except BaseException as error:
        with suppress(OSError):
            draft.unlink()
        if isinstance(error, OSError):  # the draft is nobody's business
            raise OSError(error.errno, error.strerror, str(path)) from error  # noqa: ASYNC104
        raise


def create_private(path: Path, content: str) -> None:
    """Make the file, for its owner only.

    Raises:
        FileExistsError: it is already there.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
