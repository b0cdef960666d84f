"""Values as JSON objects: typed when read, and nothing that a newer oqkit added is lost when they are written again.

A record is a frozen dataclass whose annotations are the types of `oqkit.queue.bound`, and whose field `unknown`
takes what else the object holds. So a later version adds an optional field by adding it to the dataclass, with a
default: versions that do not know it carry it along. A record without that field is closed: more in it is refused.
"""

from __future__ import annotations

import json
import math
import re
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import cache
from itertools import accumulate
from operator import is_not
from types import UnionType
from typing import Any, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec

from oqkit.errors import UsageError
from oqkit.queue.bound import MAX_DEPTH, STATED, Unknown
from oqkit.queue.rows import Rows

T = TypeVar("T")

UNKNOWN = "unknown"
_preparing = threading.Lock()


class _Member(NamedTuple):
    """One field of a record, and how its value is written."""

    name: str
    is_stated: bool
    default: Any
    write: Callable[[Any], Any] | None


# --- records -------------------------------------------------------------------------------------


def read(cls: type[T], value: object) -> T:
    """Make a record of a JSON value, or raise `msgspec.ValidationError`, `ValueError` or `TypeError`."""
    _prepare(cls)  # type: ignore[arg-type]  # mypy takes a class for one of its objects
    return msgspec.convert(keep(cls, value), cls, dec_hook=_special)


def read_all(cls: type[T], values: list[object]) -> list[T]:
    """Make records of JSON values, as `read` does."""
    _prepare(cls)  # type: ignore[arg-type]  # mypy takes a class for one of its objects
    return msgspec.convert(_keep_all(cls, values), list[cls], dec_hook=_special)  # type: ignore[valid-type]


@cache
def _prepare(cls: object) -> None:
    """Let msgspec look into a class once, in one thread: threads that do so together end the process (msgspec 0.22).

    It puts what it knows of a class, and of those in it, where other threads find it before it is complete.
    """
    with _preparing, suppress(msgspec.ValidationError):
        msgspec.convert({}, cls, dec_hook=_special)


def keep(cls: Any, value: object) -> object:
    """Move what `cls` and the records in it do not know into their `unknown`; what is no object stays as it is."""
    if not isinstance(value, dict):
        return value
    known, records, is_closed = _shape(cls)
    found = value
    for name, inner in records.items():
        if name in value:
            kept = _keep_all(inner, value[name])
            if kept is not value[name]:
                found = {**found, name: kept}
    if known.issuperset(value):
        return found
    if is_closed:
        names = ", ".join(repr(name) for name in value if name not in known)
        raise ValueError(f"this oqkit does not know {names:.200} in a {cls.__name__.lower()}: upgrade oqkit here")
    out = {name: one for name, one in found.items() if name in known}
    return {**out, UNKNOWN: tuple((name, text_of(one)) for name, one in value.items() if name not in known)}


def _keep_all(cls: object, value: object) -> object:
    if not isinstance(value, list):
        return keep(cls, value)
    kept = [keep(cls, one) for one in value]
    return kept if any(map(is_not, kept, value)) else value


def write(record: object) -> dict[str, object]:
    """Return a record as a JSON object: what has its default is left out, unless it is declared as `STATED`."""
    out: dict[str, Any] = {}
    kind: Any = type(record)
    for name, is_stated, default, convert in _members(kind):
        value = getattr(record, name)
        if is_stated or value != default:
            out[name] = value if convert is None or value is None else convert(value)
    return with_unknown(out, getattr(record, UNKNOWN, ()))


def with_unknown(doc: dict[str, object], unknown: Unknown) -> dict[str, object]:
    """Add the fields that a newer oqkit wrote."""
    return {**doc, **{name: msgspec.Raw(text.encode()) for name, text in unknown}} if unknown else doc


@cache
def _shape(cls: object) -> tuple[frozenset[str], dict[str, type], bool]:
    """Return the names of a record's fields, which of them hold records of what class, and whether it is closed."""
    hints = get_type_hints(cls)
    records = {name: inner for name, hint in hints.items() if (inner := _record_in(hint)) is not None}
    return frozenset(hints) - {UNKNOWN}, records, UNKNOWN not in hints


def _record_in(hint: object) -> type | None:
    if isinstance(hint, type) and is_dataclass(hint):
        return hint
    return next((found for one in get_args(hint) if (found := _record_in(one)) is not None), None)


@cache
def _members(cls: Any) -> tuple[_Member, ...]:
    _, records, _ = _shape(cls)
    return tuple(_member(one, get_type_hints(cls)[one.name], records) for one in fields(cls) if one.name != UNKNOWN)


def _member(one: Field[object], hint: object, records: Mapping[str, type]) -> _Member:
    convert: Callable[[Any], Any] | None = None
    if hint is Rows or Rows in get_args(hint):
        convert = Rows.to_json
    elif one.name in records:
        convert = write if _is_one(hint) else lambda values: [write(value) for value in values]
    elif Any in (hint, *get_args(hint)):
        convert = free
    has_default = one.default is not MISSING
    is_stated = not has_default or one.metadata == STATED
    return _Member(one.name, is_stated, one.default if has_default else None, convert)


def _is_one(hint: object) -> bool:
    """Whether a field holds one record, or none, and not a sequence of them."""
    is_optional = get_origin(hint) in (Union, UnionType)
    return is_dataclass(hint) or (is_optional and any(map(is_dataclass, get_args(hint))))


def _special(kind: type, value: object) -> object:
    if kind is Rows:
        return Rows.from_json(value)
    raise TypeError(f"{kind.__name__} is not stored")


# --- JSON ----------------------------------------------------------------------------------------


def parse(data: bytes) -> Any:
    """Read JSON, or raise `ValueError`: also for numbers that are none, and what is nested too deep."""
    if is_too_deep(data):
        raise ValueError(f"it is nested deeper than {MAX_DEPTH} times")
    try:
        return msgspec.json.decode(data)
    except (msgspec.MsgspecError, RecursionError):
        # msgspec refuses the escapes of lone surrogates, which names of files have
        return json.loads(data.decode(), parse_float=_finite, parse_constant=_finite)


def encode(value: object) -> bytes:
    """Write a value that holds no numbers but finite ones as JSON without spaces."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        return text_of(value).encode(errors="backslashreplace")  # which happens to be JSON's own escape


def free(value: object) -> msgspec.Raw:
    """Return JSON for a value of which nothing is known; raise `UsageError` where there is none, as for NaN."""
    try:
        return msgspec.Raw(text_of(value).encode(errors="backslashreplace"))
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(f"{value!r:.80} cannot be stored: {error}") from None


def text_of(value: object) -> str:
    """Write a value as JSON text, which may hold lone surrogates."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_unwrapped)


def _unwrapped(value: object) -> object:
    if isinstance(value, msgspec.Raw):
        return json.loads(bytes(value))
    raise TypeError(f"a {type(value).__name__} is no value of JSON")


def is_too_deep(data: bytes) -> bool:
    """Whether lists and objects of a JSON text are nested too deep to be read everywhere."""
    if data.count(b"[") + data.count(b"{") <= MAX_DEPTH:
        return False
    brackets = _STRING.sub(b"", data).translate(None, _OTHERS)
    return max(accumulate(1 if one in _OPENING else -1 for one in brackets), default=0) > MAX_DEPTH


_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_OPENING = b"[{"
_OTHERS = bytes(set(range(256)) - set(b"[]{}"))


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text:.20} is no number of JSON")
    return number
