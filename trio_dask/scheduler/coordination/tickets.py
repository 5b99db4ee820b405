"""Who holds something, or waits for it."""

from __future__ import annotations

from typing import NamedTuple


class Ticket(NamedTuple):
    """One request of one owner; it is its own name for as long as it is held or waited for."""

    owner: int  # a client, be it inside a task or not
    token: int  # given by the owner, never twice


class Refusal(ValueError):
    """What was asked for makes no sense; the text says why."""
