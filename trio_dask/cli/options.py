"""Options that several commands have: what they mean, and how they are checked."""

from __future__ import annotations

import logging
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

from cyclopts import Group, Parameter

from trio_dask.cli.checks import check_file
from trio_dask.cli.dasks import why_moot
from trio_dask.cli.logs import LogFormat, LogLevel

LISTENING_OPTIONS: Final = Group.create_ordered("Where it listens")
SECURITY_OPTIONS: Final = Group.create_ordered("Encryption")
WORK_OPTIONS: Final = Group.create_ordered("Work")
DASHBOARD_OPTIONS: Final = Group.create_ordered("Dashboard")
LIFE_OPTIONS: Final = Group.create_ordered("Life")
FILES_OPTIONS: Final = Group.create_ordered("Files")
LOG_OPTIONS: Final = Group.create_ordered("Log")
MOOT_OPTIONS: Final = Group.create_ordered("Taken from Dask's command lines, without effect here")


@Parameter(name="*", group=SECURITY_OPTIONS)
@dataclass(frozen=True, kw_only=True)
class TlsOptions:
    """Certificates.

    Args:
        tls_ca_file: The authorities whose certificates are good, as a PEM file. With one of
            these three options the protocol is tls, unless something else is said.
        tls_cert: The certificate to show, as a PEM file.
        tls_key: Its private key, as a PEM file; not needed if it is in the same.
        tls_dashboard: Have the dashboard by https, with the same certificate.
    """

    tls_ca_file: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    tls_dashboard: bool | None = None

    def overrides(self) -> dict[str, object]:
        """The settings that they are.

        Raises:
            ConfigError: there is no such file.
        """
        check_file(self.tls_ca_file, "--tls-ca-file")
        check_file(self.tls_cert, "--tls-cert")
        check_file(self.tls_key, "--tls-key")
        files = {
            "comm.tls.ca_file": self.tls_ca_file,
            "comm.tls.cert": self.tls_cert,
            "comm.tls.key": self.tls_key,
        }
        found: dict[str, object] = {name: _text(path) for name, path in files.items()}
        return found | {"comm.tls.dashboard": self.tls_dashboard}

    def given(self) -> bool:
        """Whether there is any."""
        return any(each is not None for each in (self.tls_ca_file, self.tls_cert, self.tls_key))


@Parameter(name="*", group=LOG_OPTIONS)
@dataclass(frozen=True, kw_only=True)
class LogOptions:
    """What is said on stderr.

    Args:
        log_level: The least important lines to show.
        log_format: Lines for people, or an object in JSON for each. [default: text]
    """

    log_level: LogLevel = "info"
    log_format: LogFormat | None = None


@Parameter(name="*", group=MOOT_OPTIONS)
@dataclass(frozen=True, kw_only=True)
class MootOfScheduler:
    """Options that a scheduler does not need.

    Args:
        jupyter: The scheduler runs no user code: start Jupyter beside it.
        show: Dask ignores it, too.
        use_xheaders: Dask ignores it, too.
    """

    jupyter: bool | None = None
    show: bool | None = None
    use_xheaders: str | None = None


@Parameter(name="*", group=MOOT_OPTIONS)
@dataclass(frozen=True, kw_only=True)
class MootOfWorker:
    """Options that a worker does not need.

    Args:
        nanny_port: The nanny is part of the worker, and has no port.
        worker_class: There is one class of workers; your code runs in runners.
    """

    nanny_port: str | None = None
    worker_class: str | None = None


def say_what_is_moot(command: str, options: Any, logger: logging.Logger) -> None:
    """A line for each option that was given and changes nothing."""
    for each in fields(options):
        if getattr(options, each.name) is not None:
            logger.warning("%s", why_moot(command, f"--{each.name.replace('_', '-')}"))


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
