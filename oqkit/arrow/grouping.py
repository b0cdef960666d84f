"""Which rows of a frame belong together, and by which keys: as the frame's own library says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from oqkit.arrow.metadata import Label
from oqkit.arrow.tagged_json import show
from oqkit.errors import SchemaError, UsageError

_PANDAS_REFUSES = (KeyError, TypeError, ValueError, AttributeError, IndexError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grouping:
    """The groups of a frame of n rows, numbered in the order of the result.

    `numbers` of shape ``(n,)`` says in which group a row is, -1 in none. `keys` names the groups, in their order: an empty
    pandas frame with them as its index, or a pyarrow table of the key columns. `labels` are the columns that are keys.
    """

    numbers: np.ndarray
    keys: Any
    labels: tuple[Label, ...]
    is_multi: bool
    """Whether a key is a tuple."""

    @property
    def sizes(self) -> np.ndarray:
        """Return how many rows each group has."""
        sizes: np.ndarray = np.bincount(self.numbers[self.numbers >= 0], minlength=len(self.keys))
        return sizes


def group(df: Any, by: Any, *, sort: bool, dropna: bool) -> Grouping:
    """Group a frame that `opened` returned, or raise `SchemaError` if it has no such column, or cannot be grouped so.

    `by` of a pandas frame is what its `groupby` takes; categories without a row make no group. Of other frames it is a column,
    or a list of columns, whose nulls are the keys that `dropna` leaves out.
    """
    if isinstance(df, pd.DataFrame):
        return _of_pandas(df, by, sort=sort, dropna=dropna)
    return _of_columns(df, by, sort=sort, dropna=dropna)


def _of_pandas(df: pd.DataFrame, by: Any, *, sort: bool, dropna: bool) -> Grouping:
    try:
        grouped: Any = df.groupby(by, sort=sort, dropna=dropna, observed=True)
        sizes, numbers, labels = grouped.size(), grouped.ngroup().to_numpy(), grouped.exclusions
    except _PANDAS_REFUSES as error:
        has_columns = ", ".join(map(repr, df.columns[:30]))
        msg = f"by={show(by)}: pandas cannot group the frame so ({type(error).__name__}: {error}); its columns are {has_columns}"
        raise SchemaError(msg) from error
    numbers = np.where(np.isnan(numbers), -1, numbers).astype("int64")
    index = sizes.index
    if isinstance(index, pd.RangeIndex):
        index = pd.Index(index.to_numpy(), name=index.name)
    found = Grouping(
        numbers=numbers,
        keys=pd.DataFrame(index=index),
        labels=tuple(label for label in df.columns if label in labels),
        is_multi=isinstance(index, pd.MultiIndex),
    )
    if not np.array_equal(found.sizes, sizes.to_numpy()):
        msg = (
            f"by={show(by)} gives groups without rows; make a column of it first, df.assign(group=…), and group by that"
        )
        raise SchemaError(msg)
    return found


def _of_columns(df: Any, by: Any, *, sort: bool, dropna: bool) -> Grouping:
    names = [by] if isinstance(by, str) else by
    if not isinstance(names, Sequence) or not names or not all(isinstance(name, str) for name in names):
        raise UsageError(
            f"by={show(by)}: of a {type(df).__module__.partition('.')[0]} frame give a column, or a list of columns"
        )
    columns = list(df.column_names if isinstance(df, pa.Table) else df.columns)
    if unknown := [name for name in names if name not in columns]:
        raise SchemaError(
            f"by={show(by)}: there is no column {unknown[0]!r}; the columns are {', '.join(map(repr, columns[:30]))}"
        )
    names = list(dict.fromkeys(names))
    table = df.select(names) if isinstance(df, pa.Table) else df.select(names).to_arrow()
    numbers, absent = np.zeros(table.num_rows, "int64"), np.zeros(table.num_rows, "bool")
    for column in table.columns:
        codes, nulls = _codes(column.combine_chunks())
        _, numbers = np.unique(numbers * (codes.max(initial=0) + 1) + codes, return_inverse=True)
        absent |= nulls
    if dropna:
        numbers = np.where(absent, -1, numbers)
    numbers, firsts = _renumbered(numbers, sort=sort)
    keys = table.take(pa.array(firsts))
    return Grouping(numbers=numbers, keys=keys, labels=tuple(names), is_multi=not isinstance(by, str))


def _codes(array: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return numbers that sort as the values of a column do, nulls last, and which are null."""
    if isinstance(array, pa.ChunkedArray):  # more than one array can hold
        array = pa.concat_arrays(array.chunks)
    if pa.types.is_dictionary(array.type):
        array = array.cast(array.type.value_type)
    nulls = array.is_null().to_numpy(zero_copy_only=False)
    try:
        encoded = array.dictionary_encode(null_encoding="encode")
        order = pc.sort_indices(encoded.dictionary).to_numpy()  # nulls at the end
    except (pa.ArrowNotImplementedError, pa.ArrowTypeError) as error:
        raise SchemaError(
            f"by=: rows cannot be grouped by a column of {array.type}; give one of text, numbers or times"
        ) from error
    ranks = np.empty(len(order), "int64")
    ranks[order] = np.arange(len(order))
    return ranks[encoded.indices.to_numpy()], nulls


def _renumbered(numbers: np.ndarray, *, sort: bool) -> tuple[np.ndarray, np.ndarray]:
    """Number groups from 0, in their order or in that of their first rows; also return those rows."""
    kept = np.flatnonzero(numbers >= 0)
    _, firsts, inverse = np.unique(numbers[kept], return_index=True, return_inverse=True)
    order = np.arange(len(firsts)) if sort else np.argsort(firsts, kind="stable")
    ranks = np.empty(len(order), "int64")
    ranks[order] = np.arange(len(order))
    found = np.full(len(numbers), -1)
    found[kept] = ranks[inverse]
    return found, kept[firsts[order]]
