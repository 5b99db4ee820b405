"""From exceptions to one line and an exit code."""

from __future__ import annotations

import errno
import os

import pytest

from trio_dask.cli.failures import NobodyReads, exit_code, failure_line
from trio_dask.errors import AuthenticationError, ConfigError, SchedulerUnreachable

AGAIN = f"{os.strerror(errno.EAGAIN)}; if that is the limit on processes, it is `ulimit -u`"


def group(*errors: BaseException) -> BaseExceptionGroup[BaseException]:
    """Errors as nurseries in nurseries deliver them."""
    return BaseExceptionGroup("outer", [BaseExceptionGroup("inner", list(errors))])


@pytest.mark.parametrize(
    ("error", "line", "code"),
    [
        (ConfigError("no such setting"), "no such setting", 2),
        (SchedulerUnreachable("nobody\nthere"), "nobody there", 1),
        (
            FileNotFoundError(2, "No such file or directory", "/x"),
            "/x: No such file or directory",
            1,
        ),
        (OSError(98, "Address already in use"), "Address already in use", 1),
        (OSError("plain"), "plain", 1),
        (group(ConfigError("a"), ConfigError("b")), "a; b", 2),
        (group(ConfigError("a"), AuthenticationError("b"), ConfigError("a")), "a; b", 1),
        (group(KeyboardInterrupt()), "", 0),
        (group(NobodyReads()), "", 0),
        (RuntimeError("can't start new thread"), f"can't start new thread: {AGAIN}", 1),
        (SchedulerUnreachable(AGAIN), AGAIN, 1),
        (KeyError("k"), "internal error: KeyError: 'k'", 1),
    ],
)
def test_one_line_and_a_code(error: BaseException, line: str, code: int) -> None:
    """Groups are flattened, repetitions dropped, line ends removed; only bad settings are usage."""
    assert failure_line(error) == line
    assert exit_code(error) == code


def test_an_internal_error_says_where() -> None:
    """What was not meant to happen names its place in the code."""
    with pytest.raises(ZeroDivisionError) as caught:
        1 / 0  # noqa: B018 - it is raised on purpose
    assert "test_failures.py:" in failure_line(caught.value)
