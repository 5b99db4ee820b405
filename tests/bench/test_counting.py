"""What a task costs does not grow unnoticed: counted, so that it is the same everywhere."""

from __future__ import annotations

import gc
import sys

import pytest

from bench import blocks, counting, growth, single
from bench.crowd import Crowd
from trio_dask.messages import tasks as words


def test_counts_are_the_same_every_time() -> None:
    """No clock, no chance."""
    first, second = counting.run(3_000), counting.run(3_000)
    for memory in (
        "bytes of memory in the scheduler, pending",
        "allocations in the scheduler, pending",
    ):
        assert first.pop(memory) == pytest.approx(second.pop(memory), rel=0.02)
    assert first == second


@pytest.mark.parametrize(
    ("figure", "budget"),
    [
        ("bytes client → scheduler", 60),
        ("bytes scheduler → worker", 100),
        ("bytes worker → runner", 100),
        ("bytes runner → worker", 50),
        ("bytes worker → scheduler", 50),
        ("bytes scheduler → client", 45),
        ("messages scheduler → worker", 0.05),
        ("writes scheduler → worker", 0.05),
        ("writes worker → scheduler", 0.05),
        ("writes scheduler → client", 0.05),
        ("allocations in the scheduler, pending", 8),
        ("calls in the client", 9.5),
        ("calls in the scheduler", 32),
        ("calls in the worker", 3),
        ("bytes of memory in the scheduler, pending", 600),
    ],
)
def test_a_task_keeps_to_its_budget(figure: str, budget: float) -> None:
    """Per task of a large map of no-ops, arguments of 45 bytes and values of 5 included."""
    assert 0 < counting.run(10_000)[figure] <= budget


def test_a_task_alone_keeps_to_its_budget() -> None:
    """What is done for each message, however few tasks it is about, decoding and encoding included."""
    budgets = {"client": 200, "scheduler": 375, "worker": 195, "runner": 60}
    found = single.run(640)
    assert not [role for role, most in budgets.items() if found[f"calls in the {role}"] > most]


@pytest.mark.parametrize("workers", [1, 40])
@pytest.mark.parametrize("shape", growth.SHAPES)
def test_a_crowd_of_workers_does_everything(shape: str, workers: int) -> None:
    """However many they are, whatever it is; that nothing is missing is checked in `grown`."""
    assert growth.grown(shape, 1_000, workers).turns > 1


def test_many_workers_are_not_given_a_task_at_a_time() -> None:
    """There would be a message for each: tasks of this length come by the dozen."""
    assert growth.grown("plain", 40_000, 400).turns < 40_000 / 12


def test_nothing_stays_of_a_batch_that_is_over() -> None:
    """One small object of each would keep the memory around it from being given back."""
    crowd = Crowd(2)
    crowd.say(growth.functions())

    def done_and_over(first: int, tasks: int) -> int:
        """These run and are released; how many objects there are then."""
        crowd.say([growth.submit(at, 1_000, [], []) for at in range(first, first + tasks, 1_000)])
        crowd.play()
        crowd.core.tick(0.0)
        crowd.say([words.Release([growth.FIRST + first + number for number in range(tasks)])])
        crowd.play()
        crowd.core.tick(1.0)
        gc.collect()
        return sys.getallocatedblocks()

    before, turns = done_and_over(0, 1_000), crowd.turns
    after = done_and_over(1_000, 100_000)
    assert after - before < (crowd.turns - turns) / 2


@pytest.mark.parametrize("name", blocks.BLOCKS)
def test_what_concerns_very_many_is_done_in_many_turns(name: str) -> None:
    """No turn is about all of them."""
    assert blocks.BLOCKS[name](12_000).turns > 5
