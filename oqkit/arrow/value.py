"""What functions return ↔ an Arrow table of one row a value."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from oqkit.arrow import column, inference, moment, storable, tagged_json
from oqkit.arrow.equality import is_same
from oqkit.arrow.metadata import (
    NATURAL,
    RESERVED,
    Column,
    ColumnMeta,
    Encoding,
    field,
    label_of,
    meta_of,
    table_of,
)
from oqkit.errors import SchemaError

#: Schema metadata: `COLUMNS` if each value is a row of named fields, `SCALAR` if it is one thing.
KIND: Final = b"oq.kind"
COLUMNS: Final = b"columns"
SCALAR: Final = b"scalar"
#: The column of a table of kind `SCALAR`.
VALUE: Final = "value"

#: Rows with more distinct fields together stay dicts: as columns they would be mostly nulls.
_MAX_FIELDS: Final = 5_000

_NOTHING: Final = frozenset({type(None), type(pd.NA), type(pd.NaT)})
_NO_NUMBERS: Final = frozenset({np.longdouble, np.timedelta64})  # an np.timedelta64 is an np.integer
_BOOLS: Final = frozenset({bool, np.bool_})


# --- Python values to Arrow ----------------------------------------------------------------------


def encode_values(values: Sequence[object]) -> tuple[pa.Table, dict[int, str]]:
    """Store what a row function returned: a table of one row a value, and why some could not be stored.

    Dicts, dataclasses, named tuples and pydantic models (None between them is a row of nulls) give a
    column for each field, in order of first appearance; anything else gives the one column ``value``.
    Ints and floats together become floats, other mixtures keep their values as JSON text. NaN stays
    NaN; None, NA and NaT become null. The dict maps positions to messages; those rows are null. Whatever the
    values are, this raises nothing: reading them runs the code of their types.
    """
    try:
        return _encode_all(values)
    except BaseException:  # noqa: BLE001 - the user's code: of which value it was, is found out
        return _encode_each(values)


def _encode_each(values: Sequence[object]) -> tuple[pa.Table, dict[int, str]]:
    """Do as `encode_values`, leaving out what cannot even be looked at."""
    problems: dict[int, str] = {}
    for position, value in enumerate(values):
        try:
            _encode_all([value])
        except BaseException as error:  # noqa: BLE001 - as above
            problems[position] = unreadable(value, error)
    try:
        stored, bad = _encode_all([None if position in problems else one for position, one in enumerate(values)])
    except BaseException as error:  # noqa: BLE001 - each for itself, but not all together
        problems = {position: unreadable(value, error) for position, value in enumerate(values)}
        return scalar_table(Column(array=pa.nulls(len(values)))), problems
    return stored, {**bad, **problems}


def unreadable(value: object, error: BaseException) -> str:
    """Say that a value could not even be looked at."""
    return f"{tagged_json.show(value)} cannot be stored: reading it raised {type(error).__name__}: {tagged_json.show(error)}"


def _encode_all(values: Sequence[object]) -> tuple[pa.Table, dict[int, str]]:
    kinds = set(map(type, values))
    rows = _as_rows(values, kinds)
    if rows is None:
        stored, problems = _encode(values, kinds)
        return scalar_table(stored), problems
    names = _field_names(rows)
    columns: list[Column] = []
    problems = {}
    for name in names:
        stored, bad = _encode_field(name, rows)
        columns.append(stored)
        problems.update({position: f"field {name!r}: {message}" for position, message in bad.items()})
    if problems:
        kept = [None if position in problems else row for position, row in enumerate(rows)]
        columns = [_encode_field(name, kept)[0] for name in names]
    return column_table(dict(zip(names, columns, strict=True))), problems


def scalar_table(stored: Column) -> pa.Table:
    """Return a table of kind `SCALAR`."""
    return table_of([field(VALUE, stored)], [stored], {KIND: SCALAR})


def column_table(columns: Mapping[str, Column]) -> pa.Table:
    """Return a table of kind `COLUMNS`."""
    fields = [field(name, stored) for name, stored in columns.items()]
    return table_of(fields, list(columns.values()), {KIND: COLUMNS})


def _as_rows(values: Sequence[object], kinds: set[type]) -> list[dict[str, object] | None] | None:
    """Return the values as dicts that can be rows of named columns, or None if they are something else."""
    readers = {kind: _row_reader(kind) for kind in kinds - _NOTHING}
    if not readers or not all(readers.values()):
        return None
    if readers.keys() == {dict}:
        rows = [value if type(value) is dict else None for value in values]
    else:
        rows = [None if type(value) in _NOTHING else readers[type(value)](value) for value in values]  # type: ignore[misc]
    names = _field_names(rows)
    return rows if 0 < len(names) <= _MAX_FIELDS and all(map(_is_field, names)) else None


def _is_field(name: object) -> bool:
    return type(name) is str and not name.startswith(RESERVED) and inference.is_utf8(name)


def _field_names(rows: Iterable[dict[str, object] | None]) -> list[str]:
    keys = dict.fromkeys(tuple(row) for row in rows if row is not None)
    return list(dict.fromkeys(name for names in keys for name in names))


def _row_reader(kind: type) -> Callable[[Any], dict[str, Any]] | None:
    """Return how to read the fields of this type of value, or None if it has none."""
    if issubclass(kind, pa.MapScalar):  # whose keys may occur twice
        return None
    if issubclass(kind, Mapping):
        return dict
    if dataclasses.is_dataclass(kind):
        names = [it.name for it in dataclasses.fields(kind)]
        return lambda value: {name: getattr(value, name) for name in names}
    if issubclass(kind, tuple) and hasattr(kind, "_fields"):
        return lambda value: value._asdict()
    if hasattr(kind, "model_dump"):
        return lambda value: value.model_dump()
    return None


def _encode_field(name: str, rows: Sequence[dict[str, object] | None]) -> tuple[Column, dict[int, str]]:
    values = [None if row is None else row.get(name) for row in rows]
    return _encode(values, set(map(type, values)))


def _encode(values: Sequence[object], kinds: set[type]) -> tuple[Column, dict[int, str]]:
    """Store one column of values of these types; the dict says which could not be stored, and why. These are null."""
    if kinds - {type(None)} and kinds & _NOTHING - {type(None)}:
        values = [None if type(value) in _NOTHING else value for value in values]
    stored = _encode_typed(values, kinds - _NOTHING)
    if stored is not None:
        return stored, {}
    endless = _endless(values)
    values = [None if position in endless else plain(value) for position, value in enumerate(values)]
    stored = _encode_typed(values, set(map(type, values)) - _NOTHING)
    if stored is not None:
        return stored, endless
    stored, problems = _encode_json(values)
    return stored, {**problems, **endless}


def _endless(values: Sequence[object]) -> dict[int, str]:
    problems: dict[int, str] = {}
    for position, value in enumerate(values):
        try:
            tagged_json.check_size(value)
        except SchemaError as error:
            problems[position] = str(error)
    return problems


def _encode_typed(values: Sequence[Any], kinds: set[type]) -> Column | None:
    """Store values that one Arrow type can hold without changing what they mean; None if there is none."""
    if not kinds:
        return Column(array=pa.nulls(len(values)))
    try:
        for covers, encode in _RULES:
            if all(covers(kind) for kind in kinds):
                return encode(list(values), kinds)
    except inference.REFUSED:  # a number too large, zones that differ, a lone surrogate
        return None
    if kinds == {tuple}:
        array = inference.from_python([None if value is None else list(value) for value in values])
        return None if array is None else Column(array=array, meta=ColumnMeta(encoding=Encoding.TUPLE))
    array = inference.from_python(values)
    return None if array is None else Column(array=array, meta=NATURAL)


def _numbers(values: list[object], kinds: set[type]) -> Column:
    if len(kinds) == 1 and (kind := next(iter(kinds))) not in {int, float}:
        return Column(array=pa.array(values, pa.from_numpy_dtype(kind)))  # float32 stays float32
    is_float = any(issubclass(kind, float | np.floating) for kind in kinds)
    array = pa.array(values, pa.float64() if is_float else pa.int64(), from_pandas=False)
    if is_float and kinds - {int, float} and not all(map(_is_equal_number, array.to_pylist(), values)):
        msg = "an integer that no float can hold"
        raise ValueError(msg)
    return Column(array=array)


def _is_equal_number(mine: float | None, yours: object) -> bool:
    if mine is None or yours is None:
        return mine is yours
    number = yours.item() if isinstance(yours, np.generic) else yours
    return mine == number or (mine != mine and number != number)  # noqa: PLR0124


def _bools(values: list[object], _: set[type]) -> Column:
    return Column(array=pa.array(values, pa.bool_()))


def _datetimes(values: list[object], kinds: set[type]) -> Column:
    """Store in microseconds, in nanoseconds if one value has that unit; all have one zone or none."""
    if kinds == {dt.datetime}:
        return _natural(inference.from_python(values))
    return moment.timestamps(values)


def _timedeltas(values: list[object], kinds: set[type]) -> Column:
    if kinds == {dt.timedelta}:
        return _natural(inference.from_python(values))
    return Column(array=moment.durations(values))


def _natural(array: pa.Array | None) -> Column:
    if array is None:
        msg = "values that no Arrow type gives back"
        raise ValueError(msg)
    return Column(array=array)


def _arrow_scalars(values: list[Any], _: set[type]) -> Column:
    kinds = {value.type for value in values if value is not None}
    if len(kinds) > 1:
        msg = "Arrow scalars of different types"
        raise ValueError(msg)
    kind = kinds.pop()
    array = pa.array([None if value is None else value.as_py() for value in values], kind)
    storable.check_writable(kind)
    if not all(map(is_same, inference.to_python(array), [None if it is None else it.as_py() for it in values])):
        msg = "Arrow scalars that no array gives back"
        raise ValueError(msg)
    return column.encode_arrow(pa.chunked_array([array]))


def _ndarrays(values: list[object], _: set[type]) -> Column:
    stored = column.encode_ndarrays(values)
    if stored is None:
        msg = "arrays of different types or shapes"
        raise ValueError(msg)
    return stored


def _is_number(kind: type) -> bool:
    return kind is int or kind is float or (issubclass(kind, np.integer | np.floating) and kind not in _NO_NUMBERS)


#: Which types a rule covers, all together, and how it stores them. The first that covers all is taken.
_RULES: Final[list[tuple[Callable[[type], bool], Callable[[list[Any], set[type]], Column]]]] = [
    (_is_number, _numbers),
    (_BOOLS.__contains__, _bools),
    (frozenset({dt.datetime, pd.Timestamp, np.datetime64}).__contains__, _datetimes),
    (frozenset({dt.timedelta, pd.Timedelta, np.timedelta64}).__contains__, _timedeltas),
    (lambda kind: issubclass(kind, pa.Scalar), _arrow_scalars),
    (lambda kind: kind is np.ndarray, _ndarrays),
]


def plain(value: Any, *, level: int = 0) -> object:
    """Return a value with the numpy scalars, dataclasses, named tuples and models in it made Python's own."""
    kind = type(value)
    if kind in {int, float, str, bool, type(None)} or level > tagged_json.MAX_LEVELS:
        return value
    if kind is list or kind is tuple:
        return kind(plain(item, level=level + 1) for item in value)
    if isinstance(value, np.number | np.bool_ | np.str_) and kind not in _NO_NUMBERS:
        return value.item()
    if isinstance(value, pa.Scalar):
        return value.as_py()
    reader = _row_reader(kind)
    return value if reader is None else {key: plain(item, level=level + 1) for key, item in reader(value).items()}


def _encode_json(values: list[object]) -> tuple[Column, dict[int, str]]:
    texts: list[str | None] = []
    problems: dict[int, str] = {}
    for position, value in enumerate(values):
        try:
            texts.append(None if value is None else tagged_json.dumps(value))
        except SchemaError as error:
            texts.append(None)
            problems[position] = str(error)
    if problems:  # the others may have one type
        kept = [None if position in problems else value for position, value in enumerate(values)]
        return _encode(kept, set(map(type, kept)))[0], problems
    return Column(array=pa.array(texts, pa.large_string()), meta=ColumnMeta(encoding=Encoding.JSON)), {}


# --- Arrow to Python values ----------------------------------------------------------------------


def decode_values(table: pa.Table) -> list[Any]:
    """Return the values of the rows as Python objects: a dict each for kind `COLUMNS`. Null is None."""
    lists = [
        values_of(array.combine_chunks(), meta_of(stored))
        for array, stored in zip(table.columns, table.schema, strict=True)
    ]
    if is_scalar(table.schema):
        return lists[0]
    labels = [label_of(stored) for stored in table.schema]
    return [dict(zip(labels, row, strict=True)) for row in zip(*lists, strict=True)]


def is_scalar(schema: pa.Schema) -> bool:
    """Say whether a value table has the kind `SCALAR`."""
    return bool((schema.metadata or {}).get(KIND) == SCALAR)


def is_json(table: pa.Table) -> bool:
    """Whether `encode_values` makes the very same table of the JSON of its values, as the types and nulls in it tell.

    JSON has null, bool, int, finite float, text, and lists and dicts of them.
    """
    return not table.num_rows or all(
        _is_json(stored.combine_chunks(), one)
        and (is_scalar(table.schema) or (one.name == label_of(one) and _is_field(one.name)))
        for one, stored in zip(table.schema, table.columns, strict=True)
    )


def _is_json(array: pa.Array, stored: pa.Field) -> bool:
    meta = meta_of(stored)
    if meta.encoding is Encoding.JSON:
        values = column.to_objects(array, meta)
        again = _encode(values, set(map(type, values)))[0]
        return again.meta == meta and all(map(tagged_json.is_plain, values))
    return meta == NATURAL and _is_json_array(array)


def _is_json_array(array: pa.Array) -> bool:
    """Whether JSON gives back an array with its type: something in it has to show of which type it is."""
    kind = array.type
    if pa.types.is_null(kind):
        return True
    if array.null_count == len(array):
        return False
    if pa.types.is_large_list(kind):
        return _is_json_array(array.flatten())
    if pa.types.is_struct(kind):
        return all(_is_json_array(child) for child in array.flatten())
    if kind == pa.float64():
        return bool(pc.all(pc.is_finite(array)).as_py())
    return kind in _JSON_TYPES


_JSON_TYPES: Final = frozenset({pa.bool_(), pa.int64(), pa.large_string()})


def values_of(array: pa.Array, meta: ColumnMeta) -> list[object]:
    """Return one stored column as Python values."""
    if meta.encoding in column.OBJECTS:
        return column.to_objects(array, meta)
    if meta.zone is not None:
        return inference.with_none(inference.zoned(array, meta.zone))
    return inference.to_python(array)
