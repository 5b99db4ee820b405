"""Tasks that have a process of their own, and keep a slot of their worker for as long as they do."""

from __future__ import annotations

from typing import ClassVar

from trio_dask.messages.codec import Message, message
from trio_dask.messages.columns import Ints


@message(54)
class Reserve(Message):
    """Keep a slot for each of these, when its turn comes by its rank (worker → runner)."""

    seats: Ints
    ranks: Ints
    PARALLEL: ClassVar = ("seats", "ranks")


@message(77)
class Reserved(Message):
    """There is a slot that is kept for each of these (runner → worker)."""

    seats: Ints


@message(55)
class Vacate(Message):
    """These slots are not needed any more, or not any longer (worker → runner)."""

    seats: Ints
