"""What a code object does, whatever its file, lines, comments, docstrings and the names of its local variables."""

from __future__ import annotations

import dis
import functools
import hashlib
import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from types import CodeType

_CACHE, _EXTENDED = dis.opmap["CACHE"], dis.opmap["EXTENDED_ARG"]
_HAS_CONSTANT = frozenset(dis.hasconst)
_IMPORT = dis.opmap["IMPORT_NAME"]
_LOAD_GLOBAL = dis.opmap["LOAD_GLOBAL"]
_LOAD_NAME = frozenset(dis.opmap[name] for name in ("LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS") if name in dis.opmap)
#: How it is called and what a call gives; the others say where it was typed.
_FLAGS = (
    inspect.CO_VARARGS
    | inspect.CO_VARKEYWORDS
    | inspect.CO_GENERATOR
    | inspect.CO_COROUTINE
    | inspect.CO_ITERABLE_COROUTINE
    | inspect.CO_ASYNC_GENERATOR
)
_IN_QUERY = re.compile(r"@([^\W\d]\w*)")


@dataclass(frozen=True, slots=True)
class Import:
    """``import`` within a body: as `importlib.import_module` takes it, but for the package that `level` counts from."""

    module: str
    level: int
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Bytecode:
    """What a code object does, those within it included; comparable within one version of Python."""

    digest: bytes
    globals: frozenset[str]
    """Names that it looks up outside itself."""
    asked: frozenset[str]
    """Names that are looked up for it: by the body of a class in it, or by a text, such as ``query("x > @limit")``."""
    names: frozenset[str]
    """Every name that it may take from a module: attributes, and texts that could be given to `getattr`."""
    imports: tuple[Import, ...]


@functools.lru_cache(maxsize=4096)
def read_code(code: CodeType) -> Bytecode:
    """Read a code object."""
    steps = list(_steps(code))
    inner = {place: read_code(it) for place, it in enumerate(code.co_consts) if isinstance(it, CodeType)}
    found = list(inner.values())
    texts = set(_texts(code.co_consts))
    return Bytecode(
        digest=_digest(code, steps, inner),
        globals=frozenset(code.co_names[it >> 1] for op, it in steps if op == _LOAD_GLOBAL).union(
            *(f.globals for f in found)  # the lowest bit says how it is called
        ),
        asked=frozenset(code.co_names[it] for op, it in steps if op in _LOAD_NAME).union(
            *(_IN_QUERY.findall(it) for it in texts), *(f.asked for f in found)
        ),
        names=frozenset(code.co_names).union(filter(str.isidentifier, texts), *(f.names for f in found)),
        imports=(*_imports(code, steps), *(one for f in found for one in f.imports)),
    )


def _steps(code: CodeType) -> Iterator[tuple[int, int]]:
    """Yield (operation, argument), without what the interpreter keeps in between."""
    raw, extended = code.co_code, 0
    for place in range(0, len(raw), 2):
        operation, argument = raw[place], raw[place + 1] | extended
        if operation == _EXTENDED:
            extended = argument << 8
            continue
        extended = 0
        if operation != _CACHE:
            yield operation, argument


def _digest(code: CodeType, steps: list[tuple[int, int]], inner: dict[int, Bytecode]) -> bytes:
    """Hash the steps with their constants, which are numbered as they are used: a docstring is not."""
    numbers: dict[int, int] = {}
    told = [
        f"{operation}:{numbers.setdefault(argument, len(numbers)) if operation in _HAS_CONSTANT else argument}"
        for operation, argument in steps
    ]
    constants = [inner[it].digest.hex() if it in inner else _constant(code.co_consts[it]) for it in numbers]
    n_parameters = code.co_argcount + code.co_kwonlyargcount
    n_parameters += bool(code.co_flags & inspect.CO_VARARGS) + bool(code.co_flags & inspect.CO_VARKEYWORDS)
    facts = (
        (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags & _FLAGS),
        (code.co_varnames[:n_parameters], code.co_names, code.co_freevars, code.co_exceptiontable.hex()),
        (told, constants),
    )
    return hashlib.sha256(repr(facts).encode(errors="surrogatepass")).digest()


def _constant(value: object) -> str:
    if isinstance(value, frozenset):
        return f"frozenset:{sorted(map(_constant, value))}"
    if isinstance(value, tuple):
        return f"tuple:{list(map(_constant, value))}"
    return f"{type(value).__name__}:{value!r}"


def _imports(code: CodeType, steps: list[tuple[int, int]]) -> Iterator[Import]:
    """Yield the imports: before each of them stand its level and its names as constants."""
    for place, (operation, argument) in enumerate(steps):
        if operation == _IMPORT:
            level, names = (code.co_consts[steps[place - back][1]] for back in (2, 1))
            yield Import(code.co_names[argument], level, tuple(names or ()))


def _texts(constants: tuple[object, ...]) -> Iterator[str]:
    for constant in constants:
        if isinstance(constant, str):
            yield constant
        elif isinstance(constant, tuple):
            yield from _texts(constant)
