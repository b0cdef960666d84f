"""When are two functions the same? Their code and what it refers to, not where it was typed.

The hash takes in byte code, constants, names, defaults, closures, and, one after the other, the
values, functions and classes that the code names, as far as they are the user's own: of installed
libraries the name and version count. It leaves out file names, line numbers, docstrings and comments,
so that a re-run cell or a restarted kernel gives the same answer. What cannot be told for sure gives
None: an unknown function never attaches by itself.
"""

from __future__ import annotations

import dataclasses
import dis
import enum
import functools
import hashlib
import inspect
import sys
import sysconfig
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from oqkit.task.function import TaskFunction

_PLAIN = (int, float, complex, str, bytes, bool, type(None))
_LOADS = {"LOAD_GLOBAL", "LOAD_NAME"}
#: Their ``repr`` says everything.
_TELLING = {
    "_collections._tuplegetter",
    "datetime",
    "decimal",
    "fractions",
    "pathlib",
    "builtins.range",
    "uuid",
    "zoneinfo",
}
#: What a class holds beside what was written in it.
_CLASS_NOISE = {
    "__abstractmethods__", "__dataclass_params__", "__dict__", "__doc__", "__firstlineno__", "__module__",
    "__static_attributes__", "__weakref__", "_abc_impl",
}  # fmt: skip
_INSTALLED = tuple(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib"))
_OWN_PACKAGE = __name__.partition(".")[0]


def fingerprint(function: Callable[..., Any]) -> str | None:
    """Return a hex digest of what the function does, or None if that cannot be told."""
    is_batch = isinstance(function, TaskFunction) and function.batch
    start = f"python {sys.version_info[0]}.{sys.version_info[1]}{' batch' if is_batch else ''}"
    digest = hashlib.sha256(start.encode())
    try:
        for piece in _Reader().root(function.function if isinstance(function, TaskFunction) else function):
            digest.update(piece.encode(errors="surrogatepass"))
            digest.update(b"\0")
    except (_UnknownError, RecursionError):
        return None
    return digest.hexdigest()


class _UnknownError(Exception):
    """A value whose content cannot be hashed."""


class _Reader:
    """Walks through what a function refers to, each function, class and module attribute once."""

    def __init__(self) -> None:
        self._seen: dict[int, Any] = {}  # with the value, so that no other object gets its id
        self._attributes: set[tuple[int, str]] = set()
        self._open: set[int] = set()

    def root(self, function: Any) -> Iterator[str]:
        """Yield what tells functions apart; the first one counts in full wherever it comes from."""
        return self._function(function) if isinstance(function, types.FunctionType) else self._value(function)

    def _function(self, function: types.FunctionType) -> Iterator[str]:
        if id(function) in self._seen:
            yield "again"
            return
        self._seen[id(function)] = function
        yield from _code(function.__code__)
        yield from self._value(function.__defaults__ or ())
        yield from self._value(function.__kwdefaults__ or {})
        for cell in function.__closure__ or ():
            try:
                yield from self._value(cell.cell_contents)
            except ValueError:  # a name that nothing has been given to yet
                yield "empty"
        names, attributes = _global_names(function.__code__), _names(function.__code__)
        for name in sorted(names & function.__globals__.keys()):
            yield name
            yield from self._global(function.__globals__[name], attributes)

    def _global(self, value: Any, attributes: set[str]) -> Iterator[str]:
        """Read a global; of a module of the user's, the `attributes` that code takes from it."""
        if not isinstance(value, types.ModuleType) or _is_installed(value.__name__):
            yield from self._value(value)
            return
        yield f"module:{value.__name__}"
        for name in sorted(attributes & vars(value).keys()):
            if (id(value), name) not in self._attributes:
                self._attributes.add((id(value), name))
                yield name
                yield from self._global(vars(value)[name], attributes)

    def _value(self, value: Any) -> Iterator[str]:
        if isinstance(value, TaskFunction):
            value = value.function
        if isinstance(value, enum.Enum):
            yield from self._class(type(value))
            yield value.name
        elif isinstance(value, _PLAIN):
            yield f"{type(value).__name__}:{value!r}"
        elif isinstance(value, types.ModuleType):
            yield f"module:{value.__name__}:{getattr(value, '__version__', '')}"
        elif isinstance(value, types.FunctionType):
            yield from _named(value) if _is_installed(value.__module__) else self._function(value)
        elif isinstance(value, type):
            yield from _named(value) if _is_installed(value.__module__) else self._class(value)
        elif isinstance(value, (list, tuple, set, frozenset, dict)):
            yield from self._container(value)
        else:
            yield from self._object(value)

    def _container(self, value: Any) -> Iterator[str]:
        if id(value) in self._open:
            yield "again"
            return
        self._open.add(id(value))
        yield f"{type(value).__name__}:{len(value)}"
        if isinstance(value, (set, frozenset)):
            yield from sorted("".join(self._value(item)) for item in value)
        for item in value if isinstance(value, (list, tuple)) else ():
            yield from self._value(item)
        for key, item in value.items() if isinstance(value, dict) else ():
            yield from self._value(key)
            yield from self._value(item)
        self._open.discard(id(value))
        if not _is_installed(type(value).__module__):
            yield from self._class(type(value))

    def _class(self, kind: type) -> Iterator[str]:
        yield kind.__qualname__
        if id(kind) in self._seen or _is_installed(kind.__module__):
            return
        self._seen[id(kind)] = kind
        for base in kind.__bases__:
            yield from self._class(base)
        if issubclass(kind, enum.Enum):
            yield from self._value([(member.name, member.value) for member in kind])
            return
        for name, value in sorted(vars(kind).items()):
            if name == "__annotations__":
                yield repr(value)
            elif name not in _CLASS_NOISE:
                yield name
                yield from self._value(value)

    def _object(self, value: Any) -> Iterator[str]:
        """Read an object by what it is known to consist of; anything else is unknown."""
        kind = f"{type(value).__module__}.{type(value).__qualname__}"
        yield kind
        parts = _parts(value, kind)
        if parts is not None:
            yield from self._value(parts)
        elif not _is_installed(type(value).__module__) and hasattr(value, "__dict__"):
            yield from self._class(type(value))
            yield from self._value(vars(value))
        else:
            raise _UnknownError(kind)


# --- code ----------------------------------------------------------------------------------------


def _code(code: types.CodeType) -> Iterator[str]:
    yield code.co_code.hex()
    yield code.co_exceptiontable.hex()
    yield repr((code.co_names, code.co_varnames, code.co_freevars, code.co_argcount, code.co_kwonlyargcount))
    constants = code.co_consts[1:] if _has_docstring(code) else code.co_consts
    for constant in constants:
        if isinstance(constant, types.CodeType):
            yield from _code(constant)
        else:
            yield f"{type(constant).__name__}:{_ordered(constant)}"


def _has_docstring(code: types.CodeType) -> bool:
    if not code.co_consts or not isinstance(code.co_consts[0], str):
        return False
    if sys.version_info >= (3, 13):
        return bool(code.co_flags & inspect.CO_HAS_DOCSTRING)
    # Before, the first constant of a def is its docstring or None; comprehensions, lambdas and classes have no such place.
    return bool(code.co_flags & inspect.CO_NEWLOCALS) and not code.co_name.startswith("<")


def _ordered(constant: Any) -> str:
    return repr(sorted(map(repr, constant))) if isinstance(constant, frozenset) else repr(constant)


def _names(code: types.CodeType) -> set[str]:
    return set().union(*(one.co_names for one in _codes(code)))


def _global_names(code: types.CodeType) -> set[str]:
    loads = (step for one in _codes(code) for step in dis.get_instructions(one) if step.opname in _LOADS)
    return {step.argval for step in loads}


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _codes(constant)


# --- libraries -----------------------------------------------------------------------------------


@functools.lru_cache(maxsize=4096)
def _is_installed(module_name: str | None) -> bool:
    """Whether a module belongs to a library rather than to a notebook, a script or the user's own package."""
    name = module_name or "builtins"
    file = getattr(sys.modules.get(name), "__file__", None)
    if name == "__main__" or file is None:
        return name in sys.builtin_module_names
    is_own = name.partition(".")[0] == _OWN_PACKAGE
    return is_own or any(Path(file).is_relative_to(folder) for folder in _INSTALLED if folder)


def _named(value: Any) -> Iterator[str]:
    module = getattr(value, "__module__", None) or "builtins"
    package = sys.modules.get(module.partition(".")[0])
    yield f"{module}.{value.__qualname__}:{getattr(package, '__version__', '')}"


# --- objects -------------------------------------------------------------------------------------


def _parts(value: Any, kind: str) -> Any:
    """Return values that together say what `value` is, or None if that is not known."""
    for types_, read in _OF_TYPE:
        if isinstance(value, types_):
            return read(value)
    if kind.partition(".")[0] in _TELLING or kind in _TELLING:
        return [repr(value)]
    if kind in _OF_KIND:
        return _OF_KIND[kind](value)
    if kind.startswith("numpy.") and hasattr(value, "tobytes"):
        return _array_parts(value)
    if kind.startswith("pandas.") and hasattr(value, "to_pickle"):
        return _frame_parts(value)
    return None


def _builtin_parts(value: Any) -> list[Any]:
    owner = value.__self__
    module = getattr(value, "__module__", None)
    return [module, value.__qualname__, None if isinstance(owner, types.ModuleType) else owner]


def _array_parts(value: Any) -> Any:
    return None if value.dtype == object else [str(value.dtype), value.shape, value.tobytes()]


def _field_parts(value: Any) -> list[Any]:
    return [value.name, repr(value.type), _default(value.default), _default(value.default_factory), value.init]


def _default(value: Any) -> Any:
    return "missing" if value is dataclasses.MISSING else value


def _frame_parts(value: Any) -> list[Any]:
    columns = value.to_frame() if value.ndim == 1 else value
    hashes = sys.modules["pandas"].util.hash_pandas_object(columns, index=True).to_numpy()
    return [list(map(repr, columns.columns)), list(map(str, columns.dtypes)), hashes.tobytes()]


_OF_TYPE: list[tuple[Any, Callable[[Any], Any]]] = [
    ((types.BuiltinFunctionType, types.MethodWrapperType), _builtin_parts),
    (types.MethodType, lambda value: [value.__func__, value.__self__]),
    (functools.partial, lambda value: [value.func, value.args, value.keywords]),
    ((staticmethod, classmethod), lambda value: [value.__func__]),
    (property, lambda value: [value.fget, value.fset, value.fdel]),
    ((types.MemberDescriptorType, types.GetSetDescriptorType), lambda value: [value.__name__]),
]
_OF_KIND: dict[str, Callable[[Any], Any]] = {
    "dataclasses.Field": _field_parts,
    "logging.Logger": lambda value: [value.name],
    "numpy.ufunc": lambda value: [value.__name__],
    "re.Pattern": lambda value: [value.pattern, value.flags],
}
