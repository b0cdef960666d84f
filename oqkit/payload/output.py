"""What one lease writes: the values and failures of some rows of a part, as one Parquet object or as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

import numpy as np
import pyarrow as pa

from oqkit.arrow.metadata import Column
from oqkit.arrow.value import decode_values, encode_values, is_json, scalar_table
from oqkit.errors import FormatError, Missing, SchemaError
from oqkit.payload.parquet import encode_payload, read_whole
from oqkit.queue.job import Job
from oqkit.queue.part import Part
from oqkit.queue.repository import Repository
from oqkit.task.failure import Failure

_ROW: Final = "oq:row"
_ERROR: Final = "oq:error"
#: An outcome of more rows than this is never tried as JSON.
_MAX_INLINE_ROWS: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcomes:
    """Rows that succeeded, ``rows[i]`` with ``values[i]``, and rows that failed; no row is both.

    `rows` are row numbers within the part, int64; `values` is a value table (see `value`) of as many rows.
    """

    rows: np.ndarray
    values: Any
    failures: Mapping[int, Failure]


_FAILURE: Final = pa.struct(
    [(it.name, pa.int32() if it.name == "attempt" else pa.large_string()) for it in fields(Failure)]
)


def encode_outcomes(
    rows: Sequence[int] | np.ndarray, values: pa.Table | None, failures: Mapping[int, Failure]
) -> bytes:
    """Write outcomes as Parquet: ``oq:row`` (int32), the value columns, ``oq:error`` (null where it succeeded).

    `values` has a row for each of `rows`; None means that they completed without a value. A row that is
    also in `failures` counts as failed. Without a failure the error column is left out. Raise `SchemaError` if
    Parquet cannot hold the values.
    """
    outcomes = _checked(rows, values, failures)
    numbers = pa.array(np.concatenate([outcomes.rows, np.fromiter(failures, "int64", len(failures))]), pa.int32())
    table = outcomes.values
    if failures:
        nulls = pa.Table.from_arrays(
            [pa.nulls(len(failures), kind) for kind in table.schema.types], schema=table.schema
        )
        table = pa.concat_tables([table, nulls])
        errors = [None] * len(outcomes.rows) + [asdict(failure) for failure in failures.values()]
        table = table.append_column(_ERROR, pa.array(errors, _FAILURE))
    table = table.add_column(0, _ROW, numbers)
    try:
        (file,) = encode_payload(table, part_rows=max(1, table.num_rows))
    except (pa.ArrowException, OverflowError, MemoryError) as error:
        raise SchemaError(f"Parquet cannot hold the returned values: {error}") from None
    return file.data


def decode_outcomes(data: bytes) -> Outcomes:
    """Read what `encode_outcomes` wrote, or raise `FormatError`."""
    try:
        table = read_whole(data)
        failures: dict[int, Failure] = {}
        if _ERROR in table.column_names:
            is_error = table.column(_ERROR).is_valid()
            failed = table.select([_ROW, _ERROR]).filter(is_error).to_pylist()
            failures = {row[_ROW]: Failure(**row[_ERROR]) for row in failed}
            table = table.filter(table.column(_ERROR).is_null()).drop_columns([_ERROR])
        rows = table.column(_ROW).to_numpy().astype("int64")
        return Outcomes(rows=rows, values=table.drop_columns([_ROW]), failures=failures)
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
        msg = f"these outcomes are not readable here: {error}"
        raise FormatError(msg) from error


def read_output(repository: Repository, job: Job, part: Part, name: str) -> Outcomes:
    """Return an output that `part` names: from the part itself, or in one GET.

    Raise `FormatError` that says where it lies if it is damaged, of an unknown kind, or not there.
    """
    inline = part.outputs.get(name)
    key = repository.keys_of(job).output(part.index, name)
    try:
        found = decode_inline(inline) if inline is not None else decode_outcomes(repository.store.read(key).data)
    except Missing:
        raise FormatError(f"the output {key} is gone from the queue") from None
    except FormatError as error:
        where = f"the output {key}" if inline is None else f"the output {name} in part {part.index} of job {job.id}"
        raise FormatError(f"{where} cannot be read: {error}") from error
    if len(found.rows) and not 0 <= found.rows.min() <= found.rows.max() < part.n_rows:
        raise FormatError(f"the output {key} is about rows that its part does not have")
    return found


def encode_inline(
    rows: Sequence[int] | np.ndarray,
    values: pa.Table | None,
    failures: Mapping[int, Failure],
    *,
    limit_bytes: int = 8192,
) -> dict[str, Any] | None:
    """Return a few outcomes as a JSON-able dict, or None if JSON would lose something or need more than `limit_bytes`."""
    outcomes = _checked(rows, values, failures)
    if len(outcomes.rows) + len(failures) > _MAX_INLINE_ROWS or outcomes.values.nbytes > limit_bytes:
        return None
    if not is_json(outcomes.values):
        return None
    doc: dict[str, Any] = {"rows": outcomes.rows.tolist(), "values": decode_values(outcomes.values)}
    if failures:
        doc["failures"] = {str(row): asdict(failure) for row, failure in failures.items()}
    return doc if len(json.dumps(doc)) <= limit_bytes else None


def decode_inline(doc: dict[str, Any]) -> Outcomes:
    """Read what `encode_inline` returned, or raise `FormatError`."""
    try:
        failures = {int(row): Failure(**facts) for row, facts in doc.get("failures", {}).items()}
        values, _ = encode_values(doc["values"])
        return _checked(doc["rows"], values, failures)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        msg = f"these outcomes are not readable here: {error!r}"
        raise FormatError(msg) from error


def _checked(rows: Sequence[int] | np.ndarray, values: pa.Table | None, failures: Mapping[int, Failure]) -> Outcomes:
    numbers = np.asarray(rows, "int64")
    if values is None:
        values = scalar_table(Column(array=pa.nulls(len(numbers))))
    if values.num_rows != len(numbers):
        msg = f"{len(numbers)} rows with {values.num_rows} values"
        raise ValueError(msg)
    succeeded = ~np.isin(numbers, list(failures)) if failures else np.ones(len(numbers), "bool")
    if not succeeded.all():
        numbers, values = numbers[succeeded], values.filter(pa.array(succeeded))
    return Outcomes(rows=numbers, values=values, failures=failures)
