"""Running a server from the command line: signals, a parent to follow, files of its own."""

from __future__ import annotations

import ipaddress
import logging
import os
import signal
import sys
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

import trio

from trio_dask.cli.checks import check_hosts
from trio_dask.cli.notify import notify
from trio_dask.comm import TLS, Address, listening_places, parse_address
from trio_dask.config import port_choices
from trio_dask.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from pathlib import Path

    from trio_dask.cli.tie import Tie
    from trio_dask.config import Config, SchedulerConfig

logger = logging.getLogger("trio_dask.cli")

_NO_PORT: Final = -1
#: They end a command; the last is what a closed terminal or a lost ssh connection sends.
_SIGNALS: Final = (
    (signal.SIGINT, signal.SIGTERM)
    if sys.platform == "win32"
    else (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
)
#: What this process has written, and goes with it.
_owned_files: Final[dict[Path, bytes]] = {}


def run_until_signal(
    main: Callable[[], Awaitable[None]],
    *,
    tie: Tie | None = None,
    gently: Callable[[str], bool] | None = None,
) -> None:
    """Run `main` on Trio until it ends, or SIGINT, SIGTERM or SIGHUP cancels it.

    `gently` is told of the signal before: if it returns true, it has `main` end by itself.
    A second signal ends the process at once, without further ado. The end of a `tie`
    counts as a signal: it is how a child notices that its parent is gone, whatever
    became of it.
    """
    run_with_signals(partial(_run, main, tie, gently))


def run_with_signals(main: Callable[[AsyncIterator[int]], Awaitable[None]]) -> None:
    """Run `main` on Trio with the signals that would end a command.

    Those before Trio watches for them are kept for it; those afterwards do nothing: the
    process is about to leave, and the command line sees to the handlers of before.
    """
    if sys.platform == "win32":
        msg = "servers run on Linux and macOS; on Windows there is only the client"
        raise ConfigError(msg)
    early: list[int] = []
    watched = watched_signals()
    for number in watched:
        signal.signal(number, lambda number, _: early.append(number))

    async def watch() -> None:
        try:
            with trio.open_signal_receiver(*watched) as signals:
                for number in early:
                    signal.raise_signal(number)
                await main(signals)
        finally:
            # One that comes while Trio puts its things away would be complained of on stderr.
            for number in watched:
                signal.signal(number, signal.SIG_IGN)

    trio.run(watch)


def watched_signals() -> list[signal.Signals]:
    """The signals that end a command: not SIGHUP where nohup, or the like, has it ignored."""
    return [
        number
        for number in _SIGNALS
        if number.name != "SIGHUP" or signal.getsignal(number) is not signal.SIG_IGN
    ]


async def _run(
    main: Callable[[], Awaitable[None]],
    tie: Tie | None,
    gently: Callable[[str], bool] | None,
    signals: AsyncIterator[int],
) -> None:
    async with trio.open_nursery() as watchers:
        work = trio.CancelScope()
        watchers.start_soon(_watch_signals, signals, work, gently)
        if tie is not None:
            watchers.start_soon(tie.hold, work.cancel)
        with work:
            await main()
        watchers.cancel_scope.cancel("the command has ended")


async def _watch_signals(
    signals: AsyncIterator[int], work: trio.CancelScope, gently: Callable[[str], bool] | None
) -> None:
    first = signal.Signals(await anext(signals)).name
    logger.info("Ending: %s", first)
    notify("STOPPING=1")
    if gently is None or not gently(f"{first} received"):
        work.cancel(f"{first} received")
    async for again in signals:
        logger.warning("Ending at once: %s", signal.Signals(again).name)
        for path in list(_owned_files):
            _remove_owned(path)
        os._exit(0)


@contextmanager
def owned_file(path: Path | None, write: Callable[[Path], object]) -> Iterator[None]:
    """A file that is written now and goes when the block ends, also if that is at once.

    If somebody else has written it in the meantime it is theirs, and stays.
    """
    if path is None:
        yield
        return
    there = path.exists()
    try:
        write(path)
    except OSError as error:
        if not there:  # nobody is to take it for what it should have become
            with suppress(OSError):
                path.unlink()
        raise OSError(error.errno, error.strerror, error.filename or str(path)) from error
    _owned_files[path] = path.read_bytes()
    try:
        yield
    finally:
        _remove_owned(path)


def rewrite_owned(path: Path, write: Callable[[Path], object]) -> None:
    """Write such a file anew, unless somebody else has."""
    with suppress(OSError):
        if path.read_bytes() == _owned_files.get(path):
            write(path)
            _owned_files[path] = path.read_bytes()


def _remove_owned(path: Path) -> None:
    with suppress(OSError):
        if path.read_bytes() == _owned_files.pop(path, None):
            path.unlink()


@contextmanager
def pid_file(path: Path | None) -> Iterator[None]:
    """The process's id in a file, as long as it runs."""
    with owned_file(path, lambda path: path.write_text(f"{os.getpid()}\n", encoding="ascii")):
        yield


def interface_host(interface: str) -> str:
    """The address of a network interface, version 4 if it has one.

    Raises:
        ConfigError: there is no such interface, or it has no address.
    """
    import socket

    import psutil

    interfaces = psutil.net_if_addrs()
    if interface not in interfaces:
        msg = f"no network interface {interface!r}; there are {', '.join(sorted(interfaces))}"
        raise ConfigError(msg)
    for family in (socket.AF_INET, socket.AF_INET6):
        for each in interfaces[interface]:
            if each.family == family:
                return str(each.address)
    msg = f"network interface {interface!r} has no address"
    raise ConfigError(msg)


@dataclass(frozen=True, slots=True)
class ListenAt:
    """Where to listen, as far as the options say."""

    host: str | None
    port: str | int | None
    protocol: str | None = None


def listen_at(
    host: str | None,
    port: str | int | None,
    interface: str | None,
    protocol: str | None = None,
    *,
    tls: bool = False,
    option: str = "--port",
) -> ListenAt:
    """Hosts, ports and protocols from the options that say so, several of each by commas.

    A host may bring its port and its protocol along. With certificates, `tls`, that is the
    protocol if nobody says anything else.

    Raises:
        ConfigError: they contradict each other, or make no sense.
    """
    if interface is not None:
        if host is not None:
            msg = "--host and --interface say the same thing; give one of them"
            raise ConfigError(msg)
        host = ",".join(_interface(each.strip()) for each in interface.split(","))
    addresses = [_host(each.strip()) for each in host.split(",")] if host is not None else []
    ports = {address.port for address in addresses} - {_NO_PORT}
    if ports:
        own = ",".join(str(address.port) for address in addresses)
        if str(_NO_PORT) in own.split(","):
            msg = f"--host {host}: give a port with each host, or with none"
            raise ConfigError(msg)
        if port is not None and str(port) != own:
            msg = f"--host {host} and {option} {port} name two ports; give one of them"
            raise ConfigError(msg)
        port = int(own) if own.isdecimal() else own
    schemes = [
        each.partition("://")[0].strip() for each in (host or "").split(",") if "://" in each
    ]
    if schemes:
        if protocol is not None and protocol.split(",") != schemes:
            msg = f"--host {host} and --protocol {protocol} name two protocols; give one of them"
            raise ConfigError(msg)
        protocol = ",".join(schemes)
    if protocol is None and tls:
        protocol = TLS
    hosts = ",".join(address.host for address in addresses)
    return ListenAt(hosts if addresses else None, port, protocol)


def _interface(name: str) -> str:
    try:
        return interface_host(name)
    except ConfigError as error:
        msg = f"--interface: {error}"
        raise ConfigError(msg) from error


def checked_places(config: SchedulerConfig) -> None:
    """Whether protocols, hosts and ports go together.

    Raises:
        ConfigError: they do not.
    """
    listening_places(config.protocol, config.host, port_choices(config.port))


def check_pages(addresses: str, prefix: str = "") -> None:
    """Whether there can be pages at these addresses, under this prefix.

    Raises:
        ConfigError: there cannot.
    """
    for each in addresses.split(","):
        text = each.strip()
        at = checked_address(f":{text}" if text.isdecimal() else text, "--dashboard-address")
        check_hosts(at.host, f"--dashboard-address {text}")
    if (
        any(each in prefix for each in "?#:\\ ")
        or not prefix.isprintable()
        or {".", ".."} & {*prefix.split("/")}  # a browser would leave them out
    ):
        msg = f"--dashboard-prefix: {prefix!r} is no path of an address; write it as in /dask"
        raise ConfigError(msg)


def check_https(config: Config) -> None:
    """Whether there is a certificate, where dashboards are to have one.

    Raises:
        ConfigError: there is none.
    """
    tls = config.comm.tls
    if tls.dashboard and not (tls.ca_file and tls.cert):
        msg = (
            "--tls-dashboard: https takes certificates: give --tls-ca-file, --tls-cert and "
            "--tls-key, or the settings of [comm.tls]; `trio-dask certs new` makes some"
        )
        raise ConfigError(msg)


def checked_address(text: str, option: str) -> Address:
    """An address, or an error that says which option it was given to.

    Raises:
        ConfigError: it is none.
    """
    try:
        return parse_address(text, default_port=_NO_PORT)
    except ConfigError as error:
        msg = f"{option}: {error}"
        raise ConfigError(msg) from error


def _host(text: str) -> Address:
    return checked_address(f"[{text}]" if _is_ipv6(text) else text, "--host")


def _is_ipv6(host: str) -> bool:
    with suppress(ValueError):
        ipaddress.IPv6Address(host)
        return True
    return False
