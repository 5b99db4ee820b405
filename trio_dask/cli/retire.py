"""``trio-dask retire``."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from trio_dask.errors import ConfigError, TrioDaskError


def retire(
    scheduler: str,
    /,
    *workers: str,
    n: Annotated[int | None, Parameter(name="-n")] = None,
) -> None:
    """Have workers leave, and wait until they have.

    What only they hold moves to others first. Without names, and without `-n`, those leave
    that do nothing and whose memory is not needed.

    Args:
        scheduler: Where the scheduler is, as `tcp://192.0.2.10:8786`.
        workers: Which, by name or address.
        n: So many, those first that have least to do.
    """
    if workers and n is not None:
        msg = "name the workers, or give their number with -n, not both"
        raise ConfigError(msg)
    if n is not None and n < 1:
        msg = f"-n: {n} workers; give at least 1"
        raise ConfigError(msg)
    from trio_dask.client import Client

    with Client(scheduler) as client:
        try:
            retired = client.retire_workers(list(workers) or None, n=n)
        except ValueError as error:
            raise TrioDaskError(str(error)) from error
    for address, worker in retired.items():
        name = worker.get("name", address)
        print(address if name == address else f"{name} {address}")
    wanted = len(dict.fromkeys(workers)) if n is None else n
    if len(retired) < wanted:
        msg = f"{len(retired)} of {wanted} workers have left"
        raise TrioDaskError(msg)
