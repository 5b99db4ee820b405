"""What a program uses of dask.distributed, and whether that is here: found by reading, not by running."""

from __future__ import annotations

import ast
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from trio_dask.cli.migrating_words import (
    CLIENT_INSIDES,
    CLIENT_METHODS,
    CLUSTER_INSIDES,
    ELSEWHERE,
    OPTIONS,
    OTHERS,
)
from trio_dask.config import equivalent

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Modules whose names are looked at.
MODULES: Final = ("distributed", "dask.distributed", "dask_jobqueue")

SAME: Final = "the same"
OTHER: Final = "differs"
MISSING: Final = "missing"

#: What IPython understands, and Python does not.
_MAGIC: Final = re.compile(r"^(\s*)(?:[%!?].*|.*\?)$")


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


def program_of(notebook: str) -> tuple[str, list[str]]:
    r"""The program that is in a notebook, and where each of its lines is: in which cell.

    Lines for IPython alone, and cells that are no Python, are left out.

    >>> program_of('{"cells": [{"cell_type": "code", "source": ["%pip x\\n", "a = 1"]}]}')
    ('pass\na = 1\n', ['cell 1, line 1', 'cell 1, line 2'])

    Raises:
        json.JSONDecodeError: it is no notebook.
    """
    content = json.loads(notebook)
    if not isinstance(content, dict) or not isinstance(content.get("cells"), list):
        raise json.JSONDecodeError("it is no notebook", notebook, 0)
    lines: list[str] = []
    places: list[str] = []
    cells = [
        each
        for each in content["cells"]
        if isinstance(each, dict) and each.get("cell_type") == "code"
    ]
    for number, cell in enumerate(cells, 1):
        source = cell.get("source", "")
        text = source if isinstance(source, str) else "".join(source)
        own = [_MAGIC.sub(r"\1pass", line) for line in text.splitlines()]
        try:
            ast.parse("\n".join(own))
        except SyntaxError:
            continue
        lines += own
        places += [f"cell {number}, line {line}" for line in range(1, len(own) + 1)]
    return "".join(f"{line}\n" for line in lines), places


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
        self._clients = {"client", "self.client", "self._client"}
        self._clusters = {"cluster", "self.cluster", "self._cluster"}
        self._imported = False

    def found(self) -> Iterator[Use]:
        """All uses; imports first, as they say what the rest means."""
        nodes = list(ast.walk(self._tree))
        for node in nodes:
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                yield from self._names(node)
            elif isinstance(node, ast.Import):
                self._import(node)
        yield from _around(nodes)
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
            if each.name == "*":
                yield Use(node.lineno, f"{module}.*", OTHER, "name what is used, to have it judged")
            elif module in MODULES:
                yield judged(each.name, node.lineno)
            else:
                yield _judged_inside(module, each.name, node.lineno)

    def _note_client(self, node: ast.AST) -> None:
        """Variables, attributes and parameters that hold a client."""
        found: list[ast.expr] = []
        if isinstance(node, ast.Assign) and _is_client(node.value):
            found += node.targets
        elif isinstance(node, ast.Assign) and _is_cluster(node.value):
            self._clusters.update(ast.unparse(each) for each in node.targets)
        elif isinstance(node, ast.AnnAssign) and _is_kind_of_client(node.annotation):
            found.append(node.target)
        elif isinstance(node, ast.arg) and _is_kind_of_client(node.annotation):
            self._clients.add(node.arg)
        elif isinstance(node, ast.With | ast.AsyncWith):
            found += [
                item.optional_vars
                for item in node.items
                if item.optional_vars is not None and _is_client(item.context_expr)
            ]
        self._clients.update(
            ast.unparse(each) for each in found if isinstance(each, ast.Name | ast.Attribute)
        )

    def _attribute(self, node: ast.Attribute) -> Iterator[Use]:
        owner = ast.unparse(node.value)
        if owner in self._modules:
            yield judged(node.attr, node.lineno)
        elif owner in self._clients and node.attr in CLIENT_METHODS:
            yield judged_method(node.attr, node.lineno)
        elif owner in self._clients and node.attr in CLIENT_INSIDES:
            yield Use(node.lineno, f"client.{node.attr}", MISSING, CLIENT_INSIDES[node.attr])
        elif node.attr in CLUSTER_INSIDES and self._is_cluster(node.value):
            state = OTHER if node.attr == "workers" else MISSING
            yield Use(node.lineno, f"cluster.{node.attr}", state, CLUSTER_INSIDES[node.attr])

    def _is_cluster(self, node: ast.expr) -> bool:
        of_client = isinstance(node, ast.Attribute) and node.attr == "cluster"
        owner = ast.unparse(node)
        return owner in self._clusters or (
            of_client and owner.removesuffix(".cluster") in self._clients
        )

    def _call(self, node: ast.Call) -> Iterator[Use]:
        owner, _, name = ast.unparse(node.func).rpartition(".")
        method = owner in self._clients
        if not method and name not in ("Client", "LocalCluster"):
            yield from _settings(node)
            return
        for each in node.keywords:
            option = each.arg or ""
            true = isinstance(each.value, ast.Constant) and each.value.value is True
            if option == "asynchronous" and true and not method:
                note = f"it is `async with Async{name}(…) as {name[-7:].lower()}:`"
                yield Use(node.lineno, f"{name}(asynchronous=True)", OTHER, note)
            elif option in OPTIONS.get(name, {}):
                called = f"client.{name}" if method else name
                yield Use(each.value.lineno, f"{called}({option}=)", MISSING, OPTIONS[name][option])


def _around(nodes: list[ast.AST]) -> Iterator[Use]:
    """What has to do with it without naming it: also of programs that get their client elsewhere."""
    for node in nodes:
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from _of_others(node)
        elif isinstance(node, ast.Call):
            yield from _of_joblib(node)
            yield from _of_prophet(node)


def _of_others(node: ast.Import | ast.ImportFrom) -> Iterator[Use]:
    """Imports of what looks for Dask's client itself."""
    module = f"{node.module}." if isinstance(node, ast.ImportFrom) and node.module else ""
    for each in node.names:
        name = f"{module}{each.name}"
        for other in (name, module.removesuffix(".")):
            if other in OTHERS:
                yield Use(node.lineno, other, MISSING, OTHERS[other])


def _of_joblib(node: ast.Call) -> Iterator[Use]:
    """Joblib's backend by its name."""
    name = ast.unparse(node.func).rpartition(".")[2]
    if name not in ("parallel_backend", "parallel_config", "Parallel"):
        return
    given = [each.value for each in node.keywords if each.arg == "backend"]
    given += node.args[:1] if name != "Parallel" else []
    if any(isinstance(each, ast.Constant) and each.value == "dask" for each in given):
        yield Use(node.lineno, f'{name}("dask")', OTHER, 'it is "trio_dask"')


def _of_prophet(node: ast.Call) -> Iterator[Use]:
    """Its way of looking for a client, and the one of giving it something to map with."""
    name = ast.unparse(node.func).rpartition(".")[2]
    for each in node.keywords if name == "cross_validation" else ():
        if each.arg == "parallel" and getattr(each.value, "value", None) == "dask":
            yield Use(node.lineno, f'{name}(parallel="dask")', OTHER, "client.get_executor()")


def _settings(node: ast.Call) -> Iterator[Use]:
    """Names of settings, wherever some are set or asked for: what they are here."""
    if ast.unparse(node.func).rpartition(".")[0].rpartition(".")[2] != "config":
        return
    for each in ast.walk(node):
        if isinstance(each, ast.Constant) and str(each.value).startswith("distributed."):
            here = equivalent(str(each.value))
            yield Use(each.lineno, str(each.value), OTHER if here else MISSING, here)


def _judged_inside(module: str, name: str, line: int) -> Use:
    """A name of a module of the package that is not its door."""
    import trio_dask

    inside = f"{module}.{name}"
    if name in trio_dask.__all__:
        return Use(line, inside, OTHER, "from trio_dask")
    if name in ELSEWHERE:
        return Use(line, inside, OTHER, ELSEWHERE[name])
    if module == "distributed.utils_test":
        note = "fixtures of trio_dask.testing.pytest_plugin_cluster: cluster, client, async_client"
        return Use(line, inside, OTHER, note)
    return Use(line, inside, MISSING, "it is no public name")


def _is_kind_of_client(annotation: ast.expr | None) -> bool:
    if annotation is None:
        return False
    text = (
        str(annotation.value) if isinstance(annotation, ast.Constant) else ast.unparse(annotation)
    )
    return any(part.rpartition(".")[2].strip() == "Client" for part in text.split("|"))


def _is_cluster(node: ast.AST) -> bool:
    if isinstance(node, ast.Await):
        node = node.value
    return isinstance(node, ast.Call) and ast.unparse(node.func).endswith("Cluster")


def _is_client(node: ast.AST) -> bool:
    if isinstance(node, ast.Await):
        node = node.value
    return isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in (
        "Client", "get_client",
    )  # fmt: skip
