"""The picture shows what is counted."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from bench import flames, single


def test_the_picture_is_as_wide_as_the_counts() -> None:
    """For each process; and it can be shown."""
    roots, counts = flames.record(), single.run(100)
    for role, root in roots.items():
        assert root.total / 100 == pytest.approx(counts[f"calls in the {role}"], rel=0.05)
    shown = ET.fromstring(flames.svg(roots))
    names = {each.text for each in shown.iter() if each.tag.endswith("text")}
    assert {"scheduler", "worker", "client"} <= names
