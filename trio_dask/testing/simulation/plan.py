"""What is to happen in a simulated cluster, as plain data.

A seed makes a plan, and a plan with its seed makes a history. So a failing history can be
reduced by leaving parts of its plan out, written to a file, and replayed from there.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final, Self

#: As a number of failures: the task never succeeds.
ALWAYS: Final = -1

# What becomes of a task's value.
INLINE: Final = "inline"  # it is small
HELD: Final = "held"  # it stays where it was made
PINNED: Final = "pinned"  # and cannot leave that place


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedTask:
    """A task, by a number of its own; `deps` are numbers of tasks and scattered values."""

    number: int
    seconds: float = 0.001
    failures: int = 0  # it fails so often before it succeeds
    value: str = INLINE
    nbytes: int = 8
    deps: tuple[int, ...] = ()
    key: str = ""  # chosen by the user; clients that choose the same mean the same task
    children: tuple[PlannedTask, ...] = ()  # that it submits while it runs
    awaits: int = 0  # so many of these it waits for; the others it leaves alone
    puts: tuple[int, ...] = ()  # values that it stores for its children
    secedes: bool = False  # it leaves its slot for good

    @property
    def awaited(self) -> tuple[PlannedTask, ...]:
        """The tasks that it waits for."""
        return self.children[: self.awaits]


def function_of(task: PlannedTask) -> str:
    """The name of its function: tasks of one name take about as long."""
    return f"takes_{task.seconds:g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing that a client does, after a pause, once it has the outcomes that it `needs`."""

    do: str  # submit, scatter, release, cancel, keep, gather, ask or share
    pause: float = 0.0
    needs: tuple[int, ...] = ()
    tasks: tuple[PlannedTask, ...] = ()  # to submit
    numbers: tuple[int, ...] = ()  # of tasks it is about
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientPlan:
    """What one client does, and how it leaves: it lets go of everything, or just goes."""

    steps: tuple[Step, ...] = ()
    releases: bool = True
    begins: float = 0.0  # it is not there before


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerPlan:
    """One worker. Those of one process share a store and a fate."""

    nthreads: int = 1
    process: int = 0
    resources: dict[str, float] = field(default_factory=dict)
    clock: float = 1.0  # how fast its clock runs
    offset: float = 0.0  # what its clock shows at the beginning
    grace: float = 0.5  # that its tasks are given when it is to leave, seconds
    memory: int = 0  # its limit, bytes; 0: none
    disk: float = 1.0  # how likely a value can be written to a file


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Something that goes wrong at a time: see `trio_dask.testing.simulation.faults`."""

    at: float
    kind: str
    host: str
    other: str = ""
    seconds: float = 0.0  # how long it lasts; 0: for ever, or an instant
    factor: float = 1.0  # by which everything is slower


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A whole history but for the delays of the network, which the seed decides."""

    seed: int
    workers: tuple[WorkerPlan, ...]
    clients: tuple[ClientPlan, ...]
    faults: tuple[Fault, ...] = ()
    network: str = "mixed"
    offset: float = 0.0  # what the scheduler's clock shows at the beginning
    allowed_failures: int = 1_000_000
    turn_max: int = 4000  # tasks that the scheduler settles, ends or gives out at a time

    def to_json(self) -> str:
        """As text."""
        return json.dumps(_without_defaults(asdict(self)), indent=1)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """From the text that `to_json` made."""
        raw = json.loads(text)
        return cls(
            **raw
            | {
                "workers": tuple(WorkerPlan(**each) for each in raw["workers"]),
                "clients": tuple(_client(each) for each in raw["clients"]),
                "faults": tuple(Fault(**each) for each in raw.get("faults", ())),
            }
        )

    def without_absent_workers(self) -> Self:
        """The same; what is only for workers that are not there is for any."""
        names = {f"w{number}" for number in range(len(self.workers))}
        clients = (
            replace(each, steps=tuple(_for_any(step, names) for step in each.steps))
            for each in self.clients
        )
        return replace(self, clients=tuple(clients))


def _for_any(step: Step, names: set[str]) -> Step:
    asked = step.options.get("workers")
    if not asked or names & set(asked):
        return step
    return replace(step, options={**step.options, "workers": []})


def _client(raw: dict[str, Any]) -> ClientPlan:
    return ClientPlan(**raw | {"steps": tuple(_step(each) for each in raw.get("steps", ()))})


def _step(raw: dict[str, Any]) -> Step:
    tuples: dict[str, Any] = {
        name: tuple(raw[name]) for name in ("needs", "numbers") if name in raw
    }
    tasks = tuple(map(_task, raw.get("tasks", ())))
    return Step(**raw | tuples | {"tasks": tasks})


def _task(raw: dict[str, Any]) -> PlannedTask:
    tuples: dict[str, Any] = {name: tuple(raw.get(name, ())) for name in ("deps", "puts")}
    children = tuple(map(_task, raw.get("children", ())))
    return PlannedTask(**raw | tuples | {"children": children})


_DEFAULTS: Final[dict[str, Any]] = {
    "failures": 0,
    "value": INLINE,
    "nbytes": 8,
    "deps": (),
    "key": "",
    "children": (),
    "awaits": 0,
    "puts": (),
    "secedes": False,
    "needs": (),
    "tasks": (),
    "numbers": (),
    "options": {},
    "resources": {},
    "clock": 1.0,
    "offset": 0.0,
    "grace": 0.5,
    "memory": 0,
    "disk": 1.0,
    "begins": 0.0,
    "other": "",
    "factor": 1.0,
}


def _without_defaults(raw: Any) -> Any:
    """The same without what is as it would be anyway: a person is to read it."""
    if isinstance(raw, dict):
        return {
            name: _without_defaults(value)
            for name, value in raw.items()
            if name not in _DEFAULTS or value != _DEFAULTS[name]
        }
    if isinstance(raw, list | tuple):
        return [_without_defaults(each) for each in raw]
    return raw
