"""A directory for tasks to write to, that goes with its process, also if that is killed.

A process holds a lock on its directory, which ends with the process however that ends.
What nobody holds is purged by the next one that starts.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import tempfile
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Final

from trio_dask.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

_PREFIX: Final = "trio-dask-worker-"

logger: Final = logging.getLogger("trio_dask.worker")


@contextlib.contextmanager
def scratch_directory(parent: str) -> Iterator[str]:
    """A directory of this process, in `parent` or where temporary files are.

    Raises:
        ConfigError: it cannot be made.
    """
    try:
        base = Path(parent or tempfile.gettempdir())
        base.mkdir(parents=True, exist_ok=True)
        _purge(base)
        made, lock = _make(base)
    except OSError as error:
        at = error.filename or parent
        msg = f"worker.local_directory: {at} cannot be made: {error.strerror or error}"
        raise ConfigError(msg) from error
    try:
        yield str(made)
    finally:
        shutil.rmtree(made, ignore_errors=True)
        os.close(lock)


def _make(base: Path) -> tuple[Path, int]:
    """A new directory, and the descriptor that locks it."""
    import fcntl

    while True:
        made = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=base))
        try:
            lock = os.open(made, os.O_RDONLY)
        except FileNotFoundError:
            continue  # somebody who purges was quicker than we
        # Where directories cannot be locked (NFS) nobody can mistake this one for left behind.
        with contextlib.suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if _is_at(made, lock):
            return made, lock
        os.close(lock)  # somebody who purges was quicker than our lock


def _is_at(path: Path, fd: int) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(fd), path.lstat())
    return False


def _purge(base: Path) -> None:
    """Remove what killed processes have left; in the background, as it may be much."""
    dead = [(path, lock) for path in base.glob(f"{_PREFIX}*") if (lock := _lock_of_dead(path)) >= 0]
    if dead:
        logger.info("Purging what %d killed workers have left in %s", len(dead), base)
        Thread(target=_remove, args=(dead,), name="purge", daemon=True).start()


def _lock_of_dead(path: Path) -> int:
    """A lock on a directory of ours that nobody else has; -1 if there is any doubt."""
    import fcntl

    try:
        lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return -1
    try:
        if os.fstat(lock).st_uid == os.getuid():
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return lock
    except OSError:
        pass  # somebody has it, or it cannot be locked here
    os.close(lock)
    return -1


def _remove(dead: list[tuple[Path, int]]) -> None:
    for path, lock in dead:
        shutil.rmtree(path, ignore_errors=True)
        os.close(lock)
