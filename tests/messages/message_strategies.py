"""A hypothesis strategy for every message type, made from its annotations."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, get_type_hints

from hypothesis import strategies as st

from trio_dask.messages import Message, message_types

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

INTS = st.integers(-(1 << 63), (1 << 63) - 1)
FLOATS = st.floats(allow_nan=False)
# Names of files may hold bytes that are no text: Python keeps them as lone surrogates.
TEXTS = st.text(st.characters(exclude_categories=()), max_size=20)
PLAIN = st.dictionaries(
    TEXTS,
    st.recursive(
        st.none() | st.booleans() | INTS | FLOATS | TEXTS | st.binary(max_size=20),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
        max_leaves=8,
    ),
    max_size=4,
)

ELEMENTS: dict[str, SearchStrategy[Any]] = {
    "int64": INTS,
    "float64": FLOATS,
    "strs": TEXTS,
    "blobs": st.binary(max_size=20),
    "payloads": st.binary(max_size=50),
}
SCALARS: dict[Any, SearchStrategy[Any]] = {
    int: INTS,
    bool: st.booleans(),
    float: FLOATS,
    str: TEXTS,
    bytes: st.binary(max_size=20),
}


def kinds_of(message_type: type[Message]) -> dict[str, Any]:
    """The kind of each field: a type, or the name of a kind of column."""
    hints = get_type_hints(message_type, include_extras=True)
    fields: Any = message_type
    return {
        field.name: getattr(hints[field.name], "__metadata__", (hints[field.name],))[0]
        for field in dataclasses.fields(fields)
    }


@st.composite
def messages_of(draw: st.DrawFn, message_type: type[Message]) -> Message:
    """Messages of one type; columns that must have one length do."""
    length = draw(st.integers(0, 5))
    values: dict[str, Any] = {}
    for name, kind in kinds_of(message_type).items():
        if kind == "plain":
            values[name] = draw(PLAIN)
        elif kind in SCALARS:
            values[name] = draw(SCALARS[kind])
        elif name in message_type.PARALLEL:
            values[name] = draw(st.lists(ELEMENTS[kind], min_size=length, max_size=length))
        else:
            values[name] = draw(st.lists(ELEMENTS[kind], max_size=5))
    return message_type(**values)


ANY_MESSAGE = st.sampled_from(list(message_types().values())).flatmap(messages_of)
