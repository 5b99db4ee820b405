"""``trio-dask completion``: a shell that knows the commands and their options."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Final, Literal

from cyclopts import Parameter

from trio_dask.errors import ConfigError

Shell = Literal["bash", "zsh", "fish"]

_SHELLS: Final[tuple[Shell, ...]] = ("bash", "zsh", "fish")


def completion(
    shell: Shell | None = None,
    /,
    *,
    install: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Print what has a shell complete commands and options, or install it.

    Args:
        shell: Which one. [default: what SHELL says]
        install: Write it where the shell finds it, and say where; bash and zsh get a line in
            their startup file.
    """
    from trio_dask.cli.app import app

    chosen = shell or _own_shell()
    if install:
        print(app.install_completion(shell=chosen, add_to_startup=True))
        print(f"Start another {chosen} to have it.")
    else:
        print(app.generate_completion(shell=chosen))


def _own_shell() -> Shell:
    name = Path(os.environ.get("SHELL", "")).name
    for each in _SHELLS:
        if each == name:
            return each
    msg = f"which shell? SHELL says {name!r}; there is completion for {', '.join(_SHELLS)}"
    raise ConfigError(msg)
