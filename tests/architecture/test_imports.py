"""What starting a process costs: modules that must not be loaded before they are needed."""

from __future__ import annotations

import subprocess
import sys

import pytest

#: What each of these must not load.
HEAVY = {
    "import trio_dask": [
        "trio",
        "anyio",
        "asyncio",
        "cyclopts",
        "psutil",
        "msgpack",
        "cloudpickle",
    ],
    "import trio_dask.messages": ["trio", "anyio", "asyncio", "cyclopts", "psutil", "cloudpickle"],
    "import trio_dask.config": ["trio", "anyio", "asyncio", "cyclopts", "psutil", "msgpack"],
    "import trio_dask.cli": ["trio", "anyio", "asyncio", "cyclopts", "msgpack"],
    "import trio_dask.cli.app": ["trio", "anyio", "msgpack", "starlette", "hypercorn", "psutil"],
    "import trio_dask.cli.scheduler": ["starlette", "hypercorn", "cloudpickle", "psutil"],
    "import trio_dask.cli.worker": ["starlette", "hypercorn", "cloudpickle"],
}


@pytest.mark.processes
@pytest.mark.parametrize("statement", HEAVY)
def test_nothing_is_loaded_before_its_time(statement: str) -> None:
    """Each statement, in a fresh interpreter, leaves the listed modules alone."""
    probe = f"{statement}; import sys; print(*sorted({HEAVY[statement]!r} & sys.modules.keys()))"
    probe = probe.replace("[", "{").replace("]", "}")
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
