"""Orders: who gives them, what they do, and that nothing else is done."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from tests.dashboard.test_app import FAR, KEYS, Site
from trio_dask.dashboard import control_token, dashboard_token, login_ticket

if TYPE_CHECKING:
    from trio.testing import MockClock

CONTROL = {"authorization": f"Bearer {control_token(KEYS)}"}


async def order(made: Site, path: str, body: Any = None, **options: Any) -> Any:
    """Give one, as a program elsewhere does."""
    given: dict[str, Any] = {"method": "POST", "client": FAR, "headers": CONTROL} | options
    return await made.ask(path, body=b"" if body is None else json.dumps(body).encode(), **given)


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/retire_workers", "/api/v1/restart_workers", "/api/v1/restart",
        "/api/v1/tasks/a-1/cancel",
    ],
)  # fmt: skip
async def test_who_may_look_may_not_give_orders(autojump_clock: MockClock, path: str) -> None:
    """From here or elsewhere, by POST or otherwise; nothing happens."""
    made = Site()
    made.work()
    before = len(made.busy.core.state.tasks), made.busy.core.state.clients_ever
    looks = {"authorization": f"Bearer {dashboard_token(KEYS)}"}
    for options, status in (
        ({"client": "127.0.0.1", "headers": {}}, 403),
        ({"headers": looks}, 403),
        ({"headers": {}}, 401),
        ({"method": "GET"}, (404, 405)),
        ({"method": "PUT"}, 405),
        ({"method": "DELETE"}, 405),
    ):
        answer = await order(made, path, **options)
        assert answer.status in (status if isinstance(status, tuple) else (status,)), options
        if answer.status in {401, 403}:
            assert "token control" in answer.json["help"]
    assert (len(made.busy.core.state.tasks), made.busy.core.state.clients_ever) == before


async def test_only_orders_are_posted(autojump_clock: MockClock) -> None:
    """The token for control opens no other route to POST."""
    made = Site()
    for path in ("/api/v1/workers", "/status", "/api/v1/tasks/a-1", "/events", "/nothing"):
        assert (await order(made, path)).status == 405


async def test_a_task_is_cancelled(autojump_clock: MockClock) -> None:
    """For all who want it; what has ended stays, and what is not there is said not to be."""
    made = Site()
    done = made.busy.submit("checksum", 1)[0]
    made.busy.run(made.busy.now + 3.0)
    made.busy.stuck.add("train_model")
    task = made.busy.submit("train_model", 200)[-1]
    waiting = made.busy.submit("evaluate", 1, [task])[0]
    answer = await order(made, f"/api/v1/tasks/train_model-{task:x}/cancel")
    assert (answer.status, answer.json["stopped"]) == (200, [f"train_model-{task:x}"])
    for tid in (task, waiting):
        assert made.busy.view.task(made.busy.core.state.key_of(_task(made, tid)), 0.0) is not None
        assert _task(made, tid).state == _CANCELLED
    why = made.busy.view.task(f"train_model-{task:x}", made.busy.now)
    assert why is not None
    assert "dashboard" in " ".join(why["why"])
    answer = await order(made, f"/api/v1/tasks/checksum-{done:x}/cancel")
    assert answer.json["ended"] == [f"checksum-{done:x}"]
    assert (await order(made, "/api/v1/tasks/nothing/cancel")).status == 404


def _task(made: Site, tid: int) -> Any:
    return made.busy.core.state.tasks[tid]


async def test_workers_are_retired(autojump_clock: MockClock) -> None:
    """By name; one that holds nothing goes at once, an unknown one is refused."""
    made = Site()
    answer = await order(made, "/api/v1/retire_workers", {"workers": ["node-000-1"]})
    assert answer.status == 202  # these workers do not say when they have gone
    assert answer.json == {"under_way": True}
    statuses = {each["name"]: each["status"] for each in made.busy.view.workers(0.0)}
    assert statuses["node-000-0"] == "running" != statuses["node-000-1"]
    answer = await order(made, "/api/v1/retire_workers", {"workers": ["nobody"]})
    assert (answer.status, "nobody" in answer.json["error"]) == (400, True)


async def test_all_is_forgotten(autojump_clock: MockClock) -> None:
    """Tasks and values, at once; new processes take a while."""
    made = Site()
    made.work()
    assert made.busy.core.state.tasks
    assert (await order(made, "/api/v1/restart")).status == 202
    assert not made.busy.core.state.tasks
    assert any("dashboard" in each["who"] for each in made.busy.view.events(made.busy.now))
    answer = await order(made, "/api/v1/restart_workers", {"workers": ["node-000-0"]})
    assert answer.status == 202


@pytest.mark.parametrize(
    "body", [b"x", b"[]", b"1", b'{"odd": 1}', b"{" * 70_000, b"[" * 60_000, b'{"workers": "a"}']
)
async def test_bodies_that_make_no_sense(autojump_clock: MockClock, body: bytes) -> None:
    """Are refused, and nobody retires."""
    made = Site()
    answer = await made.ask(
        "/api/v1/retire_workers", method="POST", client=FAR, headers=CONTROL, body=body
    )
    assert answer.status == 400
    assert {each["status"] for each in made.busy.view.workers(0.0)} == {"running"}


async def test_a_link_for_control_becomes_a_cookie_and_a_mark(autojump_clock: MockClock) -> None:
    """A browser that has followed it gives orders; one that may only look does not."""
    made = Site()
    now = datetime.now(UTC).timestamp()
    for control in (True, False):
        ticket = login_ticket(KEYS, now, control=control).encode()
        answer = await made.ask("/login", method="POST", client=FAR, body=b"ticket=" + ticket)
        assert answer.status == 303
        known = {"cookie": answer.headers["set-cookie"].partition(";")[0]}
        may = (await made.ask("/api/v1/may", client=FAR, headers=known)).json
        assert may["orders"] is control
        headers = known | {"origin": "http://localhost:8787", "x-trio-dask-mark": may["mark"]}
        answer = await order(made, "/api/v1/restart", headers=headers)
        assert answer.status == (202 if control else 403)
        answer = await order(made, "/api/v1/restart", headers=known)
        assert answer.status == 403
    assert (await made.ask("/api/v1/may", client=FAR)).status == 401
    assert (await made.ask("/api/v1/may")).json == {"orders": False, "mark": ""}


async def test_where_nobody_is_asked_nothing_can_be_changed(autojump_clock: MockClock) -> None:
    """A dashboard that something else guards gives no orders."""
    from tests.dashboard.asgi import ask
    from trio_dask.dashboard import app

    made = Site()
    bare = app(made.busy.view)
    answer = await ask(bare, "/api/v1/restart", method="POST", headers=CONTROL)
    assert answer.status == 405
    assert (await ask(bare, "/api/v1/may")).json["orders"] is False


_CANCELLED = 6
