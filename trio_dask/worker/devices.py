"""Which of the host's GPUs each worker of this process has: CUDA shows its runner no others."""

from __future__ import annotations

import itertools
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from trio_dask.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: The resource whose whole units are devices, and where CUDA looks for which there are.
RESOURCE: Final = "GPU"
VARIABLE: Final = "CUDA_VISIBLE_DEVICES"


class Devices:
    """Lends devices to workers, each to one of them at a time.

    Args:
        resources: what each worker has; whole units of `RESOURCE` are devices.
        visible: those that this process sees, as CUDA is told; None: all, by their numbers.
    """

    def __init__(self, resources: Mapping[str, float], visible: str | None) -> None:
        units = resources.get(RESOURCE, 0)
        self._each: Final = int(units) if units == int(units) else 0
        self._visible: Final = None if visible is None else visible.split(",")
        self._lent: set[str] = set()

    @contextmanager
    def lent(self) -> Iterator[dict[str, str]]:
        """Those of one worker, as variables of its runners, as long as the block lasts.

        >>> devices = Devices({"GPU": 2}, None)
        >>> with devices.lent() as one, devices.lent() as other:
        ...     one["CUDA_VISIBLE_DEVICES"], other["CUDA_VISIBLE_DEVICES"]
        ('0,1', '2,3')

        Raises:
            ConfigError: there are not so many.
        """
        if not self._each:
            yield {}
            return
        names = (
            map(str, itertools.count()) if self._visible is None else map(str.strip, self._visible)
        )
        free = (name for name in names if name and name not in self._lent)
        taken = list(itertools.islice(free, self._each))
        if len(taken) < self._each:
            msg = (
                f"worker.resources: {RESOURCE}={self._each} for each worker is more than "
                f"{VARIABLE}={','.join(self._visible or ())} has"
            )
            raise ConfigError(msg)
        self._lent.update(taken)
        try:
            yield {VARIABLE: ",".join(taken)}
        finally:
            self._lent.difference_update(taken)


def devices_here(resources: Mapping[str, float]) -> Devices:
    """Those of this process."""
    return Devices(resources, os.environ.get(VARIABLE))
