"""Unpickling while another thread imports the same package."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from trio_dask.messages.payload import pack, unpack
from trio_dask.messages.unpickling import loads

if TYPE_CHECKING:
    from pathlib import Path

#: A part of a package that needs another, which needs it: when another thread waits for something.
FIRST = """
import threading, time
from importlib import _bootstrap
import meeting
meeting.begun.set()
while not _bootstrap._blocking_on.get(meeting.other):
    time.sleep(0.001)
from tangled.part import thing
"""
#: One thread imports it, the other unpickles something in the part.
SCRIPT = """
import sys, threading
sys.path.insert(0, sys.argv[1])
import meeting
from trio_dask.messages.payload import unpack
from trio_dask.messages.functions import unpack_function
how = {"value": unpack, "function": unpack_function}[sys.argv[2]]
named = b"\\x80\\x05\\x8c\\x0ctangled.part\\x8c\\x05thing\\x93."
def other():
    meeting.begun.wait()
    meeting.other = threading.get_ident()
    sys.stdout.write(how(named)() + "\\n")  # at once: both threads may write now
thread = threading.Thread(target=other)
thread.start()
import tangled
sys.stdout.write(tangled.thing() + "\\n")
thread.join()
"""


@pytest.mark.processes
@pytest.mark.parametrize("what", ["value", "function"])
def test_a_package_is_imported_before_its_parts(tmp_path: Path, what: str) -> None:
    """Otherwise the two threads would wait for each other, and one gets half a module."""
    (tmp_path / "meeting.py").write_text("import threading\nbegun = threading.Event()\nother = 0\n")
    room = tmp_path / "tangled"
    room.mkdir()
    (room / "__init__.py").write_text("import tangled.first\nfrom tangled.part import thing\n")
    (room / "first.py").write_text(FIRST)
    (room / "part.py").write_text("import tangled.first\ndef thing():\n    return 'found'\n")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path), what],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("found\nfound\n", "")


def test_names_that_are_not_there() -> None:
    """The error is the import's own."""
    with pytest.raises(ModuleNotFoundError, match="no_such_package_here"):
        loads(b"\x80\x05\x8c\x19no_such_package_here.part\x8c\x05thing\x93.")


@pytest.mark.parametrize("value", [b"\x93", [b"\x93" * 10, 1], pytest.raises, 2.5])
def test_values_come_back(value: object) -> None:
    """Whether there is a name in them or only looks like it."""
    payload = pack(value)
    assert isinstance(payload, bytes)
    assert unpack(payload) == value
    assert unpack(memoryview(payload)) == value
    assert loads(bytearray(payload)) == value
