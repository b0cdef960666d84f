"""What one lease writes: the values and failures of some rows of a part, as one Parquet object or as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np
import pyarrow as pa

from oqkit.arrow.many import encode_many, many_of
from oqkit.arrow.metadata import Column
from oqkit.arrow.unify import unify
from oqkit.arrow.value import decode_values, encode_values, is_json, scalar_table
from oqkit.errors import FormatError, Missing, SchemaError
from oqkit.payload.parquet import encode_payload, read_whole
from oqkit.queue.commit import Output
from oqkit.queue.job import Job
from oqkit.queue.part import Part
from oqkit.queue.repository import Repository
from oqkit.queue.rows import Rows
from oqkit.queue.transition import Status
from oqkit.task.failure import Failure
from oqkit.worker.buffer import Many, Results

_ROW: Final = "oq:row"
_ERROR: Final = "oq:error"
_ARROW_FACTOR: Final = 8
"""How many times as large as its JSON a value is in Arrow at most: a digit, as an int."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredResults:
    """`Results` as they are stored and read back: all values in one table, beside a column of their row numbers.

    What became of a row is not in it: the part says that, and may have moved on since.
    """

    rows: np.ndarray
    """The row numbers within the part of those that succeeded, int64, in any order."""
    values: pa.Table
    """A value table (see `oqkit.arrow.value`) of as many rows."""
    failures: Mapping[int, Failure]
    """By row; none of these is in `rows`."""


def stored_results(
    rows: Sequence[int] | np.ndarray, values: pa.Table | None, failures: Mapping[int, Failure]
) -> StoredResults:
    """Put results together; a row that is in `failures` counts as failed, and without `values` all have the value null."""
    numbers = np.asarray(rows, "int64")
    if values is None:
        values = scalar_table(Column(array=pa.nulls(len(numbers))))
    if values.num_rows != len(numbers):
        msg = f"{len(numbers)} rows with {values.num_rows} values"
        raise ValueError(msg)
    succeeded = ~np.isin(numbers, list(failures)) if failures else np.ones(len(numbers), "bool")
    if not succeeded.all():
        numbers, values = numbers[succeeded], values.filter(pa.array(succeeded))
    return StoredResults(rows=numbers, values=values, failures=failures)


# --- write ---------------------------------------------------------------------------------------


def pack(
    results: Results, *, refuse: Callable[[int, str], Failure], inline_bytes: int, inline_rows: int
) -> tuple[Output | None, Mapping[int, Failure]]:
    """Encode results: as JSON if they are plain, of at most so many rows and bytes, else as Parquet.

    None if there are none to store. Also return the rows whose value cannot be stored, with what is stored of each
    instead: what `refuse` says of it.
    """
    if not (results.rows or results.tables or results.failures):
        return None, {}
    tables, numbers, bad = [table for _, table in results.tables], results.rows.numbers(), dict[int, str]()
    column = _column(results.tables)
    if numbers:
        values, places, bad = _encoded(results.values)
        tables.insert(0, values)
        column = np.concatenate([np.asarray(numbers, "int64")[places], column])
    refused = {numbers[place]: refuse(numbers[place], message) for place, message in bad.items()}
    stored = stored_results(column, _table(tables), {**results.failures, **refused})
    inline = encode_inline(stored, max_bytes=inline_bytes, max_rows=inline_rows)
    if inline is not None:
        return inline, refused
    try:
        return encode_outcomes(stored), refused
    except SchemaError as error:
        refused |= {row: refuse(row, f"row {row}: {error}") for row in _unwritable(stored)}
    stored = stored_results(stored.rows, stored.values, {**stored.failures, **refused})
    return encode_outcomes(stored), refused


def _encoded(values: Sequence[Any]) -> tuple[pa.Table, np.ndarray, dict[int, str]]:
    """Return a table of what calls gave, for each row of it which of them did, and why some cannot be stored, by place."""
    first = next((value for value in values if type(value) is Many), None)
    if first is None:
        table, bad = encode_values(values)
        return table, np.arange(len(values)), bad
    returned = [value.value if type(value) is Many else value for value in values]
    return encode_many(returned, explodes=first.explodes)


def _column(tables: Sequence[tuple[Rows, pa.Table]]) -> np.ndarray:
    """Return the row numbers of tables, one after the other."""
    ranges = np.array([border for rows, _ in tables for border in rows.borders], "int64").reshape(-1, 2)
    sizes = ranges[:, 1] - ranges[:, 0]
    numbers: np.ndarray = np.arange(sizes.sum()) + np.repeat(ranges[:, 0] + sizes - sizes.cumsum(), sizes)
    return numbers


def _table(tables: Sequence[pa.Table]) -> pa.Table | None:
    if len(tables) > 1:
        return pa.concat_tables(unify(tables))
    return tables[0] if tables else None


def _unwritable(stored: StoredResults) -> list[int]:
    """Return the rows whose values Parquet cannot hold, or all of them if it is only together that it cannot."""

    def bad(first: int, stop: int) -> list[int]:
        try:
            encode_outcomes(stored_results(stored.rows[first:stop], stored.values.slice(first, stop - first), {}))
        except SchemaError:
            middle = (first + stop) // 2
            return [first] if stop - first == 1 else [*bad(first, middle), *bad(middle, stop)]
        return []

    found = [int(stored.rows[place]) for place in bad(0, len(stored.rows))]
    return found or stored.rows.tolist()


_FACTS: Final = tuple(it.name for it in fields(Failure))
_FAILURE: Final = pa.struct([(name, pa.int32() if name == "attempt" else pa.large_string()) for name in _FACTS])


def _facts(failure: Failure) -> dict[str, str | int]:
    return {name: getattr(failure, name) for name in _FACTS}


def encode_outcomes(stored: StoredResults) -> bytes:
    """Write results as Parquet: ``oq:row`` (int32), the value columns, ``oq:error`` (null where it succeeded).

    Without a failure the error column is left out. Raise `SchemaError` if Parquet cannot hold the values.
    """
    table, failures = stored.values, stored.failures
    numbers = np.concatenate([stored.rows, np.fromiter(failures, "int64", len(failures))])
    if failures:
        nulls = pa.Table.from_arrays(
            [pa.nulls(len(failures), kind) for kind in table.schema.types], schema=table.schema
        )
        table = pa.concat_tables([table, nulls])
        errors = [None] * len(stored.rows) + [_facts(failure) for failure in failures.values()]
        table = table.append_column(_ERROR, pa.array(errors, _FAILURE))
    table = table.add_column(0, _ROW, pa.array(numbers, pa.int32()))
    try:
        (file,) = encode_payload(table, part_rows=max(1, table.num_rows))
    except (pa.ArrowException, OverflowError, MemoryError) as error:
        raise SchemaError(f"Parquet cannot hold the returned values: {error}") from None
    return file.data


def encode_inline(stored: StoredResults, *, max_bytes: int, max_rows: int) -> dict[str, object] | None:
    """Return results as a JSON-able dict; None if they are of more rows, their JSON has more bytes, or it would lose something."""
    values, failures = stored.values, stored.failures
    is_far_larger = values.nbytes > _ARROW_FACTOR * max_bytes  # then there is no need to decode them to know that
    is_small = len(stored.rows) + len(failures) <= max_rows and not is_far_larger
    if not is_small or many_of(values.schema) or not is_json(values):
        return None
    doc: dict[str, Any] = {"rows": stored.rows.tolist(), "values": decode_values(values)}
    if failures:
        doc["failures"] = {str(row): _facts(failure) for row, failure in failures.items()}
    return doc if _json_bytes([*doc["values"], *doc.get("failures", {}).values()]) <= max_bytes else None


def _json_bytes(values: Sequence[object]) -> int:
    """Return how many bytes these take as JSON, each by itself."""
    brackets_and_commas = len(values) + 1
    return len(json.dumps(values, ensure_ascii=False, separators=(",", ":")).encode()) - brackets_and_commas


# --- read ----------------------------------------------------------------------------------------


def decode_outcomes(data: bytes) -> StoredResults:
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
        return StoredResults(rows=rows, values=table.drop_columns([_ROW]), failures=failures)
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
        msg = f"these outcomes are not readable here: {error}"
        raise FormatError(msg) from error


def read_output(repository: Repository, job: Job, part: Part, name: str) -> StoredResults:
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


def decode_inline(doc: dict[str, Any]) -> StoredResults:
    """Read what `encode_inline` returned, or raise `FormatError`."""
    try:
        failures = {int(row): Failure(**facts) for row, facts in doc.get("failures", {}).items()}
        values, _ = encode_values(doc["values"])
        return stored_results(doc["rows"], values, failures)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        msg = f"these outcomes are not readable here: {error!r}"
        raise FormatError(msg) from error


# --- what a part names ---------------------------------------------------------------------------

Piece = tuple[np.ndarray, pa.Table]
"""Rows of a job, and a value table of as many."""


def column_name(job: Job) -> str:
    """Return the column of results that are single values."""
    return job.type.rpartition(".")[2] or job.type


def named_outputs(part: Part, status: Status) -> list[str]:
    """Return the outputs that tasks of a part name which are in a status."""
    return list(dict.fromkeys(task.output for _, _, task in part.stretches() if task.status is status and task.output))


def rows_naming(part: Part, name: str) -> Rows:
    """Return the rows of a part that completed with an output."""
    return part.rows(lambda task: task.output == name and task.status is Status.COMPLETED)


def completed_piece(job: Job, part: Part, name: str, stored: StoredResults) -> Piece:
    """Return what an output holds of the rows that completed with it: later attempts may have replaced others."""
    current = np.zeros(part.n_rows, "bool")
    for first, stop in rows_naming(part, name).ranges:
        current[first:stop] = True
    chosen = current[stored.rows]
    rows, values = stored.rows, stored.values
    if not chosen.all():
        places = np.flatnonzero(chosen)
        rows, values = rows[places], values.take(pa.array(places))
    return rows + part.index * job.part_rows, values
