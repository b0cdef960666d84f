"""What a value consists of: a registry by type that users can extend, and for all other types what pickling would keep.

A reader returns values that together say what the object is; those are read in turn. It must not depend
on the process: no ids, no order of a set, no memory addresses.
"""

from __future__ import annotations

import copyreg
import dataclasses
import functools
import hashlib
import marshal
import os
import types
import weakref
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from oqkit.task.bytecode import read_code
from oqkit.task.installed import is_installed, version_of

PLAIN = frozenset({int, float, complex, str, bytes, bool, type(None)})
_NESTED = frozenset({list, tuple, dict})
_MAX_DEPTH = 100
_MAX_SHARED = 10**5


class UnknownContentError(Exception):
    """It cannot be told what an object consists of; the text names it, and where it was met first."""

    def at(self, where: str) -> UnknownContentError:
        """Return the error with the place in the text; the innermost place stays."""
        return self if " refers to " in str(self) else UnknownContentError(f"{where} refers to {self}")


@dataclass(frozen=True, slots=True)
class Unordered:
    """Items of which the order means nothing."""

    items: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Named:
    """A library's function, class or module: its name and version say what it is."""

    module: Any
    name: str

    def text(self) -> str:
        """Return what tells it from others."""
        return f"{self.module}.{self.name}@{version_of(self.module)}"


@functools.singledispatch
def content_of(value: object) -> object:
    """Return what `value` consists of, for the fingerprint of a function that refers to it.

    Register a type, here one of which only two attributes matter; subclasses share it::

        @oq.content_of.register
        def _(model: Model):
            return [model.weights, model.vocabulary]

    What is returned may be any value that is known itself. Types that are not registered count as what
    pickling them would keep; what cannot be pickled is unknown, and a function that refers to it is run
    each time it is submitted.
    """
    if type(value) is object or (isinstance(value, Iterator) and is_installed(type(value).__module__)):
        raise UnknownContentError(_describe(value))
    return _reduced(value)


def read_content(value: object) -> object:
    """Return what `content_of` says; raise `UnknownContentError` if it can say nothing."""
    try:
        return content_of(value)
    except UnknownContentError:
        raise
    except Exception as error:  # a reader of a user's, or an object that is not what its type promises
        raise UnknownContentError(f"{_describe(value)}, which cannot be read: {error}") from error


def instance_state(value: object) -> list[object]:
    """Return the attributes of an instance, in slots too, sorted by name."""
    slots = [name for kind in type(value).__mro__ for name in _slots(kind) if name not in {"__dict__", "__weakref__"}]
    return [
        _sorted(getattr(value, "__dict__", {}), type(value)),
        {name: getattr(value, name, None) for name in sorted(slots)},
    ]


def is_plain(value: object) -> bool:
    """Whether nested lists, tuples and dicts hold nothing but numbers, text, bytes, bools and None; no subclasses."""
    level, n_items = [value], 0
    for _ in range(_MAX_DEPTH):
        kinds = set(map(type, level))
        if not kinds <= PLAIN | _NESTED:
            return False
        if kinds.isdisjoint(_NESTED):
            return True
        nested = [it for it in level if type(it) in _NESTED]
        level = list(chain.from_iterable(_members(it) for it in nested))
        n_items += len(level)
        if n_items > _MAX_SHARED and len(set(map(id, nested))) < len(nested):
            return False  # written in full, what is shared might be endless
    return False


def plain_bytes(value: Any) -> bytes:
    """Write a plain value as bytes; equal ones, and only those, give the same in any process and version of Python."""
    return marshal.dumps(value, 2)  # version 2 writes no references, which would tell whether two items are one object


def _members(value: Any) -> Iterable[object]:
    return chain(value.keys(), value.values()) if type(value) is dict else value


def _describe(value: object) -> str:
    kind = type(value)
    name = (
        kind.__qualname__ if kind.__module__ in {"builtins", "__main__"} else f"{kind.__module__}.{kind.__qualname__}"
    )
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


# --- what pickling keeps -------------------------------------------------------------------------


def _reduced(value: object) -> object:
    """Return what `pickle` would be told about an object; raise `UnknownContentError` if it has nothing to tell."""
    known = copyreg.dispatch_table.get(type(value))
    try:
        told = known(value) if known else value.__reduce_ex__(4)
    except Exception as error:  # the object's own code: whatever it raises, its content is not known
        raise UnknownContentError(f"{_describe(value)}: {error}") from error
    if isinstance(told, str):
        return Named(getattr(value, "__module__", None) or type(value).__module__, told)
    parts: list[Any] = [*told, None, None, None]
    make, arguments, state, items, pairs = parts[:5]
    return [make, arguments, _sorted_state(state, type(value)), list(items or ()), list(map(list, pairs or ()))]


def _sorted_state(state: object, kind: type) -> object:
    if isinstance(state, tuple) and len(state) == 2 and all(it is None or type(it) is dict for it in state):  # noqa: PLR2004
        state = {
            **(state[0] or {}),
            **(state[1] or {}),
        }  # __dict__ and slots: a class that was pickled has no slots left
    return _sorted(state, kind)


def _sorted(state: object, kind: type) -> object:
    """Sort attributes by name, without those that a `cached_property` keeps."""
    if type(state) is not dict or not all(isinstance(name, str) for name in state):
        return state
    cached = {name for base in kind.__mro__ for name, it in vars(base).items() if type(it) is functools.cached_property}
    return {name: state[name] for name in sorted(state) if name not in cached} or None


def _slots(kind: type) -> Iterable[str]:
    slots = vars(kind).get("__slots__", ())
    return (slots,) if isinstance(slots, str) else slots


# --- Python --------------------------------------------------------------------------------------


@content_of.register(set)
@content_of.register(frozenset)
def _(value: Any) -> object:
    return Unordered(tuple(value))


@content_of.register
def _(value: types.MethodType) -> object:
    return [value.__func__, value.__self__]


@content_of.register(staticmethod)
@content_of.register(classmethod)
def _(value: Any) -> object:
    return value.__func__


@content_of.register
def _(value: property) -> object:
    return [value.fget, value.fset, value.fdel]


@content_of.register
def _(value: functools.cached_property) -> object:  # type: ignore[type-arg]
    return [value.func, value.attrname]


@content_of.register
def _(value: functools.partialmethod) -> object:  # type: ignore[type-arg]
    return [value.func, value.args, value.keywords]


@content_of.register
def _(value: functools.singledispatchmethod) -> object:  # type: ignore[type-arg]
    return [value.func, dict(value.dispatcher.registry)]


@content_of.register
def _(value: functools._lru_cache_wrapper) -> object:  # type: ignore[type-arg]
    return value.__wrapped__  # what it has kept is what that gave


@content_of.register(types.MemberDescriptorType)
@content_of.register(types.GetSetDescriptorType)
def _(value: Any) -> object:
    return value.__name__


@content_of.register
def _(value: types.MappingProxyType) -> object:  # type: ignore[type-arg]
    return dict(value)


@content_of.register
def _(value: types.CodeType) -> object:
    return read_code(value).digest


@content_of.register
def _(value: dataclasses.Field) -> object:  # type: ignore[type-arg]
    made = (value.init, value.repr, value.hash, value.compare, value.kw_only)
    return [value.name, value.type, value.default, value.default_factory, value.metadata, made]


@content_of.register(type(os.environ))
def _(value: object) -> object:  # noqa: ARG001 - what it holds differs in every process
    return "environment"


@content_of.register(weakref.WeakKeyDictionary)
@content_of.register(weakref.WeakValueDictionary)
@content_of.register(weakref.WeakSet)
def _(value: object) -> object:
    raise UnknownContentError(f"{_describe(value)}: what it holds may be gone at any time")


# --- numpy ---------------------------------------------------------------------------------------


@content_of.register
def _(value: np.ndarray) -> object:
    """Read the elements: a structured array by its fields, because what lies between them is arbitrary."""
    if value.dtype.names is not None:
        return [value.shape, {name: np.asarray(value[name]) for name in value.dtype.names}]
    if value.dtype.hasobject or value.dtype.kind == "T":
        return [str(value.dtype), value.shape, value.ravel().tolist()]
    flat: Any = np.ascontiguousarray(value).reshape(-1).view("u1") if value.size else b""
    return [value.dtype.str, value.shape, hashlib.sha256(flat).digest()]


@content_of.register
def _(value: np.ufunc) -> object:
    if "(vectorized)" in value.__name__:
        raise UnknownContentError("a function of np.frompyfunc, which does not give back what it was made of")
    return value.__name__


@content_of.register
def _(value: np.ma.MaskedArray) -> object:
    return [np.ma.getmaskarray(value), value.filled(), value.fill_value]


@content_of.register
def _(value: np.dtype) -> object:
    return [value.str, repr(value), value.metadata and dict(value.metadata)]
