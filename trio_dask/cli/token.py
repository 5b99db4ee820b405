"""``trio-dask token``: see and make the secret of a cluster."""

from __future__ import annotations

from trio_dask.config import ensure_token, find_token, load_config, replace_token, token_path
from trio_dask.errors import AuthenticationError


def show() -> None:
    """Print the token, as workers and clients elsewhere need it.

    On the scheduler's machine: `trio-dask token show`; elsewhere, set `TRIO_DASK_TOKEN`
    to what it printed, or put it into `~/.config/trio-dask/token` (mode 0600).
    """
    print(find_token(load_config()))


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
