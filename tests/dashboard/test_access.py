"""Who may look: decided from what a request says."""

from __future__ import annotations

from dataclasses import replace

import pytest

from trio_dask.comm import keys_from_token
from trio_dask.dashboard import control_token, dashboard_token, login_ticket
from trio_dask.dashboard.access import (
    MARK,
    ORDER_SESSION_S,
    SESSION_S,
    TICKET_S,
    Asked,
    Door,
    cookie_name,
)

TOKEN = "0123456789abcdef" * 4
KEYS = keys_from_token(TOKEN)
OTHERS = keys_from_token("fedcba9876543210" * 4)
NOW = 1_800_000_000.0
LOCAL = {"host": "localhost:8787"}


def status(asked: Asked) -> int:
    """Of the refusal; 0 for none."""
    refusal = Door(KEYS).refusal(asked, NOW)
    return refusal.status if refusal is not None else 0


@pytest.mark.parametrize(
    ("client", "headers", "expected"),
    [
        ("127.0.0.1", LOCAL, 0),
        ("127.8.9.1", {"host": "127.0.0.1:8787"}, 0),
        ("::1", {"host": "[::1]:8787"}, 0),
        ("::ffff:127.0.0.1", {"host": "LocalHost."}, 0),
        ("127.0.0.1", {"host": "app.localhost:8787"}, 0),
        ("127.0.0.1", {"host": "evil.example:8787"}, 421),  # a name that was made to lead here
        ("127.0.0.1", {"host": "127.0.0.1.evil.example"}, 421),
        ("127.0.0.1", {}, 421),
        ("127.0.0.1", LOCAL | {"x-forwarded-for": "192.0.2.7"}, 401),  # a proxy of this machine
        ("127.0.0.1", LOCAL | {"forwarded": "for=192.0.2.7"}, 401),
        ("192.0.2.7", LOCAL, 401),
        ("192.0.2.7", {"host": "192.0.2.1:8787"}, 401),
        ("", LOCAL, 401),
        ("192.0.2.7", {"authorization": f"Bearer {dashboard_token(KEYS)}"}, 0),
        ("192.0.2.7", {"authorization": f"bearer  {dashboard_token(KEYS)} "}, 0),
        ("192.0.2.7", {"authorization": f"Bearer {dashboard_token(OTHERS)}"}, 401),
        ("192.0.2.7", {"authorization": f"Bearer {TOKEN}"}, 401),  # it opens more than this door
        ("192.0.2.7", {"authorization": f"Basic {dashboard_token(KEYS)}"}, 401),
        ("192.0.2.7", {"authorization": "Bearer é"}, 401),
        ("192.0.2.7", {"cookie": "trio_dask_x=1; {["}, 401),
    ],
)
def test_reading(client: str, headers: dict[str, str], expected: int) -> None:
    """Open on this machine, with the token elsewhere."""
    assert status(Asked("GET", client, headers)) == expected


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "CONNECT"])
def test_nothing_can_be_changed(method: str) -> None:
    """Whoever asks."""
    headers = LOCAL | {"authorization": f"Bearer {dashboard_token(KEYS)}"}
    assert status(Asked(method, "127.0.0.1", headers)) == 405


def cookie_of(header: str) -> dict[str, str]:
    """What a browser sends back."""
    return {"cookie": header.partition(";")[0]}


def test_a_cookie_is_good_for_a_week_and_for_one_cluster() -> None:
    """HttpOnly, for this site only; another cluster's door does not know it."""
    door = Door(KEYS)
    header = door.cookie(Asked("POST", "192.0.2.7"), "", NOW)
    assert "HttpOnly" in header
    assert "SameSite=Strict" in header
    assert "Secure" not in header
    assert "; Secure" in door.cookie(Asked("POST", "x", scheme="https"), "/dask", NOW)
    asked = Asked("GET", "192.0.2.7", cookie_of(header))
    assert door.refusal(asked, NOW) is None
    assert door.refusal(asked, NOW + SESSION_S + 1) is not None
    assert Door(OTHERS).refusal(asked, NOW) is not None
    name, _, value = asked.headers["cookie"].partition("=")
    until, _, rest = value.partition(".")
    longer = {"cookie": f"{name}={int(until) + 1}.{rest}"}
    assert door.refusal(Asked("GET", "192.0.2.7", longer), NOW) is not None


def test_a_link_logs_in_once() -> None:
    """Within minutes, in one browser, at one cluster."""
    door, ticket = Door(KEYS), login_ticket(KEYS, NOW)
    asked = Asked(
        "POST", "192.0.2.7", {"host": "192.0.2.1:8787", "origin": "http://192.0.2.1:8787"}
    )
    assert door.login_refusal(asked, login_ticket(OTHERS, NOW), NOW) is not None
    assert door.login_refusal(asked, ticket, NOW + TICKET_S + 1) is not None
    assert door.login_refusal(asked, ticket + "=", NOW) is not None
    assert door.login_refusal(asked, ticket, NOW) is None
    again = door.login_refusal(asked, ticket, NOW)
    assert again is not None
    assert "has been used" in again.why


def test_the_token_logs_in_too_but_not_for_other_pages() -> None:
    """A form on a foreign page does not log anybody in."""
    door, token = Door(KEYS), dashboard_token(KEYS)
    host = {"host": "192.0.2.1:8787"}
    assert door.login_refusal(Asked("POST", "192.0.2.7", host), token, NOW) is None
    foreign = Asked("POST", "192.0.2.7", host | {"origin": "http://evil.example"})
    refusal = door.login_refusal(foreign, token, NOW)
    assert refusal is not None
    assert refusal.status == 403


def test_a_session_is_no_ticket_and_a_ticket_no_session() -> None:
    """Each proof is good for one thing."""
    door, asked = Door(KEYS), Asked("POST", "192.0.2.7")
    session = door.cookie(asked, "", NOW).partition(";")[0].partition("=")[2]
    assert door.login_refusal(asked, session, NOW) is not None
    cookie = {"cookie": f"{cookie_name(KEYS)}={login_ticket(KEYS, NOW)}"}
    assert door.refusal(Asked("GET", "192.0.2.7", cookie), NOW) is not None


@pytest.mark.parametrize(
    "text", ["", ".", "..", "9.x", "99999999999999999999.a.b", "٣.a.b", "-1.a.b", "\ud800.a.b"]
)
def test_odd_tickets_are_refused(text: str) -> None:
    """Without a fault."""
    assert Door(KEYS).login_refusal(Asked("POST", "192.0.2.7"), text, NOW) is not None


# ---------------------------------------------------------------- orders

HOST = {"host": "192.0.2.1:8787"}
OURS = HOST | {"origin": "http://192.0.2.1:8787"}


def ordered(headers: dict[str, str], *, client: str = "192.0.2.7", now: float = NOW) -> int:
    """The status of the refusal of an order; 0 for none."""
    refusal = Door(KEYS).order_refusal(Asked("POST", client, headers), now)
    return refusal.status if refusal is not None else 0


@pytest.mark.parametrize(
    ("client", "headers", "expected"),
    [
        ("192.0.2.7", {"authorization": f"Bearer {control_token(KEYS)}"}, 0),
        ("192.0.2.7", {"authorization": f"Bearer {control_token(OTHERS)}"}, 401),
        ("192.0.2.7", {"authorization": f"Bearer {TOKEN}"}, 401),
        ("192.0.2.7", {"authorization": f"Bearer {dashboard_token(KEYS)}"}, 403),  # it may look
        ("127.0.0.1", LOCAL, 403),  # so may everybody on this machine
        ("192.0.2.7", OURS, 401),
    ],
)
def test_orders_take_a_token_of_their_own(
    client: str, headers: dict[str, str], expected: int
) -> None:
    """Also from the same machine; who may look is told that he may not do this."""
    assert ordered(headers, client=client) == expected


def controls(now: float = NOW) -> dict[str, str]:
    """The cookie of a browser that may give orders."""
    return cookie_of(Door(KEYS).cookie(Asked("POST", "192.0.2.7"), "", now, control=True))


def test_a_browser_gives_orders_from_our_pages_alone() -> None:
    """It takes the cookie, our origin, and the mark that only our pages can read."""
    door, cookie = Door(KEYS), controls()
    mark = door.mark(Asked("GET", "192.0.2.7", cookie), NOW)
    good = OURS | cookie | {MARK: mark}
    assert ordered(good) == 0
    assert ordered(good | {"origin": "http://evil.example"}) == 403
    assert ordered(good | {"origin": "null"}) == 403
    assert ordered(HOST | cookie | {MARK: mark}) == 403  # browsers always say where from
    assert ordered(OURS | cookie) == 403
    assert ordered(good | {MARK: mark + "x"}) == 403
    assert ordered(good | {MARK: "é"}) == 403
    assert ordered(OURS | controls(NOW + 60) | {MARK: mark}) == 403  # another browser's mark
    assert ordered(OURS | {MARK: mark}) == 401
    assert ordered(good, now=NOW + ORDER_SESSION_S + 1) == 401


def test_who_may_look_has_no_mark() -> None:
    """And who may give orders may look, too, with either cookie or token."""
    door = Door(KEYS)
    looks = cookie_of(door.cookie(Asked("POST", "192.0.2.7"), "", NOW))
    assert door.mark(Asked("GET", "192.0.2.7", looks), NOW) == ""
    renamed = {
        "cookie": looks["cookie"].replace(cookie_name(KEYS), cookie_name(KEYS, control=True))
    }
    assert door.mark(Asked("GET", "192.0.2.7", renamed), NOW) == ""
    assert status(Asked("GET", "192.0.2.7", controls())) == 0
    bearer = {"authorization": f"Bearer {control_token(KEYS)}"}
    assert status(Asked("GET", "192.0.2.7", bearer)) == 0


def test_a_link_for_control_logs_in_once() -> None:
    """As the other does; each is known for what it is."""
    door, asked = Door(KEYS), Asked("POST", "192.0.2.7", HOST)
    ticket, other = login_ticket(KEYS, NOW, control=True), login_ticket(KEYS, NOW)
    assert door.controls(ticket, NOW)
    assert door.controls(control_token(KEYS), NOW)
    assert not door.controls(other, NOW)
    assert not door.controls(dashboard_token(KEYS), NOW)
    assert not door.controls(ticket, NOW + TICKET_S + 1)
    assert door.login_refusal(asked, ticket, NOW) is None
    assert door.login_refusal(asked, ticket, NOW) is not None
    assert door.login_refusal(asked, control_token(KEYS), NOW) is None


def test_what_was_made_before_a_new_token_is_good_for_as_long_as_the_old_one() -> None:
    """Tokens, links, cookies and marks; what is made from now on is the new one's."""
    before, both = Door(KEYS), Door(replace(OTHERS, former=(KEYS,)))
    far = {"host": "192.0.2.10:8787", "origin": "http://192.0.2.10:8787"}
    cookie = before.cookie(Asked("POST", "192.0.2.1", far), "/", NOW, control=True)
    looks = Asked("GET", "192.0.2.1", far | {"cookie": cookie.partition(";")[0]})
    mark = before.mark(looks, NOW)
    order = Asked("POST", "192.0.2.1", {**looks.headers, MARK: mark})
    assert before.order_refusal(order, NOW) is None
    assert both.order_refusal(order, NOW) is None
    assert both.is_known(looks, NOW)
    for keys in (KEYS, OTHERS):
        assert both.is_token(dashboard_token(keys))
        assert both.is_token(control_token(keys), control=True)
        assert both.login_refusal(looks, login_ticket(keys, NOW), NOW) is None
    assert cookie_name(OTHERS) in both.cookie(looks, "/", NOW)
    after = Door(OTHERS)
    assert not after.is_known(looks, NOW)
    assert after.order_refusal(order, NOW) is not None
    assert not after.is_token(dashboard_token(KEYS))
