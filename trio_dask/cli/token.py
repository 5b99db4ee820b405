"""``trio-dask token``: see and make the secret of a cluster."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

from cyclopts import Parameter

from trio_dask.comm import keys_from_token, own_keys, parse_address
from trio_dask.config import (
    ensure_token,
    find_token,
    load_config,
    parse_seconds,
    read_tokens,
    replace_token,
    token_path,
)
from trio_dask.dashboard import control_token, dashboard_token, login_link, login_ticket
from trio_dask.errors import AuthenticationError, ConfigError

_KEEP_MAX_S: Final = 366 * 24 * 3600.0


def show() -> None:
    """Print the token, as workers and clients elsewhere need it.

    On the scheduler's machine: `trio-dask token show`; elsewhere, set `TRIO_DASK_TOKEN`
    to what it printed, or put it into `~/.config/trio-dask/token` (mode 0600).
    """
    print(find_token(load_config()))


def dashboard() -> None:
    """Print the token that lets somebody look at the dashboard, and do nothing else.

    Scrapers send it as `Authorization: Bearer …`; people put it into the login page, or
    use a link that `trio-dask token link` makes. On the scheduler's own machine reading
    needs none.
    """
    config = load_config()
    print(dashboard_token(own_keys(find_token(config), config)))


def control() -> None:
    """Print the token that lets somebody look at the dashboard and give orders there.

    Orders are: cancel a task, retire workers, replace their processes, forget all tasks.
    Programs send it as `Authorization: Bearer …`; for a browser, `trio-dask token link
    --control` makes a link. It is needed on the scheduler's own machine, too.
    """
    config = load_config()
    print(control_token(own_keys(find_token(config), config)))


def link(address: str, /, *, control: bool = False) -> None:
    """Print a link that logs a browser in, once, within five minutes.

    Args:
        address: Where the dashboard is, as the scheduler says: `http://192.0.2.10:8787/status`.
        control: Let the browser give orders, for twelve hours: cancel tasks, retire workers,
            restart.
    """
    scheme, separator, rest = address.rpartition("://")
    scheme = scheme if separator else "http"
    place, _, path = rest.partition("/")
    host = parse_address(place, default_port=0).host
    if scheme not in {"http", "https"} or not host or host.startswith("-"):
        msg = f"{address!r} is no address of a dashboard: write http://host:port"
        raise ConfigError(msg)
    config = load_config()
    keys, now = own_keys(find_token(config), config), datetime.now(UTC).timestamp()
    ticket = login_ticket(keys, now, control=control)
    print(login_link(f"{scheme}://{place}/{path}", ticket))


def new(*, replace: bool = False) -> None:
    """Make a token in the user's directory and print where it is.

    `trio-dask scheduler` does so by itself when there is none.

    Args:
        replace: Put a new one in place of the old: what still uses that is locked out.
    """
    if replace:
        replace_token()
    elif token_path().exists():
        msg = f"there is a token in {token_path()} already; --replace makes a new one"
        raise AuthenticationError(msg)
    else:
        ensure_token()
    print(token_path())


def rotate(
    *,
    keep: Annotated[str, Parameter(allow_leading_hyphen=True)] = "1d",
    stdin: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Put a new token in the place of the old one, which is accepted for a while longer.

    Servers and clients that run see it with their next connection; connections that are open
    go on. First on the scheduler's machine; then on each of the others, with what
    `trio-dask token show` prints here: `trio-dask token show | ssh node trio-dask token rotate
    --stdin`.

    Args:
        keep: How long the old token is accepted, as `12h`; 0: not at all, from now on.
        stdin: Take the new token from standard input, instead of making one.
    """
    keep_s = _seconds(keep)
    if not token_path().exists():
        msg = "there is no token to be replaced; `trio-dask token new` makes one"
        raise AuthenticationError(msg)
    given = sys.stdin.readline().strip() if stdin else ""
    if stdin:
        keys_from_token(given, "the token on standard input")
    replace_token(token=given, accept_former_s=keep_s)
    print(token_path())
    print(_what_next(keep_s), file=sys.stderr)


def forget() -> None:
    """Accept no token any more but the one of now, when that is everywhere."""
    before = read_tokens(token_path())
    if not before.former:
        msg = "no other token than this one is accepted here"
        raise AuthenticationError(msg)
    replace_token(token=before.token)
    print(token_path())


def _seconds(keep: str) -> float:
    try:
        keep_s = parse_seconds(keep)
    except ValueError as error:
        msg = f"--keep: {error}"
        raise ConfigError(msg) from error
    if not keep_s <= _KEEP_MAX_S:
        msg = f"--keep: {keep!r} is too long; a year at most"
        raise ConfigError(msg)
    return keep_s


def _what_next(keep_s: float) -> str:
    if not keep_s:
        return (
            "The old token is not accepted any more. Connections that are open go on; whoever "
            "has only the old one cannot come back."
        )
    until = (datetime.now(UTC) + timedelta(seconds=keep_s)).astimezone()
    return (
        f"The old token is accepted until {until:%Y-%m-%d %H:%M}. Until then bring the new one to "
        "the other machines: `trio-dask token show | ssh node trio-dask token rotate --stdin`; "
        "what was started with TRIO_DASK_TOKEN has to be started again."
    )
