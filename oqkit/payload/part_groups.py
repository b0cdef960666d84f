"""The groups of one part, as a worker takes them: each is the frame of its rows, under a key."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa

from oqkit.arrow.table import Layout, to_frame
from oqkit.payload.group_key import keys_of
from oqkit.payload.part_input import frame_readable
from oqkit.queue.rows import Rows
from oqkit.task.handler import KEY

SIZE: Final = "oq:size"
"""The column of the keys that says how many rows a group has."""
POSITION: Final = "oq:position"
"""The column of the rows that says which of the submitted frame they are."""
_COPIES: Final = int(pd.__version__.partition(".")[0]) < 3  # noqa: PLR2004 - later ones copy what is written to


@dataclass(frozen=True, slots=True, kw_only=True)
class PartGroups:
    """Groups of a part: `keys` has a row each, in order, and `table` the rows of all of them, one group after the other."""

    keys: Any
    keys_layout: Layout
    table: Any
    layout: Layout
    is_multi: bool
    """Whether a key is a tuple."""
    rows: Rows
    columns: tuple[str, ...] = ()

    def __len__(self) -> int:
        return int(self.keys.num_rows)

    def arguments(self, names: Sequence[str], rows: Rows) -> Iterator[tuple[Any, ...]]:
        """Yield the frame of each of these groups, and its key if that is among `names`; the frame may be written to."""
        has_key = KEY in names
        for first, stop in rows.ranges:
            for frame, key in self._groups(first, stop):
                yield (frame, key) if has_key else (frame,)

    def _groups(self, first: int, stop: int) -> Iterator[tuple[Any, Any]]:
        with frame_readable():
            ((place, _),) = self.rows.places(Rows.span(first, stop))
            bounds = self._bounds()
            keys = keys_of(self.keys.slice(place, stop - first), self.keys_layout, is_multi=self.is_multi)
            bounds = bounds[place : place + stop - first + 1]
            whole = self._frame(self.table.slice(bounds[0], bounds[-1] - bounds[0]))
        ends = (bounds - bounds[0]).tolist()
        if self.layout.backend != "pandas":
            yield from ((whole[start:end], key) for start, end, key in zip(ends, ends[1:], keys, strict=False))
            return
        for key, begin, end in zip(keys, ends, ends[1:], strict=False):
            frame = whole.iloc[begin:end]
            if _COPIES:
                frame = frame.copy()
            object.__setattr__(frame, "name", key)  # as pandas does for what it applies
            yield frame, key

    def _bounds(self) -> np.ndarray:
        return np.concatenate([[0], np.cumsum(self.keys.column(SIZE).to_numpy())])

    def _frame(self, table: Any) -> Any:
        return to_frame(table, self.layout, rows=table.column(POSITION).to_numpy())

    def only(self, rows: Rows) -> PartGroups:
        """Return the inputs of these groups alone."""
        if rows == self.rows:
            return self
        bounds, places = self._bounds(), list(self.rows.places(rows))
        pieces = [self.table.slice(bounds[place], bounds[place + n] - bounds[place]) for place, n in places]
        keys = [self.keys.slice(place, n) for place, n in places]
        return replace(self, keys=_joined(keys, self.keys), table=_joined(pieces, self.table), rows=rows)

    def values(self, rows: Rows) -> Iterator[Any]:
        """Yield the frame of each of these groups."""
        return (frame for (frame,) in self.arguments((), rows))

    def frame(self, rows: Rows) -> Any:
        """Return the rows of these groups as one frame."""
        with frame_readable():
            return self._frame(self.only(rows).table)


def _joined(pieces: list[Any], whole: Any) -> Any:
    """Return pieces of a table as one, without the rest of it."""
    return pa.concat_tables(pieces or [whole.slice(0, 0)]).combine_chunks()
