"""Making a failing plan small: parts are left out as long as the same rule is broken.

What can be left out: the last workers, faults, steps of clients, tasks. A plan is tolerant of
what is not there: a task that is not submitted is no input, an absent worker does not die.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Self

from trio_dask.testing.simulation.simulation import SimulationResult, play

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from trio_dask.scheduler import Placement
    from trio_dask.testing.simulation.plan import ClientPlan, Plan, Step

#: A part of a plan: a worker ("w", 0, 2), a fault ("f", 0, 3), a step ("c", client, 4) or a
#: task ("t", 0, 17).
Part = tuple[str, int, int]
#: So many variants are played.
_TRIES_MAX: Final = 600
#: A variant that takes longer is none.
_STEPS_MAX: Final = 200_000


@dataclass(frozen=True, slots=True)
class Parts:
    """Some of the parts of a plan, in their order; as text, what `--keep` takes."""

    parts: tuple[Part, ...]

    @classmethod
    def of(cls, plan: Plan) -> Self:
        """All of them."""
        steps = [("c", c, s) for c, each in enumerate(plan.clients) for s in range(len(each.steps))]
        numbers = {
            task.number for each in plan.clients for step in each.steps for task in step.tasks
        }
        return cls((
            *(("w", 0, number) for number in range(1, len(plan.workers))),
            *(("f", 0, number) for number in range(len(plan.faults))),
            *steps,
            *(("t", 0, number) for number in sorted(numbers)),
        ))  # fmt: skip

    def __str__(self) -> str:
        groups: dict[str, list[int]] = {}
        for kind, owner, number in self.parts:
            groups.setdefault(f"{kind}{owner}" if kind == "c" else kind, []).append(number)
        return " ".join(f"{name}:{_ranges(numbers)}" for name, numbers in groups.items())

    @classmethod
    def parse(cls, text: str) -> Self:
        """From text.

        Raises:
            ValueError: it is not such a text.
        """
        parts: list[Part] = []
        for group in text.split():
            found = re.fullmatch(r"([wft]|c\d+):([\d,-]+)", group)
            if found is None:
                msg = f"{group!r} does not say which parts: w:1 f:0,2 c0:0-3 t:1-9"
                raise ValueError(msg)
            name = found[1]
            for span in found[2].split(","):
                first, _, last = span.partition("-")
                numbers = range(int(first), int(last or first) + 1)
                parts += ((name[0], int(name[1:] or 0), number) for number in numbers)
        return cls(tuple(parts))

    def applied_to(self, plan: Plan) -> Plan:
        """The plan without all the other parts."""
        kept = set(self.parts)
        workers = 1 + max((number for kind, _, number in kept if kind == "w"), default=0)
        return replace(
            plan,
            workers=plan.workers[:workers],
            faults=tuple(f for number, f in enumerate(plan.faults) if ("f", 0, number) in kept),
            clients=tuple(_client(each, c, kept) for c, each in enumerate(plan.clients)),
        ).without_absent_workers()


def _client(plan: ClientPlan, client: int, kept: set[Part]) -> ClientPlan:
    steps = (_step(s, kept) for row, s in enumerate(plan.steps) if ("c", client, row) in kept)
    return replace(plan, steps=tuple(steps))


def _step(step: Step, kept: set[Part]) -> Step:
    return replace(step, tasks=tuple(t for t in step.tasks if ("t", 0, t.number) in kept))


def _ranges(numbers: list[int]) -> str:
    spans: list[list[int]] = []
    for number in sorted(numbers):
        if spans and spans[-1][1] == number - 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ",".join(f"{a}-{b}" if a < b else f"{a}" for a, b in spans)


def symptom(result: SimulationResult) -> str:
    """Which rule was broken first; of two results with one symptom, one has to be understood."""
    if not result.violations:
        return "unfinished" if result.unfinished else ""
    found = re.findall(r"\((\w+)\)$", result.violations[0])
    return found[0] if found else re.sub(r"[0-9a-f]*\d[0-9a-f]*", "#", result.violations[0])


def shrink(plan: Plan, placement: Callable[[], Placement] | None = None) -> Parts:
    """The parts of a failing plan without which it does not fail in the same way."""
    wanted = _symptom_of(plan, placement)
    tries = 0

    def fails(parts: Sequence[Part]) -> bool:
        nonlocal tries
        tries += 1
        reduced = Parts(tuple(parts)).applied_to(plan)
        return tries <= _TRIES_MAX and _symptom_of(reduced, placement) == wanted

    return Parts(_reduce(Parts.of(plan).parts, fails)) if wanted else Parts.of(plan)


def _symptom_of(plan: Plan, placement: Callable[[], Placement] | None) -> str:
    try:
        return symptom(play(plan, steps_max=_STEPS_MAX, placement=placement))
    except Exception as error:  # noqa: BLE001  to be reduced like any other
        return f"{type(error).__name__} {error}"[:40]


def _reduce(parts: tuple[Part, ...], fails: Callable[[Sequence[Part]], bool]) -> tuple[Part, ...]:
    """Delta debugging: leave out ever smaller runs of parts until none can be left out."""
    size = max(1, len(parts) // 2)
    while True:
        at, before = 0, len(parts)
        while at < len(parts):
            shorter = parts[:at] + parts[at + size :]
            if fails(shorter):
                parts = shorter
            else:
                at += size
        if size > 1:
            size //= 2
        elif len(parts) == before:
            return parts
