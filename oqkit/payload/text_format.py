"""CSV and JSON lines: which types the columns have, where records end, and how bytes of some records become a table."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, assert_never

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.json as pajson

from oqkit.errors import SchemaError
from oqkit.payload.guard import typed

QUOTE: Final = b'"'
_EXACT: Final = 2**53
"""Whole numbers beyond this have no float of their own."""


class TextKind(StrEnum):
    """What kind of text a file is."""

    CSV = "csv"
    JSONL = "jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class TextFormat:
    """How text becomes columns; `schema` has all of them, in the order of the file."""

    kind: TextKind
    schema: pa.Schema
    delimiter: str = ","

    def to_json(self) -> dict[str, Any]:
        """Return what the job object holds."""
        types = base64.b64encode(self.schema.remove_metadata().serialize()).decode()
        return {"kind": self.kind.value, "schema": types, "delimiter": self.delimiter}

    @classmethod
    def from_json(cls, doc: Mapping[str, Any]) -> TextFormat:
        """Read what `to_json` returned, or raise `KeyError`, `TypeError`, `ValueError` or one of pyarrow's errors."""
        schema = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(typed(doc["schema"], str))))
        return cls(kind=TextKind(doc["kind"]), schema=schema, delimiter=typed(doc["delimiter"], str))

    def table(self, data: bytes, *, names: Sequence[str] | None = None) -> pa.Table:
        """Return whole records as a table with these columns (None: all), or raise one of pyarrow's errors."""
        wanted = self.schema if names is None else pa.schema([self.schema.field(name) for name in names])
        match self.kind:
            case TextKind.CSV:
                types = {one.name: one.type for one in wanted}
                return parse_csv(data, self.schema.names, types, delimiter=self.delimiter, names=wanted.names)
            case TextKind.JSONL:
                return parse_jsonl(data, wanted, is_whole=False).select(wanted.names)
            case never:
                assert_never(never)


# --- bytes to tables -----------------------------------------------------------------------------


def parse_csv(
    data: bytes,
    columns: Sequence[str],
    types: Mapping[str, pa.DataType],
    *,
    delimiter: str,
    names: Sequence[str] | None = None,
) -> pa.Table:
    """Return records of these columns as a table; types that are not given are inferred of all of `data`."""
    return pacsv.read_csv(
        pa.BufferReader(data),
        read_options=pacsv.ReadOptions(column_names=list(columns), block_size=len(data) + 1, use_threads=False),
        parse_options=pacsv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
        convert_options=pacsv.ConvertOptions(
            column_types=dict(types), include_columns=None if names is None else list(names)
        ),
    )


def parse_jsonl(data: bytes, schema: pa.Schema, *, is_whole: bool) -> pa.Table:
    """Return JSON lines as a table; with `is_whole` also of fields that `schema` does not have, of inferred types."""
    return pajson.read_json(
        pa.BufferReader(data),
        read_options=pajson.ReadOptions(block_size=len(data) + 1, use_threads=False),
        parse_options=pajson.ParseOptions(
            explicit_schema=schema, unexpected_field_behavior="infer" if is_whole else "ignore"
        ),
    )


# --- where records end ---------------------------------------------------------------------------


def first_end(data: bytes, kind: TextKind) -> int:
    """Return where the first record of `data` ends; 0 if it does not."""
    ends = _ends(data, kind)
    return int(ends[0]) + 1 if len(ends) else 0


def last_end(data: bytes, kind: TextKind) -> int:
    """Return where the last whole record of `data`, which begins with one, ends; 0 if there is none."""
    ends = _ends(data, kind)
    return int(ends[-1]) + 1 if len(ends) else 0


def _ends(data: bytes, kind: TextKind) -> np.ndarray:
    found = np.frombuffer(data, "uint8")
    ends = np.flatnonzero(found == ord("\n"))
    if kind is TextKind.JSONL or QUOTE not in data:
        return ends
    quotes = np.flatnonzero(found == ord(QUOTE))
    outside: np.ndarray = ends[np.searchsorted(quotes, ends) % 2 == 0]
    return outside


def check_quotes(data: bytes, *, delimiter: str) -> None:
    """Raise `SchemaError` if quotes stand elsewhere than around values: then nobody could tell where records end."""
    if QUOTE not in data:
        return
    found = np.frombuffer(data, "uint8")
    quotes = np.flatnonzero(found == ord(QUOTE))
    around = np.frombuffer(b"\n" + data + b"\n", "uint8")
    borders = np.frombuffer(b'\r\n"' + delimiter.encode(), "uint8")
    opens, closes = around[quotes[::2]], around[quotes[1::2] + 2]
    if len(quotes) % 2 or not np.isin(opens, borders).all() or not np.isin(closes, borders).all():
        raise SchemaError(
            "a quote stands within a value that is not quoted, or is not doubled within one that is: records would not be told apart"
        )


# --- types of several pieces ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Inferred:
    """What some records say of a column."""

    type: pa.DataType
    has_nulls: bool = False
    is_large: bool = False
    """Whether it holds whole numbers that no float can hold."""


def inferred(table: pa.Table) -> dict[str, Inferred]:
    """Return what the columns of some records are like."""
    found = {}
    for name, array in zip(table.column_names, table.columns, strict=True):
        is_large = pa.types.is_int64(array.type) and any(abs(int(one)) > _EXACT for one in _extremes(array))
        found[name] = Inferred(type=array.type, has_nulls=array.null_count > 0, is_large=is_large)
    return found


def _extremes(array: pa.ChunkedArray) -> list[int]:
    return [value for value in pc.min_max(array).as_py().values() if value is not None]


def joined(one: Inferred, other: Inferred, *, kind: TextKind, name: str) -> Inferred:
    """Return what a column is like of which two parts are like these; raise `SchemaError` if no type holds both."""
    is_large = one.is_large or other.is_large
    found = _joined_type(one.type, other.type, kind)
    if found == pa.float64() and is_large:
        found = pa.string() if kind is TextKind.CSV else None
    if found is None:
        raise SchemaError(
            f"column {name!r} holds {one.type} and {other.type}, which no type of Arrow holds both without a change: "
            "give its type with types=, or mend the files"
        )
    return Inferred(type=found, has_nulls=one.has_nulls or other.has_nulls, is_large=is_large)


def _joined_type(one: pa.DataType, other: pa.DataType, kind: TextKind) -> pa.DataType | None:
    if one == other or pa.types.is_null(other):
        return one
    if pa.types.is_null(one):
        return other
    if {one, other} == {pa.int64(), pa.float64()}:
        return pa.float64()
    if kind is TextKind.JSONL:
        return _joined_json(one, other)
    is_time = all(pa.types.is_date(each) or (pa.types.is_timestamp(each) and each.tz is None) for each in (one, other))
    if is_time:
        units = [each.unit for each in (one, other) if pa.types.is_timestamp(each)]
        return pa.timestamp("ns" if "ns" in units else units[0])
    return pa.string()


def _joined_json(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    if all(pa.types.is_string(each) or pa.types.is_timestamp(each) for each in (one, other)):
        return pa.string()  # what looks like a time in some records
    try:
        pair = [pa.schema([("value", each)]) for each in (one, other)]
        found = pa.unify_schemas(pair, promote_options="permissive").field(0).type
    except pa.ArrowException:
        return None
    return found if pa.types.is_nested(found) else None
