"""Dask's names of settings, for people who look for them here."""

from __future__ import annotations

from typing import Final

_NOT_NEEDED: Final = "nothing of that is needed here"

#: What Dask calls it, without ``distributed.`` in front, and what it is here: the name of a
#: setting, or, with a space in it, a reason why there is none.
DASKS: Final[dict[str, str]] = {
    "temporary_directory": "worker.local_directory",
    "scheduler.allowed_failures": "scheduler.allowed_failures",
    "scheduler.worker_ttl": "scheduler.worker_ttl",
    "scheduler.idle_timeout": "scheduler.idle_timeout",
    "scheduler.preload": "the option --preload of trio-dask scheduler",
    "scheduler.worker_saturation": "scheduler.window_horizon",
    "scheduler.bandwidth": "nothing: it is measured",
    "scheduler.blocked_handlers": "nothing: a scheduler runs no code of its clients",
    "scheduler.pickle": "nothing: a scheduler never unpickles anything",
    "scheduler.work_stealing": "nothing: work waits at the scheduler until it is about to run",
    "scheduler.work_stealing_interval": "nothing: work waits at the scheduler until it is about to run",
    "scheduler.dashboard.status.task_stream_length": _NOT_NEEDED,
    "scheduler.http.routes": _NOT_NEEDED,
    "worker.preload": "worker.preload",
    "worker.resources": "worker.resources",
    "worker.lifetime.duration": "worker.lifetime",
    "worker.lifetime.stagger": "worker.lifetime_stagger",
    "worker.lifetime.restart": "worker.lifetime_restart",
    "worker.daemon": _NOT_NEEDED,
    "worker.multiprocessing_method": _NOT_NEEDED,
    "worker.connections.outgoing": _NOT_NEEDED,
    "worker.connections.incoming": _NOT_NEEDED,
    "worker.use_file_locking": _NOT_NEEDED,
    "worker.memory.target": "worker.memory.target",
    "worker.memory.spill": "worker.memory.spill",
    "worker.memory.pause": "worker.memory.pause",
    "worker.memory.terminate": "worker.memory.terminate",
    "worker.memory.transfer": "worker.fetch_bytes_max, in bytes",
    "worker.transfer.message_bytes_limit": "worker.fetch_bytes_max",
    "worker.memory.max_spill": "worker.memory.max_spill",
    "worker.memory.monitor_interval": "worker.memory.interval",
    "worker.memory.spill_compression": _NOT_NEEDED,
    "worker.memory.recent_to_old_time": _NOT_NEEDED,
    "nanny.environ": "the environment that the worker is started in",
    "nanny.pre_spawn_environ": "the environment that the worker is started in",
    "nanny.preload": "the option --preload-nanny of trio-dask worker",
    "client.heartbeat": _NOT_NEEDED,
    "client.scheduler_info_interval": _NOT_NEEDED,
    "comm.timeouts.connect": "comm.connect_timeout",
    "comm.timeouts.tcp": "nothing: a peer that is gone is noticed within half a minute",
    "comm.default_scheme": "scheduler.protocol",
    "comm.require_encryption": "comm.tls.required",
    "comm.compression": "comm.compression",
    "comm.offload": _NOT_NEEDED,
    "comm.retry.count": _NOT_NEEDED,
    "comm.socket_backlog": _NOT_NEEDED,
    "comm.tls.ca_file": "comm.tls.ca_file",
    "comm.tls.ciphers": "nothing: TLS 1.2 and 1.3 with what the system's library holds to be good",
    "comm.tls.min_version": "nothing: 1.2, and 1.3 where both sides have it",
    **{
        f"comm.tls.{role}.{name}": f"comm.tls.{name}"
        for role in ("scheduler", "worker", "client")
        for name in ("cert", "key")
    },
    "dashboard.link": "client.dashboard_link, which the scheduler knows",
    "admin.log_format": "log_format",
    "admin.event_loop": "nothing: servers run on Trio",
    "admin.tick.interval": _NOT_NEEDED,
    "adaptive.minimum": "cluster.adapt(minimum=…)",
    "adaptive.maximum": "cluster.adapt(maximum=…)",
    "adaptive.interval": "cluster.adapt(interval=…)",
    "adaptive.wait_count": "cluster.adapt(wait_count=…)",
    "deploy.lost_worker_timeout": "nothing: a worker process that dies is started again at once",
}
_PREFIX: Final = "distributed."


def equivalent(name: str) -> str:
    """What a name of Dask's is here; empty if Dask has none of that name.

    >>> equivalent("distributed.comm.timeouts.connect")
    'comm.connect_timeout'
    """
    bare = name.replace("-", "_").lower().removeprefix(_PREFIX)
    return DASKS.get(bare, "")
