"""Which client dask's collections are computed with if nothing is said: the last one opened.

Dask looks for it in its configuration, which is one for the whole process. It need not have
been imported for that, and is not by this.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Final

from trio_dask.runner import when_imported

if TYPE_CHECKING:
    from types import ModuleType

_SCHEDULER: Final = "scheduler"
#: Without a choice, dask shuffles dataframes through files of one machine.
_SHUFFLE: Final = ("dataframe", "shuffle", "method")
_TASKS: Final = "tasks"

_lock: Final = threading.RLock()
_opened: Final[list[Any]] = []
#: Dask's configuration, once it is there.
_config: dict[str, Any] | None = None
_is_awaited = _is_offered = False
#: Whether the way to shuffle is of our choice.
_shuffle_is_ours = False


def offer() -> None:
    """There is a client: joblib, once it is imported, can use one."""
    global _is_offered  # noqa: PLW0603 - of the process, as joblib's backends are
    with _lock:
        if not _is_offered:
            _is_offered = True
            when_imported("joblib", _register)


def _register(joblib: ModuleType) -> None:
    joblib.register_parallel_backend("trio_dask", _new_backend)


def _new_backend(**options: Any) -> Any:
    # Not before it is used: this may be the moment in which its module imports joblib.
    from trio_dask.client.joblib import TrioDaskBackend

    return TrioDaskBackend(**options)


def opened(client: Any) -> None:
    """From now on it is this one."""
    global _is_awaited  # noqa: PLW0603 - of the process, as dask's configuration is
    with _lock:
        _opened.append(client)
        if not _is_awaited:
            _is_awaited = True
            when_imported("dask.config", _arrived)
        _choose()


def closed(client: Any) -> None:
    """It is another one from now on, or none, if it was this one."""
    with _lock:
        if any(each is client for each in _opened):
            _opened[:] = [each for each in _opened if each is not client]
            _choose(client)


def _arrived(module: ModuleType) -> None:
    global _config  # noqa: PLW0603
    with _lock:
        _config = module.config
        _choose()


def _choose(closed_now: Any = None) -> None:
    global _shuffle_is_ours  # noqa: PLW0603
    config = _config
    if config is None:
        return
    present = config.get(_SCHEDULER)
    ours = present is None or present is closed_now or any(present is each for each in _opened)
    if ours:  # else the user has chosen something else
        if _opened:
            config[_SCHEDULER] = _opened[-1]
        else:
            config.pop(_SCHEDULER, None)
    *path, last = _SHUFFLE
    place = config
    for name in path:
        place = place.setdefault(name, {})
    if _opened and place.get(last) is None:
        place[last], _shuffle_is_ours = _TASKS, True
    elif not _opened and _shuffle_is_ours:
        _shuffle_is_ours = False
        if place.get(last) == _TASKS:
            place[last] = None
