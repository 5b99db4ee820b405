"""Encrypted connections: both loops, and all that does not fit together."""

from __future__ import annotations

import ssl
import stat
import threading
import warnings
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest
import trio

from tests.comm.comm_driver import KEYS, TOKEN
from tests.comm.test_sockets import echo, talk
from trio_dask.comm import (
    Connection,
    Keys,
    Listener,
    Security,
    Tls,
    connect,
    connect_anyio,
    keys_from_token,
    new_authority,
    open_listeners,
    serve,
)
from trio_dask.errors import AuthenticationError, CommError, ConfigError, HandshakeRefused
from trio_dask.messages.values import Store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytest.importorskip("cryptography", reason="certificates are made with it")

AUTHORITY = new_authority("for tests")


def security(authority: object = AUTHORITY) -> Security:
    """A certificate of an authority, by default the one of all tests."""
    assert isinstance(authority, type(AUTHORITY))
    certificate, key = authority.issue("somebody")
    return Security(tls_ca_file=authority.certificate, tls_cert=certificate, tls_key=key)


def keys(certificates: Security, token: str = TOKEN) -> Keys:
    """Keys with certificates."""
    return keys_from_token(token, tls=Tls(certificates))


OURS = keys(security())


@asynccontextmanager
async def echoing(*addresses: str, held: Keys = OURS) -> AsyncIterator[Listener]:
    """A scheduler that echoes, for as long as the block takes."""
    async with trio.open_nursery() as nursery:
        listener = await open_listeners([[each] for each in addresses])
        start = partial(serve, listener, keys=held, role="scheduler", handler=echo)
        await nursery.start(start)
        yield listener
        nursery.cancel_scope.cancel()


@pytest.mark.network
async def test_a_conversation_on_trio_and_on_anyio() -> None:
    """What is said arrives, large or small, and both sides part in good order."""
    said = [Store(1, [2], [b"x" * 3_000_000]), Store(2, [3], [b"y"])]
    async with echoing("tls://127.0.0.1:0") as listener:
        assert listener.address.startswith("tls://127.0.0.1:")
        for dial in (connect, connect_anyio):
            connection = await dial(listener.address, keys=OURS, role="client", expect="scheduler")
            with trio.fail_after(20):
                assert await talk(connection, *said) == said
            assert connection.remote_address == listener.address


@pytest.mark.network
@pytest.mark.anyio
async def test_a_conversation_on_asyncio(anyio_backend: str) -> None:
    """The client's loop may be either."""
    del anyio_backend
    found: list[str] = []  # the server has a loop of its own, in a thread
    ready = threading.Event()
    done = threading.Event()

    async def main() -> None:
        async with echoing("tls://127.0.0.1:0") as listener:
            found.append(listener.address)
            ready.set()
            await trio.to_thread.run_sync(done.wait)

    thread = threading.Thread(target=trio.run, args=(main,))
    thread.start()
    try:
        await anyio.to_thread.run_sync(ready.wait)
        said = [Store(1, [2], [b"x" * 3_000_000])]
        connection = await connect_anyio(found[0], keys=OURS, role="client", expect="scheduler")
        assert await talk(connection, *said) == said
    finally:
        done.set()
        thread.join()


@pytest.mark.network
async def test_one_server_with_and_without() -> None:
    """Two places, of which one is encrypted."""
    async with echoing("tcp://127.0.0.1:0", "tls://127.0.0.1:0") as listener:
        for address in listener.addresses:
            connection = await connect(address, keys=OURS, role="client")
            assert isinstance(connection, Connection)
            assert await talk(connection, Store(1, [2], [b"z"])) == [Store(1, [2], [b"z"])]


@pytest.mark.network
@pytest.mark.parametrize("dial", [connect, connect_anyio], ids=["trio", "anyio"])
async def test_what_does_not_fit(dial: object) -> None:
    """Another authority, another token: each is refused and said."""
    assert callable(dial)
    strangers = keys(security(new_authority("another")))
    other_token = keys(security(), "fedcba9876543210" * 4)
    async with echoing("tls://127.0.0.1:0") as listener:
        [secured] = listener.addresses
        for address, held, says in [
            (secured, strangers, "certificate"),
            (secured, other_token, "token"),
        ]:
            with pytest.raises((AuthenticationError, CommError), match=says), trio.fail_after(10):
                await dial(address, keys=held, role="client", timeout_s=5)
        connection = await dial(secured, keys=OURS, role="client")
        assert await talk(connection, Store(1, [2], [b"z"])) == [Store(1, [2], [b"z"])]


@pytest.mark.network
@pytest.mark.parametrize("crowd", [128, 0], ids=["alone", "in a crowd"])
@pytest.mark.parametrize("dial", [connect, connect_anyio], ids=["trio", "anyio"])
async def test_the_other_protocol(
    dial: object, crowd: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With and without TLS, the wrong way round: it is said at once, and nobody tries again."""
    assert callable(dial)
    monkeypatch.setattr("trio_dask.comm.serving.CROWD", crowd)
    async with echoing("tls://127.0.0.1:0", "tcp://127.0.0.1:0") as listener:
        secured, plain = listener.addresses
        for address, held, says in [
            (plain.replace("tcp", "tls"), OURS, "the address begins with tcp://"),
            (secured.replace("tls", "tcp"), KEYS, "the address begins with tls://"),
        ]:
            for _ in range(5):  # fewer than are held for a while
                with pytest.raises(HandshakeRefused, match=says):
                    await dial(address, keys=held, role="client", timeout_s=60)
        connection = await dial(secured, keys=OURS, role="client", timeout_s=60)
        assert await talk(connection, Store(1, [2], [b"z"])) == [Store(1, [2], [b"z"])]


@pytest.mark.network
async def test_old_versions_and_silent_strangers_get_nothing() -> None:
    """TLS 1.1 is refused, and so is who shows no certificate."""
    async with echoing("tls://127.0.0.1:0") as listener:
        for version in (ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            with warnings.catch_warnings(action="ignore"):  # that this is an old version
                context.minimum_version = context.maximum_version = version
            stream = await trio.open_ssl_over_tcp_stream(
                "127.0.0.1", listener.port, ssl_context=context
            )
            with pytest.raises(trio.BrokenResourceError):
                await refused(stream)
            await trio.aclose_forcefully(stream)


async def test_an_address_asks_for_what_there_is() -> None:
    """No certificates, no ``tls://``; and with `require_encryption` no ``tcp://``."""
    for dial in (connect, connect_anyio):
        with pytest.raises(ConfigError, match="--tls-ca-file"):
            await dial("tls://127.0.0.1:1", keys=KEYS, role="client")
        strict = keys_from_token(TOKEN, tls=Tls(Security(require_encryption=True)))
        with pytest.raises(ConfigError, match="tls://"):
            await dial("tcp://127.0.0.1:1", keys=strict, role="client")


def test_what_is_no_certificate(tmp_path: Path) -> None:
    """The option, the file and what is wrong with it."""
    good = security().written_to(tmp_path)
    assert stat.S_IMODE(Path(str(good.tls_key)).stat().st_mode) == 0o600
    assert "PRIVATE" not in repr(security())
    gone, odd = str(tmp_path / "gone.pem"), tmp_path / "odd.pem"
    odd.write_text("nothing of the kind", encoding="ascii")
    other = security().tls_key
    shared = tmp_path / "shared.pem"
    shared.write_text(str(other), encoding="ascii")
    shared.chmod(0o644)
    changes: list[tuple[dict[str, Any], str]] = [
        ({"tls_ca_file": None}, "--tls-ca-file is missing"),
        ({"tls_cert": None}, "--tls-cert is missing"),
        ({"tls_ca_file": gone}, "--tls-ca-file: cannot read .*gone.pem: No such file"),
        ({"tls_cert": str(odd)}, "--tls-cert: .*odd.pem is no file in PEM format"),
        ({"tls_key": gone}, "--tls-key: cannot read"),
        ({"tls_key": str(shared)}, "--tls-key: everybody can use the key"),
        ({"tls_key": other}, "--tls-cert: no certificate of use in .*mismatch"),
        ({"tls_ca_file": other}, "--tls-ca-file: no certificate of use"),
    ]
    for changed, says in changes:
        values: dict[str, Any] = {
            name: getattr(good, name) for name in ("tls_ca_file", "tls_cert", "tls_key")
        }
        with pytest.raises(ConfigError, match=says):
            Tls(Security(**values | changed))


def test_certificates_are_replaced_while_all_goes_on(tmp_path: Path) -> None:
    """New files count for the next connection; half of a change changes nothing."""
    old = security().written_to(tmp_path)
    tls = Tls(old)
    before = tls.accepting()
    assert tls.accepting() is before
    new = security()
    assert isinstance(old.tls_cert, str)
    assert isinstance(old.tls_key, str)
    for path, content in ((old.tls_cert, new.tls_cert), (old.tls_key, new.tls_key)):
        assert tls.accepting().binding == before.binding
        draft = tmp_path / "draft"
        draft.write_text(str(content), encoding="ascii")
        draft.chmod(0o600)
        draft.replace(path)
    assert tls.accepting().binding != before.binding


async def refused(stream: trio.SSLStream[trio.SocketStream]) -> None:
    """Begin, and read: version 1.3 says what it thinks of us only then."""
    await stream.do_handshake()
    while await stream.receive_some(1):
        pass
