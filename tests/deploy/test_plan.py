"""What was left open is settled as Dask does; what makes no sense is refused."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from trio_dask.deploy import plan
from trio_dask.errors import ConfigError

if TYPE_CHECKING:
    from trio_dask.deploy.plan import LocalPlan


@pytest.fixture(autouse=True)
def _machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight processors, eight gigabytes."""
    for module in ("trio_dask.deploy.plan", "trio_dask.config.settings"):
        monkeypatch.setattr(f"{module}.cpu_count", lambda: 8)
        monkeypatch.setattr(f"{module}.memory_bytes", lambda: 8_000_000_000)


def sizes(*args: Any, **options: Any) -> tuple[int, int]:
    """Workers, and threads of each."""
    made = plan.plan_local(*args, **options)
    return made.n_workers, made.worker_size.cores


def limit(made: LocalPlan) -> int:
    """The memory of each worker."""
    return made.config.worker.memory_limit


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ((None, None), (4, 2)),
        ((None, 1), (8, 1)),
        ((None, 3), (2, 3)),
        ((None, 99), (1, 99)),
        ((3, None), (3, 3)),
        ((8, None), (8, 1)),
        ((20, None), (20, 1)),
        ((0, None), (0, 2)),
        ((5, 7), (5, 7)),
    ],
)
def test_workers_and_threads_use_the_machine(
    given: tuple[int | None, int | None], expected: tuple[int, int]
) -> None:
    """Whatever is left out."""
    assert sizes(*given) == expected


@pytest.mark.parametrize(
    ("given", "expected"), [((None, None), (1, 8)), ((None, 3), (1, 3)), ((2, None), (2, 4))]
)
def test_in_one_process_there_is_one_worker(
    given: tuple[int | None, int | None], expected: tuple[int, int]
) -> None:
    """Unless more are asked for: they would share one interpreter anyway."""
    assert sizes(*given, processes=False) == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("auto", 2_000_000_000),
        ("1GB", 1_000_000_000),
        (500_000_000, 500_000_000),
        (5e8, 500_000_000),
        (0.5, 4_000_000_000),
        (None, 0),
        (0, 0),
    ],
)
def test_memory_is_shared_among_the_workers(given: Any, expected: int) -> None:
    """By default; else it is of each."""
    assert limit(plan.plan_local(4, memory_limit=given)) == expected


def test_worker_options_reach_the_workers() -> None:
    """As settings, and as variables for a process that reads them."""
    made = plan.plan_local(
        1, local_directory=Path("/x"), resources={"GPU": 2}, heartbeat="2s", death_timeout=None
    )
    worker = made.config.worker
    assert (worker.local_directory, worker.resources, worker.heartbeat_s) == ("/x", {"GPU": 2.0}, 2)
    assert made.environ == {
        "TRIO_DASK_WORKER__LOCAL_DIRECTORY": "/x",
        "TRIO_DASK_WORKER__RESOURCES": "GPU=2",
        "TRIO_DASK_WORKER__HEARTBEAT": "2s",
    }


def test_shares_of_the_memory_have_the_names_that_dask_gives_them() -> None:
    """They reach workers in this process as settings, others as variables."""
    made = plan.plan_local(
        1, memory_target_fraction=0.5, memory_spill_fraction=False, memory_pause_fraction=0.7,
        memory_terminate_fraction=None, max_spill="2GB",
    )  # fmt: skip
    memory = made.config.worker.memory
    assert (memory.target, memory.spill, memory.pause) == (0.5, 0.0, 0.7)
    assert (memory.terminate, memory.max_spill) == (0.95, 2_000_000_000)
    assert made.environ == {
        "TRIO_DASK_WORKER__MEMORY__TARGET": "0.5",
        "TRIO_DASK_WORKER__MEMORY__SPILL": "never",
        "TRIO_DASK_WORKER__MEMORY__PAUSE": "0.7",
        "TRIO_DASK_WORKER__MEMORY__MAX_SPILL": "2GB",
    }
    assert plan.plan_local(1, max_spill=False).config.worker.memory.max_spill == 0


def test_what_is_so_anyway_may_be_asked_for() -> None:
    """Programs for Dask say it: no loop, no class of workers, no interface, the protocol there is."""
    made = plan.plan_local(
        1, asynchronous=False, loop=None, worker_class=None, interface=None, start=None,
        blocked_handlers=None, scheduler_kwargs={}, worker_dashboard_address=None,
        protocol="tcp://", host="tcp://127.0.0.2",
    )  # fmt: skip
    assert made.config.scheduler.host == made.config.worker.host == "127.0.0.2"
    assert plan.plan_local(1, host=None, protocol="tcp").config.worker.host == plan.LOOPBACK
    for refused in ("tls", "inproc://"):
        with pytest.raises(ConfigError, match="with security= it is tls, else tcp"):
            plan.plan_local(1, protocol=refused)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"memory_spill": 0.5}, "the nearest known one is memory_spill_fraction"),
        ({"memory_pause_fraction": 80}, "worker.memory.pause: 80 is no share between 0 and 1"),
        ({"local_dir": "x"}, "unknown option local_dir: the nearest known one is local_directory"),
        ({"frobnicate": 1}, "unknown option frobnicate: there is none like it$"),
        ({"asynchronous": True}, "asynchronous: AsyncLocalCluster"),
        ({"nthreads": 2}, "it is threads_per_worker here"),
        ({"security": "yes"}, "security='yes': it is a trio_dask.Security, or True"),
        ({"n_workers": -1}, "n_workers=-1: it is a whole number of at least 0"),
        ({"n_workers": 1.5}, "n_workers=1.5"),
        ({"threads_per_worker": 0}, "threads_per_worker=0: .* at least 1"),
        ({"resources": "GPU"}, "worker.resources: .* are no resources"),
        ({"silence_logs": "loud"}, "silence_logs='loud'"),
        ({"scheduler_port": 70_000}, "ports end at 65535"),
    ],
)
def test_what_makes_no_sense_is_refused(options: dict[str, Any], message: str) -> None:
    """With a message that says what would."""
    with pytest.raises(ConfigError, match=message):
        plan.plan_local(**options)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (logging.WARNING, "warning"),
        (logging.INFO, "info"),
        (logging.CRITICAL, "error"),
        ("DEBUG", "debug"),
        (False, "info"),
        (True, "error"),
    ],
)
def test_logs_are_silenced_up_to_a_level(given: int | str | bool, expected: str) -> None:
    """As Dask's `silence_logs` says it."""
    assert plan.plan_local(silence_logs=given).log_level == expected


def test_names() -> None:
    """Dask's tools count clusters; what is no name of a worker is refused before anything starts."""
    assert plan.plan_local(2, name=3).name == plan.plan_local(2, name=3).config.worker.name == "3"
    assert plan.plan_local(2, name=0).name == "0"
    assert plan.plan_local(2).name == plan.plan_local(2, name="").name == plan.NAME
    with pytest.raises(ConfigError, match="'a b' is no name of a worker"):
        plan.plan_local(2, name="a b")
