"""A slow line between two hosts: what compression saves. ``python -m bench.line [MBIT ...]``.

Two network namespaces, which end with this process, and between them so many megabits a second; in
one a worker, in the other scheduler and client. Linux, with `unshare`, `ip` and `tc`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import Any, Final

import numpy as np

NBYTES: Final = 32 << 20
#: What was measured first is not counted: that is when the line is found to be slow.
REPEATS: Final = 3
SETTINGS: Final = ("none", "auto", "lz4", "zstd")
_WALLS: Final = (
    "unshare", "--user", "--map-root-user", "--net", "--mount", "--pid", "--fork", "--kill-child",
    "--mount-proc",
)  # fmt: skip
_LINE: Final = """
mount -t tmpfs tmpfs /run && ip netns add head && ip netns add node &&
ip link add eth0 netns head type veth peer name eth0 netns node &&
ip -n head addr add 10.0.0.1/24 dev eth0 && ip -n node addr add 10.0.0.2/24 dev eth0 &&
ip -n head link set eth0 up && ip -n node link set eth0 up &&
ip -n head link set lo up && ip -n node link set lo up &&
ip netns exec head tc qdisc add dev eth0 root tbf rate {rate}mbit burst 1mb latency 50ms &&
ip netns exec node tc qdisc add dev eth0 root tbf rate {rate}mbit burst 1mb latency 50ms
"""


def values(kind: str, seed: int) -> Any:
    """An array as there are many: of counts, of measured numbers, or of noise."""
    chance = np.random.default_rng(seed)
    if kind == "counts":
        return chance.poisson(20, NBYTES // 8)
    if kind == "steps":
        return np.cumsum(chance.normal(size=NBYTES // 8).round(2))
    return chance.random(NBYTES // 8)


def measure() -> None:
    """In the client's host: what a second moves, each way."""
    from trio_dask import Client

    with Client("tcp://10.0.0.1:8786") as client:
        client.wait_for_workers(1, timeout=60)
        for kind in ("counts", "steps", "noise"):
            down, up = [], []
            for seed in range(REPEATS + 1):
                future = client.submit(values, kind, seed)
                client.submit(len, future).result()
                began = time.perf_counter()
                array = future.result()
                down.append(time.perf_counter() - began)
                began = time.perf_counter()
                there = client.scatter(array)
                up.append(time.perf_counter() - began)
                del there, future
            rates = [NBYTES / min(each[1:]) / 1e6 for each in (down, up)]
            print(f"{kind}\t{rates[0]:.1f}\t{rates[1]:.1f}", flush=True)


def at(host: str, *words: str, **environ: str) -> subprocess.Popen[bytes]:
    """A command on one of the two hosts."""
    return subprocess.Popen(["ip", "netns", "exec", host, *words], env={**os.environ, **environ})


def main(rates: list[int]) -> None:
    """In namespaces of our own: all settings, one after the other."""
    python = sys.executable
    for rate in rates:
        subprocess.run(["sh", "-c", _LINE.format(rate=rate)], check=True)
        for setting in SETTINGS:
            print(
                f"# {rate} Mbit/s, comm.compression = {setting}: MB/s to client, to worker",
                flush=True,
            )
            environ = {
                "TRIO_DASK_COMM__COMPRESSION": setting,
                "TRIO_DASK_TOKEN": "0123456789abcdef" * 4,
            }
            scheduler = at(
                "head",
                python,
                "-m",
                "trio_dask",
                "scheduler",
                "--host",
                "10.0.0.1",
                "--no-dashboard",
                **environ,
            )
            worker = at(
                "node",
                python,
                "-m",
                "trio_dask",
                "worker",
                "tcp://10.0.0.1:8786",
                "--host",
                "10.0.0.2",
                "--nthreads",
                "1",
                "--nworkers",
                "1",
                **environ,
            )
            at("head", python, "-m", "bench.line", "measure", **environ).wait()
            for each in (worker, scheduler):
                each.terminate()
                each.wait()
        subprocess.run(["sh", "-c", "ip netns del head; ip netns del node"], check=True)


if __name__ == "__main__":
    if sys.argv[1:] == ["measure"]:
        measure()
    elif os.environ.get("BENCH_LINE"):
        main([int(each) for each in sys.argv[1:]] or [1000, 200])
    else:
        os.environ["BENCH_LINE"] = "here"
        os.execvp(_WALLS[0], [*_WALLS, sys.executable, "-m", "bench.line", *sys.argv[1:]])
