"""Bars that show how far tasks are."""

from __future__ import annotations

import io
import itertools
import operator
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from rich.console import Console

from trio_dask import (
    AsyncClient,
    AsyncFuture,
    Client,
    Event,
    Future,
    LocalCluster,
    SchedulerUnreachable,
    progress,
    wait,
)
from trio_dask.client.metering import Gathering, Row
from trio_dask.client.showing import line, shown as show
from trio_dask.client.waits import run_blocking

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE_S = 30.0


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    """A client of a cluster in this process."""
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, processes=False) as cluster,
        Client(cluster) as made,
    ):
        yield made


def terminal() -> Console:
    """One that keeps what is written."""
    return Console(file=io.StringIO(), force_terminal=True, width=100, color_system=None)


def shown(console: Console) -> str:
    """What was written."""
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_bar_for_each_name(client: Client) -> None:
    """They end full; what has failed is counted, not raised."""
    console = terminal()
    futures: list[Future[int]] = client.map(abs, range(5))
    bad = client.submit(operator.floordiv, 1, 0)
    progress(futures, bad, futures[0], console=console)
    assert all(future.done() for future in futures)
    text = shown(console)
    assert "5/5" in text
    assert "abs" in text
    assert "1 failed" in text


def test_where_there_is_no_terminal(client: Client) -> None:
    """It waits, and writes a line at the end of it; nothing to wait for is fine."""
    log = Console(file=io.StringIO(), width=20)
    future: Future[int] = client.submit(abs, -1, key="one")
    bad = client.submit(operator.floordiv, 1, 0)
    progress(future, bad, console=log)
    assert future.done()
    assert shown(log) == "one 1/1; floordiv 1/1, 1 failed\n"
    progress()
    progress([])


class Log(io.StringIO):
    """A file that says when so many lines are in it."""

    def __init__(self, lines: int) -> None:
        super().__init__()
        self._lines = lines
        self.full = threading.Event()

    def write(self, text: str) -> int:
        """Add to it."""
        count = super().write(text)
        if self.getvalue().count("\n") >= self._lines:
            self.full.set()
        return count


def test_lines_come_when_there_is_something_new() -> None:
    """Not one twice, but for the last; many names are not all in it."""
    log = Log(2)
    numbers = iter([1, 1, 2, *[2] * 100_000])
    last: list[int] = []

    def rows() -> list[Row]:
        last.append(next(numbers))
        return [Row("x", last[-1], 3)]

    with show(rows, Console(file=log), label="load", every_s=0.0001):
        assert log.full.wait(PATIENCE_S)
    assert log.getvalue() == "load: x 1/3\nload: x 2/3\nload: x 2/3\n"
    assert line([Row(str(each), 0, 1) for each in range(10)]).endswith("7 0/1; 2 more")


def test_a_log_that_cannot_be_written_disturbs_nobody(client: Client) -> None:
    """The values come all the same."""
    file = io.StringIO()
    file.close()
    assert client.gather(client.map(abs, [-1, 2]), progress=Console(file=file)) == [1, 2]


def numbers(count: int) -> bytes:
    """A value that stays with its worker."""
    return bytes(count)


def test_gather_shows_tasks_and_bytes(client: Client) -> None:
    """Bars on a terminal, a line elsewhere; small values come with the news, others are counted."""
    futures = client.map(numbers, [1 << 20, 2 << 20, 1 << 20])
    console, log = terminal(), Console(file=io.StringIO())
    values = client.gather({"all": futures}, progress=console)
    assert [len(each) for each in values["all"]] == [1 << 20, 2 << 20, 1 << 20]
    for each in ("tasks", "values", "3/3", "4.00 MiB of 4.00 MiB"):
        assert each in shown(console)
    assert len(client.gather(futures, progress=log)) == 3
    assert shown(log) == "gather: tasks 3/3; values 3/3, 4.00 MiB of 4.00 MiB\n"
    log = Console(file=io.StringIO())
    assert client.gather(client.map(abs, [-1, 2]), progress=log) == [1, 2]
    assert shown(log) == "gather: tasks 2/2\n"


def test_gather_shows_how_far_it_came(client: Client) -> None:
    """An error comes out as ever, after what was done until then."""
    good, bad = client.submit(abs, -1), client.submit(operator.floordiv, 1, 0)
    wait([good, bad])
    log = Console(file=io.StringIO())
    with pytest.raises(ZeroDivisionError):
        client.gather([good, bad], progress=log)
    assert shown(log) == "gather: tasks 2/2\n"


def test_a_gather_under_way(client: Client) -> None:
    """What is left is known while it waits."""
    event = Event(client=client)
    futures = [client.submit(abs, -1), client.submit(waits_for, event)]
    wait(futures[0])
    log = Log(1)
    found: list[object] = []
    meter = Gathering(2, client.live.ask)

    def gather() -> None:
        with show(meter.rows, Console(file=log), every_s=0.0001):
            found.append(client.run_blocking(client.live.values.many(futures, "raise", meter)))

    thread = threading.Thread(target=gather)
    thread.start()
    assert log.full.wait(PATIENCE_S)
    assert "tasks 2/2" not in log.getvalue()
    event.set()
    thread.join()
    assert found == [[1, 2]]
    assert log.getvalue().endswith("tasks 2/2\n")


def waits_for(event: Event) -> int:
    """A task that is under way until it is told."""
    event.wait(PATIENCE_S)
    return 2


def test_values_that_come_in_turn() -> None:
    """What came in one request, and in those before it; values whose sizes nobody knows are counted."""

    class Came:
        def __init__(self, payloads: dict[int, bytes]) -> None:
            self.payloads = payloads

    async def ask(topic: str, params: dict[str, Any]) -> dict[str, Any]:
        sizes = dict.fromkeys(params["keys"], 10)
        return {topic: sizes}

    async def refuse(topic: str, params: dict[str, Any]) -> dict[str, Any]:
        raise SchedulerUnreachable(topic)

    meter = Gathering(3, ask)
    assert meter.rows() == [Row("tasks", 0, 3)]
    meter.waits(0)
    run_blocking(meter.expect(["a", "b", "c"]))
    first: Any = Came({})
    meter.fetches(first)
    assert meter.rows()[1] == Row("values", 0, 3, 0, 30)
    first.payloads[1] = bytes(10)
    assert meter.rows()[1] == Row("values", 1, 3, 10, 30)
    meter.fetches(None)
    run_blocking(meter.expect(["b", "c"]))
    second: Any = Came({2: bytes(10)})
    meter.fetches(second)
    assert meter.rows() == [Row("tasks", 3, 3), Row("values", 2, 3, 20, 30)]
    other = Gathering(1, refuse)
    other.waits(0)
    run_blocking(other.expect(["a"]))
    assert other.rows()[1] == Row("values", 0, 1, 0, 0)
    assert line(other.rows()) == "tasks 1/1; values 0/1, 0 B"


def test_scatter_shows_values_and_bytes(client: Client) -> None:
    """Pickled, stored, and copied where that is wanted."""
    log, console = Console(file=io.StringIO()), terminal()
    futures = client.scatter([bytes(1 << 20), bytes(1 << 20)], progress=log)
    assert [len(each) for each in client.gather(futures)] == [1 << 20] * 2
    text = "scatter: pickled 2/2, 2.00 MiB; stored 2/2, 2.00 MiB of 2.00 MiB"
    assert shown(log) == text + "\n"
    one = client.scatter(7, broadcast=True, progress=console)
    assert one.result() == 7
    for each in ("pickled", "stored", "on all workers", "1/1"):
        assert each in shown(console)


class Cell:
    """What a notebook shows: each display by its id, as it was from the first to the last.

    It takes the place of IPython's shell.
    """

    format: Any = None

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.shown: dict[str, list[dict[str, str]]] = {}
        self.threads: list[threading.Thread] = []
        shell = SimpleNamespace(display_pub=self, display_formatter=self)
        monkeypatch.setattr(InteractiveShell, "initialized", lambda: True)
        monkeypatch.setattr(InteractiveShell, "instance", lambda: shell)

    def publish(self, data: dict[str, str], **how: Any) -> None:
        """As IPython's own."""
        transient, update = how["transient"], how.get("update", False)
        self.threads.append(threading.current_thread())
        known = self.shown.setdefault(transient["display_id"], [])
        assert bool(known) == update
        known.append(data)


def test_in_a_notebook(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Below the cell, without widgets: one display, drawn anew; in words, too."""
    cell = Cell(monkeypatch)
    console = Console(force_jupyter=True)
    good = client.map(abs, range(5), key="<b>&")
    bad = client.submit(operator.floordiv, 1, 0, key="bad")
    progress(good, bad, console=console)
    [states] = cell.shown.values()
    assert states[0] == {"text/plain": ""}
    assert states[-1]["text/plain"] == "<b>& 5/5; bad 1/1, 1 failed"
    last = states[-1]["text/html"]
    assert '<td>&lt;b&gt;&amp;</td><td><progress value="5" max="5"></progress></td>' in last
    assert "1 failed" in last
    assert all(one != other for one, other in itertools.pairwise(states)), "nothing twice"
    assert cell.threads[0] is threading.main_thread(), "else it may be below another cell"
    assert client.gather(good, progress=console) == [0, 1, 2, 3, 4]
    assert len(cell.shown) == 2
    assert [*cell.shown.values()][1][-1]["text/plain"] == "tasks 5/5"


def test_what_only_claims_to_be_a_notebook(client: Client) -> None:
    """There is nobody to draw, and that is no reason for an error."""
    log = Console(force_jupyter=True, force_terminal=False)
    assert client.gather(client.map(abs, range(3)), progress=log) == [0, 1, 2]


def test_two_at_once_on_one_terminal(client: Client) -> None:
    """Neither disturbs the other."""
    console = terminal()

    def rows() -> list[Row]:
        return []

    with show(rows, console):
        assert client.gather(client.map(abs, [-1, 2]), progress=console) == [1, 2]
    assert "2/2" in shown(console)


@pytest.mark.anyio
async def test_with_await(client: Client) -> None:
    """Futures of the other client."""
    console = terminal()
    async with AsyncClient(client.scheduler_address) as other:
        futures: list[AsyncFuture[int]] = other.map(abs, range(3))
        await progress(futures, console=console)
        assert all(future.done() for future in futures)
        nothing: list[AsyncFuture[int]] = []
        await progress(nothing, console=console)
        log = Console(file=io.StringIO())
        [stored] = await other.scatter([7], progress=log)
        assert await other.gather([*futures, stored], progress=log) == [0, 1, 2, 7]
    assert "3/3" in shown(console)
    assert shown(log).splitlines()[1].startswith("gather: tasks 4/4")
