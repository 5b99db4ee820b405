"""Packing and unpacking of the messages that are said most, written out for each type.

Going through the kinds of a message's fields costs more than what is to be done with each of
them, most of which are empty columns. So a type that is used often gets two functions with that
loop written out, as a dataclass gets its ``__init__``: `pack` for one way, `made` for the other.

They know no errors: where anything is not as it should be they raise whatever comes of it, and
the codec goes through the fields one by one and says what is wrong. So they must not let
anything pass that it would not.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any, Final

from trio_dask.messages.columns import INT_MAX, INT_MIN, KINDS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

#: How a field `{0}` is packed, by its kind; what is not as usual is left to its `Pack`.
_PACK: Final = {
    "int64": "b'' if {0} == [] else array('q', {0}).tobytes()",
    "float64": "b'' if {0} == [] else array('d', {0}).tobytes()",
    "strs": "{0} if {0} == [] else pack_{0}({0})",
    "blobs": "{0} if {0} == [] else pack_{0}({0})",
    "plain": "{0} if {0} == {{}} else pack_{0}({0})",
}
#: And how it is unpacked. A view takes bytes of whole words and nothing else.
_CHECK: Final = {
    "int64": "[] if {0} == b'' else memoryview({0}).cast('q').tolist()",
    "float64": "[] if {0} == b'' else memoryview({0}).cast('d').tolist()",
    "strs": "{0} if {0} == [] else check_{0}({0})",
    "blobs": "{0} if {0} == [] else check_{0}({0})",
    "plain": "{0} if {0} == {{}} else check_{0}({0})",
}
_SCALARS: Final = {
    int: "{0} if type({0}) is int and INT_MIN <= {0} <= INT_MAX else {1}_{0}({0})",
    bool: "{0} if {0} is True or {0} is False else {1}_{0}({0})",
    float: "{0} if type({0}) is float else {1}_{0}({0})",
    str: "{0} if type({0}) is str else {1}_{0}({0})",
    bytes: "{0} if type({0}) is bytes else {1}_{0}({0})",
}


def written_out(
    kind: type, tag: int, fields: dict[str, Any], parallel: Sequence[str]
) -> tuple[Callable[[Any], list[Any]], Callable[[list[Any]], Any]]:
    """`pack` and `made` of a message type: a message to its row in a header, and back.

    Args:
        kind: the type.
        tag: its number on the wire.
        fields: the kinds of its fields, by name; none of them are payloads.
        parallel: columns that must have one length.
    """
    names: dict[str, Any] = {"array": array, "kind": kind, "INT_MIN": INT_MIN, "INT_MAX": INT_MAX}
    for name, of in fields.items():
        names[f"pack_v_{name}"], names[f"check_v_{name}"] = KINDS[of]
    values = {f"v_{name}": of for name, of in fields.items()}
    even = " == ".join(f"len(v_{name})" for name in parallel)
    same = f"    if not {even}: raise ValueError\n" if len(parallel) > 1 else ""
    taken = "".join(f"    v_{name} = made.{name}\n" for name in fields)
    packed = ", ".join(_of(_PACK, of, value, "pack") for value, of in values.items())
    checked = "".join(
        f"    {value} = {_of(_CHECK, of, value, 'check')}\n" for value, of in values.items()
    )
    lines = (
        f"def pack(made):\n{taken}{same}    return [{tag}, {packed}]\n"
        f"def made(row):\n    tag, {', '.join([*values, ''])} = row\n"
        f"    if type(tag) is not int: raise TypeError\n{checked}{same}"
        f"    return kind({', '.join(values)})\n"
    )
    exec(compile(lines, f"<{kind.__name__} written out>", "exec"), names)
    return names["pack"], names["made"]


def _of(ways: dict[str, str], kind: Any, value: str, which: str) -> str:
    return (ways.get(kind) or _SCALARS[kind]).format(value, which)
