"""One pandas array ↔ one Arrow column with its sidecar, dtype and missing values included."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Final, assert_never

import numpy as np
import pandas as pd
import pyarrow as pa

from oqkit.arrow import inference, storable, tagged_json
from oqkit.arrow.metadata import (
    NATURAL,
    Column,
    ColumnMeta,
    Encoding,
    Unstorable,
    pack_array,
    pack_type,
    unpack_array,
    unpack_type,
)
from oqkit.arrow.zone import arrow_zone, from_zone, library_of, zone_of
from oqkit.errors import SchemaError

_MISSING: Final[dict[str, Any]] = {"None": None, "nan": np.nan, "NA": pd.NA, "NaT": pd.NaT}
_MISSING_TYPES: Final = {type(None): "None", type(pd.NA): "NA", type(pd.NaT): "NaT"}
_STR: Final[Any] = pd.StringDtype("pyarrow", na_value=np.nan)


# --- pandas to Arrow -----------------------------------------------------------------------------


def encode(values: Any, problems: dict[int, str] | None = None) -> Column:
    """Store the values of a Series or Index, or raise `Unstorable`.

    `decode` gives back an array with the same dtype and equal values; NaN in a float column stays NaN. With
    `problems`, objects that cannot be stored are noted there, by row, and stored as null.
    """
    dtype = values.dtype
    if isinstance(dtype, np.dtype):
        return _encode_numpy(values.to_numpy(), problems)
    values = values.array
    if isinstance(dtype, pd.CategoricalDtype):
        return _encode_category(values)
    if isinstance(dtype, pd.ArrowDtype):
        return encode_arrow(values.__arrow_array__(), encoding=Encoding.ARROW)
    if isinstance(dtype, pd.StringDtype):
        missing = "nan" if dtype.na_value is not pd.NA else "NA"
        meta = ColumnMeta(encoding=Encoding.EXTENSION, dtype="string", storage=dtype.storage, missing=missing)
        return Column(array=pa.array(values), meta=NATURAL if dtype == _STR else meta)
    if isinstance(dtype, pd.DatetimeTZDtype):
        return _encode_zoned(values)
    if _is_restorable(dtype):
        return Column(array=pa.array(values), meta=ColumnMeta(encoding=Encoding.EXTENSION, dtype=str(dtype)))
    raise Unstorable(None, f"dtype {dtype} cannot be stored; {_advice(dtype)}")


def _advice(dtype: object) -> str:
    if isinstance(dtype, pd.SparseDtype):
        return "make it dense first: df[column].sparse.to_dense()"
    return "convert it with astype(…), or leave it out with columns=[…]"


def _is_restorable(dtype: object) -> bool:
    try:
        return hasattr(dtype, "__from_arrow__") and pd.api.types.pandas_dtype(str(dtype)) == dtype
    except TypeError:
        return False


def _encode_numpy(values: np.ndarray, problems: dict[int, str] | None) -> Column:
    kind = values.dtype.kind
    if kind == "O":
        return encode_objects(values.tolist(), problems)
    if kind == "c":
        raise Unstorable(0, "complex numbers cannot be stored; split them into two columns with .real and .imag")
    native = values.astype(values.dtype.newbyteorder("="), copy=False)
    # Parquet has no unit of seconds and brings milliseconds back, of which there are not enough for all.
    is_seconds = kind in "mM" and np.datetime_data(values.dtype)[0] == "s"
    if is_seconds and storable.is_far(native.view("i8")):
        return Column(
            array=pa.array(native.view("i8")), meta=ColumnMeta(encoding=Encoding.NUMPY, dtype=values.dtype.str)
        )
    try:
        array = pa.array(native, from_pandas=False)
    except inference.REFUSED as error:
        raise Unstorable(None, f"dtype {values.dtype} cannot be stored ({error}); convert it with astype(…)") from None
    is_natural = values.dtype.isnative and not is_seconds
    return Column(
        array=array, meta=NATURAL if is_natural else ColumnMeta(encoding=Encoding.NUMPY, dtype=values.dtype.str)
    )


def _encode_zoned(values: Any) -> Column:
    zone = zone_of(values.tz)
    name = arrow_zone(zone)
    ticks = values.asi8
    if name is None:
        raise Unstorable(
            None, f"dtype {values.dtype} cannot be stored, as its zone has no name; use .dt.tz_convert('UTC')"
        )
    if values.unit == "s" and storable.is_far(ticks):
        raise Unstorable(None, f"dtype {values.dtype} cannot be stored for so distant times; use .dt.tz_localize(None)")
    array = pa.array(ticks, mask=ticks == storable.NAT).cast(pa.timestamp(values.unit, name))
    text = f"datetime64[{values.unit}, {zone if isinstance(zone, str) else from_zone(zone)}]"
    return Column(array=array, meta=ColumnMeta(encoding=Encoding.EXTENSION, dtype=text, zone=library_of(values.tz)))


def _encode_category(values: pd.Categorical) -> Column:
    categories = encode(values.categories)
    kept = to_index(categories.array, categories.meta, name=values.categories.name)
    if not (kept.dtype == values.categories.dtype and kept.equals(values.categories)):
        raise Unstorable(
            None, f"categories of dtype {values.categories.dtype} cannot be stored; convert the column to its values"
        )
    codes = pa.array(values.codes, mask=values.codes < 0)
    meta = ColumnMeta(encoding=Encoding.CATEGORY, categories=pack_array(categories), ordered=bool(values.ordered))
    return Column(array=categories.array.take(codes), meta=meta)


def encode_arrow(array: pa.ChunkedArray, *, encoding: Encoding = Encoding.NATURAL) -> Column:
    """Keep an Arrow array as it is, and note its type if Parquet would bring back another one.

    Raise `Unstorable` for times that Parquet has no number for.
    """
    kind = array.type
    text = str(kind)
    is_coarse = "[s" in text or "time32[s]" in text or "date64" in text
    if is_coarse and not storable.fits(array):
        raise Unstorable(None, f"{kind} cannot be stored for so distant times; cast it to int64")
    is_view = pa.types.is_string_view(kind) or pa.types.is_binary_view(kind)
    if is_view:  # Arrow cannot take rows of those
        array = array.cast(pa.large_string() if pa.types.is_string_view(kind) else pa.large_binary())
    is_changed = is_coarse or is_view or pa.types.is_dictionary(kind)
    if pa.types.is_fixed_size_list(kind) and array.null_count:  # PyArrow 25 writes such to Parquet, and cannot read it
        array, is_changed = array.cast(pa.list_(kind.value_field)), True
    return Column(array=array, meta=ColumnMeta(encoding=encoding, arrow=pack_type(kind) if is_changed else None))


def encode_objects(values: list[object], problems: dict[int, str] | None = None) -> Column:
    """Store Python objects so that equal ones come back, typed if one Arrow type can, else as JSON text.

    With `problems`, those that cannot be stored are noted there, by row, and stored as null.
    """
    kinds = set(map(type, values))
    missing = _missing_kind(values, kinds)
    if missing is not None:
        typed = _encode_typed(values, kinds, missing)
        if typed is not None:
            return typed
    if problems is None:
        return encode_json(values)
    bad = {row: reason for row, value in enumerate(values) if (reason := _refusal(value)) is not None}
    problems.update(bad)
    return (
        encode_objects([None if row in bad else value for row, value in enumerate(values)])
        if bad
        else encode_json(values)
    )


def _refusal(value: object) -> str | None:
    try:
        encode_json([value])
    except Unstorable as error:
        return error.reason
    return None


def _missing_kind(values: list[object], kinds: set[type]) -> str | None:
    """Name the one thing that stands for "missing" in `values`; None if several do."""
    found = {_MISSING_TYPES[kind] for kind in kinds if kind in _MISSING_TYPES}
    rest = kinds - set(_MISSING_TYPES) - {float}
    if rest and float in kinds and all(value != value for value in values if type(value) is float):  # noqa: PLR0124
        found.add("nan")
    return None if len(found) > 1 else (found or {"None"}).pop()


def _encode_typed(values: list[Any], kinds: set[type], missing: str) -> Column | None:
    if missing == "nan":
        values = [None if type(value) is float else value for value in values]
        kinds = kinds - {float}
    elif missing != "None":
        values = [None if type(value) in _MISSING_TYPES else value for value in values]
    kinds = kinds - set(_MISSING_TYPES)
    if kinds == {np.ndarray}:
        return encode_ndarrays(values, missing=missing)
    encoding = Encoding.OBJECT
    if kinds == {tuple}:
        encoding = Encoding.TUPLE
        values = [None if value is None else list(value) for value in values]
    array = inference.from_python(values)
    return (
        None
        if array is None
        else Column(array=array, meta=ColumnMeta(encoding=encoding, missing=_unless_none(missing)))
    )


def _unless_none(missing: str) -> str | None:
    return None if missing == "None" else missing


def encode_ndarrays(values: list[Any], *, missing: str = "None") -> Column | None:
    """Store arrays of one numpy dtype, each row a list; None if they differ in a way that a list cannot hold.

    All 1-d, of any length, or all of one shape. Null rows are allowed.
    """
    present = [value for value in values if value is not None]
    dtype, shape = present[0].dtype, present[0].shape
    is_even = all(value.shape == shape for value in present)
    is_flat = all(value.ndim == 1 for value in present)
    if dtype.kind not in "biufmMU" or any(value.dtype != dtype for value in present) or not (is_even or is_flat):
        return None
    bounds = np.cumsum([0, *(0 if value is None else value.size for value in values)])
    try:
        joined = np.concatenate([value.ravel() for value in present])
        flat = pa.array(joined.view("i8") if dtype.kind in "mM" else joined, from_pandas=False)
    except inference.REFUSED:
        return None
    mask = pa.array(np.fromiter((value is None for value in values), "bool", len(values)))
    array = pa.LargeListArray.from_arrays(pa.array(bounds, pa.int64()), flat, mask=mask)
    meta = ColumnMeta(
        encoding=Encoding.NDARRAY,
        dtype=dtype.str,
        shape=None if is_flat else shape,
        missing=_unless_none(missing),
    )
    return Column(array=array, meta=meta)


def encode_json(values: list[object]) -> Column:
    """Store each value as JSON text, None as null, or raise `Unstorable` for the first that has no JSON encoding."""
    texts: list[str | None] = []
    for row, value in enumerate(values):
        try:
            texts.append(None if value is None else tagged_json.dumps(value))
        except SchemaError as error:
            raise Unstorable(row, str(error)) from None
    return Column(array=pa.array(texts, pa.large_string()), meta=ColumnMeta(encoding=Encoding.JSON))


# --- Arrow to pandas -----------------------------------------------------------------------------


def decode(array: pa.Array, meta: ColumnMeta) -> Any:
    """Return the numpy or pandas array that `encode` was given, or the same slice of it."""
    match meta.encoding:
        case Encoding.NATURAL:
            return _decode_natural(array, meta.zone)
        case Encoding.NUMPY:
            return _decode_numpy(array, np.dtype(meta.dtype))
        case Encoding.EXTENSION:
            return _extension(meta).__from_arrow__(array)
        case Encoding.ARROW:
            return pd.arrays.ArrowExtensionArray(restore(pa.chunked_array([array]), meta))
        case Encoding.CATEGORY:
            return _decode_category(array, meta)
        case Encoding.OBJECT | Encoding.TUPLE | Encoding.NDARRAY | Encoding.JSON:
            return inference.objects(to_objects(array, meta), len(array))


def _decode_numpy(array: pa.Array, dtype: np.dtype) -> object:
    natural = _decode_natural(array)
    if not isinstance(natural.dtype, np.dtype):  # an int or bool with nulls has become Int64 or boolean
        return natural
    values = natural.astype(dtype)
    return pd.Series(values).array if dtype.kind in "mM" else values


def restore(array: pa.ChunkedArray, meta: ColumnMeta) -> pa.ChunkedArray:
    """Give an Arrow array the type that Parquet could not keep."""
    if meta.arrow is None:
        return array
    kind = unpack_type(meta.arrow)
    if pa.types.is_dictionary(kind) and not pa.types.is_dictionary(array.type):
        array = array.cast(kind.value_type).dictionary_encode()
    return array.cast(kind)


def _extension(meta: ColumnMeta) -> Any:
    if meta.storage is not None:
        return pd.StringDtype(meta.storage, na_value=_MISSING[meta.missing or "None"])
    dtype: Any = pd.api.types.pandas_dtype(meta.dtype)
    if isinstance(dtype, pd.DatetimeTZDtype):
        return pd.DatetimeTZDtype(dtype.unit, from_zone(zone_of(dtype.tz), meta.zone))
    return dtype


def _decode_natural(array: pa.Array, library: str | None = None) -> Any:
    """Return what pandas users expect of the Arrow type; ints and bools with nulls become Int64 and boolean."""
    kind = array.type
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        if not array.null_count:
            return array.to_numpy(zero_copy_only=False)
        name = "boolean" if pa.types.is_boolean(kind) else str(kind).replace("uint", "UInt").replace("int", "Int")
        return _extension(ColumnMeta(encoding=Encoding.EXTENSION, dtype=name)).__from_arrow__(array)
    if pa.types.is_floating(kind):
        return array.to_numpy(zero_copy_only=False)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return _STR.__from_arrow__(array)
    if pa.types.is_timestamp(kind) or pa.types.is_duration(kind) or pa.types.is_dictionary(kind):
        is_zoned = pa.types.is_timestamp(kind) and kind.tz is not None
        return inference.zoned(array, library) if is_zoned else array.to_pandas().array
    return inference.objects(inference.to_python(array), len(array))


def _decode_category(array: pa.Array, meta: ColumnMeta) -> object:
    stored = unpack_array(meta.categories or "")
    categories = pd.Index(decode(stored.array, stored.meta), dtype=_index_dtype(stored.meta))
    dtype = pd.CategoricalDtype(categories, ordered=meta.ordered)
    if array.null_count == len(array):
        return pd.Categorical.from_codes(np.full(len(array), -1), dtype=dtype)
    try:  # a few distinct values are looked up once each
        coded = array.dictionary_encode()
        labels, places_of = coded.dictionary, coded.indices
    except pa.ArrowNotImplementedError:
        labels, present = array.drop_null(), np.flatnonzero(array.is_valid().to_numpy(zero_copy_only=False))
        positions = np.full(len(array), -1)
        positions[present] = np.arange(len(present))
        places_of = pa.array(positions, mask=positions < 0)
    places = categories.get_indexer(decode(labels, stored.meta))
    codes = np.append(places, -1)[places_of.fill_null(len(places)).to_numpy()]
    return pd.Categorical.from_codes(codes, dtype=dtype)


def _index_dtype(meta: ColumnMeta) -> type[object] | None:
    return object if meta.encoding in OBJECTS else None


#: The encodings that give object columns.
OBJECTS: Final = frozenset({Encoding.OBJECT, Encoding.TUPLE, Encoding.NDARRAY, Encoding.JSON})


def to_index(array: pa.Array, meta: ColumnMeta, *, name: object) -> pd.Index:
    """Return a decoded column as a pandas Index."""
    index: pd.Index = pd.Index(decode(array, meta), name=name, dtype=_index_dtype(meta))
    return index


def to_objects(array: pa.Array, meta: ColumnMeta) -> list[object]:
    """Return the values of a column as Python objects, whatever its encoding."""
    match meta.encoding:
        case Encoding.NDARRAY:
            values = _ndarrays(array, meta)
        case Encoding.JSON:
            values = [None if text is None else tagged_json.loads(text) for text in array.to_pylist()]
        case Encoding.TUPLE:
            values = [None if value is None else tuple(value) for value in inference.to_python(array)]
        case (
            Encoding.NATURAL
            | Encoding.NUMPY
            | Encoding.EXTENSION
            | Encoding.ARROW
            | Encoding.CATEGORY
            | Encoding.OBJECT
        ):
            values = inference.to_python(array)
        case _:
            assert_never(meta.encoding)
    if meta.missing is None or not array.null_count:
        return values
    missing = _MISSING[meta.missing]
    return [missing if value is None else value for value in values]


def _ndarrays(array: pa.Array, meta: ColumnMeta) -> list[object]:
    flat = array.flatten().to_numpy(zero_copy_only=False).astype(np.dtype(meta.dtype))  # a copy: users may write
    shape = (-1,) if meta.shape is None else meta.shape
    bounds = pairwise(inference.list_bounds(array).tolist())
    is_valid = array.is_valid().to_pylist()
    return [
        flat[start:stop].reshape(shape) if valid else None
        for valid, (start, stop) in zip(is_valid, bounds, strict=True)
    ]


def to_list(array: pa.Array, meta: ColumnMeta) -> list[object]:
    """Return a column as the Python values that ``df.itertuples()`` would show."""
    if meta.encoding in OBJECTS:
        return to_objects(array, meta)
    values: list[Any] = decode(array, meta).tolist()
    return values
