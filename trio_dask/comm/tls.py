"""Certificates of this process, and what TLS makes of them. Files are read again when they change."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from trio_dask.comm.addresses import TCP, TLS
from trio_dask.comm.sockets import why
from trio_dask.errors import AuthenticationError, CommError, ConfigError, HandshakeRefused

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from trio_dask.comm.addresses import Address
    from trio_dask.comm.auth import Keys
    from trio_dask.config import TlsConfig

#: How errors of a failed beginning begin.
NOT_TLS: Final = "no TLS comes about"
#: What a client is told by the library where the other side speaks something else, or says so.
_SPEAKS_NONE: Final = {
    "WRONG_VERSION_NUMBER",
    "SSLV3_ALERT_UNEXPECTED_MESSAGE",
    "RECORD_LAYER_FAILURE",
    "PACKET_LENGTH_TOO_LONG",
}
_PEM: Final = "-----BEGIN "


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Security:
    """Certificates for encrypted connections, ``tls://``; in both directions each side shows one.

    >>> from trio_dask import Client, Security
    >>> security = Security(tls_ca_file="ca.pem", tls_cert="me.pem", tls_key="me-key.pem")
    >>> client = Client("tls://192.0.2.10:8786", security=security)  # doctest: +SKIP

    Each of the first three is a file in PEM format, or its text.

    Args:
        tls_ca_file: the authority, or several, whose certificates are good.
        tls_cert: the certificate that this process shows.
        tls_key: its private key; not needed if that is in the same file.
        sni: the name of the server that is asked for, where it is not the address's host.
        require_encryption: refuse addresses that begin with ``tcp://``.
    """

    tls_ca_file: str | os.PathLike[str] | None = None
    tls_cert: str | os.PathLike[str] | None = None
    tls_key: str | os.PathLike[str] | None = None
    sni: str = ""
    require_encryption: bool = False

    @classmethod
    def temporary(cls, *hosts: str) -> Self:
        """Certificates of a new authority of its own, kept in memory: for one cluster.

        Raises:
            ConfigError: the package `cryptography` is missing.
        """
        from trio_dask.comm.certificates import new_authority

        authority = new_authority("trio-dask, for one cluster")
        certificate, key = authority.issue("trio-dask", hosts)
        return cls(tls_ca_file=authority.certificate, tls_cert=certificate, tls_key=key)

    @classmethod
    def of(cls, config: TlsConfig) -> Self:
        """What the settings say."""
        return cls(
            tls_ca_file=config.ca_file or None,
            tls_cert=config.cert or None,
            tls_key=config.key or None,
            sni=config.sni,
            require_encryption=config.required,
        )

    def __bool__(self) -> bool:
        """Whether anything is asked for."""
        return bool(self.tls_ca_file or self.tls_cert or self.tls_key or self.require_encryption)

    def __repr__(self) -> str:
        shown = {
            "tls_ca_file": self.tls_ca_file,
            "tls_cert": self.tls_cert,
            "tls_key": self.tls_key,
        }
        parts = [
            f"{name}={'(in memory)' if _is_text(value) else repr(str(value))}"
            for name, value in shown.items()
            if value is not None
        ]
        return f"Security({', '.join(parts)})"

    def written_to(self, directory: Path) -> Self:
        """The same in files there, for processes that are to have it; only their owner reads them."""
        from trio_dask.config import write_private

        made: dict[str, Any] = {}
        for name in ("tls_ca_file", "tls_cert", "tls_key"):
            value = getattr(self, name)
            if value is not None and _is_text(value):
                path = directory / f"{name.removeprefix('tls_').removesuffix('_file')}.pem"
                write_private(path, str(value))
                made[name] = str(path)
        return replace(self, **made)


@dataclass(frozen=True, slots=True)
class ConnectingSide:
    """What a connecting process needs."""

    context: ssl.SSLContext
    name: str


@dataclass(frozen=True, slots=True)
class AcceptingSide:
    """What an accepting process needs; `binding` ties its proofs to its certificate."""

    context: ssl.SSLContext
    binding: bytes


class Tls:
    """What `Security` asks for, ready to be used.

    The files are looked at for each connection, so that certificates can be replaced while
    all goes on. While they do not fit together those of before stay in use.

    Raises:
        ConfigError: a file is missing, or is none; the message names it.
    """

    def __init__(self, security: Security) -> None:
        self._security: Final = security
        self.required: Final = security.require_encryption
        self._seen: tuple[object, ...] = ()
        self._sides: tuple[ssl.SSLContext, AcceptingSide] | None = None
        self._shown: ssl.SSLContext | None = None
        if security.tls_ca_file is None and security.tls_cert is None and security.tls_key is None:
            return  # nothing but `required`
        for name in ("tls_ca_file", "tls_cert"):
            if getattr(security, name) is None:
                msg = (
                    "--tls-ca-file, --tls-cert and --tls-key, or comm.tls.…, go together: "
                    f"{_option(name)} is missing"
                )
                raise ConfigError(msg)
        self._load(self._state())

    @property
    def ready(self) -> bool:
        """Whether there are certificates."""
        return self._sides is not None

    def connecting(self, host: str) -> ConnectingSide:
        """For a connection to `host`."""
        self._renew()
        assert self._sides is not None
        return ConnectingSide(self._sides[0], self._security.sni or host)

    def accepting(self) -> AcceptingSide:
        """For a connection from somebody."""
        self._renew()
        assert self._sides is not None
        return self._sides[1]

    def showing(self) -> ssl.SSLContext:
        """For a browser, or the like, which has no certificate of its own.

        Raises:
            ConfigError: there is nothing to show.
        """
        if not self.ready:
            msg = (
                "comm.tls.dashboard: https takes a certificate: give --tls-ca-file, --tls-cert and "
                "--tls-key, or the settings of [comm.tls]; `trio-dask certs new` makes some"
            )
            raise ConfigError(msg)
        self._renew()
        if self._shown is None:
            import ssl

            self._shown = context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            context.set_alpn_protocols(["http/1.1"])
            _load_chain(context, self._security)
        return self._shown

    def _state(self) -> tuple[object, ...]:
        """Changes when a file does."""
        found: list[object] = []
        security = self._security
        for value in (security.tls_ca_file, security.tls_cert, security.tls_key):
            if value is None or _is_text(value):
                continue
            try:
                status = Path(value).stat()
            except OSError:
                found.append(None)
            else:
                found.append((status.st_mtime_ns, status.st_size, status.st_ino))
        return tuple(found)

    def _renew(self) -> None:
        state = self._state()
        if state == self._seen:
            return
        try:
            self._load(state)
        except ConfigError as error:
            import logging

            self._seen = state  # said once
            logging.getLogger("trio_dask.comm").warning(
                "the new certificates cannot be used, those of before stay: %s", error
            )

    def _load(self, state: tuple[object, ...]) -> None:
        import ssl

        security = self._security
        authority = _read(security.tls_ca_file, "tls_ca_file")
        certificate = _read(security.tls_cert, "tls_cert")
        _check_key(security)
        sides = []
        for kind in (ssl.PROTOCOL_TLS_CLIENT, ssl.PROTOCOL_TLS_SERVER):
            context = ssl.SSLContext(kind)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            # Whom a certificate names is not looked at: the proofs of the handshake are tied
            # to it, so that whoever shows another's certificate gets no further.
            context.check_hostname = False
            context.verify_mode = ssl.CERT_REQUIRED
            if kind == ssl.PROTOCOL_TLS_SERVER:
                context.num_tickets = 0  # connections last: nobody comes back with one
            _attempt(
                security, "tls_ca_file", partial(context.load_verify_locations, cadata=authority)
            )
            _load_chain(context, security)
            sides.append(context)
        der = _attempt(security, "tls_cert", lambda: ssl.PEM_cert_to_DER_cert(_first(certificate)))
        self._seen, self._shown = state, None
        self._sides = sides[0], AcceptingSide(sides[1], binding_of(der))


def checked_security(given: object) -> Security | None:
    """What was given as ``security=``: True asks for certificates for this purpose alone.

    Raises:
        ConfigError: it is something else.
    """
    if given is None or given is False:
        return None
    if given is True:
        return Security.temporary()
    if isinstance(given, Security):
        return given
    msg = (
        f"security={given!r:.100}: it is a trio_dask.Security, or True for certificates made for it"
    )
    raise ConfigError(msg)


def tls_of(keys: Keys, address: Address) -> Tls | None:
    """What a connection at this address takes; None for one that is not encrypted.

    Raises:
        ConfigError: it takes what these keys do not have, or is not what they ask for.
    """
    if address.scheme == TLS and (keys.tls is None or not keys.tls.ready):
        msg = (
            f"{address}: TLS takes certificates: give --tls-ca-file, --tls-cert and --tls-key, "
            "the settings of [comm.tls], or security=Security(…); `trio-dask certs new` makes some"
        )
        raise ConfigError(msg)
    if address.scheme == TCP and keys.tls is not None and keys.tls.required:
        msg = f"{address}: comm.tls.required is set, and this would not be encrypted: write tls://"
        raise ConfigError(msg)
    return keys.tls if address.scheme == TLS else None


def no_tls(error: BaseException) -> CommError:
    """Why a connecting side has no TLS, from what the library says of it."""
    cause = error.__cause__ if not isinstance(error, OSError) else error
    if getattr(cause, "reason", None) in _SPEAKS_NONE:
        return HandshakeRefused(f"{NOT_TLS}: there is none there; the address begins with tcp://")
    return AuthenticationError(f"{NOT_TLS}: {why(error)}")


def binding_of(certificate: bytes | None) -> bytes:
    """What ties the proofs of the handshake to the channel: the digest of the server's certificate."""
    return hashlib.sha256(certificate or b"").digest()


def _is_text(value: object) -> bool:
    return isinstance(value, str) and _PEM in value


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _read(value: str | os.PathLike[str] | None, name: str) -> str:
    assert value is not None
    if isinstance(value, str) and _is_text(value):
        return value
    path = Path(value)
    try:
        text = path.read_text(encoding="ascii")
    except OSError as error:
        msg = f"{_option(name)}: cannot read {path}: {error.strerror}"
        raise ConfigError(msg) from error
    except ValueError:
        text = ""
    if _PEM not in text:
        msg = f"{_option(name)}: {path} is no file in PEM format"
        raise ConfigError(msg)
    return text


def _check_key(security: Security) -> None:
    """Its file, which may be the certificate's, is there, and not for everybody."""
    name = "tls_cert" if security.tls_key is None else "tls_key"
    value = security.tls_cert if security.tls_key is None else security.tls_key
    assert value is not None
    _read(value, name)
    if not _is_text(value) and os.name == "posix":
        mode = stat.S_IMODE(Path(value).stat().st_mode)
        if mode & 0o007:
            msg = f"{_option(name)}: everybody can use the key in {value}; chmod 600 {value}"
            raise ConfigError(msg)


def _load_chain(context: ssl.SSLContext, security: Security) -> None:
    """Have a context show our certificate. The library takes it from files only."""
    import tempfile

    assert security.tls_cert is not None
    with tempfile.TemporaryDirectory(prefix="trio-dask-") as directory:
        there = security.written_to(Path(directory))
        assert there.tls_cert is not None
        path, key = there.tls_cert, there.tls_key
        _attempt(security, "tls_cert", lambda: context.load_cert_chain(path, key))


def _attempt(security: Security, name: str, do: Callable[[], Any]) -> Any:
    import ssl

    try:
        return do()
    except (ssl.SSLError, ValueError, IndexError) as error:
        value = getattr(security, name)
        where = "the text given" if _is_text(value) else value
        why = getattr(error, "reason", None) or "it holds none"
        msg = f"{_option(name)}: no certificate of use in {where}: {str(why).lower().replace('_', ' ')}"
        raise ConfigError(msg) from error


def _first(pem: str) -> str:
    """The first certificate of a file: the one that is shown, before those that lead to it."""
    begin, end = f"{_PEM}CERTIFICATE-----", "-----END CERTIFICATE-----"
    at = pem.index(begin)
    return pem[at : pem.index(end, at) + len(end)]
