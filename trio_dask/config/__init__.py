"""Settings: frozen, built once at the edge; defaults < TOML < environment < arguments."""

from trio_dask.config.dasks import equivalent
from trio_dask.config.loading import (
    Loaded,
    Setting,
    config_directory,
    known_settings,
    load_config,
    load_settings,
    near_hint,
)
from trio_dask.config.machine import cpu_count, memory_bytes
from trio_dask.config.outputs import (
    STDERR,
    STDOUT,
    errors_are_ours,
    is_seen,
    places,
    to_tell,
)
from trio_dask.config.ports import Ports, parse_ports, port_choices, ports_text
from trio_dask.config.private_files import read_private, write_private
from trio_dask.config.scheduler_file import (
    SchedulerFile,
    read_scheduler_file,
    write_scheduler_file,
)
from trio_dask.config.settings import (
    AUTO,
    ClientConfig,
    CommConfig,
    Config,
    MemoryConfig,
    SchedulerConfig,
    TlsConfig,
    WorkerConfig,
    complete_worker,
)
from trio_dask.config.token import (
    Tokens,
    ensure_token,
    find_token,
    forget_token,
    known_token,
    new_token,
    read_tokens,
    remember_token,
    replace_token,
    token_path,
)
from trio_dask.config.units import format_bytes, parse_bytes, parse_seconds

__all__ = [
    "AUTO",
    "STDERR",
    "STDOUT",
    "ClientConfig",
    "CommConfig",
    "Config",
    "Loaded",
    "MemoryConfig",
    "Ports",
    "SchedulerConfig",
    "SchedulerFile",
    "Setting",
    "TlsConfig",
    "Tokens",
    "WorkerConfig",
    "complete_worker",
    "config_directory",
    "cpu_count",
    "ensure_token",
    "equivalent",
    "errors_are_ours",
    "find_token",
    "forget_token",
    "format_bytes",
    "is_seen",
    "known_settings",
    "known_token",
    "load_config",
    "load_settings",
    "memory_bytes",
    "near_hint",
    "new_token",
    "parse_bytes",
    "parse_ports",
    "parse_seconds",
    "places",
    "port_choices",
    "ports_text",
    "read_private",
    "read_scheduler_file",
    "read_tokens",
    "remember_token",
    "replace_token",
    "to_tell",
    "token_path",
    "write_private",
    "write_scheduler_file",
]
