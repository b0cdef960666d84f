"""Reading rows of a dataset by their numbers, as the frame that `pandas.read_parquet` gives, with the dtypes of the whole.

Workers read the row groups that a part touches, of the columns that are needed, and keep the last few for the next part.
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from oqkit.arrow.pandas_table import to_pandas
from oqkit.arrow.table import Frame, to_table
from oqkit.errors import FormatError
from oqkit.limits import PayloadLimits
from oqkit.payload.access import Access
from oqkit.payload.cache import ByteCache
from oqkit.payload.dataset import Dataset
from oqkit.payload.dataset_file import DatasetFiles
from oqkit.payload.parquet import PayloadReader, PayloadRef


class TextReader:
    """Reads pieces of CSV and JSON lines, a ranged GET each. Threads may share it."""

    def __init__(self, dataset: Dataset, files: DatasetFiles) -> None:
        self._text = dataset.text
        self._files = files
        self._pieces = [
            (file.path, start, stop, n_rows)
            for file in dataset.files
            for (start, stop), n_rows in zip(itertools.pairwise(file.borders), file.groups, strict=True)
        ]

    def part(self, number: int, *, names: Sequence[str]) -> pa.Table:
        """Return the rows of a piece, of these columns; raise `FormatError` if they are not those that were found at submit."""
        path, start, stop, n_rows = self._pieces[number]
        if self._text is None:
            raise AssertionError("a dataset of text says how to read it")
        if not n_rows:
            return pa.schema([self._text.schema.field(name) for name in names]).empty_table()
        data = self._files.read_range(path, start=start, length=stop - start)
        try:
            table = self._text.table(data, names=names)
        except (pa.ArrowException, KeyError) as error:
            raise FormatError(f"{path}, bytes {start:,} to {stop:,}, cannot be read as at submit: {error}") from error
        if table.num_rows != n_rows:
            raise FormatError(
                f"{path}, bytes {start:,} to {stop:,}, has {table.num_rows:,} rows, not {n_rows:,} as at submit"
            )
        return table


class DatasetReader:
    """Reads rows of a dataset by their numbers. Threads may share one."""

    def __init__(
        self, dataset: Dataset, access: Access, *, limits: PayloadLimits, cache: ByteCache | None = None
    ) -> None:
        self.dataset = dataset
        self._cache = cache or ByteCache(limits.cache_bytes)
        starts = list(itertools.accumulate((len(file.groups) for file in dataset.files), initial=0))
        refs = [
            PayloadRef(file.path, start, len(file.groups), file.size_bytes)
            for file, start in zip(dataset.files, starts, strict=False)
            if file.groups
        ]
        files = DatasetFiles(dataset, access)
        self._reader: PayloadReader | TextReader = (
            PayloadReader(files, refs, limits=limits, cache=self._cache)
            if dataset.text is None
            else TextReader(dataset, files)
        )
        self._starts = starts
        """The number of the first row group of each file, over all of them."""
        groups = [rows for file in dataset.files for rows in file.groups]
        self._firsts = np.array(list(itertools.accumulate(groups, initial=0)), "int64")
        """The number of the first row of each row group."""

    def frame(self, rows: range | np.ndarray, *, n_rows: int | None = None) -> Frame:
        """Return rows by their numbers, which ascend, in the form of submitted frames; `n_rows` is how many the job has.

        Every slice has the same dtypes. So what only the whole shows is another than in `pandas.read_parquet`: an int or bool
        column of which the files do not say whether it has nulls is of Int64 or boolean, and a categorical one of its values.
        """
        if self.dataset.stored:
            df = _to_pandas(self._rows(rows), self.dataset.nulls)
        else:  # of which there is nothing to read
            df = pd.DataFrame(index=range(len(rows)))
        is_numbered = isinstance(df.index, pd.RangeIndex)
        frame = to_table(df)
        if not is_numbered:
            return frame
        return Frame(table=frame.table, layout=replace(frame.layout, range=(0, n_rows or self.dataset.n_rows, 1)))

    def _rows(self, rows: range | np.ndarray) -> pa.Table:
        if not len(rows):
            return self._group(0).slice(0, 0)
        if not 0 <= rows[0] <= rows[-1] < self._firsts[-1]:
            raise FormatError(f"row {rows[-1]:,} is asked for, and the files have {self._firsts[-1]:,} rows")
        if isinstance(rows, range):
            return pa.concat_tables(self._span(rows.start, rows.stop))
        return pa.concat_tables(self._picked(rows))

    def _span(self, first: int, stop: int) -> Iterator[pa.Table]:
        number = self._group_of(first)
        while self._firsts[number] < stop:
            start, end = int(self._firsts[number]), int(self._firsts[number + 1])
            begin = max(first - start, 0)
            yield self._group(number).slice(begin, min(stop, end) - start - begin)
            number += 1

    def _picked(self, rows: np.ndarray) -> Iterator[pa.Table]:
        place = 0
        while place < len(rows):
            number = self._group_of(int(rows[place]))
            stop = int(np.searchsorted(rows, self._firsts[number + 1]))
            yield self._group(number).take(pa.array(rows[place:stop] - self._firsts[number]))
            place = stop

    def _group_of(self, row: int) -> int:
        return int(np.searchsorted(self._firsts, row, side="right")) - 1

    def _group(self, number: int) -> pa.Table:
        return self._cache.get((self, number), lambda: self._read(number))

    def _read(self, number: int) -> pa.Table:
        """Return the columns that are read of a row group, those that its folders name included."""
        stored, partitions = self.dataset.stored, self.dataset.partitions
        held = partitions.only(stored)
        if held:
            table = self._reader.part(number, names=held)
        else:
            table = pa.table({"oq:row": pa.nulls(int(self._firsts[number + 1] - self._firsts[number]))})
        if not partitions:
            return table
        file = self.dataset.files[bisect.bisect_right(self._starts, number) - 1]
        return partitions.added(table, file.values).select(stored)


def _to_pandas(table: pa.Table, nulls: Mapping[str, bool]) -> pd.DataFrame:
    """Return the frame of some rows, with the dtypes that all rows together would have."""
    for place, one in enumerate(table.schema):
        if pa.types.is_dictionary(one.type):
            table = table.set_column(place, one.name, table.column(place).cast(one.type.value_type))
        elif nulls.get(one.name) and pa.types.is_integer(one.type):
            table = table.set_column(place, one.name, table.column(place).cast(pa.float64(), safe=False))
    df = to_pandas(table)
    for name, is_known in nulls.items():
        if name in df.columns and not is_known:
            df[name] = _nullable(table.column(name))
        elif name in df.columns and pa.types.is_boolean(table.schema.field(name).type):
            df[name] = df[name].astype(object)
    return df


def _nullable(array: pa.ChunkedArray) -> Any:
    name = (
        "boolean" if pa.types.is_boolean(array.type) else str(array.type).replace("uint", "UInt").replace("int", "Int")
    )
    dtype: Any = pd.api.types.pandas_dtype(name)
    return dtype.__from_arrow__(array)
