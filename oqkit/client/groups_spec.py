"""From a frame in memory to a job that can be stored: one task a group of its rows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from oqkit.arrow.deal import dealt
from oqkit.arrow.frame_kind import backend_of, labels_of, opened
from oqkit.arrow.grouping import group
from oqkit.arrow.table import chosen, fingerprint, selected, to_table
from oqkit.client.join import Submitted
from oqkit.client.part_rows import part_rows_of
from oqkit.client.spec import JobSpec, function_of
from oqkit.limits import Limits
from oqkit.payload.groups_input import PLACE, GroupsInput
from oqkit.payload.parquet import PayloadFile, encode_payload, encode_slices
from oqkit.payload.part_groups import POSITION, SIZE
from oqkit.queue.feature import GROUPS
from oqkit.task.handler import Handler
from oqkit.task.timer import RowTimer


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupsSpec(JobSpec):
    """A job of groups: `table` has their rows, one group after the other."""

    keys: Any
    """A row a group, in the order of the tasks."""
    slices: Sequence[tuple[int, int]]
    """Which rows make a row group."""

    def files(self, *, max_bytes: int) -> Iterator[PayloadFile]:
        """Yield the file of keys, then those of rows; one ends with the row group that takes it past `max_bytes`."""
        yield from encode_payload(self.keys, part_rows=self.part_rows)
        yield from encode_slices(self.table, self.slices, max_file_bytes=max_bytes)


def spec_of_groups(
    df: Any,
    function: Any,
    *,
    by: Any,
    sort: bool,
    dropna: bool,
    columns: Sequence[Any] | None,
    part_rows: int | str,
    timer: RowTimer,
    limits: Limits,
) -> GroupsSpec:
    """Describe a job of one task a group; raise `SchemaError` if the frame has no such groups, or cannot be stored."""
    known = function_of(function, limits=limits.task)
    if known.task is not None:
        Handler(known.task).for_group()
    source = opened(df)
    labels, groups = labels_of(source), group(source, by, sort=sort, dropna=dropna)
    used = [label for label in labels if label not in groups.labels] if columns is None else chosen(labels, columns)
    others = [label for label in groups.labels if label not in used]
    whole, names = to_table(source, columns=[*used, *others]), to_table(groups.keys)
    frame, digest = selected(whole, len(used)), fingerprint(whole)
    n_tasks, sizes = len(groups.keys), groups.sizes
    part_rows = part_rows_of(part_rows, n_tasks, known, timer, n_bytes=frame.table.nbytes, limits=limits)
    tasks = dealt(sizes, part_rows)
    rows = _by_task(groups.numbers, tasks)
    bounds = np.concatenate([[0], np.cumsum(sizes[tasks])])
    slices, split = _slices(
        bounds, part_rows, row_bytes=frame.table.nbytes / max(1, len(groups.numbers)), limits=limits
    )
    is_pandas = frame.layout.backend == "pandas"
    return GroupsSpec(
        function=known,
        n_tasks=n_tasks,
        part_rows=part_rows,
        content=_content(digest, fingerprint(names), groups.numbers),
        input=GroupsInput(
            layout=frame.layout,
            keys_layout=names.layout,
            is_multi=groups.is_multi,
            by=tuple(others),
            frame_digest=digest,
            n_rows=len(groups.numbers),
            split=split,
        ),
        table=_taken(frame.table, rows).append_column(POSITION, pa.array(rows)),
        keys=_taken(names.table, tasks)
        .append_column(SIZE, pa.array(sizes[tasks]))
        .append_column(PLACE, pa.array(tasks)),
        slices=slices,
        index=groups.keys.index[tasks] if is_pandas else None,
        requires=(GROUPS,),
        given=source,
        source=Submitted(frame=df.copy(deep=False) if is_pandas else df, columns=(*used, *others), content=digest)
        if backend_of(df) is not None
        else None,
    )


def _content(digest: str, keys: str, numbers: np.ndarray) -> str:
    """Digest what a job of groups is about: the frame, the keys in their order, and which row has which."""
    return hashlib.sha256(f"{digest} {keys} ".encode() + numbers.astype("<i8").tobytes()).hexdigest()[:32]


def _by_task(numbers: np.ndarray, tasks: np.ndarray) -> np.ndarray:
    """Return the rows that are in a group, those of the first task first, and of one task in the frame's order."""
    ranks = np.empty(len(tasks), "int64")
    ranks[tasks] = np.arange(len(tasks))
    kept = np.flatnonzero(numbers >= 0)
    return kept[np.argsort(ranks[numbers[kept]], kind="stable")]


def _slices(
    bounds: np.ndarray, part_rows: int, *, row_bytes: float, limits: Limits
) -> tuple[list[tuple[int, int]], tuple[tuple[int, int], ...]]:
    """Cut the rows into row groups: those of a part are one, or several if they are more than a file is to have."""
    most = max(1, int(limits.payload.file_bytes / max(row_bytes, 1.0)))
    slices: list[tuple[int, int]] = []
    split = []
    for part, first_task in enumerate(range(0, len(bounds) - 1, part_rows)):
        first, stop = int(bounds[first_task]), int(bounds[min(first_task + part_rows, len(bounds) - 1)])
        pieces = [(start, min(start + most, stop)) for start in range(first, stop, most)]
        if len(pieces) > 1:
            split.append((part, len(pieces)))
        slices += pieces
    return slices, tuple(split)


def _taken(table: pa.Table, rows: np.ndarray) -> pa.Table:
    return table.combine_chunks().take(pa.array(rows))
