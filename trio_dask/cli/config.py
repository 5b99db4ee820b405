"""``trio-dask config``: what the settings are and where they came from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trio_dask.config import (
    AUTO,
    Loaded,
    Setting,
    config_directory,
    equivalent,
    known_settings,
    load_settings,
    near_hint,
    ports_text,
)
from trio_dask.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping


def list_settings(*, verbose: bool = False) -> None:
    """Print every setting, its value, and where the value came from if it is no default.

    `trio-dask config list --verbose` says what each is for and which environment
    variable sets it.

    Args:
        verbose: Explain each setting.
    """
    loaded = load_settings()
    known = known_settings()
    width = max(map(len, known))
    for setting in known.values():
        origin = loaded.origins.get(setting.name)
        source = f"  # {origin}" if origin else ""
        print(f"{setting.name:{width}} = {_shown(loaded, setting)}{source}")
        if verbose:
            print(f"    {setting.doc}\n    {setting.variable}")


def show(name: str, /) -> None:
    """Print the value of one setting: `trio-dask config show scheduler.port`.

    Args:
        name: The setting's name, as `config list` has it.
    """
    print(_shown(load_settings(), _setting(name)))


def find(word: str, /) -> None:
    """Print the settings with a word in their name, in what they are for, or in Dask's name.

    Args:
        word: What to look for, as `timeout`.
    """
    loaded = load_settings()
    wanted = word.lower().replace("-", "_")
    ours = equivalent(word)
    found = [
        each
        for each in known_settings().values()
        if wanted in each.name or word.lower() in each.doc.lower() or each.name == ours
    ]
    for setting in found:
        print(f"{setting.name} = {_shown(loaded, setting)}")
        print(f"    {setting.doc}")
    if not found:
        hint = (
            f"; Dask has it, here it is {ours}" if ours else "; `trio-dask config list` shows all"
        )
        msg = f"no setting has {word!r} in its name or in what it is for{hint}"
        raise ConfigError(msg)


def explain(name: str, /) -> None:
    """Say what a setting is for, what it is, where that is from, and how it is set.

    Args:
        name: The setting's name, as `config list` has it.
    """
    loaded, setting = load_settings(), _setting(name)
    section, _, key = setting.name.rpartition(".")
    value = _shown(loaded, setting)
    print(f"{setting.name}: {setting.doc}")
    print(f"    now:          {value}")
    print(f"    because of:   {loaded.origins.get(setting.name, 'its default')}")
    if not setting.secret:
        print(f"    by default:   {_toml(setting.default, setting)}")
    print(f"    environment:  {setting.variable}=…")
    where = f"[{section}] " if section else ""
    print(
        f"    in a file:    {where}{key.replace('_', '-')} = …   ({config_directory()}/config.toml)"
    )


def _setting(name: str) -> Setting:
    """The setting of that name.

    Raises:
        ConfigError: there is none.
    """
    known = known_settings()
    setting = known.get(name.replace("-", "_"))
    if setting is None:
        hint = near_hint(name, known) or "; `trio-dask config list` shows all"
        msg = f"unknown setting {name}{hint}"
        raise ConfigError(msg)
    return setting


def _shown(loaded: Loaded, setting: Setting) -> str:
    value: Any = loaded.config
    for attribute in setting.attribute.split("."):
        value = getattr(value, attribute)
    if setting.secret:
        return "(set)" if value else "(not set)"
    return _toml(value, setting)


def _toml(value: object, setting: Setting) -> str:
    """The value as a TOML file would have it."""
    if value is None:
        return '"never"'
    if value == AUTO and setting.default == AUTO:
        return '"auto"'
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | tuple):
        return f'"{ports_text(value) if isinstance(value, tuple) else value}"'
    if isinstance(value, dict):
        return _table(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _table(value: Mapping[str, float]) -> str:
    return "{ " + ", ".join(f"{name} = {amount:g}" for name, amount in value.items()) + " }"
