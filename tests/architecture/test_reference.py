"""The reference names all there is, and there is nothing that does nothing."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from trio_dask.config import known_settings
from trio_dask.messages import message_types

if TYPE_CHECKING:
    from types import ModuleType

ROOT = Path(__file__).parents[2]
ROOMS = [path for path in (ROOT / "trio_dask").rglob("*.py") if "config" not in path.parts]
SOURCES = "\n".join(path.read_text(encoding="utf-8") for path in ROOMS)


@pytest.fixture(scope="module")
def pages() -> ModuleType:
    """The module that makes the generated pages."""
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", [each.attribute for each in known_settings().values()])
def test_every_setting_does_something(name: str) -> None:
    """Some room reads it."""
    assert re.search(rf"\.{name.rpartition('.')[2]}\b", SOURCES)


def test_every_setting_is_in_the_reference(pages: ModuleType) -> None:
    """With its variable."""
    text = pages.settings()
    assert all(f"`{setting.variable}`" in text for setting in known_settings().values())


def test_every_message_is_in_the_reference(pages: ModuleType) -> None:
    """With its tag, its fields, and what it is for."""
    text = pages.messages()
    for tag, kind in message_types().items():
        assert f"### {kind.__name__}\n\nTag {tag}: `" in text
        assert kind.__doc__


def test_every_command_is_in_the_reference(pages: ModuleType) -> None:
    """With its options, and without those that are not for people."""
    text = pages.command_line()
    listed = re.findall(
        r"^│ ([a-z]+) ", text.partition("\n## ")[2].partition("\n## ")[0], re.MULTILINE
    )
    assert {"scheduler", "worker", "cluster", "run", "demo", "token", "config"} <= set(listed)
    for command in (*listed, "token show", "token new", "config list", "config show"):
        assert re.search(rf"Usage: trio-dask {command}\b", text)
    assert "--scheduler-file" in text
    assert "--tied" not in text
