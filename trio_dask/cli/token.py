"""``trio-dask token``: see and make the secret of a cluster."""

from __future__ import annotations

import sys
from datetime import UTC, datetime

from trio_dask.comm import own_keys, parse_address
from trio_dask.config import ensure_token, find_token, load_config, replace_token, token_path
from trio_dask.dashboard import control_token, dashboard_token, login_link, login_ticket
from trio_dask.errors import AuthenticationError, ConfigError


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


def link(address: str, *, control: bool = False) -> None:
    """Print a link that logs a browser in, once, within five minutes.

    Args:
        address: Where the dashboard is, as the scheduler says: `http://192.0.2.10:8787/status`.
        control: Let the browser give orders, for twelve hours: cancel tasks, retire workers,
            restart.
    """
    scheme, separator, rest = address.rpartition("://")
    scheme = scheme if separator else "http"
    place, _, path = rest.partition("/")
    if scheme not in {"http", "https"} or not parse_address(place, default_port=0).host:
        msg = f"{address!r} is no address of a dashboard: write http://host:port"
        raise ConfigError(msg)
    config = load_config()
    keys, now = own_keys(find_token(config), config), datetime.now(UTC).timestamp()
    ticket = login_ticket(keys, now, control=control)
    print(login_link(f"{scheme}://{place}/{path}", ticket))


def create(*, replace: bool = False) -> None:
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


def rotate() -> None:
    """Put a new token in the place of the old one, and say who has to be started again.

    What runs goes on with the old one; what is started from now on uses the new one, and
    the two do not let each other in.
    """
    if not token_path().exists():
        msg = "there is no token to be replaced; `trio-dask token create` makes one"
        raise AuthenticationError(msg)
    replace_token()
    print(token_path())
    print(
        "A new token. The scheduler that runs, its workers and clients still have the old one: "
        "start them again, the scheduler first, and copy the token to the other machines.",
        file=sys.stderr,
    )
