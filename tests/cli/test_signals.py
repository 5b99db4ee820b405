"""Signals at moments that are hard to hit: before anybody watches for them, and too late."""

from __future__ import annotations

import signal
import subprocess
import sys
from types import ModuleType
from typing import TYPE_CHECKING

import pytest
import trio

from trio_dask.cli import app, main
from trio_dask.cli.serving import run_until_signal, watched_signals

if TYPE_CHECKING:
    from collections.abc import Iterator

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """The test run's own handlers are there again afterwards."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_while_all_ends_does_nothing(number: signal.Signals) -> None:
    """Nobody watches any more, but Python's own handlers are not back either."""

    async def work() -> None:
        signal.raise_signal(number)

    run_until_signal(work)
    signal.raise_signal(number)


async def forever() -> None:
    """What only a signal ends."""
    await trio.sleep_forever()


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_before_anybody_watches_counts(
    number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes between the handlers and the loop, and ends the command all the same."""
    run = trio.run

    def run_late(*arguments: object) -> None:
        signal.raise_signal(number)
        run(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(trio, "run", run_late)
    run_until_signal(forever)


@pytest.mark.parametrize(("words", "code"), [(["config", "list"], 0), (["run", "x.py"], 130)])
def test_a_signal_during_the_imports(
    words: list[str], code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No traceback; but a script that has not been run has not succeeded."""
    monkeypatch.setattr("trio_dask.cli.app.run", lambda _: signal.raise_signal(signal.SIGINT))
    with pytest.raises(SystemExit) as leaving:
        main(words)
    assert leaving.value.code == code
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_nohup_is_respected() -> None:
    """What is meant to survive its terminal does."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    assert watched_signals() == [signal.SIGINT, signal.SIGTERM]


def test_a_process_ignores_what_comes_after_its_end() -> None:
    """The interpreter takes a while to leave; a last Ctrl-C is no traceback."""
    code = (
        "import atexit, signal\n"
        "from trio_dask.cli import main\n"
        "atexit.register(signal.raise_signal, signal.SIGINT)\n"
        "raise SystemExit(main())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "--version"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def _while_a_class_is_made() -> None:
    """Python before 3.12 makes another error of what is raised then."""
    try:
        raise SystemExit(7)
    except SystemExit as error:
        msg = "Error calling __set_name__"
        raise RuntimeError(msg) from error


class _Halfway(ModuleType):
    """A module that is being imported."""

    @property
    def run(self) -> object:
        """What a signal keeps from being made."""
        _while_a_class_is_made()
        return None


def test_a_signal_while_a_class_is_made(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Be it in the imports of the command line, or in those of a command."""
    with monkeypatch.context() as patch:
        patch.setattr(app, "app", lambda _: _while_a_class_is_made())
        with pytest.raises(SystemExit, match="7"):
            main(["config", "list"])
    monkeypatch.setitem(sys.modules, "trio_dask.cli.app", _Halfway("app"))
    with pytest.raises(SystemExit, match="7"):
        main(["config", "list"])
    assert capsys.readouterr().err == ""
