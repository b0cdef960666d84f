"""From files that are somewhere to a job that can be stored: one task a row, read by the workers."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import reduce
from operator import and_
from typing import Any, assert_never

import pyarrow as pa

from oqkit.arrow.frame_kind import labels_of
from oqkit.arrow.table import Layout, chosen, to_table
from oqkit.client.frame_spec import columns_for
from oqkit.client.part_rows import part_rows_of
from oqkit.client.spec import JobSpec, function_of
from oqkit.errors import UsageError
from oqkit.limits import Limits, PayloadLimits
from oqkit.payload.access import Access
from oqkit.payload.dataset import Dataset
from oqkit.payload.dataset_input import DatasetInput
from oqkit.payload.discovery import read_footers
from oqkit.payload.file_list import FileFormat, FileList, list_files
from oqkit.payload.row_filter import PickedRows, expression_of, pick_rows
from oqkit.payload.text_discovery import read_texts
from oqkit.payload.text_format import TextKind
from oqkit.queue.feature import DATASETS
from oqkit.task.timer import RowTimer


def spec_of_dataset(
    source: Any,
    function: Any,
    *,
    columns: Sequence[str] | None,
    filter: Any,  # noqa: A002 - pyarrow's and pandas' word for it
    format: str | None,  # noqa: A002 - as above
    types: Any,
    delimiter: str | None,
    part_rows: int | str,
    timer: RowTimer,
    limits: Limits,
    storage_options: Mapping[str, Any],
    access: Access,
) -> JobSpec:
    """Describe a job of one task a row of files, of which only the footers are read, and the columns of a filter."""
    known = function_of(function, limits=limits.task)
    listed = list_files(source, format=format, options=storage_options, access=access)
    dataset, schema = _read(listed, types=types, delimiter=delimiter, access=access, limits=limits.payload)
    dataset, picked = _picked(listed, dataset, schema, filter, access=access, limits=limits)
    empty = schema.empty_table().to_pandas()
    labels = labels_of(empty)
    used = columns_for(labels if columns is None else chosen(labels, columns), known)
    frame = to_table(empty, columns=used)
    index = [name for name in (schema.pandas_metadata or {}).get("index_columns", []) if isinstance(name, str)]
    dataset = replace(dataset, stored=tuple(dict.fromkeys([*used, *index])))
    n_tasks = dataset.n_rows if picked is None else picked.n_rows
    return JobSpec(
        function=known,
        n_tasks=n_tasks,
        part_rows=part_rows_of(part_rows, n_tasks, known, timer, n_bytes=0, limits=limits),
        content=_content(dataset, picked),
        input=DatasetInput(layout=Layout(backend="pandas", columns=frame.layout.columns), dataset=dataset),
        picked=picked,
        requires=(DATASETS,) if dataset.partitions or dataset.text is not None or picked is not None else (),
    )


def _read(
    listed: FileList, *, types: Any, delimiter: str | None, access: Access, limits: PayloadLimits
) -> tuple[Dataset, pa.Schema]:
    """Return what the files hold."""
    match listed.format:
        case FileFormat.PARQUET:
            if types is not None or delimiter is not None:
                raise UsageError("types= and delimiter= are for CSV and JSON lines: Parquet has types of its own")
            return read_footers(listed, access=access, limits=limits)
        case FileFormat.CSV | FileFormat.JSONL as format:
            delimiter = delimiter or ("\t" if listed.paths[0].endswith(".tsv") else ",")
            if len(delimiter) != 1 or not delimiter.isascii() or delimiter in '"\r\n':
                raise UsageError(f"delimiter={delimiter!r} must be one character of ASCII, and no quote")
            return read_texts(
                listed,
                TextKind(format.value),
                types=_types(types),
                delimiter=delimiter,
                access=access,
                limits=limits,
            )
        case never:
            assert_never(never)


def _types(given: Any) -> dict[str, pa.DataType]:
    """Return the types that a schema or a mapping gives, or raise `UsageError`."""
    if isinstance(given, pa.Schema):
        return {one.name: one.type for one in given}
    try:
        return {
            str(name): kind if isinstance(kind, pa.DataType) else pa.type_for_alias(kind)
            for name, kind in dict(given or {}).items()
        }
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"types={given!r:.80} must be a pyarrow.Schema, or a type for each column, as {{'zip': 'string'}}: {error}"
        ) from None


def _picked(
    listed: FileList, dataset: Dataset, schema: pa.Schema, wanted: Any, *, access: Access, limits: Limits
) -> tuple[Dataset, PickedRows | None]:
    """Return the files that are left of a dataset by its filter and another one, and which rows; None for all."""
    filters = [one for one in (listed.filter, expression_of(wanted)) if one is not None]
    if not filters:
        return dataset, None
    dataset, picked = pick_rows(
        dataset, schema, listed.system, reduce(and_, filters), n_threads=limits.payload.footer_threads
    )
    access.grant(dataset.protocol, [file.to_json() for file in dataset.files])
    return dataset, picked


def _content(dataset: Dataset, picked: PickedRows | None) -> str:
    found = dataset.content()
    return found if picked is None else hashlib.sha256(f"{found} {picked.content()}".encode()).hexdigest()
