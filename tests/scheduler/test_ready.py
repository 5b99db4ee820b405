"""The queue of ready tasks against a plain sorted list."""

from __future__ import annotations

from random import Random

from hypothesis import given, settings, strategies as st

from trio_dask.scheduler.core.ready import ReadyQueue, _Run
from trio_dask.scheduler.core.state import Requirement, Spec, Task


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 30)), max_size=60))
def test_a_ready_queue_is_a_sorted_list(steps: list[tuple[int, int]]) -> None:
    """Whatever is pushed, discarded and taken: the lowest ranks come first."""
    queue, spec = ReadyQueue(), Spec(None, Requirement(), 0)
    model: list[Task] = []
    tasks = [Task(tid, spec, b"", tid) for tid in range(31)]
    for kind, number in steps:
        task = tasks[number]
        if kind == 0 and task not in model:
            queue.push(task)
            model.append(task)
        elif kind == 1:
            new = [each for each in tasks[number : number + 7] if each not in model]
            queue.push_sorted(new)
            model += new
        elif kind == 2 and task in model:
            queue.discard(task)
            model.remove(task)
        elif kind == 3:
            assert queue.pop() is (model.pop(0) if model else None)
        elif kind == 4:
            taken = queue.pop_many(number)
            assert taken == model[:number]
            del model[:number]
        elif kind == 5:
            last = queue.pop_last()
            assert (last is None) == (not model)
            if last is not None:
                model.remove(last)
        model.sort(key=lambda each: each.rank)
        assert len(queue) == len(model)
        assert queue.peek() is (model[0] if model else None)
        assert all((each.queue is queue) == (each in model) for each in tasks)


@settings(max_examples=20)
@given(st.integers(0, 1 << 30), st.integers(1, 700))
def test_dead_entries_are_swept_out(seed: int, run: int) -> None:
    """Whoever leaves, and in whatever order, those who stay come in theirs."""
    queue, spec = ReadyQueue(), Spec(None, Requirement(), 0)
    tasks = [Task(tid, spec, b"", tid) for tid in range(4000)]
    for at in range(0, 3000, run):
        queue.push_sorted(tasks[at : min(3000, at + run)])
    for task in tasks[3000:]:
        queue.push(task)
    leaving = Random(seed).sample(tasks, 3900)
    for task in leaving:
        queue.discard(task)
    kept = {entry for _, entry in queue._heap}
    held = sum(len(each.tasks) if isinstance(each, _Run) else 1 for each in kept)
    assert held <= 3 * len(queue) + 2000
    again = leaving[:50]
    for task in again:
        queue.push(task)
    staying = sorted({*tasks} - {*leaving} | {*again}, key=lambda task: task.rank)
    assert len(queue) == len(staying)
    assert queue.pop_many(20) == staying[:20]
    assert [queue.pop() for _ in staying[20:]] == staying[20:]
    assert queue.pop() is None
