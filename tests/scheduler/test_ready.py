"""The queue of ready tasks against a plain sorted list."""

from __future__ import annotations

from hypothesis import given, strategies as st

from trio_dask.scheduler.core.ready import ReadyQueue
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
