"""Copies of memory that let other threads run meanwhile, which slices of a memoryview do not."""

from __future__ import annotations

import ctypes
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trio_dask.messages import Buffer

#: Less than this is copied sooner than another thread could be let in.
_LARGE: Final = 256 * 1024
#: Where the target begins less than this after the source, as counted within a page, the
#: processor takes what it reads for what it has just written, and waits: a copy of much at once
#: is then three times as slow as one of so much at a time.
_TOO_NEAR: Final = 512
_PAGE: Final = 4096
_PART: Final = 1 << 20


class _PyBuffer(ctypes.Structure):
    """The interpreter's own description of some memory."""

    _fields_ = (
        ("buf", ctypes.c_void_p),
        ("obj", ctypes.py_object),
        ("len", ctypes.c_ssize_t),
        ("itemsize", ctypes.c_ssize_t),
        ("readonly", ctypes.c_int),
        ("ndim", ctypes.c_int),
        ("format", ctypes.c_char_p),
        ("shape", ctypes.c_void_p),
        ("strides", ctypes.c_void_p),
        ("suboffsets", ctypes.c_void_p),
        ("internal", ctypes.c_void_p),
    )


def copy_into(target: memoryview, pieces: Iterable[Buffer]) -> int:
    """Copy pieces one after the other to where `target` begins; how many bytes that was."""
    at = 0
    for piece in pieces:
        size = len(piece)
        if size >= _LARGE and sys.implementation.name == "cpython":
            _move(target[at : at + size], piece)
        else:
            target[at : at + size] = piece
        at += size
    return at


def _move(target: memoryview, source: Buffer) -> None:
    into, out = _PyBuffer(), _PyBuffer()
    get, release = ctypes.pythonapi.PyObject_GetBuffer, ctypes.pythonapi.PyBuffer_Release
    get(ctypes.py_object(target), ctypes.byref(into), 0)
    try:
        get(ctypes.py_object(source), ctypes.byref(out), 0)
        try:
            assert into.len == out.len
            size = out.len
            part = _PART if (into.buf - out.buf) % _PAGE < _TOO_NEAR else size
            for at in range(0, size, part):
                ctypes.memmove(into.buf + at, out.buf + at, min(part, size - at))
        finally:
            release(ctypes.byref(out))
    finally:
        release(ctypes.byref(into))
