"""Frames and their schemas: pandera and Arrow look at whole columns, JSON Schema and pydantic at each row, as a dict.

What is checked is never changed: where a schema would convert a value, that is thrown away.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, assert_never

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types

from oqkit.errors import SchemaError
from oqkit.task.schema import SchemaKind, joined, kind_of, value_check


@dataclass(frozen=True, slots=True)
class Misfit:
    """What is wrong with a frame: with all of it, and with single rows, by position."""

    whole: list[str] = field(default_factory=list)
    rows: dict[int, list[str]] = field(default_factory=dict)

    def at(self, row: int, problem: str) -> None:
        """Note a problem of one row."""
        self.rows.setdefault(row, []).append(problem)


def misfit_of(part: Any, frame: Any) -> Misfit:
    """Say all that is wrong with a frame, or with a series, an array or a list of values."""
    found = Misfit()
    match kind_of(part):
        case SchemaKind.JSON | SchemaKind.PYDANTIC:
            check = value_check(part)
            for row, value in enumerate(_rows(frame)):
                if problems := check(value):
                    found.rows[row] = list(problems)
        case SchemaKind.PANDERA:
            _look_with_pandera(part, frame, found)
        case SchemaKind.ARROW:
            _compare(part, _columns(frame), found)
        case never:
            assert_never(never)
    return found


def fitting(part: Any, result: Any, n_rows: int) -> tuple[Mapping[int, str], Any]:
    """Return why rows of what a batch function returned do not fit, by position, and the result without those.

    Raise `SchemaError` if it is the whole that does not. What has another number of rows than `n_rows` comes back as it is.
    """
    if _length(result) != n_rows:
        return {}, result
    found = misfit_of(part, result)
    if found.whole:
        raise SchemaError(f"what it returned does not fit its schema: {joined(found.whole)}")
    if not found.rows:
        return {}, result
    kept = [row for row in range(n_rows) if row not in found.rows]
    return {
        row: f"what it returned does not fit its schema: {joined(each)}" for row, each in found.rows.items()
    }, _taken(result, kept)


# --- rows ----------------------------------------------------------------------------------------


def _rows(frame: Any) -> Iterable[object]:
    columns = _columns(frame)
    if columns is None:
        return list(_values(frame))
    return (dict(zip(columns, row, strict=True)) for row in zip(*map(_values, columns.values()), strict=True))


def _columns(frame: Any) -> dict[str, Any] | None:
    """Return the columns of a frame by name; None for what has none."""
    if isinstance(frame, Mapping):
        return dict(frame)
    if isinstance(frame, pd.DataFrame):
        return {str(name): frame.iloc[:, place] for place, name in enumerate(frame.columns)}
    if not hasattr(frame, "columns"):
        return None
    if not isinstance(frame, pa.Table | pa.RecordBatch):
        frame = frame.to_arrow() if hasattr(frame, "to_arrow") else pa.table(frame)
    return dict(zip(frame.column_names, frame.columns, strict=True))


def _values(column: Any) -> Sequence[object]:
    for name in ("to_pylist", "tolist", "to_list"):
        if hasattr(column, name):
            return list(getattr(column, name)())
    return list(column)


def _length(result: Any) -> int:
    if isinstance(result, Mapping):
        return max(map(_length, result.values()), default=0)
    return len(result) if hasattr(result, "__len__") else -1


def _taken(result: Any, kept: Sequence[int]) -> Any:
    """Return some rows of whatever a batch function may return."""
    if isinstance(result, Mapping):
        return {name: _taken(values, kept) for name, values in result.items()}
    if isinstance(result, pd.DataFrame | pd.Series):
        return result.iloc[list(kept)]
    if isinstance(result, list | tuple):
        return [result[row] for row in kept]
    if isinstance(result, pa.Table | pa.RecordBatch | pa.Array | pa.ChunkedArray):
        return result.take(pa.array(kept, pa.int64()))
    return result[list(kept)]


# --- pandera -------------------------------------------------------------------------------------


def _look_with_pandera(part: Any, frame: Any, found: Misfit) -> None:
    if isinstance(frame, Mapping):
        frame = pd.DataFrame(frame)
    try:
        part.validate(frame, lazy=True)
    except Exception as error:  # noqa: BLE001 - checks of such a schema are the user's own code
        cases = getattr(error, "failure_cases", None)
        if cases is None:
            found.whole.append(f"{type(error).__name__}: {error!s:.400}")
            return
        for case in cases.to_dicts() if hasattr(cases, "to_dicts") else cases.to_dict("records"):
            row = _position(frame, case.get("index"))
            text = _told(case, is_of_row=row is not None)
            found.whole.append(text) if row is None else found.at(row, text)


def _position(frame: Any, label: Any) -> int | None:
    """Return which row a label is of; None if that cannot be told, or the failure is of no row."""
    if label is None or label != label:  # noqa: PLR0124 - NaN
        return None
    if not isinstance(frame, pd.DataFrame | pd.Series):
        return int(label)
    if not frame.index.is_unique or label not in frame.index:
        return None
    return int(frame.index.get_indexer(pd.Index([label]))[0])


def _told(case: Mapping[str, Any], *, is_of_row: bool) -> str:
    where = f"column {case['column']!r}: " if isinstance(case.get("column"), str) else ""
    what = f"{case.get('failure_case')!r:.80}" if is_of_row else f"{case.get('failure_case')!s:.80}"
    return f"{where}{what} does not pass (rule {str(case.get('check'))[:120]!r})"


# --- Arrow ---------------------------------------------------------------------------------------


def _compare(schema: pa.Schema, columns: dict[str, Any] | None, found: Misfit) -> None:
    if columns is None:
        found.whole.append("it has no columns, which the schema describes (rule 'columns')")
        return
    for one in schema:
        where = f"column {one.name!r}: "
        if one.name not in columns:
            found.whole.append(f"{where}there is none; the columns are {', '.join(columns):.200} (rule 'columns')")
            continue
        try:
            column = _array(columns[one.name])
        except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
            found.whole.append(f"{where}its values are of no one type: {error!s:.200} (rule 'type')")
            continue
        _compare_type(one, column, where, found)
        if not one.nullable and column.null_count:
            for row in _places(pc.is_null(column)):
                found.at(row, f"{where}it is null (rule 'not null')")


def _array(column: Any) -> pa.ChunkedArray:
    if not isinstance(column, pa.ChunkedArray):
        made = column if isinstance(column, pa.Array) else pa.array(column, from_pandas=True)
        column = made if isinstance(made, pa.ChunkedArray) else pa.chunked_array([made])
    return column.cast(column.type.value_type) if types.is_dictionary(column.type) else column


def _compare_type(wanted: pa.Field, column: pa.ChunkedArray, where: str, found: Misfit) -> None:
    kind = wanted.type.value_type if types.is_dictionary(wanted.type) else wanted.type
    if column.type.equals(kind) or types.is_null(column.type):
        return
    if not _is_alike(column.type, kind):
        found.whole.append(f"{where}it is of type {column.type}, not {wanted.type} (rule 'type')")
        return
    try:
        column.cast(kind)
    except pa.ArrowException as error:
        rows = _changed_by(column, kind)
        for row in rows:
            found.at(row, f"{where}{column[row].as_py()!r:.80} is no {wanted.type} (rule 'type')")
        if not rows:
            found.whole.append(f"{where}{error!s:.200} (rule 'type')")


def _is_alike(found: pa.DataType, wanted: pa.DataType) -> bool:
    """Whether values of one type can be those of the other, if they are not too large for it."""
    if types.is_timestamp(found) and types.is_timestamp(wanted):
        return bool((found.tz is None) == (wanted.tz is None))
    if types.is_integer(found) and types.is_floating(wanted):
        return True
    return found.id == wanted.id or any(is_such(found) and is_such(wanted) for is_such in _FAMILIES)


def _is_text(kind: pa.DataType) -> bool:
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind))


def _is_list(kind: pa.DataType) -> bool:
    return bool(types.is_list(kind) or types.is_large_list(kind))


_FAMILIES = (
    *(types.is_integer, types.is_floating, types.is_decimal, types.is_date, types.is_time, types.is_duration),
    *(_is_text, _is_bytes, _is_list),
)


def _changed_by(column: pa.ChunkedArray, kind: pa.DataType) -> list[int]:
    """Return the rows whose values a type cannot hold; none where that cannot be told."""
    try:
        back = column.cast(kind, safe=False).cast(column.type, safe=False)
        return _places(pc.fill_null(pc.not_equal(back, column), False))  # noqa: FBT003 - takes no keyword
    except pa.ArrowException:
        return []


def _places(mask: pa.ChunkedArray) -> list[int]:
    return list(pc.indices_nonzero(mask).to_pylist())
