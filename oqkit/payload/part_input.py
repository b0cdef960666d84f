"""The inputs of one part, as a worker takes them: rows of a frame, or values of their own."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from oqkit.arrow.align import align
from oqkit.arrow.metadata import label_of
from oqkit.arrow.table import Layout, to_frame, to_lists
from oqkit.arrow.value import encode_values
from oqkit.errors import FormatError, SchemaError
from oqkit.payload.guard import UNREADABLE, reason
from oqkit.queue.rows import Rows

_MUTABLE = frozenset({dict, list, tuple, set, np.ndarray})


@contextmanager
def frame_readable() -> Iterator[None]:
    """Let whatever somebody may have written into a stored frame be told as a `SchemaError`: it fails its rows."""
    try:
        yield
    except (*UNREADABLE, FormatError) as error:
        if isinstance(error, SchemaError):
            raise
        raise SchemaError(f"the inputs are not readable here: {reason(error)}") from error


@dataclass(frozen=True, slots=True)
class PartFrame:
    """Rows of a stored frame; `table` holds just those of `rows`, in order."""

    table: Any
    layout: Layout
    rows: Rows
    first_task: int

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the columns that a row function can name."""
        with frame_readable():
            labels = [label_of(self.table.schema.field(name)) for name in self.layout.columns]
        return tuple(label for label in labels if isinstance(label, str))

    def arguments(self, names: Sequence[str], rows: Rows) -> Iterator[tuple[Any, ...]]:
        """Yield the values of the named columns, row by row."""
        if not names:
            return iter([()] * len(rows))
        with frame_readable():
            lists = to_lists(self._select(rows), self.layout, columns=names)
        return zip(*(lists[name] for name in names), strict=True)

    def values(self, rows: Rows) -> Iterator[Any]:
        """Yield each row as a dict of all its columns."""
        names = self.columns
        return (dict(zip(names, row, strict=True)) for row in self.arguments(names, rows))

    def frame(self, rows: Rows) -> Any:
        """Return the rows as a slice of the user's frame."""
        first = self.first_task + (rows.first if rows else 0)
        with frame_readable():
            return to_frame(self._select(rows), self.layout, rows=first)

    def only(self, rows: Rows) -> PartFrame:
        """Return the inputs of these rows alone."""
        return PartFrame(self._select(rows).combine_chunks(), self.layout, rows, self.first_task)

    def _select(self, rows: Rows) -> Any:
        if rows == self.rows:
            return self.table
        pieces = [self.table.slice(place, n) for place, n in self.rows.places(rows)]
        return pieces[0] if len(pieces) == 1 else pa.concat_tables(pieces or [self.table.slice(0, 0)])


@dataclass(frozen=True, slots=True)
class PartValues:
    """Tasks that were each submitted with a JSON value of their own."""

    items: tuple[Any, ...]
    columns: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.items)

    def values(self, rows: Rows) -> Iterator[Any]:
        """Yield the values, each a copy: what a call does to its own is not seen by the next attempt."""
        return (
            copy.deepcopy(value) if type(value) in _MUTABLE else value
            for first, stop in rows.ranges
            for value in self.items[first:stop]
        )

    def arguments(self, names: Sequence[str], rows: Rows) -> Iterator[tuple[Any, ...]]:
        """Yield the named entries of values that are dicts."""
        return (tuple(value[name] for name in names) for value in self.values(rows))

    def frame(self, rows: Rows) -> Any:
        """Return the values as a frame, for a batch function."""
        table, _ = encode_values(list(self.values(rows)))
        n_rows = table.num_rows
        return align(
            [(np.arange(n_rows), table)], n_rows=n_rows, index=None, backend="pandas", name="value", missing="null"
        )

    def only(self, rows: Rows) -> PartValues:  # noqa: ARG002 - the protocol gives them
        """Return these inputs; they are small."""
        return self
