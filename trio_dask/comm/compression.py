"""Compression of what goes between hosts: what there is for it, and how a chunk is sent."""

from __future__ import annotations

import importlib
import time
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

from trio_dask.comm.chunks import LZ4, PLAIN, ZSTD, chunk_head
from trio_dask.comm.weighing import LineRate, Offer, best_of, may_pay
from trio_dask.errors import ConfigError, RemoteProtocolError

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_dask.comm.chunks import Chunk
    from trio_dask.messages import Buffer

NONE, AUTO = "none", "auto"
#: By name: the package, and what it is known to do on common machines, until that was measured:
#: so many bytes a second are compressed, and are unpacked.
_METHODS: Final = {"lz4": (LZ4, "lz4.block", 500e6, 2e9), "zstd": (ZSTD, "zstandard", 250e6, 1e9)}
_NUMBERS: Final = {number: name for name, (number, *_) in _METHODS.items()}
_ZSTD_LEVEL: Final = 1
#: What a chunk would become shows in parts of it, so many of so many bytes.
_SAMPLES: Final = 3
_SAMPLE_BYTES: Final = 8 << 10
#: So much the last measurement of a rate counts.
_NEW: Final = 0.3


@cache
def installed() -> tuple[str, ...]:
    """Names of the methods that this process has."""
    return tuple(
        name for name, (_, module, *_) in _METHODS.items() if find_spec(module.partition(".")[0])
    )


def offered(setting: str) -> str:
    """What this process says that it can unpack, as a setting has it.

    Raises:
        ConfigError: the setting asks for what is not installed.
    """
    if setting == NONE:
        return ""
    if setting == AUTO:
        return ",".join(installed())
    if setting not in installed():
        msg = (
            f"comm.compression is {setting}, which is not installed: "
            'pip install "trio-dask[compression]", or set it to auto or none'
        )
        raise ConfigError(msg)
    return setting


@dataclass(frozen=True, slots=True)
class Agreed:
    """What both ends of a connection can unpack."""

    names: tuple[str, ...]
    #: Compress without measuring the line.
    forced: bool = False


def agree(setting: str, theirs: str) -> Agreed | None:
    """What this process and its peer have in common; None if that is nothing."""
    if setting == NONE or not theirs:
        return None
    mine = offered(setting).split(",")
    names = tuple(name for name in mine if name and name in theirs.split(","))
    return Agreed(names, forced=setting != AUTO) if names else None


@cache
def _functions(name: str) -> tuple[Callable[[Any], bytes], Callable[[Any, int], bytes]]:
    """What compresses, and what undoes that. Several threads may use them."""
    library: Any = importlib.import_module(_METHODS[name][1])
    if name == "lz4":
        return (
            lambda data: library.compress(data, store_size=False),
            lambda data, size: library.decompress(data, uncompressed_size=size),
        )

    def unzstd(data: Any, size: int) -> bytes:
        # What the header says would be believed otherwise, whatever we say.
        if library.frame_content_size(data) != size:
            msg = "it has another size"
            raise ValueError(msg)
        return library.ZstdDecompressor().decompress(data, max_output_size=size)  # type: ignore[no-any-return]

    return lambda data: library.ZstdCompressor(level=_ZSTD_LEVEL).compress(data), unzstd


def undo(agreed: Agreed) -> Callable[[int, Buffer, int], bytes]:
    """What unpacks the chunks of a connection."""

    def unpacked(method: int, data: Buffer, nbytes: int) -> bytes:
        name = _NUMBERS.get(method)
        if name not in agreed.names:
            msg = f"a chunk that is packed in a way that was not agreed on, {method}"
            raise RemoteProtocolError(msg)
        try:
            return _functions(name)[1](data, nbytes)
        except Exception as error:
            msg = f"a chunk that cannot be unpacked by {name}: {error}"
            raise RemoteProtocolError(msg) from error

    return unpacked


class Packer:
    """How chunks are sent through one connection."""

    def __init__(self, agreed: Agreed, clock: Callable[[], float] = time.perf_counter) -> None:
        self._agreed: Final = agreed
        self._clock: Final = clock
        self.line: Final = LineRate()
        self._pack_rates: Final = {name: _METHODS[name][2] for name in agreed.names}
        #: Of chunks so far: how many went compressed, how many bytes they had before and then.
        self.count = self.bytes_before = self.bytes_after = 0

    @property
    def looks(self) -> bool:
        """Whether a chunk is worth a look; else it goes as it is."""
        return self._agreed.forced or may_pay(self.line.value, self._pack_rates.values())

    def packed(self, chunk: Chunk) -> list[Buffer]:
        """What is to be written for a chunk. Takes milliseconds: for a thread."""
        data = b"".join(_read(piece) for piece in chunk.pieces)
        name = self._chosen(data)
        if name:
            began = self._clock()
            made = _functions(name)[0](data)
            rate = len(data) / max(self._clock() - began, 1e-9)
            self._pack_rates[name] += _NEW * (rate - self._pack_rates[name])
            if len(made) < len(data):
                self.count += 1
                self.bytes_before += len(data)
                self.bytes_after += len(made)
                return [chunk_head(_METHODS[name][0], len(made)) + made]
        return [chunk_head(PLAIN, len(data)), data]

    def _chosen(self, data: bytes) -> str:
        """The name of the best way for a chunk, from a look at parts of it."""
        step = max(len(data) // _SAMPLES, _SAMPLE_BYTES)
        sample = b"".join(data[at : at + _SAMPLE_BYTES] for at in range(0, len(data), step))
        offers = [
            Offer(
                _METHODS[name][0],
                len(_functions(name)[0](sample)) / max(len(sample), 1),
                self._pack_rates[name],
                _METHODS[name][3],
            )
            for name in self._agreed.names
        ]
        return _NUMBERS.get(best_of(offers, self.line.value, forced=self._agreed.forced), "")


def plain(chunk: Chunk) -> list[Buffer]:
    """What is to be written for a chunk that goes as it is."""
    return [chunk_head(PLAIN, chunk.nbytes), *chunk.pieces]


def _read(piece: Any) -> Buffer:
    """A piece, from wherever it is."""
    found: Buffer = piece.read() if hasattr(piece, "read") else piece
    return found


def is_same_host(one: str, other: str) -> bool:
    """Whether two ends of a connection have one host.

    >>> (
    ...     is_same_host("tcp://127.0.0.1:1", "tcp://127.0.0.1:2"),
    ...     is_same_host("tcp://a:1", "tcp://b:1"),
    ... )
    (True, False)
    """
    return _host(one) == _host(other)


def _host(address: str) -> str:
    return address.rpartition("://")[2].rpartition(":")[0]
