"""Settings from everywhere, in order: defaults < TOML files < environment < arguments.

A name nobody knows is refused, and the message says which known one is nearest: a
setting with a typo that is silently ignored costs its author an afternoon.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import Field, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, Final

from trio_dask.config.dasks import equivalent
from trio_dask.config.settings import DOC, PARSE, SECRET, Config
from trio_dask.errors import ConfigError

PREFIX: Final = "TRIO_DASK_"
#: Tables within tables are looked into so far, if only to name what is unknown in there.
_DEPTH_MAX: Final = 8
#: The origin of settings given as arguments.
ARGUMENTS: Final = "arguments"


@dataclass(frozen=True, slots=True)
class Setting:
    """One known setting: its dotted name and what its field says."""

    name: str
    attribute: str
    doc: str
    default: Any
    secret: bool
    field: Field[Any]

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return PREFIX + self.name.replace(".", "__").upper()


@dataclass(frozen=True, slots=True)
class Loaded:
    """All settings, and where each one that is not a default came from."""

    config: Config
    origins: Mapping[str, str]


def known_settings() -> dict[str, Setting]:
    """Every setting there is, by its dotted name."""
    return {setting.name: setting for setting in _walk(Config(), "")}


def _walk(section: Any, prefix: str) -> Iterator[Setting]:
    for each in fields(section):
        value = getattr(section, each.name)
        if is_dataclass(value):
            yield from _walk(value, f"{prefix}{each.name}.")
        else:
            name = prefix + each.name.removesuffix("_s")
            meta = each.metadata
            yield Setting(name, prefix + each.name, meta[DOC], value, meta[SECRET], each)


def config_directory(environ: Mapping[str, str] | None = None) -> Path:
    """Where the user's settings and token are: ``$XDG_CONFIG_HOME/trio-dask``, or under ``~/.config``."""
    base = (os.environ if environ is None else environ).get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path.home() / ".config") / "trio-dask"


def load_config(
    environ: Mapping[str, str] | None = None,
    files: Iterable[Path] | None = None,
    overrides: Mapping[str, object] | None = None,
    *,
    spelled: Mapping[str, str] | None = None,
) -> Config:
    """The settings of this process; the arguments are those of `load_settings`."""
    return load_settings(environ, files, overrides, spelled=spelled).config


def load_settings(
    environ: Mapping[str, str] | None = None,
    files: Iterable[Path] | None = None,
    overrides: Mapping[str, object] | None = None,
    *,
    spelled: Mapping[str, str] | None = None,
) -> Loaded:
    """Read all sources and build the settings.

    Args:
        environ: the environment; by default this process's.
        files: TOML files, later ones win; by default ``config.toml`` in the user's
            directory, if it is there. A file named here must exist.
        overrides: settings by dotted name, as ``{"scheduler.port": 0}``; a value of
            None means "not given".
        spelled: what the user calls those, where that is another name, for errors.

    Raises:
        ConfigError: a name is unknown, a value makes no sense, a file cannot be read.
    """
    environ = os.environ if environ is None else environ
    if files is None:
        own = config_directory(environ) / "config.toml"
        files = [own] if _is_there(own) else []
    known = known_settings()
    given: dict[str, tuple[object, str]] = {}
    for path in files:
        for name, raw in _flatten(_read_toml(path), known, ""):
            given[_checked(name, known, str(path))] = raw, str(path)
    given |= _from_environment(environ, known)
    for name, raw in (overrides or {}).items():
        if raw is not None:
            given[_checked(name, known, ARGUMENTS)] = raw, ARGUMENTS
    values = {
        known[name].attribute: _parsed(known[name], raw, origin, (spelled or {}).get(name, name))
        for name, (raw, origin) in given.items()
    }
    return Loaded(_build(Config, values, ""), {name: origin for name, (_, origin) in given.items()})


def _is_there(path: Path) -> bool:
    """Whether there is anything: also what cannot be read, as nobody's settings are left out."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def _read_toml(path: Path) -> dict[str, Any]:
    import tomllib  # few have a file

    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except OSError as error:
        msg = f"cannot read {path}: {error.strerror}"
        raise ConfigError(msg) from error
    except (ValueError, RecursionError) as error:  # not only those it documents
        msg = f"{path} is not TOML: {error}"
        raise ConfigError(msg) from error


def _flatten(
    table: Mapping[str, Any], known: Mapping[str, Setting], prefix: str
) -> Iterator[tuple[str, object]]:
    """Dotted names and values; a table that is itself a setting's value stays one."""
    for key, value in table.items():
        name = prefix + key.replace("-", "_")
        if isinstance(value, Mapping) and name not in known and name.count(".") < _DEPTH_MAX:
            yield from _flatten(value, known, f"{name}.")
        else:
            yield name, value


def _from_environment(
    environ: Mapping[str, str], known: Mapping[str, Setting]
) -> dict[str, tuple[object, str]]:
    variables = {setting.variable: setting.name for setting in known.values()}
    out: dict[str, tuple[object, str]] = {}
    for variable, raw in environ.items():
        if variable.startswith(PREFIX):
            if variable not in variables:
                msg = f"unknown environment variable {variable}{near_hint(variable, variables)}"
                raise ConfigError(msg)
            out[variables[variable]] = raw, variable
    return out


def _checked(name: str, known: Mapping[str, Setting], origin: str) -> str:
    if name not in known:
        msg = f"{origin}: unknown setting {name}{near_hint(name, known)}"
        raise ConfigError(msg)
    return name


def near_hint(name: str, known: Iterable[str]) -> str:
    """The known name that was probably meant, for the end of an error; empty if none is near."""
    import difflib  # for who has made a mistake

    dasks = equivalent(name.removeprefix(PREFIX).replace("__", "."))
    if dasks:
        return f"; Dask has it, here it is {dasks}"
    bare = {_bare(each): each for each in known}
    wanted = _bare(name)
    section = wanted.partition("_")[0] + "_"
    if any(each.startswith(section) for each in bare):
        # What all names of a section have in common makes none of them nearer.
        bare = {each.removeprefix(section): full for each, full in bare.items()}
        wanted = wanted.removeprefix(section)
    near = difflib.get_close_matches(wanted, bare, n=1)
    return f"; the nearest known one is {bare[near[0]]}" if near else ""


def _bare(name: str) -> str:
    """A setting's name or variable without what is the same in all."""
    return re.sub(r"[._-]+", "_", name.removeprefix(PREFIX).lower())


def _parsed(setting: Setting, raw: object, origin: str, spelled: str) -> object:
    try:
        return setting.field.metadata[PARSE](raw)
    except ValueError as error:  # a `ConfigError`, or from showing a number of too many digits
        # A variable says which setting it is, and of an argument its name says it best.
        places = {setting.variable: origin, ARGUMENTS: spelled}
        where = places.get(origin, f"{origin}: {setting.name}")
        msg = f"{where}: {error}"
        raise ConfigError(msg) from None


def _build(kind: type[Any], values: Mapping[str, object], prefix: str) -> Any:
    arguments: dict[str, object] = {}
    for each in fields(kind):
        path = prefix + each.name
        section: object = each.default_factory
        if isinstance(section, type) and is_dataclass(section):
            arguments[each.name] = _build(section, values, f"{path}.")
        elif path in values:
            arguments[each.name] = values[path]
    return kind(**arguments)
