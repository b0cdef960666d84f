"""What is installed, as a library with a version, and what is the user's own: a notebook, a script, a package in work."""

from __future__ import annotations

import functools
import importlib.util
import site
import sys
import sysconfig
from importlib import metadata
from pathlib import Path

_OWN_PACKAGE = __name__.partition(".")[0]
_CYTHON = "_cython_"  # where Cython says that the types of its functions are; no such module exists
_SITE_FOLDERS = frozenset({"site-packages", "dist-packages"})


def is_installed(module_name: object) -> bool:
    """Whether a module belongs to a library; it need not be imported. ``__main__`` and what has no file do not.

    What has no module, or none that is named by text, is compiled.
    """
    name = module_name if isinstance(module_name, str) else "builtins"
    if name in {"__main__", "__mp_main__"}:
        return False
    if name.partition(".")[0] == _OWN_PACKAGE or name in sys.builtin_module_names or name.startswith(_CYTHON):
        return True
    file = _file(name)
    return file is not None and _is_library(file)


def version_of(module_name: object) -> str:
    """Return the version of the library that a module belongs to; empty for the standard library's, and if it has none."""
    top = module_name.partition(".")[0] if isinstance(module_name, str) else "builtins"
    return "" if top in sys.stdlib_module_names or top.startswith(_CYTHON) else _version(top)


def is_findable(module_name: str) -> bool:
    """Whether the module is imported or its package can be: nothing is imported to find out."""
    return module_name in sys.modules or _spec_file(module_name.partition(".")[0]) is not None


def _file(name: str) -> str | None:
    module = sys.modules.get(name)
    found = getattr(module, "__file__", None) or next(iter(getattr(module, "__path__", ())), None)
    return found or _spec_file(name.partition(".")[0])


def _spec_file(top: str) -> str | None:
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):  # ValueError: a module that says it has no spec, such as __main__
        return None
    if spec is None:
        return None
    return spec.origin if spec.has_location else next(iter(spec.submodule_search_locations or ()), spec.origin)


@functools.lru_cache(maxsize=4096)
def _is_library(file: str) -> bool:
    if file in {"built-in", "frozen"}:
        return True
    path = Path(file)
    return not _SITE_FOLDERS.isdisjoint(path.parts) or any(path.is_relative_to(folder) for folder in _library_folders())


@functools.lru_cache(maxsize=1)
def _library_folders() -> tuple[str, ...]:
    folders = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    return (*filter(None, folders), site.getusersitepackages())


@functools.lru_cache(maxsize=1024)
def _version(top: str) -> str:
    names = [top, *_distributions().get(top, ())] if _of_distribution(top) is None else [top]
    return next((found for name in names if (found := _of_distribution(name)) is not None), "")


def _of_distribution(name: str) -> str | None:
    try:
        return metadata.version(name)
    except (metadata.PackageNotFoundError, ValueError):
        return None


@functools.lru_cache(maxsize=1)
def _distributions() -> dict[str, tuple[str, ...]]:
    """Return which distributions bring a top-level module, such as scikit-learn for sklearn. Takes a tenth of a second."""
    return {name: tuple(sorted(set(found))) for name, found in metadata.packages_distributions().items()}
