"""The dtype sidecar: what Arrow's type does not say about a column, kept in the metadata of its Arrow field."""

from __future__ import annotations

import base64
import json
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Final

import pyarrow as pa

from oqkit.arrow.inference import is_utf8
from oqkit.errors import FormatError, SchemaError

_SPEC: Final = b"oq.column"
_LABEL: Final = b"oq.label"
#: Column names that start so are oqkit's own.
RESERVED: Final = "oq:"

Label = Any
"""A column or level name: str, int, float, bool, None, or a tuple of them (a level of MultiIndex columns)."""


class Encoding(StrEnum):
    """How the values of a stored column become the user's values."""

    NATURAL = "natural"  # as the Arrow type says
    NUMPY = "numpy"  # numpy `dtype`, where it is not the natural one
    EXTENSION = "extension"  # pandas extension `dtype`
    ARROW = "arrow"  # pd.ArrowDtype
    CATEGORY = "category"  # values; `categories` and `ordered` beside them
    OBJECT = "object"  # Python objects
    TUPLE = "tuple"  # Python objects, each list a tuple
    NDARRAY = "ndarray"  # Python objects, each list an array of numpy `dtype` and `shape`
    JSON = "json"  # Python objects, written as text by `tagged_json`


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnMeta:
    """The sidecar of one column; every field but `encoding` has meaning for some encodings only.

    `missing` is what stands for null in an object column: None, ``nan``, ``NA`` or ``NaT``. `storage`
    belongs to pandas strings. `arrow` is the Arrow type, packed, where Parquet brings back another one. `zone` is the
    library that the time zone is of, where that is not Python's own.
    """

    encoding: Encoding = Encoding.NATURAL
    dtype: str | None = None
    missing: str | None = None
    storage: str | None = None
    shape: tuple[int, ...] | None = None
    categories: str | None = None
    ordered: bool = False
    arrow: str | None = None
    zone: str | None = None

    def to_text(self) -> str:
        """Write the fields that say something as JSON text, always the same for the same meta."""
        facts = {("form" if name == "encoding" else name): value for name, value in asdict(self).items()}
        return json.dumps({name: value for name, value in facts.items() if value not in (None, False)})

    @classmethod
    def from_text(cls, text: str | bytes) -> ColumnMeta:
        """Read what `to_text` wrote, or raise `FormatError`."""
        try:
            facts = json.loads(text)
            shape = facts.pop("shape", None)
            return cls(encoding=Encoding(facts.pop("form")), shape=None if shape is None else tuple(shape), **facts)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            msg = f"the column metadata {text!r} is not readable here; it may come from a newer oqkit"
            raise FormatError(msg) from error


NATURAL: Final = ColumnMeta()


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """An Arrow array (one or many chunks) and what its type does not say."""

    array: Any
    meta: ColumnMeta = NATURAL


class Unstorable(SchemaError):
    """A value of a column cannot be stored. `row` counts from 0, None if the column as a whole is meant."""

    def __init__(self, row: int | None, reason: str) -> None:
        super().__init__(row, reason)
        self.row = row
        self.reason = reason

    def __str__(self) -> str:
        return self.reason if self.row is None else f"row {self.row}: {self.reason}"


def field(name: str, column: Column, *, label: Label = None, metadata: dict[bytes, bytes] | None = None) -> pa.Field:
    """Return the Arrow field of `column`, its sidecar in the metadata; a natural column has none."""
    facts = dict(metadata or {})
    if column.meta != NATURAL:
        facts[_SPEC] = column.meta.to_text().encode()
    if label is not None and label != name:
        facts[_LABEL] = json.dumps(label_to_json(label)).encode()
    return pa.field(name, column.array.type, metadata=facts or None)


def named(stored: pa.Field, label: Label) -> pa.Field:
    """Return a stored field with the user's name for it."""
    return stored.with_metadata({**(stored.metadata or {}), _LABEL: json.dumps(label_to_json(label)).encode()})


def table_of(fields: list[pa.Field], columns: list[Column], metadata: dict[bytes, bytes] | None = None) -> pa.Table:
    """Return the table of these columns; no two fields share a name."""
    return pa.Table.from_arrays([column.array for column in columns], schema=pa.schema(fields, metadata=metadata))


def meta_of(stored: pa.Field) -> ColumnMeta:
    """Return the sidecar of a stored field."""
    text = (stored.metadata or {}).get(_SPEC)
    return NATURAL if text is None else ColumnMeta.from_text(text)


def label_of(stored: pa.Field) -> Label:
    """Return the user's name of a stored column; its stored name unless that had to differ."""
    text = (stored.metadata or {}).get(_LABEL)
    return stored.name if text is None else label_from_json(json.loads(text))


def label_to_json(label: Label) -> object:
    """Return a name in JSON's terms (a tuple as a list), or raise `SchemaError`."""
    if isinstance(label, tuple):
        return [label_to_json(part) for part in label]
    if hasattr(label, "item"):
        label = label.item()  # a numpy scalar
    if label is None or isinstance(label, int | float | bool) or (isinstance(label, str) and is_utf8(label)):
        return label
    what = "no valid text" if isinstance(label, str) else f"a {type(label).__name__}"
    msg = f"the column name {label!r:.80} is {what}; rename the column to a str or an int"
    raise SchemaError(msg)


def label_from_json(value: object) -> Label:
    """Read back what `label_to_json` wrote."""
    return tuple(label_from_json(part) for part in value) if isinstance(value, list) else value


def pack_array(column: Column) -> str:
    """Write a column as text: an Arrow IPC stream in base64."""
    table = table_of([field("value", column)], [column]).combine_chunks()  # equal content, equal text
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return base64.b64encode(sink.getvalue()).decode()


def unpack_array(text: str) -> Column:
    """Read back what `pack_array` wrote."""
    table = pa.ipc.open_stream(base64.b64decode(text)).read_all()
    return Column(array=table.column(0).combine_chunks(), meta=meta_of(table.schema.field(0)))


def pack_type(kind: pa.DataType) -> str:
    """Write an Arrow type as text."""
    return base64.b64encode(pa.schema([pa.field("value", kind)]).serialize()).decode()


def unpack_type(text: str) -> pa.DataType:
    """Read back what `pack_type` wrote."""
    return pa.ipc.read_schema(pa.py_buffer(base64.b64decode(text))).field(0).type
