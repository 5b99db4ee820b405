"""Rooms are entered by their doors, and public names are pinned."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest

import trio_dask

PACKAGE = Path(trio_dask.__file__).parent

#: Islands inside a room that others may enter by themselves: a runner process, or a
#: pure core, must not load what stands beside them.
SIDE_DOORS = frozenset({
    "trio_dask.messages.cloud",
    "trio_dask.messages.culprit",
    "trio_dask.messages.agreeing",
    "trio_dask.messages.apart",
    "trio_dask.messages.exceptions",
    "trio_dask.messages.failure",
    "trio_dask.messages.foreign",
    "trio_dask.messages.ids",
    "trio_dask.messages.inputs",
    "trio_dask.messages.inquiring",
    "trio_dask.messages.kept",
    "trio_dask.messages.fleet",
    "trio_dask.messages.nested",
    "trio_dask.messages.large",
    "trio_dask.messages.payload",
    "trio_dask.messages.pickling",
    "trio_dask.messages.profiles",
    "trio_dask.messages.plugins",
    "trio_dask.messages.reunion",
    "trio_dask.messages.sealing",
    "trio_dask.messages.session",
    "trio_dask.messages.speech",
    "trio_dask.messages.tasks",
    "trio_dask.messages.tie",
    "trio_dask.messages.tracebacks",
    "trio_dask.messages.unpickling",
    "trio_dask.messages.values",
    "trio_dask.runner.chunks",
    "trio_dask.runner.graphs",
    "trio_dask.runner.versions",
})  # fmt: skip

#: What programs may rely on. A change here is a change for every user.
PUBLIC = {
    "trio_dask": [
        "AsyncClient",
        "AsyncEvent",
        "AsyncFuture",
        "AsyncLocalCluster",
        "AsyncLock",
        "AsyncMultiLock",
        "AsyncQueue",
        "AsyncSemaphore",
        "AsyncVariable",
        "AuthenticationError",
        "CancelledError",
        "Client",
        "CommError",
        "ConfigError",
        "DataLost",
        "Event",
        "Future",
        "HandshakeRefused",
        "KilledWorker",
        "LocalCluster",
        "LocalProtocolError",
        "Lock",
        "MultiLock",
        "NoValidWorkerError",
        "NoWorkerError",
        "PeerClosed",
        "Queue",
        "RemoteError",
        "RemoteProtocolError",
        "Reschedule",
        "SchedulerPlugin",
        "SchedulerUnreachable",
        "Security",
        "Semaphore",
        "SubmitError",
        "TaskCancelled",
        "TaskError",
        "TaskTimeout",
        "TrioDaskError",
        "Variable",
        "WorkerPlugin",
        "as_completed",
        "check_cancelled",
        "current_deadline",
        "fire_and_forget",
        "futures_of",
        "get_client",
        "get_task_stream",
        "get_worker",
        "performance_report",
        "print",
        "progress",
        "register_pickle_by_value",
        "register_serialization",
        "rejoin",
        "secede",
        "shield",
        "wait",
        "warn",
        "worker_client",
    ],
    "trio_dask.testing": ["Fault", "Simulation", "SimulationResult"],
    "trio_dask.config": [
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
    ],
    "trio_dask.deploy": [
        "AsyncJobQueueCluster",
        "AsyncLSFCluster",
        "AsyncLocalCluster",
        "AsyncPBSCluster",
        "AsyncSGECluster",
        "AsyncSLURMCluster",
        "AsyncSSHCluster",
        "ClusterHandle",
        "JobQueueCluster",
        "LSFCluster",
        "LocalCluster",
        "PBSCluster",
        "SGECluster",
        "SLURMCluster",
        "SSHCluster",
        "SSHPlan",
        "TaskStream",
        "get_task_stream",
        "job_script",
        "open_local_cluster",
        "open_ssh_plan",
        "performance_report",
        "plan_ssh",
        "thread_host",
    ],
    "trio_dask.cli": ["main"],
}


def room_of(name: str) -> str:
    """The room a dotted module name belongs to: its second part."""
    return ".".join(name.split(".")[:2])


def module_name(path: Path) -> str:
    """The dotted name of a source file of the package."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported_modules(path: Path) -> set[str]:
    """Every module of the package that a source file imports from, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found.add(node.module)
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {name for name in found if name.startswith("trio_dask.")}


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE))
)
def test_rooms_are_entered_by_their_doors(path: Path) -> None:
    """A module imports from another room's `__init__`, never from its insides."""
    own = module_name(path)
    deep = {
        name
        for name in imported_modules(path)
        if name.count(".") > 1 and room_of(name) != room_of(own) and name not in SIDE_DOORS
    }
    if own.startswith("trio_dask.testing"):  # tests and their tools may look inside
        return
    assert deep == set()


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_public_names_are_pinned(name: str) -> None:
    """`__all__` is what it was, sorted, and all of it is there."""
    module = importlib.import_module(name)
    assert module.__all__ == PUBLIC[name]
    assert all(hasattr(module, each) for each in PUBLIC[name])


@pytest.mark.parametrize("path", sorted(PACKAGE.glob("*/__init__.py")), ids=lambda p: p.parent.name)
def test_every_door_says_what_it_opens(path: Path) -> None:
    """Each room's `__init__` has a docstring and, if it imports anything, an `__all__`."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree)
    names = {
        target.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    }
    imports = any(
        isinstance(node, ast.ImportFrom) and node.module != "__future__" for node in tree.body
    )
    assert "__all__" in names or not imports
