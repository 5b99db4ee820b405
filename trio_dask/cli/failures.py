"""From exceptions, which may be nested in groups, to one line for people and an exit code."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING, Final

from trio_dask.errors import ConfigError, TrioDaskError

if TYPE_CHECKING:
    from collections.abc import Iterator

FAILED: Final = 1
USAGE: Final = 2


def leaves(error: BaseException) -> Iterator[BaseException]:
    """The errors in a group of groups, in order; of an error that is no group, itself."""
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from leaves(each)
    elif not isinstance(error, KeyboardInterrupt | SystemExit):
        # rich leaves with SystemExit when nobody reads what it prints, as in `… | head`.
        yield error


def failure_line(error: BaseException) -> str:
    """All that went wrong, in one line; empty if it was only Ctrl-C."""
    return "; ".join(dict.fromkeys(map(_describe, leaves(error))))


def exit_code(error: BaseException) -> int:
    """2 if only the settings were at fault, 0 if it was Ctrl-C, else 1."""
    kinds = [isinstance(each, ConfigError) for each in leaves(error)]
    if not kinds:
        return 0
    return USAGE if all(kinds) else FAILED


def _describe(error: BaseException) -> str:
    text = " ".join(str(error).split())
    if isinstance(error, TrioDaskError) and text:
        return text
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    if isinstance(error, OSError) and text:
        return text
    # Not meant to happen, so say where it did.
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return f"internal error: {type(error).__name__}: {text}{place}"
