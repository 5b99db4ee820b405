"""What a program uses of dask.distributed, and whether that is here: found by reading, not by running."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Modules whose names are looked at.
MODULES: Final = ("distributed", "dask.distributed", "dask_jobqueue")

SAME: Final = "the same"
OTHER: Final = "differs"
MISSING: Final = "missing"

_DEPLOY: Final = "from trio_dask.deploy"
#: What is here under another name, or in another way.
ELSEWHERE: Final = {
    "SSHCluster": _DEPLOY,
    "SLURMCluster": _DEPLOY,
    "PBSCluster": _DEPLOY,
    "SGECluster": _DEPLOY,
    "LSFCluster": _DEPLOY,
    "TimeoutError": "it is Python's own",
    "default_client": "Client.current()",
    "Adaptive": "cluster.adapt(…)",
    "Actor": "submit(…, actor=True)",
    "ActorFuture": "methods of actors give futures",
    "NannyPlugin": "WorkerPlugin: nannies run no code of users",
    "UploadFile": "client.upload_file(…)",
    "Environ": "a WorkerPlugin, as in the how-to on plugins",
    "PipInstall": "a WorkerPlugin that calls pip",
    "Worker": "`trio-dask worker`, `trio-dask spec` or LocalCluster",
    "Nanny": "`trio-dask worker`, `trio-dask spec` or LocalCluster",
    "Scheduler": "`trio-dask scheduler`, `trio-dask spec` or LocalCluster",
}
#: Methods of clients that there are in Dask: which of them are here is looked up there.
CLIENT_METHODS: Final = frozenset(
    """
    submit map gather scatter compute persist get cancel retry get_executor run run_on_scheduler
    who_has has_what nthreads ncores processing nbytes rebalance replicate retire_workers
    upload_file call_stack profile get_versions get_worker_logs get_scheduler_logs get_metadata
    set_metadata publish_dataset get_dataset list_datasets unpublish_dataset register_plugin
    unregister_worker_plugin unregister_scheduler_plugin register_worker_callbacks log_event
    get_events subscribe_topic unsubscribe_topic get_task_stream forward_logging
    unforward_logging dump_cluster_state story benchmark_hardware restart restart_workers
    wait_for_workers shutdown close scheduler_info write_scheduler_file as_current
    normalize_collection futures_of recreate_error_locally recreate_task_locally
    """.split()  # noqa: SIM905 - as many are easier to read so
)


@dataclass(frozen=True, slots=True, order=True)
class Use:
    """Something that is used: in which line, what, whether it is here, and what to do."""

    line: int
    name: str
    state: str
    note: str = ""


def uses(source: str) -> list[Use]:
    """All that is used in a program, line by line.

    >>> [(each.line, each.name, each.state) for each in uses("from distributed import Client, rpc")]
    [(1, 'Client', 'the same'), (1, 'rpc', 'missing')]

    Raises:
        SyntaxError: it is no program.
    """
    return sorted(set(_Reader(ast.parse(source)).found()))


def judged(name: str, line: int) -> Use:
    """A name of the package."""
    import trio_dask

    if name in trio_dask.__all__:
        return Use(line, name, SAME)
    if name in ELSEWHERE:
        return Use(line, name, OTHER, ELSEWHERE[name])
    return Use(line, name, MISSING)


def judged_method(name: str, line: int) -> Use:
    """A method of clients."""
    from trio_dask import Client

    if hasattr(Client, name):
        return Use(line, f"client.{name}", SAME)
    note = "the scheduler runs no user code" if name == "run_on_scheduler" else ""
    return Use(line, f"client.{name}", MISSING, note)


class _Reader:
    """Looks for imports, and what is done with them."""

    def __init__(self, tree: ast.Module) -> None:
        self._tree = tree
        self._modules = dict.fromkeys(MODULES, "")  # what modules are called here
        self._clients: set[str] = set()
        self._imported = False

    def found(self) -> Iterator[Use]:
        """All uses; imports first, as they say what the rest means."""
        nodes = list(ast.walk(self._tree))
        for node in nodes:
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                yield from self._names(node)
            elif isinstance(node, ast.Import):
                self._import(node)
        if not self._imported:
            return
        for node in nodes:
            self._note_client(node)
        for node in nodes:
            if isinstance(node, ast.Attribute):
                yield from self._attribute(node)
            elif isinstance(node, ast.Call):
                yield from self._call(node)

    def _import(self, node: ast.Import) -> None:
        for each in node.names:
            if each.name in MODULES:
                self._imported = True
                self._modules[each.asname or each.name] = ""

    def _names(self, node: ast.ImportFrom) -> Iterator[Use]:
        module = node.module or ""
        if module == "dask" and any(each.name == "distributed" for each in node.names):
            self._imported = True
            self._modules.update(
                {each.asname or each.name: "" for each in node.names if each.name == "distributed"}
            )
        if module.partition(".")[0] not in ("distributed", "dask_jobqueue") and not (
            module.startswith("dask.distributed")
        ):
            return
        self._imported = True
        for each in node.names:
            if module in MODULES:
                yield judged(each.name, node.lineno)
            else:
                yield Use(node.lineno, f"{module}.{each.name}", MISSING, "it is no public name")

    def _note_client(self, node: ast.AST) -> None:
        """Variables that hold a client."""
        if isinstance(node, ast.Assign) and _is_client(node.value):
            self._clients.update(each.id for each in node.targets if isinstance(each, ast.Name))
        elif isinstance(node, ast.With | ast.AsyncWith):
            self._clients.update(
                item.optional_vars.id
                for item in node.items
                if _is_client(item.context_expr) and isinstance(item.optional_vars, ast.Name)
            )

    def _attribute(self, node: ast.Attribute) -> Iterator[Use]:
        owner = ast.unparse(node.value)
        if owner in self._modules:
            yield judged(node.attr, node.lineno)
        elif (owner in self._clients or owner == "client") and node.attr in CLIENT_METHODS:
            yield judged_method(node.attr, node.lineno)

    def _call(self, node: ast.Call) -> Iterator[Use]:
        if _is_client(node):
            for each in node.keywords:
                true = isinstance(each.value, ast.Constant) and each.value.value is True
                if each.arg == "asynchronous" and true:
                    note = "it is AsyncClient"
                    yield Use(node.lineno, "Client(asynchronous=True)", OTHER, note)


def _is_client(node: ast.AST) -> bool:
    if isinstance(node, ast.Await):
        node = node.value
    return isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in (
        "Client", "get_client",
    )  # fmt: skip
