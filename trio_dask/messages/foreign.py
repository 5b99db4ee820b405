"""Which modules another process cannot import, so that what they define travels by value.

Those are the script itself (`__main__`), modules made by hand, and modules found beside
the script or through changes to `sys.path`. What lies in the standard library, in a
site directory (also by an editable install) or on `PYTHONPATH` is taken to be installed
where the workers are.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pathlib import Path

_OURS: Final = __name__.partition(".")[0]
#: Top-level names of modules, and whether they have to travel.
_verdicts: dict[str, bool] = {"__main__": True, _OURS: False}
_looked_at = 0
#: Modules that a user has named to cloudpickle, which keeps this set; of them, and those inside
#: them, the same is true. While it lasts, `by_value` names some more.
_named: set[str] = set()
_named_by_us: frozenset[str] = frozenset()
_named_before: frozenset[str] = frozenset()
_CLOUDPICKLE: Final = "cloudpickle.cloudpickle"
_needles: tuple[bytes, ...] = ()
_foreign: tuple[str, ...] = ()
_lock = threading.RLock()


def in_pickle(module: str) -> bytes:
    """How a module's name appears in a pickle that refers to something in it."""
    name = module.encode("utf-8", "surrogatepass")
    return b"\x8c" + bytes((len(name),)) + name if len(name) < 256 else name


MAIN: Final = in_pickle("__main__")


def refers_to_foreign(pickled: bytes) -> bool:
    """Whether a pickle names a module that another process cannot import."""
    if len(sys.modules) != _looked_at or (
        (_named or _named_before) and _named - _named_by_us != _named_before
    ):
        _look_again()
    return any(needle in pickled for needle in _needles)


def register_pickle_by_value(module: ModuleType) -> None:
    """Have what a module defines, or a package, travel with the tasks though it can be imported.

    For a package that you work on, and that is installed where the workers are in another
    version. Modules beside a script travel by themselves. Call it before functions of the
    module are submitted. It is cloudpickle's function of that name, which will do as well.

    Raises:
        ValueError: it is no module, or was not imported.
    """
    import cloudpickle

    cloudpickle.register_pickle_by_value(module)


def state() -> tuple[int, frozenset[str]]:
    """While this is the same, so is what `refers_to_foreign` says of a pickle."""
    if len(sys.modules) != _looked_at:
        _look_again()
    return _looked_at, frozenset(_named - _named_by_us) if _named else frozenset()


@contextmanager
def by_value() -> Iterator[None]:
    """While it lasts, cloudpickle takes foreign modules by value."""
    import cloudpickle

    global _named_by_us  # noqa: PLW0603 - as cloudpickle's list is one
    with _lock:
        known = set(cloudpickle.list_registry_pickle_by_value())
        modules = [
            module
            for name in _foreign_names()
            if name not in known and isinstance(module := sys.modules.get(name), ModuleType)
        ]
        before = _named_by_us
        _named_by_us = before | {module.__name__ for module in modules}
        for module in modules:
            cloudpickle.register_pickle_by_value(module)
        try:
            yield
        finally:
            for module in modules:
                cloudpickle.unregister_pickle_by_value(module)
            _named_by_us = before


def _foreign_modules() -> list[str]:
    """Foreign modules by name, those inside packages too: what is pickled names those."""
    return [
        name
        for name, module in list(sys.modules.items())
        if name not in ("__main__", "__mp_main__")
        and _is_foreign(name.partition(".")[0])
        and getattr(module, "__name__", None) == name
    ]


def _foreign_names() -> tuple[str, ...]:
    """The same, as they were found when there were as many modules as now."""
    if len(sys.modules) != _looked_at:
        _look_again()
    return _foreign


def _look_again() -> None:
    global _looked_at, _needles, _foreign, _named, _named_before  # noqa: PLW0603 - a cache
    with _lock:
        count = len(sys.modules)
        _named = getattr(sys.modules.get(_CLOUDPICKLE), "_PICKLE_BY_VALUE_MODULES", _named)
        _named_before = frozenset(_named - _named_by_us)
        _foreign = tuple(_foreign_modules())
        names = dict.fromkeys(["__main__", *_foreign, *_named_modules()])
        _needles = tuple(map(in_pickle, names))
        _looked_at = count


def _named_modules() -> list[str]:
    """Modules that the user has named, and those inside them."""
    if not _named_before:
        return []
    inside = tuple(f"{name}." for name in _named_before)
    return [name for name in list(sys.modules) if name in _named_before or name.startswith(inside)]


def _is_foreign(top: str) -> bool:
    verdict = _verdicts.get(top)
    if verdict is None:
        module = sys.modules.get(top)
        if module is None:
            return False  # its parent is gone from sys.modules: nothing to judge by
        verdict = _verdicts[top] = _judge(top, module)
    return verdict


def _judge(top: str, module: Any) -> bool:
    if top in sys.stdlib_module_names or top in sys.builtin_module_names:
        return False
    spec = getattr(module, "__spec__", None)
    if spec is None:
        return True
    from pathlib import Path  # a runner seldom gets here, and starts faster without

    places = list(spec.submodule_search_locations or ())
    if not places and spec.has_location and spec.origin:
        places.append(spec.origin)
    if not places or _found_by_hook(top):
        return False
    # Found by its top-level name only if the directory that contains it is searched.
    return not any(Path(place).resolve().parent in _roots() for place in places)


def _found_by_hook(top: str) -> bool:
    """Whether one of the import hooks of editable installs knows it."""
    for finder in sys.meta_path:
        if "editable" not in f"{getattr(finder, '__module__', '')}{finder!r}".lower():
            continue
        try:
            if finder.find_spec(top, None) is not None:
                return True
        except Exception:  # noqa: BLE001 - somebody else's hook; not finding it is an answer
            continue
    return False


_known_roots: list[Path] = []


def _roots() -> list[Path]:
    """The directories whose modules are taken to be installed everywhere."""
    if not _known_roots:
        import site
        from pathlib import Path

        sites = [*site.getsitepackages(), site.getusersitepackages()]
        found = [str(Path(os.__file__).parent), *sites]
        for folder in sites:
            found += _linked(folder)
        found += [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
        _known_roots.extend(dict.fromkeys(Path(entry).resolve() for entry in found))
    return _known_roots


def _linked(site_directory: str) -> list[str]:
    """The directories that the `.pth` files of a site directory add."""
    from pathlib import Path

    found = []
    folder = Path(site_directory)
    for file in sorted(folder.glob("*.pth")):
        try:
            lines = file.read_text("utf-8", "replace").splitlines()
        except OSError:
            continue
        for line in lines:
            entry = line.strip()
            if entry and not entry.startswith(("#", "import ", "import\t")):
                found.append(str(folder / entry))
    return found
