"""Plugins: a worker keeps them for its runners, of which each sets all of them up."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from trio_dask.errors import RemoteProtocolError
from trio_dask.messages.failure import Failure
from trio_dask.messages.plugins import Plugins, PluginsDone

if TYPE_CHECKING:
    from trio_dask.messages import Message
    from trio_dask.worker.core.state import Runner, WorkerState


#: So many runners may die while they set one up, of what else it may be.
DEATHS_MAX: Final = 3


@dataclass(slots=True, eq=False)
class Plugging:
    """What somebody waits for to be set up, and what has become of it in runners so far."""

    message: Plugins
    waiting: set[int] = field(default_factory=set)  # runners that have not said
    failures: list[bytes] | None = None  # None until one of them has
    deaths: list[str] = field(default_factory=list)  # of runners that were at it


def on_plugins(state: WorkerState, message: Plugins) -> None:
    """There are others now; the runners that are there, or the next, are to do something about it.

    Condemned ones as well, which may be pardoned. But nobody waits for those.
    """
    for name, blob in zip(message.names, message.blobs, strict=True):
        state.plugins.pop(name, None)  # the order is that of coming
        if blob:
            state.plugins[name] = blob
    if message.serial:
        taking = {runner.number for runner in state.taking}
        state.plugging[message.serial] = Plugging(message, taking)
    _tell(state, message)


def _tell(state: WorkerState, message: Plugins) -> None:
    for runner in state.runners.values():
        if runner.ready and not runner.forgotten:
            runner.out.append(message)


def runner_ready(state: WorkerState, runner: Runner) -> None:
    """A new runner has none of them: this comes before all tasks."""
    later = {name for each in state.plugging.values() for name in each.message.names}
    for name, blob in state.plugins.items():
        if name not in later:
            runner.out.append(Plugins(0, [name], [blob]))
    for each in state.plugging.values():  # whoever has asked for these is to be answered
        runner.out.append(each.message)
        if runner.takes_tasks:
            each.waiting.add(runner.number)


def runner_left(state: WorkerState, runner: Runner) -> None:
    """A runner takes no tasks any more, or has ended: what it says of these is not waited for."""
    for serial, each in list(state.plugging.items()):
        each.waiting.discard(runner.number)
        _answer(state, serial, each)


def runner_died(state: WorkerState, runner: Runner, certificate: dict[str, Any]) -> None:
    """It has ended: what it was setting up may be why, and is not tried for ever."""
    if not certificate.get("on_purpose"):
        for serial, each in list(state.plugging.items()):
            if runner.number in each.waiting:  # they come one after the other
                each.deaths.append(str(certificate.get("reason", "ended")))
                if len(each.deaths) >= DEATHS_MAX:
                    _give_up(state, serial, each)
                break
    runner_left(state, runner)


def _give_up(state: WorkerState, serial: int, each: Plugging) -> None:
    """Whoever has asked hears that it cannot be set up, and the next runner does without."""
    for name, blob in zip(each.message.names, each.message.blobs, strict=True):
        if state.plugins.get(name) is blob:
            del state.plugins[name]
    deaths = ", ".join(dict.fromkeys(each.deaths))
    message = (
        f"the process that was to set it up ended, {len(each.deaths)} times, "
        f"on worker {state.name}: {deaths}"
    )
    failure = Failure(kind="trio_dask.errors.TaskError", message=message).to_bytes()
    each.failures = [failure] * len(each.message.names)
    each.waiting.clear()
    _answer(state, serial, each)


def on_done(state: WorkerState, runner: Runner, message: PluginsDone) -> None:
    """A runner has done what it was to do.

    Raises:
        RemoteProtocolError: it says nothing about it, or too much.
    """
    asked = state.plugging.get(message.serial)
    if asked is None:
        return
    if len(message.failures) != len(asked.message.names):
        msg = f"{len(message.failures)} outcomes for {len(asked.message.names)} plugins"
        raise RemoteProtocolError(msg)
    columns = (asked.message.names, asked.message.blobs, message.failures)
    for name, blob, failure in zip(*columns, strict=True):
        if failure and blob and state.plugins.get(name) is blob:
            del state.plugins[name]  # it is about to be taken back everywhere
    before = asked.failures or [b""] * len(message.failures)
    asked.failures = [first or other for first, other in zip(before, message.failures, strict=True)]
    asked.waiting.discard(runner.number)
    _answer(state, message.serial, asked)


def _answer(state: WorkerState, serial: int, each: Plugging) -> None:
    """The scheduler hears of it once all have said; if none has, the next runner will."""
    if each.failures is not None and not each.waiting:
        del state.plugging[serial]
        state.out.scheduler.append(PluginsDone(serial, each.failures))


def had(state: WorkerState) -> list[Message]:
    """What every runner has, as it is told to a scheduler that does not know.

    What was to come is not there, as the scheduler is lost that wanted to know how that went.
    """
    for name in [name for each in state.plugging.values() for name in each.message.names]:
        if state.plugins.pop(name, None) is not None:
            _tell(state, Plugins(0, [name], [b""]))
    state.plugging.clear()
    return [Plugins(0, [name], [blob]) for name, blob in state.plugins.items()]
