"""What nobody has foreseen, in a thread or on the loop of a blocking client: who waits is told."""

from __future__ import annotations

import threading

import pytest

from tests.client.fake_cluster import open_blocking
from tests.client.jobs import inc
from trio_dask.errors import CancelledError, SchedulerUnreachable


def fail_of_memory(*_: object) -> None:
    """Not to be foreseen."""
    raise MemoryError


def test_an_unforeseen_error_in_sending_is_told_to_who_waits(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends the client, and not those who use it."""
    with open_blocking() as (client, fake):
        fake.held = True
        future = client.submit(inc, 1)
        client.flush()
        monkeypatch.setattr(client._core, "flush", fail_of_memory)
        client.submit(inc, 2)
        with pytest.raises(SchedulerUnreachable, match="the client failed: MemoryError"):
            future.result(timeout=30)
        monkeypatch.undo()
    assert "MemoryError" in caplog.text


def test_what_has_ended_its_loop_is_no_error_of_closing(caplog: pytest.LogCaptureFixture) -> None:
    """Whoever waits is told; what the client owns is closed."""
    with open_blocking() as (client, fake):
        fake.held = True
        future = client.submit(inc, 1)
        client._loop.soon(fail_of_memory)
        with pytest.raises(CancelledError):
            future.result(timeout=30)
        assert client._loop._thread is not None
        client._loop._thread.join(30)
    assert client.live.state == "closed"
    assert "the loop of" in caplog.text


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
def test_a_callback_that_would_end_its_thread_ends_itself(
    error: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    """Those of others are still called."""

    def leave(_: object) -> None:
        raise error

    called = threading.Event()
    with open_blocking() as (client, _):
        client.submit(inc, 1).add_done_callback(leave)
        client.submit(inc, 2).add_done_callback(lambda _: called.set())
        assert called.wait(30)
    assert "ended the thread of all callbacks" in caplog.text
