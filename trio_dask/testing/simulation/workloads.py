"""What clients of a simulated cluster do: one small generator for each kind of program.

A generator makes the steps of one client. All chance comes from the maker's generator.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from trio_dask.testing.simulation.plan import ALWAYS, HELD, INLINE, PINNED, PlannedTask, Step

if TYPE_CHECKING:
    import random

#: How long tasks take, seconds: from a message's flight to long enough to be recalled for.
SECONDS: Final = (0.0, 0.00001, 0.001, 0.001, 0.05, 0.5)
#: The resource that some workers have.
RESOURCE: Final = "GPU"
#: The kind of program that is about what the cluster keeps.
SHARED: Final = "shared"


class Maker:
    """Makes tasks with numbers of their own for all clients of a plan."""

    def __init__(self, chance: random.Random, workers: int) -> None:
        self.chance = chance
        self.workers = workers
        self.shared: list[PlannedTask] = []
        self._numbers = 0

    def number(self) -> int:
        """A new one."""
        self._numbers += 1
        return self._numbers

    def task(self, deps: tuple[int, ...] = (), **known: Any) -> PlannedTask:
        """A task of some kind; `known` is what is given about it."""
        chance = self.chance
        some: dict[str, Any] = {
            "seconds": chance.choice(SECONDS),
            "value": chance.choice((INLINE, INLINE, HELD)),
            "nbytes": chance.choice((8, 8, 10_000, 50_000_000)),
        }
        return PlannedTask(number=self.number(), deps=deps, **some | known)

    def tasks(self, count: int, **known: Any) -> tuple[PlannedTask, ...]:
        """Tasks without inputs, all about as long."""
        known = {"seconds": self.chance.choice(SECONDS), **known}
        return tuple(self.task(**known) for _ in range(count))

    def pause(self) -> float:
        """A user thinks, or does not."""
        return self.chance.choice((0.0, 0.0, 0.001, 0.02, 0.2)) * self.chance.random()

    def priority(self) -> int:
        """Most users do not say any."""
        return self.chance.choice((0, 0, 0, 5))

    def some(self, numbers: list[int]) -> tuple[int, ...]:
        """At least one of them."""
        return tuple(self.chance.sample(numbers, self.chance.randint(1, len(numbers))))


def numbers_of(tasks: tuple[PlannedTask, ...]) -> tuple[int, ...]:
    """The numbers of tasks."""
    return tuple(task.number for task in tasks)


# ---------------------------------------------------------------- shapes of programs


def map_(make: Maker) -> list[Step]:
    """The same for many inputs, then all results."""
    tasks = make.tasks(make.chance.choice((1, 5, 30, 60)))
    wanted = numbers_of(tasks)
    return [
        Step(do="submit", pause=make.pause(), tasks=tasks),
        Step(do="gather", numbers=wanted),
        Step(do="release", pause=make.pause(), numbers=make.some(list(wanted))),
    ]


def tree(make: Maker) -> list[Step]:
    """Leaves, reduced pair by pair; only the root is kept."""
    level = list(make.tasks(make.chance.choice((2, 7, 16))))
    tasks = list(level)
    while len(level) > 1:
        pairs = [level[at : at + 2] for at in range(0, len(level), 2)]
        level = [make.task(numbers_of(tuple(pair))) for pair in pairs]
        tasks += level
    inner = numbers_of(tuple(tasks[:-1]))
    return [
        Step(do="submit", tasks=tuple(tasks)),
        Step(do=make.chance.choice(("release", "drop")), pause=make.pause(), numbers=inner),
        Step(do="gather", numbers=numbers_of((tasks[-1],))),
    ]


def chain(make: Maker) -> list[Step]:
    """Each needs the one before."""
    tasks = [make.task()]
    for _ in range(make.chance.choice((2, 10, 40))):
        tasks.append(make.task((tasks[-1].number,), seconds=tasks[0].seconds))
    return [
        Step(do="submit", pause=make.pause(), tasks=tuple(tasks)),
        Step(do="release", pause=make.pause(), numbers=numbers_of(tuple(tasks[:-1]))),
        Step(do="gather", numbers=(tasks[-1].number,)),
    ]


def random_dag(make: Maker) -> list[Step]:
    """Each needs a few of those before; results are let go of at odd times."""
    steps: list[Step] = []
    known: list[int] = []
    for _ in range(make.chance.randint(1, 4)):
        tasks = []
        for _ in range(make.chance.choice((1, 2, 5, 30))):
            near = known[-40:]
            count = min(len(near), make.chance.choice((0, 1, 1, 2, 5)))
            tasks.append(make.task(tuple(make.chance.sample(near, count))))
            known.append(tasks[-1].number)
        steps.append(Step(do="submit", pause=make.pause(), tasks=tuple(tasks)))
        if make.chance.random() < 0.4:
            do = make.chance.choice(("release", "drop"))
            steps.append(Step(do=do, pause=make.pause(), numbers=make.some(known)))
    return steps


def dynamic(make: Maker) -> list[Step]:
    """What is submitted depends on what has come out."""
    steps: list[Step] = []
    known: tuple[int, ...] = ()
    for _ in range(make.chance.randint(2, 5)):
        tasks = tuple(
            make.task(make.some(list(known)) if known else ())
            for _ in range(make.chance.randint(1, 6))
        )
        steps.append(Step(do="submit", needs=known[:1], tasks=tasks))
        topic = ("call_stack", "profile")[len(steps) % 2]
        steps.append(Step(do="ask", options={"topic": topic}))
        known = numbers_of(tasks)
    return steps


def slices(make: Maker) -> list[Step]:
    """So many that the scheduler takes them in slices, and lets go of them in slices."""
    tasks = make.tasks(make.chance.choice((1100, 2300)), seconds=0.0, value=INLINE)
    last = make.task((tasks[0].number, tasks[-1].number))
    return [
        Step(do="submit", tasks=tasks),
        Step(do="submit", tasks=(last,)),
        Step(do="ask", options={"topic": "counts"}),
        Step(do="release", pause=make.pause(), numbers=numbers_of(tasks)),
        Step(do="gather", numbers=(last.number,)),
    ]


# ---------------------------------------------------------------- tasks inside tasks


def parent(make: Maker, depth: int, **known: Any) -> PlannedTask:
    """A task that submits others, of which some do the same."""
    chance = make.chance
    puts = (make.number(),) if chance.random() < 0.2 else ()
    children: list[PlannedTask] = []
    for _ in range(chance.choice((1, 2, 2, 4))):
        near = [child.number for child in children[-2:]] + list(puts)
        deps = tuple(chance.sample(near, min(len(near), chance.choice((0, 0, 1)))))
        if depth > 1 and chance.random() < 0.6:
            children.append(parent(make, depth - 1, deps=deps))
        else:
            failures = ALWAYS if chance.random() < 0.03 else 0
            children.append(make.task(deps, failures=failures))
    awaits = len(children) if chance.random() < 0.7 else chance.randint(0, len(children))
    some: dict[str, Any] = {"children": tuple(children), "awaits": awaits, "puts": puts}
    return make.task(**{"secedes": chance.random() < 0.15} | some | known)


def nested(make: Maker) -> list[Step]:
    """Tasks that submit tasks and wait for them, beside others; some are cancelled meanwhile."""
    chance = make.chance
    parents = [parent(make, chance.choice((1, 2, 3))) for _ in range(chance.choice((1, 2, 3)))]
    others = make.tasks(chance.choice((0, 5, 20)))
    last = make.task((parents[0].number,))
    options = {"retries": chance.choice((0, 0, 1)), "priority": make.priority()}
    steps = [
        Step(do="submit", pause=make.pause(), tasks=(*parents, *others), options=options),
        Step(do="submit", tasks=(last,)),
    ]
    numbers = [task.number for task in parents]
    if chance.random() < 0.4:
        do = chance.choice(("cancel", "release", "drop"))
        steps.append(Step(do=do, pause=make.pause(), numbers=make.some(numbers)))
    return steps


def recursion(make: Maker) -> list[Step]:
    """Each inside the one before, deeper than there are slots."""
    task = make.task(seconds=0.001)
    for _ in range(make.chance.choice((5, 20))):
        task = make.task(seconds=0.001, children=(task,), awaits=1)
    return [Step(do="submit", pause=make.pause(), tasks=(task,))]


# ---------------------------------------------------------------- what users ask for


def cancellations(make: Maker) -> list[Step]:
    """Cancelled while waiting, while in a window, while running, and when done."""
    tasks = list(make.tasks(make.chance.choice((2, 8, 20))))
    tasks += [make.task(make.some([each.number for each in tasks[:3]])) for _ in range(4)]
    # Some go on for so long that nothing but the end of their runner stops them in time.
    lasting = make.chance.choices((0.5, 3.0, 10.0), k=make.chance.randint(0, 4))
    tasks += [make.task((), seconds=seconds) for seconds in lasting]
    numbers = [task.number for task in tasks]
    options = {"retries": make.chance.choice((0, 1)), "on_cancel": make.chance.choice((0, 1, 1, 2))}
    steps = [Step(do="submit", tasks=tuple(tasks), options=options)]
    for _ in range(make.chance.randint(1, 3)):
        needs = make.some(numbers)[:1] if make.chance.random() < 0.3 else ()
        steps.append(
            Step(do="cancel", pause=make.pause(), needs=needs, numbers=make.some(numbers)[:3])
        )
    if make.chance.random() < 0.5:
        steps.append(Step(do="release", pause=make.pause(), numbers=make.some(numbers)))
    return steps


def limits(make: Maker) -> list[Step]:
    """Timeouts and deadlines: some too short, some never reached, some of what others need."""
    steps = []
    for _ in range(make.chance.randint(1, 3)):
        options: dict[str, Any] = {
            "retries": make.chance.choice((0, 0, 1)),
            "on_cancel": make.chance.choice((0, 1, 1, 1, 2)),
        }
        if make.chance.random() < 0.7:
            options["deadline"] = make.chance.choice((0.0, 0.05, 0.3, 1.0, 1000.0))
        if make.chance.random() < 0.6:
            options["timeout"] = make.chance.choice((0.02, 0.2, 1.0, 1000.0))
        tasks = list(make.tasks(make.chance.choice((1, 6, 20))))
        tasks += [make.task((), seconds=make.chance.choice((0.5, 3.0, 10.0))) for _ in range(2)]
        tasks.append(make.task((make.chance.choice(tasks).number,)))
        numbers = [task.number for task in tasks]
        steps.append(Step(do="submit", pause=make.pause(), tasks=tuple(tasks), options=options))
        after = make.task(make.some(numbers[-4:]))
        steps.append(Step(do="submit", tasks=(after,)))
        do = make.chance.choice(("cancel", "release", "keep", ""))
        if do:
            steps.append(Step(do=do, pause=make.pause(), numbers=make.some(numbers)[:3]))
    return steps


def restrictions(make: Maker) -> list[Step]:
    """Only on certain workers, or rather there."""
    steps = []
    for _ in range(make.chance.randint(1, 3)):
        names = [f"w{make.chance.randrange(make.workers)}" for _ in range(2)]
        others = make.chance.random() < 0.5
        options = {"workers": names, "allow_other_workers": others, "priority": make.priority()}
        before = make.tasks(3)
        steps.append(Step(do="submit", tasks=before, options=options))
        after = tuple(make.task(make.some(list(numbers_of(before)))) for _ in range(4))
        steps.append(Step(do="submit", pause=make.pause(), tasks=after, options=options))
    return steps


def resources(make: Maker) -> list[Step]:
    """Tasks that take units of what some workers have."""
    steps = []
    for _ in range(make.chance.randint(1, 3)):
        units = make.chance.choice((0.5, 1, 1, 2))
        options = {"resources": {RESOURCE: units}, "priority": make.priority()}
        tasks = make.tasks(make.chance.choice((1, 4, 12)))
        steps.append(Step(do="submit", pause=make.pause(), tasks=tasks, options=options))
        after = tuple(make.task(make.some(list(numbers_of(tasks)))) for _ in range(3))
        steps.append(Step(do="submit", tasks=after))
    return steps


def priorities(make: Maker) -> list[Step]:
    """What comes later may be more urgent."""
    steps = []
    for _ in range(make.chance.randint(2, 4)):
        options = {"priority": make.chance.choice((-5, 0, 3, 10))}
        tasks = make.tasks(make.chance.choice((1, 10, 40)))
        steps.append(Step(do="submit", pause=make.pause(), tasks=tasks, options=options))
    return steps


def scattered(make: Maker) -> list[Step]:
    """Values from the client, and tasks that need them."""
    steps = []
    for _ in range(make.chance.randint(1, 3)):
        values = tuple(make.number() for _ in range(make.chance.choice((1, 4))))
        options: dict[str, Any] = {"broadcast": make.chance.random() < 0.3}
        if make.chance.random() < 0.3:
            options["argument"] = (
                True  # too large for the scheduler, and the client's only in passing
            )
        if make.chance.random() < 0.3:
            options["workers"] = [f"w{make.chance.randrange(make.workers)}"]
        tasks = tuple(make.task(make.some(list(values))) for _ in range(5))
        steps += [
            Step(do="scatter", numbers=values, options=options),
            Step(do="submit", pause=make.pause(), tasks=tasks),
        ]
        if make.chance.random() < 0.5:
            steps.append(Step(do="release", pause=make.pause(), numbers=make.some(list(values))))
    return steps


def shared_keys(make: Maker) -> list[Step]:
    """Several clients mean the same tasks, by keys that their users chose."""
    if not make.shared:
        for _ in range(make.chance.choice((4, 15))):
            near = [task.number for task in make.shared[-5:]]
            deps = tuple(make.chance.sample(near, min(len(near), make.chance.choice((0, 1, 2)))))
            failures = ALWAYS if make.chance.random() < 0.05 else 0
            task = make.task(deps, failures=failures, key=f"shared-{len(make.shared)}")
            make.shared.append(task)
    wanted = [task.number for task in make.shared]
    steps = [Step(do="submit", pause=make.pause(), tasks=tuple(make.shared))]
    do = make.chance.choice(("release", "drop", "cancel", "gather"))
    steps.append(Step(do=do, pause=make.pause(), numbers=make.some(wanted)))
    if make.chance.random() < 0.5:
        steps.append(Step(do="submit", pause=make.pause(), tasks=tuple(make.shared)))
    own = make.task(make.some(wanted))
    steps.append(Step(do="submit", pause=make.pause(), tasks=(own,)))
    return steps


def errors(make: Maker) -> list[Step]:
    """Some fail, some of these for ever, and others need them."""
    retries = make.chance.choice((0, 1, 3))
    tasks: list[PlannedTask] = []
    for _ in range(make.chance.choice((3, 12))):
        near = [task.number for task in tasks[-4:]]
        deps = tuple(make.chance.sample(near, min(len(near), make.chance.choice((0, 1, 2)))))
        failures = ALWAYS if make.chance.random() < 0.15 else make.chance.randint(0, retries)
        tasks.append(make.task(deps, failures=failures))
    steps = [Step(do="submit", tasks=tuple(tasks), options={"retries": retries})]
    numbers = list(numbers_of(tuple(tasks)))
    if make.chance.random() < 0.6:
        if make.chance.random() < 0.5:
            steps.append(Step(do="gather", numbers=tuple(numbers)))
        steps.append(Step(do="retry", pause=make.pause(), numbers=make.some(numbers)))
    return steps


def pinned(make: Maker) -> list[Step]:
    """Values that cannot leave the place where they are, and tasks that need them."""
    sources = make.tasks(make.chance.choice((1, 3)), value=PINNED)
    numbers = list(numbers_of(sources))
    users = tuple(make.task((make.chance.choice(numbers),)) for _ in range(4))
    both = (make.task(tuple(numbers)),)
    return [
        Step(do="submit", tasks=sources),
        Step(do="submit", pause=make.pause(), tasks=users + both),
        Step(do="release", pause=make.pause(), numbers=make.some(numbers)),
    ]


def fire_and_forget(make: Maker) -> list[Step]:
    """They run to their end though nobody waits for it."""
    tasks = make.tasks(make.chance.choice((1, 6)))
    after = make.task(numbers_of(tasks)[:2])
    kept = (*numbers_of(tasks), after.number)
    return [
        Step(do="submit", tasks=(*tasks, after)),
        Step(
            do="keep", pause=make.pause(), numbers=kept[1:] if make.chance.random() < 0.5 else kept
        ),
        Step(do="release", pause=make.pause(), numbers=kept),
    ]


def shared(make: Maker) -> list[Step]:
    """Queues, variables, events, data sets and locks that clients share, some with futures in them."""
    chance = make.chance
    steps: list[Step] = []
    for _ in range(chance.randint(1, 3)):
        tasks = make.tasks(chance.choice((0, 2)))
        numbers = numbers_of(tasks)
        if tasks:
            steps.append(Step(do="submit", tasks=tasks))
        ops: list[list[Any]] = []
        for _ in range(chance.choice((3, 10, 20))):
            do = chance.choice(_OPS)
            other = f"c{chance.randrange(3)} "
            ops.append({
                "put": ["put", "q", chance.choice((*numbers, -make.number()))],
                "get": ["get", "q", int(chance.random() < 0.8)],
                "set": ["set", "v", chance.choice((*numbers, 0))],
                "read": ["read", f"{other}v", 0],
                "publish": ["publish", "d", chance.choice((*numbers, 0))],
                "load": ["load", f"{other}d", 0],
                "note": ["note", "m", 0],
                "look": ["look", f"{other}m", 0],
                "flag": ["flag", "e", 0],
                "await": ["await", f"{other}e", 0],
                "lock": ["lock", "l", chance.randrange(2)],
            }[do])  # fmt: skip
        steps.append(Step(do="share", pause=make.pause(), options={"ops": ops}))
        if numbers and chance.random() < 0.5:
            steps.append(Step(do="release", pause=make.pause(), numbers=numbers))
    return steps


_OPS: Final = (
    "put", "put", "put", "get", "get", "get", "set", "read", "publish", "load", "note", "look",
    "flag", "await", "lock", "lock",
)  # fmt: skip

Workload = Callable[[Maker], list[Step]]

WORKLOADS: Final[dict[str, Workload]] = {
    "map": map_,
    "tree": tree,
    "chain": chain,
    "random_dag": random_dag,
    "dynamic": dynamic,
    "nested": nested,
    "recursion": recursion,
    "slices": slices,
    "cancellations": cancellations,
    "limits": limits,
    "restrictions": restrictions,
    "resources": resources,
    "priorities": priorities,
    "scattered": scattered,
    "shared_keys": shared_keys,
    "errors": errors,
    "pinned": pinned,
    "fire_and_forget": fire_and_forget,
    SHARED: shared,
}
MIXED: Final = "mixed"
#: Large programs take long to simulate.
_RARE: Final = ("slices",)


def some_workload(chance: random.Random) -> Workload:
    """Any of them, large ones rarely."""
    often = [name for name in WORKLOADS if name not in _RARE]
    return WORKLOADS[chance.choice(_RARE if chance.random() < 0.01 else often)]
