"""Plugins: on all workers or on none, whoever comes and goes meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from trio_dask.messages import session
from trio_dask.messages.plugins import PLUGIN_BYTES_MAX, PLUGINS_BYTES_MAX, Plugins, PluginsDone

if TYPE_CHECKING:
    from tests.scheduler.conftest import Driver

CLIENT, A, B = 1, 10, 11


def ask(cluster: Driver, topic: str, serial: int = 7, **params: Any) -> None:
    """The client asks."""
    cluster.tell(CLIENT, session.Ask(serial, f"plugin.{topic}", params))


def answer(cluster: Driver) -> dict[str, Any] | None:
    """What the client was answered, if it was."""
    heard = [each for each in cluster.heard(CLIENT) if isinstance(each, session.Answer)]
    return heard[-1].data if heard else None


def told(cluster: Driver, peer: int) -> list[Plugins]:
    """What the worker was told about plugins."""
    return [each for each in cluster.heard(peer) if isinstance(each, Plugins)]


def test_all_workers_are_waited_for(cluster: Driver) -> None:
    """Those that are there are told, and the client when all of them are done."""
    cluster.client()
    first, second = cluster.worker(A), cluster.worker(B)
    ask(cluster, "register", name="p", data=b"P")
    assert told(cluster, A) == told(cluster, B) == [Plugins(1, ["p"], [b"P"])]
    cluster.tell(A, PluginsDone(1, [b""]))
    cluster.tell(A, PluginsDone(1, [b"again"]))
    cluster.tell(A, PluginsDone(8, [b"of nobody"]))
    assert answer(cluster) is None
    cluster.tell(B, PluginsDone(1, [b""]))
    assert answer(cluster) == {"workers": [first, second], "failures": {}}
    ask(cluster, "list")
    assert answer(cluster) == {"names": ["p"]}
    ask(cluster, "unregister", name="p")
    assert told(cluster, A) == [Plugins(2, ["p"], [b""])]


def test_who_comes_later_gets_all_in_their_order(cluster: Driver) -> None:
    """Also what is being set up; without workers there is nobody to wait for."""
    cluster.client()
    for name in ("p", "q", "p"):
        ask(cluster, "register", name=name, data=name.encode())
        assert answer(cluster) == {"workers": [], "failures": {}}
    cluster.worker(A)
    # Nobody has tried them so far: the first who cannot set one up takes it from all.
    assert told(cluster, A) == [Plugins(4, ["q"], [b"q"]), Plugins(5, ["p"], [b"p"])]
    cluster.tell(A, PluginsDone(4, [b""]))
    cluster.worker(B)
    assert told(cluster, B) == [Plugins(0, ["q"], [b"q"]), Plugins(6, ["p"], [b"p"])]
    cluster.tell(A, PluginsDone(5, [b"it fails"]))
    assert told(cluster, B) == [Plugins(0, ["p"], [b""])]
    cluster.tell(B, PluginsDone(6, [b"it fails"]))
    assert not cluster.core.state.plugins.changes
    told(cluster, A)
    ask(cluster, "register", name="q", data=b"other", idempotent=True)
    assert answer(cluster) == {"workers": [], "failures": {}}
    assert told(cluster, A) == []


def test_a_failure_takes_it_back(cluster: Driver) -> None:
    """Everywhere; who comes later never hears of it."""
    cluster.client()
    first = cluster.worker(A)
    cluster.worker(B)
    ask(cluster, "register", name="p", data=b"P")
    cluster.tell(A, PluginsDone(1, [b"why"]))
    cluster.tell(B, PluginsDone(1, [b""]))
    found = answer(cluster)
    assert found is not None
    assert found["failures"] == {first: b"why"}
    back = Plugins(0, ["p"], [b""])
    assert told(cluster, A)[-1] == told(cluster, B)[-1] == back
    cluster.worker(12)
    assert told(cluster, 12) == []


def test_a_failure_of_one_that_was_replaced_takes_nothing_back(cluster: Driver) -> None:
    """What is there now is another one."""
    cluster.client()
    cluster.worker(A)
    ask(cluster, "register", name="p", data=b"P")
    ask(cluster, "register", serial=8, name="p", data=b"Q")
    cluster.tell(A, PluginsDone(1, [b"why"]))
    assert answer(cluster) is not None
    assert [each.blobs for each in told(cluster, A)] == [[b"P"], [b"Q"]]
    assert cluster.core.state.plugins.there == {"p": b"Q"}


def test_who_leaves_is_not_waited_for(cluster: Driver) -> None:
    """Neither workers nor clients."""
    cluster.client()
    cluster.worker(A)
    second = cluster.worker(B)
    ask(cluster, "register", name="p", data=b"P")
    cluster.tell(B, PluginsDone(1, [b""]))
    cluster.leave(A)
    assert answer(cluster) == {"workers": [second], "failures": {}}
    ask(cluster, "register", name="q", data=b"Q")
    cluster.leave(CLIENT)
    cluster.tell(B, PluginsDone(2, [b"why"]))
    assert cluster.core.state.plugins.changes == {}
    assert list(cluster.core.state.plugins.there) == ["p"]


@pytest.mark.parametrize(
    ("topic", "params"),
    [
        ("register", {}),
        ("register", {"name": 1, "data": b"x"}),
        ("register", {"name": "p", "data": b""}),
        ("register", {"name": "p", "data": "text"}),
        ("register", {"name": "p", "data": bytes(PLUGIN_BYTES_MAX + 1)}),
        ("unregister", {"name": "p"}),
        ("unregister", {}),
    ],
)
def test_what_makes_no_sense_is_refused(cluster: Driver, topic: str, params: Any) -> None:
    """With a reason, and nothing is done."""
    cluster.client()
    cluster.core.handle(CLIENT, session.Ask(7, f"plugin.{topic}", params), 0.0)
    cluster.settle()
    found = answer(cluster)
    assert found is not None
    assert found["error"]
    assert cluster.core.state.plugins.there == {}


def test_they_are_in_bounds(cluster: Driver) -> None:
    """All together; another of the same name takes the place of the first."""
    cluster.client()
    data = bytes(PLUGIN_BYTES_MAX)
    for number in range(PLUGINS_BYTES_MAX // PLUGIN_BYTES_MAX):
        cluster.core.handle(
            CLIENT, session.Ask(7, "plugin.register", {"name": f"{number}", "data": data}), 0.0
        )
    for name, fine in (("0", True), ("more", False)):
        message = session.Ask(7, "plugin.register", {"name": name, "data": data})
        cluster.core.handle(CLIENT, message, 0.0)
        cluster.settle()
        found = answer(cluster)
        assert found is not None
        assert ("error" not in found) is fine
