"""Clusters whose workers are jobs of a batch system; the scheduler is a child of this process.

How to find it, and the token, is in a file in a directory that all hosts share, which only
its owner can read: neither is in a job's script, nor on a command line.
"""

from __future__ import annotations

import getpass
import logging
import os
import shutil
from contextlib import ExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Final

import trio

from trio_dask.deploy.adaptive import keep_adapting, open_asker
from trio_dask.deploy.children import open_child
from trio_dask.deploy.handle import ClusterHandle
from trio_dask.deploy.job_books import Cancel, GiveUp, JobBooks, Retire, Submit, Wish
from trio_dask.deploy.job_plan import tls_environ
from trio_dask.deploy.job_systems import job_number, job_numbers
from trio_dask.errors import CommError, ConfigError, SchedulerUnreachable
from trio_dask.messages.tie import DASHBOARD, LISTENING, SHUT, read_news

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from pathlib import Path

    from trio_dask.deploy.adaptive import Asker
    from trio_dask.deploy.job_plan import JobPlan

#: How often it is looked which workers have come.
LOOK_S: Final = 1.0
#: How long a command of the batch system may take.
_COMMAND_S: Final = 30.0
_CLOSE_S: Final = 6.0

logger: Final = logging.getLogger("trio_dask.deploy")


@asynccontextmanager
async def open_jobs_plan(
    plan: JobPlan, on_line: Callable[[str], None] | None
) -> AsyncIterator[ClusterHandle]:
    """The cluster as planned; it is there as soon as its scheduler is, and workers come later.

    Raises:
        ConfigError: the batch system is not there.
        SchedulerUnreachable: the scheduler did not start; the message has its last words.
    """
    for command in (plan.system.submit[0], plan.system.cancel[0]):
        if shutil.which(command) is None:
            msg = f"there is no {command} on this machine: is it one that submits jobs?"
            raise ConfigError(msg)
    handle = ClusterHandle(plan)
    failure: Exception | None = None
    with _directory(plan.directory):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_run, plan, handle, on_line)
            try:
                with trio.move_on_after(plan.start_timeout_s) as starting:
                    await handle.wait_started(workers=False)
                if starting.cancelled_caught:
                    msg = f"the scheduler did not start within {plan.start_timeout_s:g} s"
                    raise SchedulerUnreachable(msg)
                nursery.start_soon(keep_adapting, handle)
                yield handle
            except Exception as error:  # noqa: BLE001 - raised below, outside the nursery: not in a group
                failure = error
            nursery.cancel_scope.cancel("the cluster is closed")
    if failure is not None:
        raise failure


def _directory(path: Path) -> ExitStack:
    """The directory that hosts share, as long as the block lasts."""
    stack = ExitStack()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=0o700)
    except OSError as error:
        msg = f"shared_directory: {path} cannot be made: {error.strerror}"
        raise ConfigError(msg) from error
    stack.callback(shutil.rmtree, path, ignore_errors=True)
    return stack


async def _run(plan: JobPlan, handle: ClusterHandle, on_line: Callable[[str], None] | None) -> None:
    def on_news(line: str) -> None:
        word, address, _ = read_news(line)
        if word == DASHBOARD:
            handle.dashboard_link = address
        elif word == LISTENING:
            handle.scheduler_found(address)
        elif word == SHUT:
            handle.shut_down()

    environ = {**os.environ, "TRIO_DASK_TOKEN": handle.token}
    if plan.security is not None:
        environ |= tls_environ(plan.security.written_to(plan.directory))
        environ["TRIO_DASK_SCHEDULER__PROTOCOL"] = "tls"
    words = [*plan.scheduler_words, f"--scheduler-file={plan.scheduler_file}"]
    try:
        async with open_child(
            "scheduler", words, environ=environ, on_line=on_line, on_news=on_news
        ) as scheduler:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(JobKeeper(plan, handle).run)
                ended = await scheduler.wait_ended()
                if not handle.scheduler_address:
                    ended = await scheduler.not_started()
                nursery.cancel_scope.cancel("there is no scheduler any more")
            handle.fail(ended)
    except SchedulerUnreachable as error:
        handle.fail(str(error))


class JobKeeper:
    """Submits and cancels jobs, so that there are as many workers as there shall be."""

    def __init__(self, plan: JobPlan, handle: ClusterHandle) -> None:
        self._plan: Final = plan
        self._handle: Final = handle
        self._books: Final = JobBooks(plan.name, plan.per_job)
        self._ordered = trio.Event()
        self._listed_at = -float("inf")
        self._last_words = ""

    async def run(self) -> None:
        """Until cancelled, or the cluster is of no use any more; then there are no jobs."""
        handle = self._handle
        while not handle.scheduler_address:
            await handle.next_change()
        handle.obey(lambda _: self._ordered.set(), self._books.gone)
        try:
            while handle.status == "running":
                try:
                    async with open_asker(handle, "jobs") as asker, trio.open_nursery() as nursery:
                        await self._keep(asker, nursery)
                        nursery.cancel_scope.cancel("it is over")
                except* CommError as group:
                    logger.warning("Jobs are looked after later: %s", group.exceptions[0])
                    await trio.sleep(LOOK_S)
        finally:
            handle.obey(None)
            with trio.move_on_after(_CLOSE_S, shield=True):
                await self._cancel(self._books.ids())

    async def _keep(self, asker: Asker, nursery: trio.Nursery) -> None:
        while self._handle.status == "running":
            here = await self._workers(asker)
            wishes = self._books.look(self._handle.wanted, here, await self._listed())
            for wish in wishes:
                await self._fulfil(wish, asker, nursery)
            with trio.move_on_after(LOOK_S):
                await self._ordered.wait()
            self._ordered = trio.Event()

    async def _workers(self, asker: Asker) -> set[str]:
        """The names of those that are there; the cluster is told of changes."""
        found = (await asker.ask("info", {}))["workers"]
        names = {each["name"]: address for address, each in found.items()}
        before = self._handle.workers
        for name in before.keys() - names.keys():
            self._handle.worker_changed(name, None)
        for name in names.keys() - before.keys():
            self._handle.worker_changed(name, names[name])
        return set(names)

    async def _listed(self) -> set[str] | None:
        now = trio.current_time()
        if not self._books.jobs or now < self._listed_at + self._plan.listing_s:
            return None
        self._listed_at = now
        words = [word.replace("$USER", getpass.getuser()) for word in self._plan.system.listing]
        said = await self._call(words, "")
        return None if said is None else job_numbers(said)

    async def _fulfil(self, wish: Wish, asker: Asker, nursery: trio.Nursery) -> None:
        match wish:
            case Submit(number):
                text = self._plan.job_script(number)
                # Cut short, the system may have taken a job that nobody here knows of.
                with trio.CancelScope(shield=True):
                    said = await self._call(self._plan.system.submit, text)
                found = job_number(said or "")
                if not found:
                    self._books.refused(number)
                    return
                logger.info("Submitted job %s for worker %s-%d", found, self._plan.name, number)
                for more in self._books.submitted(number, found):
                    await self._fulfil(more, asker, nursery)
            case Retire(names, ids):
                nursery.start_soon(self._retire, asker, names, ids)
            case Cancel(ids):
                await self._cancel(ids)
            case GiveUp(why):
                self._handle.fail(f"{why}; the last said: {self._last_words or 'nothing'}")

    async def _retire(self, asker: Asker, names: tuple[str, ...], ids: tuple[str, ...]) -> None:
        try:
            left = await asker.ask("retire_workers", {"workers": list(names)})
        except CommError as error:  # some have gone meanwhile
            logger.warning("Workers %s: %s", ", ".join(names), error)
            return
        if left["stayed"]:  # nobody could take their values, and they are to go all the same
            await self._cancel(ids)

    async def _cancel(self, ids: tuple[str, ...]) -> None:
        if ids:
            await self._call((*self._plan.system.cancel, *ids), "")

    async def _call(self, words: Sequence[str], said: str) -> str | None:
        """What a command of the batch system says; None if it fails, which is told."""
        environ = {name: value for name, value in os.environ.items() if "TRIO_DASK" not in name}
        try:
            with trio.fail_after(_COMMAND_S):
                done = await trio.run_process(
                    list(words), stdin=said.encode(), env=environ, check=False,
                    capture_stdout=True, capture_stderr=True,
                )  # fmt: skip
        except (OSError, trio.TooSlowError) as error:
            why = getattr(error, "strerror", None) or f"no answer within {_COMMAND_S:g} s"
        else:
            output = done.stdout.decode(errors="replace")
            if done.returncode == 0:
                return output
            why = f"{output}{done.stderr.decode(errors='replace')}".strip()
        self._last_words = f"{words[0]}: {' '.join(why.split())}"
        logger.warning("%s", self._last_words)
        return None
