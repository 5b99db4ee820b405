"""Whatever is given to an option: one line that says what is wrong, never a traceback."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import HealthCheck, example, given, settings, strategies as st

from trio_dask.cli import main

if TYPE_CHECKING:
    import pytest

#: Options of a worker whose values are ours to understand.
OPTIONS = [
    "nworkers", "nthreads", "name", "memory-limit", "host", "interface", "worker-port",
    "death-timeout", "local-directory", "resources", "log-level",
]  # fmt: skip
VALUES = st.text(max_size=8) | st.sampled_from(
    ["-1", "-²", "1e999", "0x10", "auto", "GPU=nan", "GPU=1e400", "[::1", "a:b:c", "é\x00"]
)
many = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def leave(*words: str) -> int:
    """The exit code of a command, however it comes about."""
    try:
        return main(words)
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else 1


@many
@given(st.lists(st.tuples(st.sampled_from(OPTIONS), VALUES), max_size=3))
@example([("nworkers", "-²")])
@example([("memory-limit", "1e999")])
def test_options_of_a_worker(
    capsys: pytest.CaptureFixture[str], given_options: list[tuple[str, str]]
) -> None:
    """Without a scheduler's address no worker starts: it ends with 2, and says why."""
    words = [word for name, value in given_options for word in (f"--{name}={value}",)]
    assert leave("worker", *words) == 2
    said = capsys.readouterr().err
    assert said
    assert "internal error" not in said


@many
@given(VALUES | st.sampled_from(["scheduler.port", "token", "worker.resources"]))
def test_names_of_settings(capsys: pytest.CaptureFixture[str], name: str) -> None:
    """A known one is shown, another one is not known."""
    code = leave("config", "show", "--", name)
    shown = capsys.readouterr()
    assert "internal error" not in shown.err
    assert (code, bool(shown.out)) in {(0, True), (2, False)}
