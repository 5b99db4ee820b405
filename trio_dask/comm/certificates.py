"""A small authority and its certificates, for a team or for one cluster."""

from __future__ import annotations

import datetime as dt
import ipaddress
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from trio_dask.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

#: How long certificates are good, unless something else is asked for.
DAYS: Final = 365
#: Clocks differ: a certificate is good since a while ago.
_EARLIER: Final = dt.timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Authority:
    """Who signs certificates: its own, and its private key, both as PEM text."""

    certificate: str
    key: str = field(repr=False)

    def issue(self, name: str, hosts: Sequence[str] = (), *, days: float = DAYS) -> tuple[str, str]:
        """A certificate for both sides of a connection, and its private key, as PEM text.

        Raises:
            ConfigError: the authority's own files cannot be used.
        """
        library = _library()
        x509, serialization = library["x509"], library["serialization"]
        try:
            issuer = x509.load_pem_x509_certificate(self.certificate.encode())
            signer = serialization.load_pem_private_key(self.key.encode(), None)
        except (ValueError, TypeError) as error:
            msg = f"the authority's certificate or key cannot be read: {error}"
            raise ConfigError(msg) from error
        key = library["ec"].generate_private_key(library["ec"].SECP256R1())
        usage = x509.ExtendedKeyUsage(
            [x509.ExtendedKeyUsageOID.SERVER_AUTH, x509.ExtendedKeyUsageOID.CLIENT_AUTH]
        )
        builder = (
            _builder(name, issuer.subject, key.public_key(), days)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(x509, authority=False), critical=True)
            .add_extension(usage, critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key()),
                critical=False,
            )
        )
        if hosts:
            names = x509.SubjectAlternativeName([_name(x509, host) for host in hosts])
            builder = builder.add_extension(names, critical=False)
        made = builder.sign(signer, library["hashes"].SHA256())
        return _pem(made), _key_pem(key)


def new_authority(name: str, *, days: float = 10 * DAYS) -> Authority:
    """An authority that nobody else knows yet.

    Raises:
        ConfigError: the package `cryptography` is missing.
    """
    library = _library()
    x509 = library["x509"]
    key = library["ec"].generate_private_key(library["ec"].SECP256R1())
    subject = _subject(name)
    made = (
        _builder(name, subject, key.public_key(), days)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(x509, authority=True), critical=True)
        .sign(key, library["hashes"].SHA256())
    )
    return Authority(_pem(made), _key_pem(key))


def good_until(certificate: str) -> dt.datetime:
    """When a certificate ends."""
    found = _library()["x509"].load_pem_x509_certificate(certificate.encode())
    until: dt.datetime = found.not_valid_after_utc
    return until


def _library() -> dict[str, Any]:
    try:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
    except ImportError as error:
        msg = (
            "certificates are made with the package cryptography: pip install 'trio-dask[tls]'; "
            "those that there are already can be used without it"
        )
        raise ConfigError(msg) from error
    return {"x509": x509, "hashes": hashes, "serialization": serialization, "ec": ec}


def _builder(name: str, issuer: Any, public: Any, days: float) -> Any:
    x509 = _library()["x509"]
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_subject(name))
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _EARLIER)
        .not_valid_after(now + dt.timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def _usage(x509: Any, *, authority: bool) -> Any:
    return x509.KeyUsage(
        digital_signature=not authority, key_cert_sign=authority, crl_sign=authority,
        content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip


def _subject(name: str) -> Any:
    x509 = _library()["x509"]
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])


def _name(x509: Any, host: str) -> Any:
    with suppress(ValueError):
        return x509.IPAddress(ipaddress.ip_address(host))
    return x509.DNSName(host)


def _pem(certificate: Any) -> str:
    text: str = certificate.public_bytes(_library()["serialization"].Encoding.PEM).decode()
    return text


def _key_pem(key: Any) -> str:
    serialization = _library()["serialization"]
    text: str = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()
    return text
