"""What is installed in a process."""

from __future__ import annotations

import sys
from typing import Any, Final

#: What client and workers have to agree on, as far as they have it.
PACKAGES: Final = ("trio-dask", "cloudpickle", "msgpack", "trio", "numpy", "pandas", "dask")


def versions(packages: list[str]) -> dict[str, Any]:
    """The versions of Python and of these packages; None where one is not installed."""
    from importlib.metadata import PackageNotFoundError, version

    found: dict[str, Any] = {"python": ".".join(map(str, sys.version_info[:3]))}
    for name in packages:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found
