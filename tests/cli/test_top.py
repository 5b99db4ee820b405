"""A cluster seen from a terminal."""

from __future__ import annotations

import http.server
import io
import json
import re
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

from tests.cli.commands import in_pipes, on_terminal
from tests.cli.test_cluster import LAST, SMALL, address_in
from trio_dask import Client
from trio_dask.cli import main
from trio_dask.cli.following import find_source
from trio_dask.cli.pictures import picture, size, time_of
from trio_dask.cli.progress import is_over, line
from trio_dask.dashboard import Event, Follower, Mirror, Progress, Recorder, Source
from trio_dask.errors import AuthenticationError, ConfigError, TrioDaskError

if TYPE_CHECKING:
    from collections.abc import Iterator


def mirror_of(workers: int, functions: int) -> Mirror:
    """A cluster with some of each."""
    mirror = Mirror()
    mirror.take(
        Event("snapshot", "1", {
            "t": 4000.0, "identity": {"address": "tcp://192.0.2.1:8786"},
            "totals": {"workers": workers, "failures": 3, "rate": 1234.5, "memory": 5 << 30},
            "workers": {
                "new": {n: [f"w-{n}", "a", "h", 2, 8192, 2] for n in range(workers)},
                "set": {n: [n % 4, 5, 6000, 93, 2, "running", 0] for n in range(workers)},
            },
            "groups": {
                "new": {n: f"function_{n}" for n in range(functions)},
                "set": {n: [n, 0, 0, 5, 1, 0, 0, 0, 0, 6, 1, 0.6] for n in range(functions)},
            },
        })
    )  # fmt: skip
    return mirror


def text_of(mirror: Mirror, width: int, height: int | None, *, connected: bool = True) -> str:
    """The picture as text."""
    out = io.StringIO()
    console = Console(file=out, width=width, height=height or 25, color_system=None)
    console.print(picture(mirror, width, height, connected=connected, ascii_only=False))
    return out.getvalue()


@pytest.mark.parametrize("width", [40, 80, 200])
@pytest.mark.parametrize(("workers", "functions"), [(0, 0), (1, 1), (3, 40), (1000, 2), (1000, 90)])
def test_a_picture_fits(width: int, workers: int, functions: int) -> None:
    """On any screen, whatever there is to be seen; what does not fit is counted."""
    shown = text_of(mirror_of(workers, functions), width, 24)
    lines = shown.rstrip("\n").split("\n")
    assert len(lines) <= 24 + 3 * (width < 60)  # the first lines may be broken
    assert all(len(each) <= width for each in lines)
    assert "tcp://192.0.2.1:8786" in shown
    if workers == 1000:
        assert re.search(r"and 9\d\d more", shown)


@pytest.mark.parametrize("width", [32, 40, 60, 70, 80, 120])
def test_only_names_are_shortened(width: int) -> None:
    """No number and no title is cut, however narrow the screen: what has no room is left out."""
    mirror = mirror_of(3, 3)
    names = ["process_all_the_partitions_of_it", "größe_" + "数" * 20]
    mirror.take(
        Event("update", "2", {
            "t": 4001.0,
            "groups": {
                "new": dict(enumerate(names, 7)),
                "set": {at: [222_222, 0, 0, 200_000, 12_345, 0, 0, 0, 0, 1_012_345, 1, 0.6] for at in (7, 8)},
            },
        })
    )  # fmt: skip
    lines = text_of(mirror, width, 24).splitlines()
    assert all(each.count("…") <= 1 for each in lines)
    assert sum("1,012,345/1,234,567" in each for each in lines) == 2
    assert any(each.split() == ["worker", "tasks", "cpu", "memory"] for each in lines) == (
        width < 70
    )
    if width >= 70:
        assert any(each.split() == ["function", "done", "failed", "each"] for each in lines)
        assert sum(each.endswith("  12,345    0.0 ms") for each in map(str.rstrip, lines)) == 2
        assert any(each.endswith("values  status") for each in map(str.rstrip, lines))
    assert sum(" █" in each for each in lines) >= 2 * (width >= 60)
    assert "…" not in "".join(each for each in lines if not each.startswith(("proc", "größ")))


def test_without_a_height_all_is_there() -> None:
    """As for a file."""
    shown = text_of(mirror_of(300, 60), 120, None)
    assert "w-299" in shown
    assert "function_59" in shown
    assert shown.index("w-9 ") < shown.index("w-10 ")
    assert "3 failed" in shown
    assert "connection lost" not in shown
    assert "connection lost" in text_of(mirror_of(1, 1), 120, None, connected=False)


def test_numbers_for_people() -> None:
    """With units."""
    assert [size(n) for n in (0, 999, 1000, 1 << 40)] == ["0 B", "999 B", "1.0 KiB", "1.0 TiB"]
    assert [time_of(s) for s in (0.5, 59, 60, 7322, 90_000)] == [
        "500.0 ms", "59 s", "1 min", "2 h 2 min", "1 d 1 h",
    ]  # fmt: skip


def test_a_line_of_progress() -> None:
    """And when it is over."""
    rows = [Progress("a", 5, 0, 0, 5, 1.0), Progress("b", 1, 1, 2, 2, 1.0)]
    assert line(rows, {"rate": 3}) == "7 of 9 tasks (77 %), 3 tasks/s, 1 failed; b 2/4"
    assert line([], {}) == "0 of 0 tasks, 0 tasks/s"
    assert not is_over(mirror_of(1, 2))
    assert is_over(mirror_of(1, 1))


# ---------------------------------------------------------------- the stream


@contextmanager
def answering(status: int, *bodies: bytes) -> Iterator[tuple[Source, list[Any]]]:
    """Somebody who answers each request with the next body, and closes."""
    asked: list[Any] = []
    left = list(bodies)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append((self.path, self.headers.get("last-event-id")))
            body = left.pop(0) if left else b""
            self.send_response(status if body or not bodies else 503)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield Source("http", f"127.0.0.1:{server.server_port}", "/here", ""), asked
        server.shutdown()
        thread.join()


def hear_all(follower: Follower, taken: list[Event]) -> None:
    """Until there is an error."""
    while True:
        follower.hear(taken.append, 5.0)


@pytest.mark.network
def test_a_lost_stream_is_taken_up_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it ended; and it is said that it was lost."""
    monkeypatch.setattr("trio_dask.dashboard.following._AGAIN_S", 0.01)
    one = b'id: 7\nevent: snapshot\ndata: {"t": 1}\n\n'
    two = b'id: 8\nevent: delta\ndata: {"t": 2}\n\n'
    taken: list[Event] = []
    with answering(200, one, two) as (source, asked), Follower(source, every_s=2) as follower:
        with pytest.raises(TrioDaskError, match="it answers 503"):
            hear_all(follower, taken)
        assert asked[:2] == [("/here/events?every=2", None), ("/here/events?every=2", "7")]
    assert [each.data["t"] for each in taken] == [1, 2]


@pytest.mark.network
@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (401, b'{"error": "This needs the dashboard\'s token."}', "needs the dashboard's token"),
        (403, b"oops", "we may not look"),
        (404, b"", "is no dashboard of ours: it answers 404"),
    ],
)
def test_who_may_not_look_is_told(status: int, body: bytes, says: str) -> None:
    """And what to do about it."""
    with answering(status, *([body] if body else [])) as (source, _), Follower(source) as follower:
        kind = AuthenticationError if status != 404 else TrioDaskError
        with pytest.raises(kind, match=re.escape(says)):
            follower.hear(lambda _: None, 5.0)


@pytest.mark.parametrize("address", ["http://", "https:///status"])
def test_what_is_no_address(address: str) -> None:
    """Is said."""
    with pytest.raises(ConfigError, match="is no address of a dashboard"):
        find_source(address)


def stream_of(*events: str) -> bytes:
    """What a dashboard says: a cluster at rest, and then so many more events."""
    state = {"t": 1.0, "identity": {"address": "tcp://192.0.2.1:8786"}, "totals": {}}
    first = f"id: 1\nevent: snapshot\ndata: {json.dumps(state)}\n\n"
    return "".join([first, *events]).encode()


@pytest.mark.network
def test_so_many_pictures(capsys: pytest.CaptureFixture[str]) -> None:
    """Where there is no terminal: one, or as many as are wanted, so far from one another."""
    with answering(200, stream_of(), stream_of()) as (source, asked):
        words = ["top", f"http://{source.place}{source.path}"]
        began = time.monotonic()
        assert main([*words, "--count", "2", "--every", "0.05"]) == 0
        assert time.monotonic() - began >= 0.05
        assert capsys.readouterr().out.count("tcp://192.0.2.1:8786") == 2
        assert len(asked) >= 1


@pytest.mark.network
def test_what_goes_wrong_in_the_thread_that_reads_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it is: nobody is to look at an old picture for ever."""

    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("trio_dask.dashboard.following.Lines.take", fail)
    with (
        answering(200, stream_of()) as (source, _),
        Follower(source) as follower,
        pytest.raises(TrioDaskError, match=r"cannot be followed any more: MemoryError"),
    ):
        follower.hear(lambda _: None, 30.0)
    with answering(200, stream_of(), stream_of()) as (source, _):
        with pytest.raises(TrioDaskError, match="cannot be followed any more"):
            Recorder(source).begin()
        monkeypatch.undo()
        monkeypatch.setattr(Recorder, "_take", fail)
        with pytest.raises(TrioDaskError, match="cannot be followed any more: MemoryError"):
            Recorder(source).begin()


@pytest.mark.network
@pytest.mark.parametrize("columns", ["40", "200"])
def test_as_wide_as_is_said(
    columns: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A picture in a pipe is made for `COLUMNS`, where that is set."""
    made: list[int] = []

    def draw(_: object, width: int, *__: object, **___: object) -> str:
        made.append(width)
        return "picture"

    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setattr("trio_dask.cli.top.picture", draw)
    with answering(200, stream_of()) as (source, _):
        assert main(["top", f"http://{source.place}{source.path}"]) == 0
    assert made == [int(columns)]
    assert capsys.readouterr().out == "picture\n"


@pytest.mark.network
@pytest.mark.parametrize(("words", "code"), [([], 0), (["--follow"], 1)])
def test_until_nothing_is_left(
    words: list[str], code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It ends then, unless it shall not: here it goes on until the dashboard is gone."""
    monkeypatch.setattr("trio_dask.dashboard.following._AGAIN_S", 0.01)
    with answering(200, stream_of()) as (source, _):
        assert main(["progress", f"http://{source.place}{source.path}", *words]) == code
    assert "0 of 0 tasks" in capsys.readouterr().out


# ---------------------------------------------------------------- all of it


@pytest.mark.network
@pytest.mark.processes
@pytest.mark.slow
def test_a_cluster_on_a_terminal_and_in_a_pipe() -> None:
    """`top` until `q`; a picture in plain text; `progress` until nothing is left to do."""
    with in_pipes("cluster", *SMALL, "--dashboard-address", "127.0.0.1:0") as cluster:
        said = cluster.read_until(LAST)
        address = address_in(said)
        link = re.search(r"http://127\.0\.0\.1:\d+", said)
        assert link is not None
        with Client(address) as client, on_terminal("top", address, "--every", "0.2") as command:
            command.read_until(address)
            futures: list[Any] = client.map(abs, range(50))
            command.read_until("50/50")
            command.type(b"q")
            assert command.wait() == 0
            assert command.said.endswith(b"\x1b[?25h\x1b[?1049l")
            client.gather(futures)
            with in_pipes("top", link[0]) as once:
                assert once.wait() == 0
            shown = once.said.decode()
            assert "\x1b" not in shown
            assert "local-1" in shown
            with in_pipes("progress", address) as shows:
                assert shows.wait() == 0
            assert "50 of 50 tasks (100 %)" in shows.said.decode()
        with in_pipes("top", link[0] + "/nothing") as lost:
            assert lost.wait() == 1
        assert "it answers 404" in lost.said.decode()
