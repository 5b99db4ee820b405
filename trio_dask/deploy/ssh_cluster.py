"""Clusters on machines that are reached by ssh, as objects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trio_dask.deploy.base import AsyncCluster, BlockingCluster, ClusterBase, show_line
from trio_dask.deploy.engine import Engine
from trio_dask.deploy.ssh import open_ssh_plan
from trio_dask.deploy.ssh_plan import plan_ssh

if TYPE_CHECKING:
    from collections.abc import Sequence


class _SSHCluster(ClusterBase):
    """What both have in common."""

    def __init__(self, hosts: Sequence[str], **options: Any) -> None:
        quiet = options.pop("quiet", True)
        plan = plan_ssh(hosts, **options)

        def on_line(who: str, line: str) -> None:
            if not quiet or " - INFO - " not in line:
                show_line(f"[ {who} ] : {line}")

        self._engine = Engine(plan, lambda: open_ssh_plan(plan, on_line))
        self._begin()


class SSHCluster(_SSHCluster, BlockingCluster):
    """A scheduler on the first of some hosts, a worker process on each of the others.

    >>> from trio_dask import Client
    >>> from trio_dask.deploy import SSHCluster
    >>> cluster = SSHCluster(["node-1", "node-1", "node-2"])  # doctest: +SKIP
    >>> client = Client(cluster)  # doctest: +SKIP

    The system's ``ssh`` is used, so hosts, keys and jumps are what `~/.ssh/config` says;
    nothing is ever asked for. On each host there is to be the same Python, with this package.
    All of it ends with the block, or with this program, whatever becomes of it.

    Args:
        hosts: where; a host may be there several times.
        connect_options: ``username``, ``port``, ``client_keys``, ``known_hosts``, ``config``,
            ``options`` of connections; one dictionary for all, or one for each.
        scheduler_options: options of ``trio-dask scheduler``, as ``{"port": 0}``.
        worker_options: options of ``trio-dask worker``, as ``{"nthreads": 2, "n_workers": 4}``.
        remote_python: the interpreter there; by default where this one is.
        name: what the workers' names begin with.
        start_timeout_s: how long the start may take.
        quiet: show warnings and errors of the servers only.

    Raises:
        ConfigError: an argument makes no sense.
        SchedulerUnreachable: a server did not start; the message has its last words.
        RuntimeError: a loop runs in this thread, which must not be blocked.
    """


class AsyncSSHCluster(_SSHCluster, AsyncCluster):
    """The same as `SSHCluster` for async code; ``async with`` starts it."""
