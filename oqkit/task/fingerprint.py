"""When are two functions the same? Their code and what it refers to, not where it was typed.

The fingerprint takes in byte code, constants, defaults, closures, attributes, what the task says its results
are like, and, one after the other, the values, functions and classes that the code names, as far as they are the user's own: of installed
libraries the name and version count. It leaves out file names, line numbers, docstrings, comments and
the names of local variables, so that a re-run cell or a restarted kernel gives the same answer. What
cannot be told for sure makes the whole unknown: an unknown function never attaches by itself.

What refers to what is a graph, which may have circles. Functions, classes and modules are its nodes,
numbered as they are met and each read once; values are read where they stand.
"""

from __future__ import annotations

import enum
import functools
import hashlib
import importlib.util
import os
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import PurePath
from typing import Any

import numpy as np

from oqkit.task.bytecode import Import, read_code
from oqkit.task.class_content import members_of
from oqkit.task.content import (
    PLAIN,
    Named,
    UnknownContentError,
    Unordered,
    content_of,
    instance_state,
    is_plain,
    plain_bytes,
    read_content,
)
from oqkit.task.function import TaskFunction, as_task
from oqkit.task.handler import Handler
from oqkit.task.installed import is_findable, is_installed

#: Where they are called, what a function does is no longer written in it.
_DYNAMIC = ("eval", "exec", "globals", "__import__")
#: Types that are read by what they hold, of which a subclass may hold more.
_EXTENSIBLE = (set, frozenset, property, np.ndarray)
_NOT_ASKED = frozenset({"__name__", "__qualname__"})


def fingerprint(function: Callable[..., object]) -> str | None:
    """Return what tells a function from every other one, or None if that cannot be told (see `unknown_part`).

    The same in any process, on any machine, for the same Python version (``3.12``) and the same versions
    of the libraries that the function uses. The text starts with the Python version: see `same_function`.
    """
    return _read(function)[0]


def unknown_part(function: Callable[..., object]) -> str:
    """Say what keeps a function's fingerprint from being known: "the global 'lock' is a _thread.lock"; empty if nothing."""
    return _read(function)[1]


def same_function(submitted: str, loaded: str) -> bool | None:
    """Whether two fingerprints are of one function; None if that cannot be told.

    It cannot if one of them is empty, or if they were taken by different versions of Python, whose byte
    codes have nothing to do with each other.
    """
    if not submitted or not loaded or python_of(submitted) != python_of(loaded):
        return None
    return submitted == loaded


def python_of(fingerprint: str) -> str:
    """Return the Python version, such as ``3.12``, by which a fingerprint was taken."""
    return fingerprint.partition("-")[0].removeprefix("py")


def _read(function: object) -> tuple[str | None, str]:
    task = as_task(function)
    handler = Handler(task)
    how = f"{'batch' if task.batch else 'row'} {handler.context_name}"
    beside = {"the schema of its results": task.schema.output, "the class of its input": handler.record}
    try:
        digest = _Graph().digest(task.function)
        told = [_digest_of(one, where) for where, one in beside.items() if one is not None]
    except UnknownContentError as error:
        return None, str(error)
    except RecursionError:
        return None, "what it refers to is nested too deeply"
    major, minor = sys.version_info[:2]
    return f"py{major}.{minor}-{_hash(how.encode(), digest, *told).hex()[:40]}", ""


def _digest_of(value: object, where: str) -> bytes:
    try:
        return _Graph().digest(value)
    except UnknownContentError as error:
        raise error.at(where) from None


def _hash(*pieces: bytes) -> bytes:
    state = hashlib.sha256()
    for piece in pieces:
        state.update(len(piece).to_bytes(8))
        state.update(piece)
    return state.digest()


class _Graph:
    """What can be reached from one value; read by `digest`, once."""

    def __init__(self, outside: tuple[int, ...] = ()) -> None:
        self._nodes: list[Any] = []
        self._numbers: dict[int, int] = {}
        self._names = {"__getattr__"}
        """Every name that code in reach may take from a module."""
        self._taken: set[tuple[int, str]] = set()
        self._open: dict[int, int] = {}
        """The values that are just being read, and how deep."""
        self._upmost = sys.maxsize
        """The outermost of them that was met again while the current one is read."""
        self._known: dict[int, tuple[Any, bytes]] = {}
        """Digests of values, with the value, so that no other one gets its id."""
        self._outside = outside
        """The values outside this graph that are just being read: sets, and what they are in."""

    def digest(self, root: object) -> bytes:
        """Hash the root in full, wherever it comes from, and then node after node what is met."""
        start = self._number(root) if isinstance(root, types.FunctionType) else self._value(root)
        pieces, n_read = [start], 0
        while n_read < len(self._nodes):
            while n_read < len(self._nodes):
                pieces.append(self._node(self._nodes[n_read]))
                n_read += 1
            pieces += self._module_attributes()
        return _hash(*pieces)

    # --- nodes -----------------------------------------------------------------------------------

    def _number(self, node: object) -> bytes:
        number = self._numbers.setdefault(id(node), len(self._nodes))
        if number == len(self._nodes):
            self._nodes.append(node)
        return b"node %d" % number

    def _node(self, node: object) -> bytes:
        if isinstance(node, types.FunctionType):
            return _hash(b"function", *self._function(node))
        if isinstance(node, types.ModuleType):
            return _hash(b"module", node.__name__.encode())
        return _hash(b"class", *self._class(node))

    def _function(self, function: types.FunctionType) -> Iterator[bytes]:
        if function.__globals__ is vars(functools) and hasattr(function, "registry"):
            yield self._value(dict(function.registry))  # of `singledispatch`: the rest is a cache
            return
        code = read_code(function.__code__)
        name = getattr(function, "__name__", "?")
        yield code.digest
        yield self._at(f"a default of {name!r}", [function.__defaults__, function.__kwdefaults__])
        for variable, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            try:
                content = cell.cell_contents
            except ValueError:  # a name that nothing has been given to yet
                continue
            yield self._at(f"the variable {variable!r} of {name!r}", [variable, content])
        yield self._at(f"an attribute of {name!r}", dict(sorted(vars(function).items())))
        library = _library_of(function)
        if library:
            yield Named(library, function.__qualname__).text().encode()
            return
        self._names |= code.names
        for one in code.imports:
            yield from self._import(one, function)
        # By value travels only what the code itself looks up: the rest would be missing where it was loaded.
        yield from self._globals(function, code.globals | (code.asked if _is_importable(function) else set()))

    def _globals(self, function: types.FunctionType, names: frozenset[str]) -> Iterator[bytes]:
        found = function.__globals__
        for name in _DYNAMIC:
            if name in names and name not in found:
                raise UnknownContentError(f"{function.__name__!r} calls {name}()")
        for name in sorted(names & found.keys() - _NOT_ASKED):
            yield name.encode()
            yield self._at(f"the global {name!r}", _attribute(found, name))

    def _import(self, one: Import, function: types.FunctionType) -> Iterator[bytes]:
        """Read what a function imports when it runs; a module of the user's is imported here."""
        package = function.__globals__.get("__package__") or ""
        try:
            name = importlib.util.resolve_name("." * one.level + one.module, package)
        except ImportError as error:
            raise UnknownContentError(f"{function.__name__!r} imports {one.module!r}: {error}") from error
        if is_installed(name):
            yield Named(name, "").text().encode()
            return
        if not is_findable(name):
            raise UnknownContentError(f"{function.__name__!r} imports {name!r}, which is not here")
        for path in (name, *(f"{name}.{inner}" for inner in one.names)):
            module = _imported(path, is_needed=path == name)
            if module is not None:
                yield self._value(module)
        yield self._value(sys.modules[name.partition(".")[0]])

    def _class(self, kind: Any) -> Iterator[bytes]:
        yield kind.__qualname__.encode()
        yield from map(self._value, (*kind.__bases__, type(kind)))
        for name, value in members_of(kind):
            yield name.encode()
            yield self._at(f"{kind.__name__}.{name}", value)

    def _module_attributes(self) -> list[bytes]:
        """Read of each module of the user's what code in reach may take from it, and has not been read."""
        found = []
        for module in [node for node in self._nodes if isinstance(node, types.ModuleType)]:
            for name in sorted(self._names & vars(module).keys()):
                if (id(module), name) not in self._taken:
                    self._taken.add((id(module), name))
                    found += [name.encode(), self._at(f"{module.__name__}.{name}", _attribute(vars(module), name))]
        return found

    # --- values ----------------------------------------------------------------------------------

    def _at(self, where: str, value: object) -> bytes:
        try:
            return self._value(value)
        except UnknownContentError as error:
            raise error.at(where) from None

    def _value(self, value: object) -> bytes:
        if isinstance(value, TaskFunction):
            value = value.function
        kind = type(value)
        if kind in PLAIN or (kind in {list, tuple, dict} and is_plain(value)):
            return b"plain" + plain_bytes(value)
        if id(value) in self._known:
            return self._known[id(value)][1]
        if not isinstance(value, (types.FunctionType, type, types.ModuleType)):
            return self._composite(value)
        named = _named(value)
        digest = named.text().encode() if named else self._number(value)
        self._known[id(value)] = (value, digest)
        return digest

    def _composite(self, value: object) -> bytes:
        """Hash a value that consists of others; where it meets itself again, by how far up that is."""
        depth = len(self._open)
        if id(value) in self._outside:
            self._upmost = -1
            return b"outside %d" % self._outside.index(id(value))
        if id(value) in self._open:
            self._upmost = min(self._upmost, self._open[id(value)])
            return b"up %d" % (depth - self._open[id(value)])
        outer, self._upmost = self._upmost, sys.maxsize
        self._open[id(value)] = depth
        try:
            digest = _hash(*self._parts(value))
        finally:
            del self._open[id(value)]
        if self._upmost >= depth:  # it stands for itself, wherever it is met
            self._known[id(value)] = (value, digest)
            self._upmost = outer
        else:
            self._upmost = min(outer, self._upmost)
        return digest

    def _parts(self, value: Any) -> Iterator[bytes]:
        kind = type(value)
        yield kind.__name__.encode()
        if kind in {list, tuple}:
            yield from map(self._value, value)
        elif kind is dict:
            for key, item in value.items():
                yield self._value(key)
                yield self._value(item)
        elif kind is Named:
            yield value.text().encode()
        elif kind is Unordered:
            yield from self._unordered(value)
        elif isinstance(value, enum.Enum):
            yield self._value(kind)
            yield self._value([value.name, value.value])
        else:
            yield self._value(kind)
            yield self._value(read_content(value))
            if isinstance(value, _EXTENSIBLE) and kind not in content_of.registry:
                yield self._value(instance_state(value))  # what a subclass adds

    def _unordered(self, value: Unordered) -> list[bytes]:
        """Hash each item by itself: which is met first differs from process to process."""
        if is_plain(value.items):
            return sorted(map(plain_bytes, value.items))
        outside = (*self._outside, *self._open)
        return sorted(_Graph(outside).digest(item) for item in value.items)


# --- what needs no reading -----------------------------------------------------------------------


def _named(value: Any) -> Named | None:
    """Return the name of a library's function, class or module; None for the user's own."""
    if isinstance(value, types.ModuleType):
        return Named(value.__name__, "") if is_installed(value.__name__) else None
    if isinstance(value, type):
        return Named(value.__module__, value.__qualname__) if is_installed(value.__module__) else None
    library = _library_of(value)
    return Named(library, value.__qualname__) if library and _is_importable(value) else None


def _library_of(function: types.FunctionType) -> str:
    """Return the module of a library in which a function was written, whatever its `__module__` says; empty for the user's."""
    module = function.__globals__.get("__name__") or ""
    return module if module and is_installed(module) else ""


def _is_importable(function: types.FunctionType) -> bool:
    """Whether importing the module of a function and taking what has its name gives this very function."""
    module = function.__globals__.get("__name__")
    found: Any = None if module == "__main__" else sys.modules.get(module or "")
    for name in function.__qualname__.split("."):
        found = getattr(found, name, None)
    return function in (found, getattr(found, "function", None))


def _attribute(module: dict[str, Any], name: str) -> Any:
    """Return what a module holds; a path below the module's folder as seen from there, as it says where the code lies."""
    value, file = module[name], module.get("__file__")
    if file is None or not (type(value) is str or isinstance(value, PurePath)):
        return value
    path, folder = str(value), os.path.dirname(os.path.abspath(file))  # noqa: PTH100, PTH120 - what a str says
    is_beside = path == folder or path.startswith(folder + os.sep)
    return [type(value), "beside the module", path[len(folder) :]] if is_beside else value


def _imported(name: str, *, is_needed: bool) -> types.ModuleType | None:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if is_needed or error.name != name:
            raise UnknownContentError(f"module {name!r} cannot be imported here: {error}") from error
        return None  # a name in the module, not a module of its own
    except Exception as error:  # the user's module: whatever it raises, its content is not known
        raise UnknownContentError(f"module {name!r} cannot be imported here: {error}") from error
