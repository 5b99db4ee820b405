"""Trees of calls: merged, cut, sent; and what is no tree."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, strategies as st

from trio_dask.errors import RemoteProtocolError
from trio_dask.messages.inquiring import packed, unpacked
from trio_dask.messages.profiles import DEPTH_MAX, Frame, Node, Profile

FRAMES = st.builds(Frame, st.sampled_from("fgh"), st.sampled_from(["a.py", "b.py"]), st.just(1))
PATHS = st.lists(st.tuples(st.lists(FRAMES, max_size=6), st.integers(1, 9)), max_size=20)


def grown(paths: list[tuple[list[Frame], int]]) -> Profile:
    """A profile of these."""
    profile = Profile()
    for path, count in paths:
        profile.add(path, count)
    return profile


def shape(node: Node) -> Any:
    """All that is in a tree."""
    return node.count, {frame: shape(child) for frame, child in node.children.items()}


def size(node: Node) -> int:
    """How many nodes are below."""
    return sum(1 + size(each) for each in node.children.values())


@given(PATHS)
def test_columns_are_the_tree(paths: list[tuple[list[Frame], int]]) -> None:
    """What is sent and merged is what there was, but for what was seen outside of all functions."""
    profile = grown([(path, count) for path, count in paths if path])
    again = Profile()
    again.merge(unpacked(packed(profile.columns(10_000))))
    assert shape(again.root) == shape(profile.root)
    assert again.size == profile.size == size(again.root)


@given(PATHS, PATHS)
def test_merging_is_adding(
    one: list[tuple[list[Frame], int]], two: list[tuple[list[Frame], int]]
) -> None:
    """Two profiles merged are one of both."""
    one, two = [e for e in one if e[0]], [e for e in two if e[0]]
    merged = grown(one)
    merged.merge(grown(two).columns(10_000))
    assert shape(merged.root) == shape(grown(one + two).root)


@given(PATHS, st.integers(0, 12))
def test_what_was_seen_least_is_cut(paths: list[tuple[list[Frame], int]], limit: int) -> None:
    """What is left are the nodes seen most, each below its parent, with all their counts."""
    profile = grown([(path, count) for path, count in paths if path])
    before = sorted(_counts(profile.root), reverse=True)
    profile.cut(limit)
    assert sorted(_counts(profile.root), reverse=True) == before[:limit]
    assert profile.size == size(profile.root) <= limit


def _counts(node: Node) -> list[int]:
    return [count for each in node.children.values() for count in (each.count, *_counts(each))]


def test_one_function_is_picked_out() -> None:
    """Only what its tasks did is merged."""
    profile = grown([([Frame("f"), Frame("x", "a.py", 3)], 2), ([Frame("g")], 5)])
    picked = Profile()
    picked.merge(profile.columns(100), "f")
    assert picked.names() == {"f": 2}
    assert picked.root.count == 2
    assert profile.names() == {"f": 2, "g": 5}


GOOD: dict[str, Any] = {
    "functions": ["f", "g"], "files": ["", "a.py"], "lines": [0, 3],
    "parents": [-1, 0], "frames": [0, 1], "counts": [3, 2],
}  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        {"functions": None}, {"functions": ["f"]}, {"functions": ["f", 3]}, {"files": "ab"},
        {"lines": [0, "3"]}, {"lines": [0, True]}, {"parents": [-1, 1]}, {"parents": [0, 0]},
        {"parents": [-1, -2]}, {"frames": [0, 2]}, {"frames": [-1, 0]}, {"counts": [3, -2]},
        {"counts": [3, 1 << 60]}, {"counts": [3]}, {"counts": [3, 2.0]},
    ],
)  # fmt: skip
def test_what_is_no_tree_is_refused(change: dict[str, Any]) -> None:
    """A peer that sends something else is told so, and nothing is merged."""
    profile = Profile()
    profile.merge(GOOD)
    with pytest.raises(RemoteProtocolError, match="a profile"):
        profile.merge(GOOD | change)
    assert shape(profile.root) == (3, {Frame("f"): (3, {Frame("g", "a.py", 3): (2, {})})})


def test_what_is_too_deep_is_refused() -> None:
    """Whoever shows a tree may recurse."""
    deep = DEPTH_MAX + 2
    columns = {
        "functions": ["f"], "files": [""], "lines": [0],
        "parents": list(range(-1, deep - 1)), "frames": [0] * deep, "counts": [1] * deep,
    }  # fmt: skip
    with pytest.raises(RemoteProtocolError, match="too deep"):
        Profile().merge(columns)


@pytest.mark.parametrize("blob", [b"", b"\xc1", b"\x01", b"\x81\x01\x01", b"\x80\x80"])
def test_answers_that_are_not_plain_are_refused(blob: bytes) -> None:
    """An answer is a map with names."""
    with pytest.raises(RemoteProtocolError, match="an answer that is not"):
        unpacked(blob)
