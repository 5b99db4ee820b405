"""What large values cost on their way: one copy when they are written, and what their type needs."""

from __future__ import annotations

import array
import functools
import importlib
import pickle
import threading
import tracemalloc
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import trio_dask
from trio_dask.errors import SubmitError
from trio_dask.messages import payload_bytes
from trio_dask.messages.large import pack_large
from trio_dask.messages.payload import (
    call_payload,
    in_one_piece,
    pack,
    pack_call,
    pack_function,
    pack_small,
    unpack,
)
from trio_dask.messages.pickling import REGISTERED, register_serialization

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from trio_dask.messages import Payload

MIB = 1 << 20
SIZE = 16 * MIB


def peak_of(call: Callable[[], Any]) -> tuple[Any, int]:
    """What it gives, and the most memory that it needed beside what there was."""
    tracemalloc.start()
    try:
        made = call()
        return made, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def arrived(payload: Payload) -> memoryview:
    """It, where somebody else has it: in memory that may be written to."""
    return memoryview(bytearray(in_one_piece(payload)))


LONG = b"x" * SIZE
SHAPES: dict[str, Any] = {
    "bytes": LONG,
    "bytearray": bytearray(LONG),
    "in a list": [LONG, 1, LONG[:100]],
    "in a dict": {"a": [("b", LONG)], "c": None},
    "in an object": SimpleNamespace(name="a", data=LONG),
    "text": "é" * (SIZE // 2),
}


@pytest.mark.parametrize("what", SHAPES)
def test_packing_copies_nothing(what: str) -> None:
    """What is packed refers to the memory of the value; only text is made anew."""
    value = SHAPES[what]
    allowed = 2 * SIZE + MIB if what == "text" else MIB
    for make in (lambda: pack(value), lambda: pack_large(value, MIB)):
        payload, peak = peak_of(make)
        assert isinstance(payload, list)
        assert peak < allowed
        assert unpack(in_one_piece(payload)) == value


@pytest.mark.parametrize("what", [what for what in SHAPES if what != "text"])
def test_unpacking_copies_once(what: str) -> None:
    """Its type must have memory of its own, and nothing else is copied, wherever it came from."""
    value = SHAPES[what]
    here = arrived(pack(value))
    for source in (here, bytes(here)):
        made, peak = peak_of(functools.partial(unpack, source))
        assert made == value
        assert peak < SIZE + 2 * MIB
        del made


@pytest.mark.parametrize("data", [LONG, bytearray(LONG)], ids=["bytes", "bytearray"])
def test_by_value_it_is_no_dearer(data: bytes | bytearray) -> None:
    """In an object whose class nobody else can import, and so travels with it."""

    class Local:
        def __init__(self, data: Any) -> None:
            self.data = data

    value = Local(data)
    payload: Any = None
    for make in (lambda: pack(value), lambda: pack_large(value, MIB)):
        payload, peak = peak_of(make)
        assert isinstance(payload, list)
        assert peak < MIB
    made, peak = peak_of(functools.partial(unpack, arrived(payload)))
    assert made.data == data
    assert peak < SIZE + 2 * MIB


def test_arguments_of_calls() -> None:
    """They are measured before they are joined; small ones are as they were."""
    payload, peak = peak_of(lambda: call_payload((LONG, 1), {"a": LONG}))
    assert peak < MIB
    assert payload_bytes(payload) > SIZE
    assert type(pack_call((b"short", 1), {})) is bytes
    assert unpack(pack_call(([LONG],), {})) == (([LONG],), {})


class Shy:
    """Does not want to be looked at."""

    def __getattribute__(self, name: str) -> Any:
        if name == "__dict__":
            raise RuntimeError(name)
        return super().__getattribute__(name)

    def __reduce__(self) -> Any:
        return dict, ()


def test_objects_that_do_not_want_to_be_looked_at() -> None:
    """They are packed as ever."""
    assert unpack(in_one_piece(pack(Shy()))) == {}
    assert unpack(pack_call((Shy(),), {"a": [Shy()]})) == (({},), {"a": [{}]})


@pytest.mark.parametrize("first", [7.5, None, "text", [], {}])
def test_what_looks_like_a_call_and_is_none(first: Any) -> None:
    """A pair whose second is a dict, and whose first is anything."""
    value = (first, {"text": "hello"})
    assert unpack(in_one_piece(pack(value))) == value
    assert unpack(in_one_piece(pack((first, {"long": LONG})))) == (first, {"long": LONG})


def test_what_was_packed_stays_as_long() -> None:
    """Who makes a bytearray longer meanwhile is told, and does not tear what is being sent."""
    value = bytearray(SIZE)
    payload = pack(value)
    with pytest.raises(BufferError):
        value.append(1)
    del payload
    value.append(1)


def test_views_of_memory() -> None:
    """A memoryview is one when it arrives, over the memory that came, and writable if it was."""
    source = memoryview(bytearray(range(256)) * 64)
    here = arrived(pack(source))
    made, peak = peak_of(lambda: unpack(here))
    assert type(made) is memoryview
    assert peak < 100_000
    assert made == source
    assert not made.readonly
    here[-1] = 7
    assert made[-1] == 7  # it is the same memory
    assert unpack(arrived(pack(memoryview(b"x" * 20_000)))).readonly


@pytest.mark.parametrize(
    "view",
    [
        memoryview(array.array("d", range(5000))),
        memoryview(array.array("i", range(12))).cast("B").cast("i", (3, 4)),
        memoryview(b"0123456789" * 2000)[::-3],
        np.asfortranarray(np.arange(6000.0).reshape(60, 100)).data,
        memoryview(b""),
        memoryview(array.array("h")),
    ],
)
def test_views_of_any_shape(view: memoryview) -> None:
    """What is not in one piece becomes so; empty ones are no exception."""
    for payload in (pack(view), pack([view])):
        made = unpack(in_one_piece(payload))
        made = made[0] if type(made) is list else made
        assert (made.format, made.shape, made.tolist()) == (view.format, view.shape, view.tolist())


def kept_in_place(value: Any) -> int:
    """How many bytes of it are packed and unpacked without being copied; all of them are right."""
    payload, peak = peak_of(lambda: pack(value))
    here = arrived(payload)
    made, more = peak_of(lambda: unpack(here))
    assert pickle.dumps(made) == pickle.dumps(value)
    return payload_bytes(payload) - max(peak, more)


@pytest.mark.parametrize("library", ["numpy", "pandas", "pyarrow", "scipy.sparse"])
def test_libraries(library: str) -> None:
    """Their values travel without being copied, with no help of ours."""
    pytest.importorskip(library, reason=f"{library} is not installed")
    module: Any = importlib.import_module(library)
    numbers = np.arange(1 << 20, dtype="f8")
    if library == "numpy":
        value: Any = {"a": numbers, "b": [numbers.reshape(1024, 1024).T]}
    elif library == "pandas":
        value = module.DataFrame({"a": numbers, "b": numbers})
    elif library == "pyarrow":
        value = module.table({"a": numbers, "b": numbers})
    else:
        value = module.csr_matrix((numbers, (numbers.astype("i4"), numbers.astype("i4"))))
    assert kept_in_place(value) > 8 * MIB


# ---------------------------------------------------------------- registered types


class Signal:
    """Has memory, and a lock, for which pickle does not want it."""

    def __init__(self, rate: int, samples: Any) -> None:
        self.rate = rate
        self.samples = samples
        self.lock = threading.Lock()


class Louder(Signal):
    """More than its base."""


def take_apart(signal: Signal) -> tuple[Any, list[Any]]:
    """Its serializer."""
    return {"rate": signal.rate}, [signal.samples]


def put_together(header: dict[str, int], buffers: list[memoryview]) -> Signal:
    """Its deserializer."""
    return Signal(header["rate"], buffers[0])


@pytest.fixture
def _registered() -> Iterator[None]:
    register_serialization(Signal, take_apart, put_together)
    yield
    REGISTERED.clear()


@pytest.mark.usefixtures("_registered")
def test_a_registered_type() -> None:
    """Its memory is not copied, in containers, as an argument or result; small ones travel, too."""
    signal = Signal(44_100, bytearray(LONG))
    for value in (signal, [signal]):
        payload, peak = peak_of(functools.partial(pack, value))
        assert peak < MIB
        here = arrived(payload)
        made, peak = peak_of(functools.partial(unpack, here))
        made = made[0] if type(made) is list else made
        assert (type(made), made.rate, made.samples) == (Signal, 44_100, signal.samples)
        assert peak < MIB
    assert pack_large(signal, MIB) is not None
    small = Signal(8000, b"abc")
    for blob in (
        pack_small(small, 10_000),
        pack_call((small,), {}),
        pack_function(small.rate.__add__),
    ):
        assert blob is not None
    blob = pack_small(small, 10_000)
    assert blob is not None
    assert bytes(unpack(blob).samples) == b"abc"
    args, _ = unpack(pack_call((small, lambda: 3), {}))  # by cloudpickle
    assert args[0].rate == 8000


@pytest.mark.usefixtures("_registered")
def test_only_the_type_itself() -> None:
    """What is derived from it has more to it; types that `copyreg` knows stay known."""
    with pytest.raises(SubmitError, match="Louder"):
        pack(Louder(1, b""))
    assert unpack(in_one_piece(pack({3j, 4j}))) == {3j, 4j}


def test_what_cannot_be_registered() -> None:
    """It is told at once; what a serializer gives in vain when it is used."""
    with pytest.raises(TypeError, match="no type"):
        register_serialization(Signal(1, b""), take_apart, put_together)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="cannot be called"):
        trio_dask.register_serialization(Signal, take_apart, None)  # type: ignore[arg-type]
    try:
        register_serialization(Signal, lambda signal: signal.rate, put_together)
        with pytest.raises(SubmitError, match="a header and buffers, not 5"):
            pack(Signal(5, b""))
    finally:
        REGISTERED.clear()
