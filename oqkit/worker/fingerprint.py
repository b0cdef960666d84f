"""When are two functions the same? Their code and what it refers to, not where it was typed.

The hash takes in byte code, constants, names, defaults, closures, and, one after the other, the
plain values and the functions of their own module that the code names. It leaves out file names,
line numbers, docstrings and comments, so that a re-run cell or a restarted kernel gives the same
answer. What cannot be told for sure gives None: an unknown function never attaches by itself.
"""

from __future__ import annotations

import hashlib
import sys
import types
from collections.abc import Callable, Iterable, Iterator
from typing import Any

_PLAIN = (int, float, complex, str, bytes, bool, type(None))


def fingerprint(function: Callable[..., Any]) -> str | None:
    """Return a hex digest of what the function does, or None if that cannot be told."""
    function = getattr(function, "function", function)
    if not isinstance(function, types.FunctionType):
        return None
    digest = hashlib.sha256(f"python {sys.version_info[0]}.{sys.version_info[1]}".encode())
    try:
        for piece in _function(function, seen=set()):
            digest.update(piece.encode())
            digest.update(b"\0")
    except _UnknownError:
        return None
    return digest.hexdigest()


class _UnknownError(Exception):
    """A value whose content cannot be hashed."""


def _function(function: types.FunctionType, *, seen: set[int]) -> Iterator[str]:
    if id(function) in seen:
        yield "again"
        return
    seen.add(id(function))
    yield from _code(function.__code__)
    for value in (function.__defaults__ or (), tuple(sorted((function.__kwdefaults__ or {}).items()))):
        yield from _value(value, seen=seen)
    for cell in function.__closure__ or ():
        yield from _value(cell.cell_contents, seen=seen)
    for name in sorted(_names(function.__code__)):
        if name in function.__globals__:
            yield name
            yield from _value(function.__globals__[name], seen=seen)


def _code(code: types.CodeType) -> Iterator[str]:
    yield code.co_code.hex()
    yield repr((code.co_names, code.co_varnames, code.co_freevars, code.co_argcount, code.co_kwonlyargcount))
    constants = code.co_consts[1:] if _has_docstring(code) else code.co_consts
    for constant in constants:
        if isinstance(constant, types.CodeType):
            yield from _code(constant)
        else:
            yield f"{type(constant).__name__}:{_ordered(constant)}"


def _has_docstring(code: types.CodeType) -> bool:
    return bool(code.co_consts) and isinstance(code.co_consts[0], str) and code.co_name != "<lambda>"


def _ordered(constant: Any) -> str:
    return repr(sorted(map(repr, constant))) if isinstance(constant, frozenset) else repr(constant)


def _names(code: types.CodeType) -> set[str]:
    inner = (constant for constant in code.co_consts if isinstance(constant, types.CodeType))
    return set(code.co_names).union(*(_names(one) for one in inner))


def _value(value: Any, *, seen: set[int]) -> Iterator[str]:
    value = getattr(value, "function", value) if type(value).__name__ == "TaskFunction" else value
    if isinstance(value, _PLAIN):
        yield f"{type(value).__name__}:{value!r}"
    elif isinstance(value, types.ModuleType):
        yield f"module:{value.__name__}:{getattr(value, '__version__', '')}"
    elif isinstance(value, types.FunctionType):
        yield from _named(value) if _is_installed(value) else _function(value, seen=seen)
    elif isinstance(value, (type, types.BuiltinFunctionType)) and _is_installed(value):
        yield from _named(value)
    elif isinstance(value, (list, tuple, set, frozenset, dict)):
        yield from _container(value, seen=seen)
    else:
        yield from _content(value)


def _is_installed(value: Any) -> bool:
    """Whether the value belongs to an imported library rather than to a notebook or script."""
    module = getattr(value, "__module__", None) or "builtins"
    return module != "__main__" and value.__name__ != "<lambda>"


def _named(value: Any) -> Iterator[str]:
    module = getattr(value, "__module__", None) or "builtins"
    package = sys.modules.get(module.partition(".")[0])
    yield f"{module}.{value.__qualname__}:{getattr(package, '__version__', '')}"
    if isinstance(value, types.FunctionType):
        yield from _code(value.__code__)


def _container(value: Iterable[Any], *, seen: set[int]) -> Iterator[str]:
    if id(value) in seen:
        yield "again"
        return
    seen.add(id(value))
    yield f"{type(value).__name__}:{len(list(value))}"
    if isinstance(value, (set, frozenset)):
        yield from sorted("".join(_value(item, seen=seen)) for item in value)
        return
    for item in value.items() if isinstance(value, dict) else value:
        yield from _value(item, seen=seen)


def _content(value: Any) -> Iterator[str]:
    """Hash arrays and frames by content; anything else is unknown."""
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    if kind == "numpy.ndarray" and value.dtype != object:
        yield f"{kind}:{value.dtype}:{value.shape}:{hashlib.sha256(value.tobytes()).hexdigest()}"
    elif kind.startswith("pandas.") and hasattr(value, "to_pickle"):
        yield f"{kind}:{hashlib.sha256(repr(_frame_content(value)).encode()).hexdigest()}"
    else:
        raise _UnknownError(kind)


def _frame_content(value: Any) -> list[Any]:
    columns = value.to_frame() if value.ndim == 1 else value
    hashes = sys.modules["pandas"].util.hash_pandas_object(columns, index=True).to_numpy()
    return [list(map(repr, columns.columns)), list(map(str, columns.dtypes)), hashes.tobytes()]
