from __future__ import annotations

from contextlib import suppress
from typing import Any, cast

import msgpack
import pytest
from hypothesis import given, strategies as st

from tests.messages.message_strategies import ANY_MESSAGE, kinds_of, messages_of
from trio_dask.errors import LocalProtocolError, RemoteProtocolError
from trio_dask.messages import (
    Buffer,
    Message,
    decode,
    encode,
    message,
    message_types,
    payload_bytes,
)
from trio_dask.messages.session import Ask, Goodbye, RegisterWorker, Welcome
from trio_dask.messages.tasks import Done, Finished, Free, Functions, Submit
from trio_dask.messages.values import Store, Values

TYPES = list(message_types().values())

#: One wrong value for each kind of field.
WRONG: dict[Any, list[Any]] = {
    "int64": [[1], b"seven b", "x", None, 5],
    "float64": [[1.0], b"seven b", "x", None],
    "strs": [["x", 1], "x", [b"x"], None, {}],
    "blobs": [[b"x", "x"], b"x", [None], 7],
    "plain": [[], None, "x", {"a": msgpack.ExtType(4, b"x")}, {"a": {b"bytes": 1}}],
    "payloads": [-1, 1, True, [], None, 1 << 63],
    int: [True, 1.0, "1", None, 1 << 63],
    bool: [0, 1, None, "x"],
    float: ["1.0", None, True],
    str: [b"x", 1, None],
    bytes: ["x", 1, None],
}
WRONG_LOCALLY: dict[Any, Any] = {
    "int64": [1 << 63],
    "float64": ["x"],
    "strs": [b"x"],
    "blobs": ["x"],
    "plain": {"a": object()},
    "payloads": ["x"],
    int: True,
    bool: 1,
    float: "x",
    str: b"x",
    bytes: "x",
}


def row_of(made: Message) -> list[Any]:
    """The header's entry of a message without payloads."""
    header, _ = encode([made])
    rows: list[list[Any]] = msgpack.unpackb(header)
    return rows[0]


def passed_on(messages: list[Message]) -> list[Message]:
    """What arrives when these are sent, each payload in one piece."""
    header, payloads = encode(messages)
    assert not any(isinstance(each, list) for each in payloads)
    return decode(header, cast(list[Buffer], payloads))


def example(message_type: type[Message]) -> Message:
    """A message whose columns are empty."""
    empty: dict[Any, Any] = {int: 0, bool: False, float: 0.0, str: "", bytes: b"", "plain": {}}
    return message_type(
        **{name: empty.get(kind, []) for name, kind in kinds_of(message_type).items()}
    )


@pytest.mark.parametrize("message_type", TYPES, ids=lambda each: each.__name__)
def test_every_type_comes_back_as_it_was(message_type: type[Message]) -> None:
    """What is encoded is decoded to an equal message, for each type."""

    @given(messages_of(message_type))
    def check(made: Message) -> None:
        assert passed_on([made]) == [made]

    check()


@given(st.lists(ANY_MESSAGE, max_size=6))
def test_many_messages_share_a_frame(messages: list[Message]) -> None:
    """Any mixture comes back in order, each with the payloads that are its own."""
    header, payloads = encode(messages)
    assert decode(memoryview(header), cast(list[Buffer], payloads)) == messages


@pytest.mark.parametrize("message_type", TYPES, ids=lambda each: each.__name__)
def test_fields_of_a_wrong_type_are_refused_on_arrival(message_type: type[Message]) -> None:
    """For every field of every type, values of other types are a protocol error naming it."""
    for at, (name, kind) in enumerate(kinds_of(message_type).items()):
        for wrong in WRONG[kind]:
            row = row_of(example(message_type))
            row[at + 1] = wrong
            with pytest.raises(RemoteProtocolError, match=rf"{message_type.__name__}\.{name}: "):
                decode(msgpack.packb([row]), [])


@pytest.mark.parametrize("message_type", TYPES, ids=lambda each: each.__name__)
def test_fields_of_a_wrong_type_are_not_sent(message_type: type[Message]) -> None:
    """The same mistakes in our own messages are errors before anything is sent."""
    for name, kind in kinds_of(message_type).items():
        made = example(message_type)
        setattr(made, name, WRONG_LOCALLY[kind])
        with pytest.raises(LocalProtocolError, match=message_type.__name__):
            encode([made])


@pytest.mark.parametrize("message_type", TYPES, ids=lambda each: each.__name__)
def test_the_number_of_fields_is_checked(message_type: type[Message]) -> None:
    """A row that is too long or too short is refused."""
    row = row_of(example(message_type))
    for changed in (row[:-1], [*row, 1]):
        with pytest.raises(RemoteProtocolError, match=message_type.__name__):
            decode(msgpack.packb([changed]), [])


@pytest.mark.parametrize(
    "message_type", [each for each in TYPES if each.PARALLEL], ids=lambda each: each.__name__
)
def test_columns_of_different_lengths_are_refused(message_type: type[Message]) -> None:
    """Columns that belong together have one length, both on arrival and before sending."""
    one: dict[Any, Any] = {"int64": 1, "float64": 1.0, "strs": "x", "blobs": b"x", "payloads": b"x"}
    name = message_type.PARALLEL[0]
    kind = kinds_of(message_type)[name]
    made = example(message_type)
    row = row_of(made)
    at = list(kinds_of(message_type)).index(name)
    setattr(made, name, [one[kind]])
    with pytest.raises(LocalProtocolError, match="different lengths"):
        encode([made])
    row[at + 1] = ["x"] if kind == "strs" else b"12345678"
    with pytest.raises(RemoteProtocolError, match="different lengths"):
        decode(msgpack.packb([row]), [])


@given(st.binary(max_size=200))
def test_any_bytes_are_messages_or_a_protocol_error(header: bytes) -> None:
    """Nothing that a peer sends as a header raises anything else."""
    with suppress(RemoteProtocolError):
        decode(header, [])


@given(ANY_MESSAGE, st.data())
def test_damaged_headers_are_messages_or_a_protocol_error(
    made: Message, data: st.DataObject
) -> None:
    """One changed byte in a good header raises nothing but a protocol error."""
    header, payloads = encode([made])
    at = data.draw(st.integers(0, len(header) - 1))
    damaged = header[:at] + bytes([data.draw(st.integers(0, 255))]) + header[at + 1 :]
    with suppress(RemoteProtocolError):
        decode(damaged, cast(list[Buffer], payloads))


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"\xc1",
        b"\xdd\xff\xff\xff\xff",
        b"\x91" * 5000,
        b"\x91" * 1000 + b"\x01",
        b"\x91\x92" + b"\x91" * 900 + b"\x01" * 2,
        msgpack.packb({}),
        msgpack.packb([1]),
        msgpack.packb([[]]),
        msgpack.packb([["Goodbye", "x"]]),
        msgpack.packb([[True, "x"]]),
        msgpack.packb([[10**6]]),
        msgpack.packb([[1, "x"]]) + b"\x00",
        msgpack.packb([[7, {1: 2}]]),
    ],
)
def test_hostile_headers_are_refused(header: bytes) -> None:
    """Lies about lengths, deep nesting, unknown tags and trailing bytes are refused."""
    with pytest.raises(RemoteProtocolError):
        decode(header, [])


def test_a_tree_of_any_depth_is_checked_without_recursion() -> None:
    """A plain value may be deep; one that is too deep, or contains itself, is refused."""
    deep: dict[str, Any] = {}
    for _ in range(200):
        deep = {"a": deep}
    made = Ask(1, "info", deep)
    assert passed_on([made]) == [made]
    around: dict[str, Any] = {}
    around["self"] = around
    with pytest.raises(LocalProtocolError):
        encode([Ask(1, "info", around)])


@pytest.mark.parametrize("depth", [300, 600, 1000])
def test_what_is_too_deep_to_be_shown_or_packed_again_is_refused(depth: int) -> None:
    """The decoder of msgpack goes deeper than its encoder and Python's `repr`: nobody gets that."""
    header, _ = encode([Ask(1, "info", {"a": None})])
    assert header.endswith(b"\xc0")
    with pytest.raises(RemoteProtocolError, match=r"Ask\.params: .* too deeply"):
        decode(header[:-1] + b"\x91" * depth + b"\xc0", [])


def test_payloads_stay_outside_the_header_and_are_not_copied() -> None:
    """The codec hands payloads on as they are, in one piece or in several."""
    large = bytearray(100_000)
    pieces: list[Buffer] = [b"head", memoryview(large)]
    header, payloads = encode([Store(1, [5, 6], [large, pieces])])
    assert len(header) < 50
    assert payloads[0] is large
    assert payloads[1] is pieces
    assert list(map(payload_bytes, payloads)) == [100_000, 100_004]


def test_each_message_gets_its_own_payloads() -> None:
    """Messages with and without payloads in one frame do not mix them up."""
    sent: list[Message] = [
        Values(1, [1], [0], [], [b"a"], last=False),
        Goodbye("bye"),
        Values(2, [2, 3], [0, 0], [], [b"b", b"c"], last=True),
    ]
    assert passed_on(sent) == sent


@pytest.mark.parametrize("payloads", [[], [b"a"], [b"a", b"b", b"c"]])
def test_the_number_of_payloads_is_checked(payloads: list[Any]) -> None:
    """A frame with more or fewer payloads than its messages say is refused."""
    header, _ = encode([Store(1, [1, 2], [b"a", b"b"])])
    with pytest.raises(RemoteProtocolError):
        decode(header, payloads)


def test_an_error_leaves_nothing_behind() -> None:
    """After a message that cannot be encoded the next one is encoded as ever."""
    with pytest.raises(LocalProtocolError, match=r"Ask\.params"):
        encode([Free([1]), Ask(1, "x", {"a": {1: 2}})])
    with pytest.raises(LocalProtocolError):
        encode([Goodbye("x" * 10), Ask(1, "x", {"a": 1 << 70})])
    assert passed_on([Free([1])]) == [Free([1])]


def test_small_blobs_may_be_views() -> None:
    """What came as a view of a frame can be passed on without a copy of its own."""
    sent = Functions([1], ["f"], [memoryview(b"blob")])  # type: ignore[list-item]
    assert passed_on([sent]) == [Functions([1], ["f"], [b"blob"])]


def test_messages_are_equal_by_type_and_fields_and_show_them() -> None:
    """Messages compare by what they say, cannot be keys, and print like dataclasses."""
    assert Free([1]) == Free([1])
    assert Free([1]) != Free([2])
    assert Free([1]) != [1]
    assert repr(Welcome(1, "c", 2)) == "Welcome(number=1, cluster='c', epoch=2, provisional=False)"
    with pytest.raises(TypeError):
        hash(Free([1]))


def test_tags_are_unique() -> None:
    """Two types cannot have one tag; nothing is registered by the attempt."""
    with pytest.raises(TypeError, match="tag 1 of Other is already Goodbye's"):

        @message(1)
        class Other(Message):
            pass

    assert message_types()[1] is Goodbye


def test_columns_are_compact() -> None:
    """A thousand results cost a few bytes each beyond their own."""
    count = 1000
    tids = list(range(1 << 40, (1 << 40) + count))
    done = Done(tids, [0] * count, [0.5] * count, [5] * count, [b"12345"] * count)
    header, payloads = encode([done])
    assert not payloads
    assert len(header) < count * 40
    submit = Submit(tids[0], [7], [b"12345"] * count, [], [], [], [], wanted=True, options={})
    assert len(encode([submit])[0]) < count * 8


def test_worker_registration_survives_odd_names() -> None:
    """Names of files that are no text, as in a local directory, can be said."""
    odd = "/tmp/caf\udce9"
    made = RegisterWorker("w", "tcp://h:1", 1, 1 << 40, {"GPU": 2.5}, {"local_directory": odd})
    assert passed_on([made]) == [made]


def test_finished_may_be_empty() -> None:
    """A message about nothing is a message."""
    assert passed_on([Finished([], [], [], [], [])]) == [Finished([], [], [], [], [])]
