"""A cell of a notebook that is run again has one cluster, unless something would be lost."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from tests.client.jobs import inc
from trio_dask import Client, Queue
from trio_dask.client.cells import present_run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.network

OPTIONS: dict[str, Any] = {
    "n_workers": 1, "threads_per_worker": 1, "processes": False, "dashboard_address": None,
}  # fmt: skip


class Notebook:
    """What a kernel says of the cell that is run, and the clients that were opened."""

    def __init__(self) -> None:
        self.parent: dict[str, Any] = {}
        self.clients: list[Client] = []

    def get_parent(self) -> dict[str, Any]:
        """The message that has the cell in it."""
        return self.parent

    def run(self, cell: str | None) -> None:
        """A cell begins."""
        number = f"message-{len(self.clients)}-{cell}"
        self.parent = {"header": {"msg_id": number}, "metadata": {"cellId": cell}}

    def open(self) -> Client:
        """A line of it."""
        client = Client(**OPTIONS)
        self.clients.append(client)
        return client


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Notebook]:
    """One whose clients are closed in the end."""
    made = Notebook()
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: made))
    yield made
    for client in made.clients:
        client.close()


def test_the_former_one_makes_room(notebook: Notebook) -> None:
    """That of the same cell; not of others, nor of the same run."""
    notebook.run("other")
    other = notebook.open()
    notebook.run("cell")
    one, two = notebook.open(), notebook.open()
    assert [each.live.state for each in (other, one, two)] == ["open"] * 3
    notebook.run("cell")
    three = notebook.open()
    states = [each.live.state for each in (other, one, two, three)]
    assert states == ["open", "closed", "closed", "open"]
    assert one.cluster is not None
    assert one.cluster.status == "closed"


@pytest.mark.parametrize(
    ("leave", "what"),
    [
        (lambda client: client.submit(inc, 1), "as it has 1 future."),
        (lambda client: client.map(inc, range(2)), "as it has 2 futures."),
        (lambda client: client.publish_dataset(x=client.submit(inc, 1)), "as it has "),
        (lambda client: Queue("q", client=client).put(1), "as it has locks, queues"),
        (lambda client: Client(client.scheduler_address), "as it has other clients"),
    ],
)
def test_it_stays_where_something_would_be_lost(
    notebook: Notebook, leave: Callable[[Client], Any], what: str
) -> None:
    """And one is told what, and what to do."""
    notebook.run("cell")
    one = notebook.open()
    left = leave(one)
    notebook.run("cell")
    with pytest.warns(UserWarning, match=what) as said:
        two = notebook.open()
    assert "client.close()" in str(said[0].message)
    assert said[0].filename == __file__
    assert one.submit(inc, 1).result() == two.submit(inc, 1).result() == 2
    if isinstance(left, Client):
        left.close()


def test_elsewhere_nothing_is_known(notebook: Notebook, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a console, in notebooks that do not name their cells, and without IPython."""
    notebook.run(None)
    assert present_run() is None
    notebook.parent = {}
    assert present_run() is None
    shell = SimpleNamespace(get_ipython=object)
    monkeypatch.setitem(sys.modules, "IPython", shell)
    assert present_run() is None
    monkeypatch.delitem(sys.modules, "IPython")
    assert present_run() is None
