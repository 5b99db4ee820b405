"""What can be asked for with a task, checked where it is asked."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import timedelta
from numbers import Real
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from trio_dask.config import parse_seconds
from trio_dask.errors import ConfigError, SubmitError
from trio_dask.messages.tasks import COOPERATE, INTERRUPT, KILL
from trio_dask.runner import OnAsyncio

if TYPE_CHECKING:
    from rich.console import Console

_NAME_MAX: Final = 1000
_AMOUNT_MAX: Final = sys.float_info.max
PRIORITY_MAX: Final = (1 << 17) - 1
#: What `on_cancel` may be, and how that is said.
OnCancel: TypeAlias = Literal["cooperate", "interrupt", "kill"]
#: What runs a task: a loop of asyncio, or a process of its own; None: as all others.
TaskExecutor: TypeAlias = Literal["asyncio", "process"] | None
WAYS: Final = {"cooperate": COOPERATE, "interrupt": INTERRUPT, "kill": KILL}


def task_options(  # noqa: PLR0913 - options have names
    *,
    priority: int,
    retries: int | None,
    resources: Mapping[str, float] | None,
    workers: str | Iterable[str] | None,
    allow_other_workers: bool,
    timeout: float | str | None,
    deadline: float | str | None,
    on_cancel: str,
) -> dict[str, Any]:
    """The options of a submission as they are sent: what has its default is not there.

    But for the deadline: that is a time on our own monotonic clock until it is sent, and with it
    goes what was asked for, as errors have it.

    Raises:
        SubmitError: one of them makes no sense; the message names it.
    """
    options: dict[str, Any] = {}
    if priority != 0:
        options["priority"] = _priority(priority)
    if retries is not None and retries != 0:
        options["retries"] = _retries(retries)
    if on_cancel != "interrupt":
        options["on_cancel"] = _way(on_cancel)
    if timeout is not None or deadline is not None:
        options |= _limits(timeout, deadline)
    if resources is not None and (amounts := _resources(resources)):
        options["resources"] = amounts
    if workers is not None:
        options["workers"] = worker_names(workers)
    if allow_other_workers is not False and flag("allow_other_workers", allow_other_workers):
        options["allow_other_workers"] = _where_else(workers)
    return options


def flag(
    name: str, value: object, error: type[Exception] = SubmitError, may_be: str = "True or False"
) -> bool:
    """What is to be true or false, also as numpy has it, as 0 and 1, or as None for false.

    Raises:
        error: it is anything else, which would be taken for one of them by chance.
    """
    if value is None or isinstance(value, bool):
        return bool(value)
    of_numpy = type(value).__module__ == "numpy" and type(value).__name__ in {"bool", "bool_"}
    if of_numpy or (isinstance(value, int) and value in (0, 1)):
        return bool(value)
    msg = f"{name}={value!r:.100}: it is {may_be}"
    raise error(msg)


def bars(progress: Any) -> bool | Console:
    """Whether bars are to be shown, or the console where they are.

    Raises:
        TypeError: `progress` says neither.
    """
    if progress is None or isinstance(progress, bool):
        return bool(progress)
    from rich.console import Console

    if isinstance(progress, Console):
        return progress
    return flag("progress", progress, TypeError, "True, False, or a Console of rich")


def _priority(priority: Any) -> int:
    number = _whole(priority)
    if number is None or abs(number) > PRIORITY_MAX:
        msg = f"priority={priority!r}: it is a whole number from -{PRIORITY_MAX} to {PRIORITY_MAX}"
        raise SubmitError(msg)
    return number


def _retries(retries: Any) -> int:
    number = _whole(retries)
    if number is None or not 0 <= number < 1 << 31:
        msg = f"retries={retries!r}: it is a whole number of times, 0 or more"
        raise SubmitError(msg)
    return number


def _whole(number: object) -> int | None:
    """A whole number, also as numpy has it or as 2.0; None: it is none."""
    if isinstance(number, int):
        return None if isinstance(number, bool) else int(number)
    value = float(number) if isinstance(number, Real) else math.nan
    return int(value) if value.is_integer() else None


def _limits(timeout: float | str | None, deadline: float | str | None) -> dict[str, float]:
    options: dict[str, float] = {}
    if timeout is not None and (timeout_s := limit_s("timeout", timeout)) < math.inf:
        options["timeout"] = timeout_s
    if deadline is not None and (deadline_s := limit_s("deadline", deadline)) < math.inf:
        options["deadline"] = time.monotonic() + deadline_s
        options["asked"] = deadline_s
    return options


def limit_s(name: str, limit: object) -> float:
    """A time limit in seconds, as a user gives it: a number, text such as ``"2s"``, or a timedelta.

    A timeout of 0 makes no sense; a deadline of 0 does: it may be what is left of another.

    Raises:
        SubmitError: it is none.
    """
    seconds = math.nan
    if isinstance(limit, timedelta):
        limit = limit.total_seconds()
    if isinstance(limit, str):
        with suppress(ConfigError):
            seconds = parse_seconds(limit)
    elif not isinstance(limit, bool) and isinstance(limit, Real):
        seconds = float(limit)
    if not seconds >= 0 or (name == "timeout" and not seconds):
        least = "above 0" if name == "timeout" else "0 or more"
        msg = f'{name}={limit!r:.100}: it is a number of seconds, {least}, or as "2s" or "5min"'
        raise SubmitError(msg)
    return seconds


def _where_else(workers: str | Iterable[str] | None) -> bool:
    if workers is None:
        msg = "allow_other_workers=True needs workers="
        raise SubmitError(msg)
    return True


def worker_names(workers: str | Iterable[str]) -> list[str]:
    """Names, addresses or hosts of workers.

    Raises:
        SubmitError: there are none, or they are no strings.
    """
    single = isinstance(workers, str) or not isinstance(workers, Iterable)
    names: list[Any] = [workers] if single else list(workers)
    if not names or not all(isinstance(name, str) and 0 < len(name) <= _NAME_MAX for name in names):
        msg = f"workers={workers!r:.200}: it is the name, address or host of a worker, or a list of such"
        raise SubmitError(msg)
    return [str.__str__(name) for name in names]  # of numpy and of enumerations, too


def _way(on_cancel: str) -> int:
    way = WAYS.get(str(on_cancel))
    if way is None:
        msg = f"on_cancel={on_cancel!r}: it is {' or '.join(map(repr, WAYS))}"
        raise SubmitError(msg)
    return way


def run_by(executor: TaskExecutor, *, actor: bool = False) -> dict[str, bool]:
    """The options of a submission, as they are sent, that say what runs it.

    Raises:
        SubmitError: there is no such thing, or it does not run actors.
    """
    if actor is not False:
        actor = flag("actor", actor)
    if executor not in (None, "asyncio", "process"):
        msg = (
            f"executor={executor!r}: it is 'asyncio', for coroutine functions, 'process', for a "
            "process of its own, or left out"
        )
        raise SubmitError(msg)
    if actor and executor is not None:
        msg = f"actor=True with executor={executor!r}: an actor lives where other tasks run"
        raise SubmitError(msg)
    if actor:
        return {"actor": True}
    return {"apart": True} if executor == "process" else {}


def on_loop(fn: Any, executor: TaskExecutor) -> Callable[..., Any]:
    """The function that runs `fn` on its loop.

    Raises:
        SubmitError: it is no function.
    """
    if executor != "asyncio":
        own: Callable[..., Any] = fn
        return own
    if not callable(fn):
        msg = f"{fn!r:.100} is no function"
        raise SubmitError(msg)
    return OnAsyncio(fn)


def _resources(resources: Any) -> dict[str, float]:
    if not isinstance(resources, Mapping):
        msg = f'resources={resources!r}: write them as in {{"GPU": 1}}'
        raise SubmitError(msg)
    amounts: dict[str, float] = {}
    for name, amount in resources.items():
        named = isinstance(name, str) and len(name) <= _NAME_MAX
        if not named or not isinstance(amount, int | float) or not 0 <= amount <= _AMOUNT_MAX:
            msg = f'resources={resources!r:.200}: write them as in {{"GPU": 1}}'
            raise SubmitError(msg)
        amounts[str.__str__(name)] = float(amount)
    return amounts


def refuse_old_names(kwargs: Mapping[str, Any]) -> None:
    """Keyword arguments for the function must not be what Dask takes for an option of another name.

    Raises:
        SubmitError: one is.
    """
    if kwargs.get("actors") is True:
        msg = "actors=True would go to the function: the option is actor=True"
        raise SubmitError(msg)
