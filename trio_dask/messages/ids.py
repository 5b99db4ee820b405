"""Names for tasks, functions and attempts that need no table.

A *task id* is one 64-bit integer, unique in the cluster: its upper bits are the
number that the scheduler gave the client, its lower bits that client's counter.
The client makes ids without asking anybody, everybody uses the same one, and
consecutive tasks have consecutive ids. Function ids are made the same way.

The *key* that people see is made from the function's name and the id, so it is
never stored, unless the user chose it.

An *attempt* is one try at running a task: the scheduler's epoch above, a counter
below. It is never used twice, so a message about a superseded attempt is
recognised by its number alone.
"""

from __future__ import annotations

from typing import Final, TypeAlias

TaskId: TypeAlias = int
FunctionId: TypeAlias = int
Attempt: TypeAlias = int

COUNTER_BITS: Final = 40
#: What stands in keys for a function where there is none: values from clients.
DATA: Final = "data"
_COUNTER_MASK: Final = (1 << COUNTER_BITS) - 1
CLIENT_MAX: Final = (1 << (62 - COUNTER_BITS)) - 1


def first_id(client: int) -> int:
    """The first id of a client's own range.

    >>> hex(first_id(3))
    '0x30000000000'
    """
    return client << COUNTER_BITS


def client_of(task: TaskId) -> int:
    """The number of the client that made a task or function id.

    >>> client_of(first_id(3) + 17)
    3
    """
    return task >> COUNTER_BITS


def auto_key(name: str, task: TaskId) -> str:
    """The key of a task whose user chose none.

    >>> auto_key("inc", first_id(1) + 10)
    'inc-1000000000a'
    """
    return f"{name}-{task:x}"


def task_of_key(key: str) -> TaskId | None:
    """The id in an automatic key, or None where there is none.

    >>> task_of_key("inc-1000000000a") == first_id(1) + 10
    True
    >>> task_of_key("my own key") is None
    True
    """
    _, dash, digits = key.rpartition("-")
    try:
        task = int(digits, 16)
    except ValueError:
        return None
    # `int` also reads "0x10", "1_0" and " 10".
    return task if dash and f"{task:x}" == digits else None


def epoch_of(attempt: Attempt) -> int:
    """The epoch of the scheduler that made an attempt."""
    return attempt >> COUNTER_BITS


def first_attempt(epoch: int) -> Attempt:
    """The number below an epoch's first attempt."""
    return epoch << COUNTER_BITS
