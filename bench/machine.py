"""The machine and the versions that figures belong to."""

from __future__ import annotations

import os
import platform
import socket
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from time import perf_counter
from typing import Any, Final

import psutil

_PACKAGES: Final = ("trio-dask", "trio", "anyio", "msgpack", "distributed", "dask", "cloudpickle")
_LOOPS: Final = 1_000_000
_ECHOES: Final = 2_000
_TRIES: Final = 3
#: A process that gives back what it is sent, byte by byte.
_ECHO: Final = """
import socket, sys
peer = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
while said := peer.recv(1):
    peer.sendall(said)
"""


def speeds() -> dict[str, float]:
    """How fast the machine is, now: figures of one machine, or moment, differ from another's by it.

    A plain loop says it for what is computed; an echo, over loopback between two processes, for
    what waits for another process.
    """
    return {"loops/s": loops_per_second(), "echoes/s": echoes_per_second()}


def loops_per_second() -> float:
    """How fast a plain loop is: the best of some tries."""
    return max(_loop() for _ in range(_TRIES))


def _loop() -> float:
    began = perf_counter()
    count = 0
    for number in range(_LOOPS):
        count += number & 1
    assert count == _LOOPS // 2
    return _LOOPS / (perf_counter() - began)


def echoes_per_second() -> float:
    """How often a second a byte goes to another process and comes back: the best of some tries."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        other = subprocess.Popen((sys.executable, "-I", "-S", "-c", _ECHO, str(port)))
        try:
            peer, _ = listener.accept()
            with peer:
                peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return max(_echo(peer) for _ in range(_TRIES))
        finally:
            other.wait()


def _echo(peer: socket.socket) -> float:
    began = perf_counter()
    for _ in range(_ECHOES):
        peer.sendall(b".")
        assert peer.recv(1) == b"."
    return _ECHOES / (perf_counter() - began)


def facts() -> dict[str, Any]:
    """What to know of the machine, now."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "system": platform.platform(),
        "processor": platform.machine(),
        "cpus": len(psutil.Process().cpu_affinity())
        if hasattr(psutil.Process, "cpu_affinity")
        else os.cpu_count(),
        "memory GiB": round(psutil.virtual_memory().total / 2**30, 1),
        "load": [round(each, 2) for each in os.getloadavg()],
        "python": platform.python_version(),
        "versions": dict(_versions()),
    }


def _versions() -> Any:
    for package in _PACKAGES:
        try:
            yield package, version(package)
        except PackageNotFoundError:
            continue
