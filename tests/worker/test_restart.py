"""When runners are started again, what is known of their deaths, and what has come to a stop."""

from __future__ import annotations

from typing import Any

import pytest

from trio_dask.worker.core import GiveUp, Restart, RestartRules, Restarts, Stalls, certificate

RULES = RestartRules(delay_s=1.0, delay_max_s=5.0, healthy_s=10.0, starts_max=3)

READY: dict[str, Any] = {"ready": True, "answered": 0, "lasted_s": 0.5}
WORKED: dict[str, Any] = {"ready": True, "answered": 3, "lasted_s": 0.5}
LONG: dict[str, Any] = {"ready": True, "answered": 0, "lasted_s": 11.0}
UNREADY: dict[str, Any] = {"ready": False, "answered": 0, "lasted_s": 0.5}


@pytest.mark.parametrize(
    ("ends", "delays"),
    [
        ([READY] * 6, [0, 1, 2, 4, 5, 5]),
        ([WORKED] * 3, [0, 0, 0]),
        ([READY, READY, WORKED, READY, READY], [0, 1, 0, 0, 1]),
        ([READY, READY, LONG, READY], [0, 1, 0, 0]),
        ([READY, *[UNREADY] * 4], [0, 1, 2, 4, 5]),
        ([UNREADY, UNREADY], [0, 1]),
    ],
)
def test_delays(ends: list[dict[str, Any]], delays: list[float]) -> None:
    """At once the first time, then doubling; work done makes up for it."""
    restarts = Restarts(RULES)
    assert [restarts.ended(**end) for end in ends] == [Restart(float(delay)) for delay in delays]


def test_giving_up() -> None:
    """If no runner was ever ready, the worker ends instead of trying for ever."""
    restarts = Restarts(RULES)
    decisions = [restarts.ended(**UNREADY) for _ in range(3)]
    assert isinstance(decisions[-1], GiveUp)
    assert "3 runner processes" in decisions[-1].reason


def test_many_failures_do_not_overflow() -> None:
    """The delay stays at its limit however often it is doubled."""
    restarts = Restarts(RULES)
    decisions = [restarts.ended(**READY) for _ in range(3000)]
    assert decisions[-1] == Restart(5.0)


@pytest.mark.parametrize(
    ("status", "reason", "words"),
    [
        (
            -9,
            "",
            {
                "signal": 9,
                "reason": "killed by SIGKILL"
                " (from outside: the system does so too when memory runs out)",
            },
        ),
        (-9, "hung", {"signal": 9, "reason": "killed by SIGKILL (hung)"}),
        (-64, "", {"signal": 64, "reason": "killed by signal 64"}),
        (3, "", {"exit_code": 3, "reason": "exited with code 3"}),
        (-15, "it broke the rules", {"signal": 15, "reason": "killed by SIGTERM (it broke the rules)"}),
        (None, "", {"reason": "given up"}),
    ],
)  # fmt: skip
def test_certificates(status: int | None, reason: str, words: dict[str, Any]) -> None:
    """A death certificate says how it ended, in words and numbers."""
    made = certificate(status, pid=5, host="h", lasted_s=1.23456, rss=7, reason=reason)
    assert made == words | {"pid": 5, "host": "h", "lasted_s": 1.235, "rss": 7}
    assert "rss" not in certificate(0, pid=5, host="h", lasted_s=1.0, rss=None)


def test_stalls() -> None:
    """A transfer is stalled when its counter has stood still for the time, and was watched so long."""
    stalls = Stalls(60.0)
    assert stalls.stalled({"a": 1, "b": 1}, 0.0) == []
    assert stalls.stalled({"a": 1, "b": 2}, 59.0) == []
    assert stalls.stalled({"a": 1, "b": 2}, 60.0) == ["a"]
    assert stalls.stalled({"b": 2}, 61.0) == []
    assert stalls.stalled({"a": 1, "b": 2}, 120.0) == ["b"]
