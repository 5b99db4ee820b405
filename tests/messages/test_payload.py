from __future__ import annotations

import collections
import dataclasses
import functools
import importlib.util
import operator
import pickle
import subprocess
import sys
import threading
import types
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given as given_by, strategies as st

from trio_dask import register_pickle_by_value
from trio_dask.errors import RemoteProtocolError, SubmitError
from trio_dask.messages import foreign, payload_bytes
from trio_dask.messages.payload import (
    collecting,
    function_name,
    given,
    input_value,
    note_input,
    pack,
    pack_call,
    pack_function,
    pack_small,
    unpack,
    unpack_function,
    unpacked_bytes,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text()
    | st.binary()
    | st.complex_numbers(allow_nan=False),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner),
)


class Ref:
    """A future, as far as pickling is concerned."""

    def __init__(self, tid: int) -> None:
        self.tid = tid

    def __reduce__(self) -> Any:
        note_input(self.tid)
        return input_value, (self.tid,)


class Raising:
    """Cannot be pickled, in an unusual way."""

    def __reduce__(self) -> Any:
        raise SystemError("no")


class Leaving:
    """Pickling it would end the program."""

    def __reduce__(self) -> Any:
        raise SystemExit(3)


@dataclasses.dataclass
class Point:
    x: int


def joined(value: Any, **options: Any) -> bytes:
    """The payload of a value in one piece, as it arrives."""
    packed = pack(value, **options)
    return b"".join(packed) if isinstance(packed, list) else bytes(packed)


@given_by(VALUES)
def test_values_come_back(value: Any) -> None:
    """Anything plain survives, from any kind of buffer."""
    data = joined(value)
    for buffer in (data, bytearray(data), memoryview(data)):
        assert unpack(buffer) == value


@pytest.mark.parametrize("shape", [(0,), (3,), (5000,), (300, 40), (0, 7)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_come_back_writable(shape: tuple[int, ...], order: Any) -> None:
    """Arrays of any size and order survive, and can be changed as before."""
    array = np.asarray(np.random.default_rng(1).random(shape), order=order)
    for buffer in (joined(array), bytearray(joined(array))):
        found = unpack(buffer)
        assert (found == array).all()
        assert found.flags.writeable
        assert found.flags.f_contiguous == array.flags.f_contiguous


def test_large_arrays_are_not_copied_in_either_direction() -> None:
    """The pieces are the array's own memory; what arrives in a bytearray is used in place."""
    array = np.arange(100_000)
    pieces = pack(["a", array])
    assert isinstance(pieces, list)
    assert np.shares_memory(np.frombuffer(pieces[-1], dtype=array.dtype), array)
    arrived = bytearray(b"".join(pieces))
    found = unpack(arrived)[1]
    assert np.shares_memory(found, np.frombuffer(arrived, dtype=np.uint8))
    assert (found.ctypes.data - np.frombuffer(arrived, np.uint8).ctypes.data) % 64 == 0


def test_what_has_to_be_in_memory() -> None:
    """All of a plain pickle; of a block only what is not in its buffers."""
    plain, array = pack(b"x" * 50_000), pack([np.zeros(50_000), "and more"])
    assert unpacked_bytes(plain) == len(plain) > 50_000
    assert isinstance(array, list)
    block = b"".join(array)
    assert len(block) > 400_000
    assert 10 < unpacked_bytes(block) < 1000
    assert unpacked_bytes(b"") == 0
    assert unpacked_bytes(b"TDv1") == 4
    assert unpacked_bytes(b"TDv1" + b"\xff" * 12) == 16
    assert unpacked_bytes(array) == payload_bytes(array)


def test_read_only_stays_read_only() -> None:
    """An array that could not be changed cannot be changed afterwards."""
    array = np.arange(10_000)
    array.flags.writeable = False
    assert not unpack(bytearray(joined(array))).flags.writeable


def test_arrays_that_are_no_single_piece_of_memory() -> None:
    """Strided, empty and object arrays come back too."""
    for array in (np.arange(100_000)[::3], np.array([{}, None], dtype=object), np.zeros((5, 0))):
        assert (unpack(joined(array)) == array).all()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00",
        b"TDv1",
        b"TDv1" + b"\xff" * 12,
        b"TDv1" + bytes(12) + b"x",
        b"JUNK" + bytes(20),
    ],
)
def test_damaged_payloads_are_told(data: bytes) -> None:
    """What is no payload is a protocol error, and never read beyond its end."""
    with pytest.raises((RemoteProtocolError, EOFError, pickle.UnpicklingError)):
        unpack(data)


def test_cut_payloads_are_told() -> None:
    """A block that lost its end, or gained one, is refused."""
    data = joined(np.arange(10_000))
    for changed in (data[:-1], data[: len(data) // 2], data + b"x"):
        with pytest.raises(RemoteProtocolError):
            unpack(changed)


# ------------------------------------------------------------------------------ small results


@given_by(VALUES, st.integers(0, 100))
def test_small_values_are_packed_within_the_limit(value: Any, limit: int) -> None:
    """What is given fits and is the value; what is not given would not have fitted."""
    packed = pack_small(value, limit)
    if packed is None:
        assert len(pickle.dumps(value, 5)) > limit
    else:
        assert len(packed) <= limit
        assert unpack(packed) == value


def test_large_values_are_given_up_before_they_are_pickled() -> None:
    """A list that holds something that counts its pickling is not asked for all of it."""
    asked = []

    class Counting:
        def __reduce__(self) -> Any:
            asked.append(1)
            return bytes, (50_000,)

    for value in (b"x" * 5000, [0] * 5000, np.zeros(10_000), [np.zeros(10_000)], {"a": "x" * 5000}):
        assert pack_small(value, 2048) is None
    assert pack_small([Counting() for _ in range(2000)], 2048) is None
    assert len(asked) < 2001


@pytest.mark.parametrize(
    "value",
    [(each for each in [1]), threading.Lock(), [threading.Lock()], Raising(), Leaving()],
    ids=lambda each: type(each).__name__,
)
def test_what_cannot_be_pickled_has_no_small_payload(value: Any) -> None:
    """A result that cannot travel is no error: it stays where it is."""
    assert pack_small(value, 2048) is None


def test_small_arrays_travel_whole() -> None:
    """A small array is packed with its memory inside."""
    array = np.arange(10.0)
    packed = pack_small(array, 2048)
    assert packed is not None
    found = unpack(packed)
    assert (found == array).all()
    assert found.flags.writeable


def test_small_results_of_dynamic_types() -> None:
    """A lambda, or an instance of a class that exists only here, is a result like any other."""
    packed = pack_small(lambda: 5, 4096)
    assert packed is not None
    assert unpack(packed)() == 5


# ------------------------------------------------------------------------------ inputs


def test_futures_are_found_anywhere() -> None:
    """In any container, in attributes, as keys, and each once."""
    refs: list[int] = []
    data = joined(
        {"a": [Ref(1), (Ref(2), Point(Ref(1)))], "b": collections.deque([Ref(3)])},  # type: ignore[arg-type]
        refs=refs,
    )
    assert refs == [1, 2, 3]
    with given({1: "one", 2: "two", 3: "three"}):
        found = unpack(data)
    assert found == {"a": ["one", ("two", Point("one"))], "b": collections.deque(["three"])}  # type: ignore[arg-type]


def test_futures_are_found_where_cloudpickle_is_needed() -> None:
    """The first attempt by pickle leaves no traces among the inputs."""
    refs: list[int] = [9]
    data = joined([Ref(1), lambda: 3, Ref(2)], refs=refs)
    assert refs == [9, 1, 2]
    with given({1: 1, 2: 2}):
        assert unpack(data)[0] == 1


def test_futures_belong_into_arguments_only() -> None:
    """Elsewhere they cannot be pickled, and inputs that are not given are missed by name."""
    with pytest.raises(TypeError, match="argument of a task"):
        pickle.dumps(Ref(1))
    with pytest.raises(SubmitError):
        pack(Ref(1))
    refs: list[int] = []
    with collecting(refs):
        data = pickle.dumps([Ref(7), Ref(7)])
    assert refs == [7]
    with pytest.raises(LookupError, match="0x7"):
        unpack(data)
    with given({8: 1}), pytest.raises(LookupError, match="0x7"):
        unpack(data)
    with pytest.raises(SubmitError, match="pass futures as arguments"):
        pack_function(functools.partial(operator.add, Ref(1)))


def test_inputs_are_of_one_thread() -> None:
    """Two threads that unpack at once do not see each other's inputs."""
    data = joined(Ref(1), refs=[])
    found = []

    def other() -> None:
        with given({1: "theirs"}):
            found.append(unpack(data))

    with given({1: "ours"}):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        assert unpack(data) == "ours"
    assert found == ["theirs"]


# ------------------------------------------------------------------------------ functions


def twice(x: int) -> int:
    """A function of a test module, which no other process can import."""
    return 2 * x


class Adder:
    def __init__(self, by: int) -> None:
        self.by = by

    def __call__(self, x: int) -> int:
        return x + self.by

    def method(self, x: int) -> int:
        return x + self.by


def closure() -> Callable[[int], int]:
    """A function that exists only in a variable."""
    by = 2
    return lambda x: twice(x) + by


FUNCTIONS = {
    "module": (twice, 10),
    "lambda": (lambda x: x - 1, 4),
    "closure": (closure(), 12),
    "partial": (functools.partial(operator.add, 1), 6),
    "partial of ours": (functools.partial(twice), 10),
    "callable object": (Adder(3), 8),
    "bound method": (Adder(4).method, 9),
    "built-in": (abs, 5),
    "built-in method": ([7, 8, 9, 1, 2, 3].__getitem__, 3),
    "class": (Point, Point(5)),
    "operator": (operator.neg, -5),
}

UNPICKLE = """
import pickle, sys
fn = pickle.load(open(sys.argv[1], "rb"))
print(repr(fn(5)))
"""


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_of_all_kinds(name: str, tmp_path: Path) -> None:
    """They run here, and in a fresh process that has none of our modules."""
    fn, expected = FUNCTIONS[name]
    blob = pack_function(fn)
    assert repr(unpack_function(blob)(5)) == repr(expected)
    file = tmp_path / "function"
    file.write_bytes(blob)
    done = subprocess.run(
        [sys.executable, "-c", UNPICKLE, file],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=True,
    )
    assert done.stdout.strip() == repr(expected)


def test_installed_functions_travel_by_name() -> None:
    """What any process can import costs a name."""
    assert len(pack_function(operator.neg)) < 60
    assert len(pack_function(np.linalg.norm)) < 100
    assert len(pack_function(pack_function)) < 100


def imported(path: Path, name: str) -> types.ModuleType:
    """A module from beside the script, known as `name`."""
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_modules_beside_the_script_travel_by_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their functions, and values of their types, can be used where they cannot be imported."""
    source = tmp_path / "beside.py"
    source.write_text("class Thing:\n    x = 5\ndef make(_=0):\n    return Thing().x\n")
    module = imported(source, "beside_the_script")
    function, value = pack_function(module.make), joined(module.Thing())
    called = pack_call((module.Thing,), {})
    monkeypatch.delitem(sys.modules, "beside_the_script")
    assert unpack_function(function)() == 5
    assert unpack(value).x == 5
    assert unpack(called)[0][0].x == 5


def test_modules_made_by_hand_travel_by_value(monkeypatch: pytest.MonkeyPatch) -> None:
    """So do those that no file defines."""
    module = types.ModuleType("made_by_hand")
    exec("def f(): return g()\ndef g(): return 6", module.__dict__)
    monkeypatch.setitem(sys.modules, "made_by_hand", module)
    blob = pack_function(module.f)
    monkeypatch.delitem(sys.modules, "made_by_hand")
    assert unpack_function(blob)() == 6


@pytest.mark.parametrize("whose", ["ours", "cloudpickle's"])
def test_packages_that_are_named_travel_by_value(
    whose: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though they are installed, modules inside them, too; and not any more when that is undone."""
    cloudpickle = pytest.importorskip("cloudpickle")
    folder = tmp_path / "own_package"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "inside.py").write_text(
        "class Thing:\n    x = 5\ndef make():\n    return Thing().x\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(foreign._verdicts, "own_package", False)  # as if it were installed
    package = importlib.import_module("own_package")
    module = importlib.import_module("own_package.inside")
    assert len(pack_function(module.make)) < 60
    name = register_pickle_by_value if whose == "ours" else cloudpickle.register_pickle_by_value
    name(package)
    try:
        function, value = pack_function(module.make), joined(module.Thing())
        assert foreign.refers_to_foreign(pickle.dumps(module.make))
        with foreign.by_value():
            assert foreign.refers_to_foreign(pickle.dumps(module.make))
    finally:
        cloudpickle.unregister_pickle_by_value(package)
    assert len(pack_function(module.make)) < 60
    for each in ("own_package", "own_package.inside"):
        monkeypatch.delitem(sys.modules, each)
    monkeypatch.setattr(sys, "path", [each for each in sys.path if each != str(tmp_path)])
    assert unpack_function(function)() == 5
    assert unpack(value).x == 5
    with pytest.raises(ValueError, match="module"):
        register_pickle_by_value(None)  # type: ignore[arg-type]


def test_others_use_of_cloudpickle_is_left_alone() -> None:
    """What travels by value with us is not registered for everybody."""
    cloudpickle = pytest.importorskip("cloudpickle")
    before = cloudpickle.list_registry_pickle_by_value()
    pack_function(twice)
    assert cloudpickle.list_registry_pickle_by_value() == before


@pytest.mark.parametrize("value", [3, None, "abs", [abs]])
def test_what_is_no_function_is_refused(value: Any) -> None:
    """Here, and where it arrives."""
    with pytest.raises(SubmitError, match="cannot be called"):
        pack_function(value)
    with pytest.raises(TypeError, match="no function"):
        unpack_function(pickle.dumps(value))


def test_functions_have_names() -> None:
    """Partials have their function's name, callable objects their type's."""
    assert function_name(twice) == "twice"
    assert function_name(functools.partial(functools.partial(twice), 1)) == "twice"
    named: Any = functools.partial(twice)
    named.__name__ = "by another name"
    assert function_name(functools.partial(named, 1)) == "by another name"
    assert function_name(Adder(1)) == "Adder"
    assert function_name(Adder(1).method) == "method"
    assert function_name(abs) == "abs"
    assert function_name(lambda: 0) == "<lambda>"
