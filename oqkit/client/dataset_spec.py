"""From paths of Parquet files to a job that can be stored: one task a row, read by the workers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from oqkit.arrow.table import Layout, chosen, labels_of, to_table
from oqkit.client.frame_spec import columns_for
from oqkit.client.part_rows import part_rows_of
from oqkit.client.spec import JobSpec, function_of
from oqkit.limits import Limits
from oqkit.payload.access import Access
from oqkit.payload.dataset_input import DatasetInput
from oqkit.payload.discovery import find_dataset
from oqkit.task.timer import RowTimer


def spec_of_dataset(
    paths: str | Sequence[str],
    function: Any,
    *,
    columns: Sequence[str] | None,
    part_rows: int | str,
    timer: RowTimer,
    limits: Limits,
    storage_options: Mapping[str, Any],
    access: Access,
) -> JobSpec:
    """Describe a job of one task a row of Parquet files, of which only the footers are read."""
    known = function_of(function, limits=limits.task)
    dataset, schema = find_dataset(paths, options=storage_options, access=access, limits=limits.payload)
    empty = schema.empty_table().to_pandas()
    labels = labels_of(empty)
    used = columns_for(labels if columns is None else chosen(labels, columns), known)
    frame = to_table(empty, columns=used)
    index = [name for name in (schema.pandas_metadata or {}).get("index_columns", []) if isinstance(name, str)]
    dataset = replace(dataset, stored=tuple(dict.fromkeys([*used, *index])))
    return JobSpec(
        function=known,
        n_tasks=dataset.n_rows,
        part_rows=part_rows_of(part_rows, dataset.n_rows, known, timer, n_bytes=0, limits=limits),
        content=dataset.content(),
        input=DatasetInput(layout=Layout(backend="pandas", columns=frame.layout.columns), dataset=dataset),
    )
