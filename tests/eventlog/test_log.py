"""Event logs as files: what goes in comes out, whatever becomes of the file."""

from __future__ import annotations

import errno
import io
import logging
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from tests.messages.message_strategies import ANY_MESSAGE, kinds_of
from trio_dask.errors import RemoteProtocolError
from trio_dask.eventlog import EventLog, LogReader, open_event_log
from trio_dask.messages import Message, payload_bytes, recorded, session, tasks as words, values

BEGINNING = recorded.Recording(recorded.FORMAT, "1", "scheduler", "c", 1, {"a": 1})


class Disk(io.RawIOBase):
    """A file with room for so many bytes, that takes a few at a time."""

    def __init__(self, room: int = 1 << 40, at_a_time: int = 1 << 40) -> None:
        self.content = b""
        self._room = room
        self._at_a_time = at_a_time

    def write(self, data: Any) -> int:
        room = min(self._room - len(self.content), self._at_a_time)
        if not room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.content += bytes(data[:room])
        return min(len(data), room)


def written(*events: tuple[str, int, Message | None], disk: Disk | None = None) -> bytes:
    """A log of these events: what, who, and the message."""
    disk = disk or Disk()
    log = EventLog(disk, "a.log", BEGINNING)
    for what, who, message in events:
        log.tell(what, who, message, now=1.5)
    log.close()
    return disk.content


def read(content: bytes) -> tuple[list[tuple[int, str, Message | None]], int]:
    """The events of a log, and how many of its bytes are of no use."""
    log = LogReader(io.BytesIO(content))
    return [(each.number, each.event.what, each.message) for each in log], log.torn


def lengths(message: Message, name: str) -> list[int]:
    """The lengths of a column of byte strings."""
    return [payload_bytes(each) for each in getattr(message, name)]


@given(ANY_MESSAGE)
def test_messages_come_back_without_their_contents(message: Message) -> None:
    """Byte strings are zeros of the same lengths; all the rest is as it was."""
    ((number, what, found),), torn = read(written(("handle", 3, message)))
    assert (number, what, torn) == (1, "handle", 0)
    assert type(found) is type(message)
    for name, kind in kinds_of(type(message)).items():
        if kind in ("blobs", "payloads"):
            assert lengths(found, name) == lengths(message, name)
            assert not any(any(each) for each in getattr(found, name))
        else:
            assert getattr(found, name) == zeroed(getattr(message, name))


def zeroed(tree: Any) -> Any:
    """A tree of plain values whose byte strings are zeros of the same lengths."""
    if isinstance(tree, bytes):
        return bytes(len(tree))
    if isinstance(tree, dict):
        return {key: zeroed(value) for key, value in tree.items()}
    return [zeroed(each) for each in tree] if type(tree) is list else tree


def test_what_users_put_in_is_not_in_the_file() -> None:
    """Arguments, values, functions and failures: only how long they are; names are there."""
    secret = b"what nobody should see"
    content = written(
        ("handle", 1, words.Functions([1], ["inc"], [secret])),
        ("handle", 1, words.Submit(1, [1], [secret] * 3, [], [], [], [], True, {})),
        ("handle", 2, words.Done([1, 2], [0, 2], [0.1] * 2, [9] * 2, [secret] * 2)),
        ("on_peer", 2, values.Store(1, [1], [[secret, memoryview(secret)]])),
    )
    assert secret not in content
    assert b"inc" in content
    found = read(content)[0][3][2]
    assert isinstance(found, values.Store)
    assert lengths(found, "payloads") == [2 * len(secret)]


SHORT = (
    ("client_joined", 1, session.RegisterClient("me")),
    ("handle", 1, words.Functions([1], ["inc"], [b"f"])),
    ("flush", 0, None),
)


def test_a_torn_log_is_read_up_to_where_it_was_torn() -> None:
    """Cut after any byte: all whole events are there, and no error."""
    content = written(*SHORT)
    first = len(written())
    for length in range(first, len(content)):
        events, torn = read(content[:length])
        assert len(events) < len(SHORT)
        assert [what for _, what, _ in events] == [what for what, _, _ in SHORT[: len(events)]]
        whole = len(written(*SHORT[: len(events)]))
        assert torn == length - whole


def test_a_log_without_its_beginning_is_refused() -> None:
    """Cut before its first event, or something else altogether."""
    for content in (b"", b"# a text\n" * 100, written()[:-1]):
        with pytest.raises(RemoteProtocolError, match=r"no event log|without its beginning"):
            read(content)


def test_damage_is_noticed() -> None:
    """Any byte that is changed: an error, or an end that is torn; never another event."""
    content = written(*SHORT)
    whole, _ = read(content)
    for at in range(len(content)):
        damaged = content[:at] + bytes([content[at] ^ 0x41]) + content[at + 1 :]
        try:
            events, torn = read(damaged)
        except RemoteProtocolError:
            continue
        assert torn
        assert events == whole[: len(events)]


def test_damage_is_told_with_its_place() -> None:
    """Which event, and where in the file."""
    content = bytearray(written(*SHORT))
    at = len(written(*SHORT[:1]))
    content[-1] ^= 1
    content[at + 20] ^= 1
    with pytest.raises(RemoteProtocolError, match=f"event 2, at byte {at}, is damaged: its check"):
        read(bytes(content))


def test_what_is_before_the_damage_is_read() -> None:
    """Also where it makes a length too large to be true."""
    content = bytearray(written(*SHORT))
    at = len(written(*SHORT[:2]))
    content[at + 7] = 0x7F  # of the number of payloads
    log = LogReader(io.BytesIO(bytes(content)))
    events = iter(log)
    assert [next(events).number, next(events).number] == [1, 2]
    with pytest.raises(
        RemoteProtocolError, match=f"event 3, at byte {at}, is damaged: .* payloads"
    ):
        next(events)


def test_a_log_of_another_format_is_refused() -> None:
    """With both numbers."""
    disk = Disk()
    EventLog(disk, "a.log", recorded.Recording(9, "1", "scheduler", "c", 1, {})).close()
    with pytest.raises(
        RemoteProtocolError, match=f"of format 9; this version reads {recorded.FORMAT}"
    ):
        read(disk.content)


def test_lengths_that_do_not_fit_are_damage() -> None:
    """A file that somebody has made: more lengths than byte strings, or below zero."""
    for sizes in ([1, 2], [], [-1], [1 << 62]):
        disk = Disk()
        log = EventLog(disk, "a.log", BEGINNING)
        event = recorded.Event("handle", 1, 0, 0.0, sizes)
        log._add([event, words.Functions([1], ["f"], [b""])])
        log.close()
        with pytest.raises(RemoteProtocolError, match=r"event 1, at byte .* is damaged"):
            read(disk.content)


def test_a_full_disk_ends_the_log_and_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    """One warning; what was written can be read."""
    whole = written(*SHORT)
    disk = Disk(len(whole) - 1, at_a_time=7)
    log = EventLog(disk, "a.log", BEGINNING)
    for what, who, message in SHORT:
        log.tell(what, who, message, now=1.5)
    log.write_out()
    assert not log.open
    for what, who, message in SHORT:
        log.tell(what, who, message)
    log.close()
    assert [each.message for each in caplog.records] == [
        "The event log a.log ends here: No space left on device"
    ]
    events, torn = read(disk.content)
    assert len(events) == 2
    assert torn


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has it")
def test_a_disk_that_is_full_from_the_beginning(caplog: pytest.LogCaptureFixture) -> None:
    """The log has ended before anything was told."""
    caplog.set_level(logging.WARNING)
    log = EventLog(io.FileIO("/dev/full", "w"), "/dev/full", BEGINNING)
    assert not log.open
    log.tell("flush", 0)
    log.close()
    assert len(caplog.records) == 1


def test_memory_is_bounded() -> None:
    """Between two ticks a log is written when there is much of it."""
    disk = Disk()
    log = EventLog(disk, "a.log", BEGINNING)
    ids = words.Release(list(range(10_000)))
    for _ in range(100):
        log.tell("handle", 1, ids)
    assert len(disk.content) > 7_000_000
    assert log._nbytes < 500_000
    log.close()


def test_files_are_private_and_never_overwritten(tmp_path: Path) -> None:
    """The log of a process that ended is there for whoever wants to know why."""
    path = str(tmp_path / "a.log")
    for _ in range(3):
        with open_event_log(path, "scheduler", {}) as log:
            assert log.open
    found = sorted(each.name for each in tmp_path.iterdir())
    assert found == ["a.log", "a.log.1", "a.log.2"]
    assert {stat.S_IMODE(each.stat().st_mode) for each in tmp_path.iterdir()} == {0o600}


def test_a_log_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    """At once, where somebody reads it."""
    with pytest.raises(FileNotFoundError):
        with open_event_log(str(tmp_path / "not there" / "a.log"), "scheduler", {}):
            pass
