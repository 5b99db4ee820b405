"""Conversations as bytes: what a peer says, as the frames that would carry it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgpack

from trio_dask.comm import FrameDecoder, frame
from trio_dask.messages import Buffer, Message, Payload, decode, encode

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: A frame as it is before anything is checked: rows of its header, and payloads.
Rough = tuple[list[Any], list[bytes]]


def said(messages: Iterable[Message]) -> bytes:
    """These messages, a frame each."""
    return b"".join(joined(*encode([message])) for message in messages)


def joined(header: bytes, payloads: list[Payload]) -> bytes:
    """One frame in one piece."""
    return b"".join(bytes(piece) for piece in frame(header, payloads))


def heard(data: Buffer) -> Iterator[Message]:
    """The messages of all whole frames in `data`.

    Raises:
        RemoteProtocolError: a frame is none, or its header has no messages in it.
    """
    for header, payloads in FrameDecoder().feed(data):
        yield from decode(header, payloads)


def taken_apart(data: bytes) -> list[Rough] | None:
    """The frames in `data`, unchecked; None if they cannot be told apart."""
    try:
        frames = FrameDecoder().feed(data)
        rough = [
            (msgpack.unpackb(header, strict_map_key=False, unicode_errors="surrogatepass"), body)
            for header, body in frames
        ]
    except Exception:  # noqa: BLE001 - whatever is wrong with it, it cannot be read
        return None
    if not all(type(rows) is list and all(type(row) is list for row in rows) for rows, _ in rough):
        return None
    return [(rows, [bytes(each) for each in body]) for rows, body in rough]


def put_together(frames: list[Rough]) -> bytes:
    """The reverse of `taken_apart`."""
    out = []
    for rows, payloads in frames:
        header = msgpack.packb(rows, use_bin_type=True, unicode_errors="surrogatepass")
        out.append(joined(header, list(payloads)))
    return b"".join(out)
