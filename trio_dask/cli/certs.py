"""``trio-dask certs``: certificates for encrypted connections, from an authority of a team's own."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Final

from cyclopts import Parameter

from trio_dask.cli.checks import check_word, some_path
from trio_dask.comm import Authority, good_until, new_authority
from trio_dask.config import config_directory, read_private, write_private
from trio_dask.errors import ConfigError

_NAME: Final = re.compile(r"[\w][\w.-]*")
_DAYS_MAX: Final = 36_500


def new(
    directory: Annotated[Path | None, Parameter(converter=some_path)] = None,
    /,
    *,
    name: str = "trio-dask",
    host: Annotated[list[str] | None, Parameter(negative="")] = None,
    days: Annotated[str, Parameter(allow_leading_hyphen=True)] = "365",
    replace: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Make a certificate, and first of all an authority if there is none.

    The authority's key stays where it is made; each machine needs the authority's
    certificate, and a certificate with its key.

    Args:
        directory: Where the files are. [default: tls, beside the configuration]
        name: What the files are called, and whom the certificate names.
        host: A name or address of the machine, for programs that look at it; this one does
            not. May be given several times.
        days: How long it is good.
        replace: Put it in the place of one with the same name.
    """
    place = config_directory() / "tls" if directory is None else directory
    if not _NAME.fullmatch(name) or name in {"ca", "ca-key"}:
        msg = f"--name: {name!r} is no name for a file; letters, digits, dots and dashes are, but not ca"
        raise ConfigError(msg)
    if not (
        days.isascii() and days.isdecimal() and 0 < int(days[:6]) <= _DAYS_MAX and len(days) < 6
    ):
        msg = f"--days: {days!r} is no number of days from 1 to {_DAYS_MAX}"
        raise ConfigError(msg)
    for each in host or ():
        check_word(each, "--host", "name or address of a machine")
    certificate, key = place / f"{name}.pem", place / f"{name}-key.pem"
    if certificate.exists() and not replace:
        msg = f"there is a {certificate} already; --replace makes a new one, --name another one"
        raise ConfigError(msg)
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    authority = _authority(place)
    texts = authority.issue(name, host or (), days=int(days))
    # The key first: who reads between the two finds that they do not fit, and waits.
    write_private(key, texts[1])
    write_private(certificate, texts[0])
    until = good_until(texts[0])
    print(
        f"{certificate}, good until {until:%Y-%m-%d}. To use it, here or where the files are copied to:"
    )
    print()
    print(f"    export TRIO_DASK_COMM__TLS__CA_FILE={place / 'ca.pem'}")
    print(f"    export TRIO_DASK_COMM__TLS__CERT={certificate}")
    print(f"    export TRIO_DASK_COMM__TLS__KEY={key}")


def _authority(place: Path) -> Authority:
    """The one that is there, or a new one."""
    certificate, key = place / "ca.pem", place / "ca-key.pem"
    if certificate.exists():
        if not key.exists():
            msg = f"{key} is missing: certificates are made where the authority's key is"
            raise ConfigError(msg)
        return Authority(certificate.read_text(encoding="ascii"), read_private(key))
    made = new_authority("trio-dask authority")
    write_private(key, made.key)
    write_private(certificate, made.certificate)
    print(f"Made an authority: {certificate}; keep {key.name} to yourself.")
    return made
