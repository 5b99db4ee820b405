"""Parsers of bytes and texts: frames, messages, handshakes, failures, files."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

from trio_dask.comm import (
    FrameDecoder,
    Handshake,
    Hello,
    Limits,
    Link,
    keys_from_token,
    parse_address,
    parse_contact,
)
from trio_dask.config import (
    find_token,
    known_settings,
    load_config,
    parse_bytes,
    parse_seconds,
    read_scheduler_file,
)
from trio_dask.errors import AuthenticationError, ConfigError, RemoteProtocolError
from trio_dask.messages import Buffer, Payload, decode, encode
from trio_dask.messages.exceptions import rebuild
from trio_dask.messages.failure import Failure, walk

SMALL: Final = Limits(header_bytes_max=4096, payloads_max=8, payload_bytes_max=4096)
KEYS: Final = keys_from_token("0123456789abcdef" * 4)


def _pieces(data: bytes) -> list[bytes]:
    """The data after the first byte, cut as that byte says."""
    size = data[0] % 61 + 1 if data else 1
    return [data[at : at + size] for at in range(1, len(data), size)]


def frames(data: bytes) -> None:
    """Any split of any bytes gives the same frames, and sets nothing aside for claims."""
    _same_however_split(data, FrameDecoder(SMALL), FrameDecoder(SMALL))


def _grown(method: int, data: Buffer, nbytes: int) -> bytes:
    """What unpacks in a simple way; in another way it may give far too much."""
    if method == 3:
        msg = "not agreed on"
        raise RemoteProtocolError(msg)
    return bytes(data) * (nbytes // len(data) if method == 1 else nbytes)


def chunks(data: bytes) -> None:
    """The same where what is large may come in chunks; none has more than was announced."""
    made = FrameDecoder(SMALL, undo=_grown), FrameDecoder(SMALL, undo=_grown)
    _same_however_split(data, *made)


def _same_however_split(data: bytes, whole: FrameDecoder, split: FrameDecoder) -> None:
    out, refused = [], False
    try:
        for piece in _pieces(data):
            out += [(bytes(header), list(map(bytes, body))) for header, body in split.feed(piece)]
    except RemoteProtocolError:
        refused = True
    try:
        every = [(bytes(header), list(map(bytes, body))) for header, body in whole.feed(data[1:])]
    except RemoteProtocolError:
        assert refused, "refused only as a whole"
    else:
        assert not refused, "refused only in pieces"
        assert out == every
        assert split.between_frames == whole.between_frames
        limit = SMALL.payload_bytes_max
        assert all(len(each) <= limit for _, body in every for each in body)


def link(data: bytes) -> None:
    """What a peer says on a connection is messages, each of which can be passed on."""
    receiving = Link(SMALL)
    with suppress(RemoteProtocolError):
        for piece in _pieces(data):
            receiving.feed(piece)
        receiving.end()
    assert receiving.bytes_in <= len(data)


def header(data: bytes) -> None:
    """What is decoded is what is encoded again, to the same."""
    cut = len(data) - data[0] % 16 if data else 0
    body = data[1:cut]
    payloads = [data[at : at + 3] for at in range(max(cut, 1), len(data), 3)]
    try:
        messages = decode(body, list(payloads))
    except RemoteProtocolError:
        return
    again, out = encode(messages)
    pieces: list[Payload] = list(payloads)
    assert out == pieces
    # NaN is not equal to itself: what was packed is compared, not what it means.
    assert encode(decode(again, list(payloads))) == (again, out)


def _handshake(data: bytes, *, connecting: bool) -> None:
    mine = Hello("client" if connecting else "scheduler", "3.11.4", "1.0", b"m" * 32)
    hand = Handshake(mine, KEYS, connecting=connecting)
    hand.start()
    sent = 0
    while data and hand.wanted:
        assert hand.wanted <= 512
        part, data = data[: hand.wanted], data[hand.wanted :]
        sent += len(hand.feed(part))
    assert hand.wanted or hand.refusal is not None, "a stranger got in"
    assert sent <= 64
    assert (hand.torn + str(hand.refusal)).isprintable()


def handshake_accepting(data: bytes) -> None:
    """Nobody gets in without the token; what is logged is one printable line."""
    _handshake(data, connecting=False)


def handshake_connecting(data: bytes) -> None:
    """Nobody is taken for the scheduler without the token."""
    _handshake(data, connecting=True)


def failure(data: bytes) -> None:
    """The description of an exception: any of them can be shown, and sent on as it was."""
    try:
        made = Failure.from_bytes(data)
    except RemoteProtocolError:
        return
    nodes = list(walk(made))
    assert len(nodes) <= 256
    assert made.to_bytes() == Failure.from_bytes(made.to_bytes()).to_bytes()
    if not any(node.pickled for node in nodes):  # what is pickled is the user's own code
        assert isinstance(rebuild(made), BaseException)


def _file(data: bytes) -> Path:
    path = Path(tempfile.gettempdir()) / f"trio-dask-fuzz-{_RUN}"
    path.touch(0o600)
    path.write_bytes(data)
    return path


_RUN: Final = next(tempfile._get_candidate_names())  # type: ignore[attr-defined]


def files(data: bytes) -> None:
    """The same bytes as settings, scheduler file and token: each is read or refused."""
    path = _file(data)
    try:
        for read in (lambda: load_config({}, [path]), lambda: read_scheduler_file(path)):
            with suppress(ConfigError):
                read()
        with suppress(AuthenticationError):
            find_token(path=path)
    finally:
        path.unlink()


def texts(data: bytes) -> None:
    """The same text as address, duration, size, token, and every setting."""
    text = data.decode("utf-8", "surrogateescape")
    for parse in (parse_address, parse_contact):
        with suppress(ConfigError):
            address = parse(text)
            assert parse_address(str(address)) == address
    for measure in (parse_seconds, parse_bytes):
        with suppress(ConfigError):
            assert 0 <= measure(text) < float("inf")
    with suppress(AuthenticationError):
        keys_from_token(text)
    for setting in known_settings().values():
        with suppress(ConfigError):
            load_config({setting.variable: text}, [])
