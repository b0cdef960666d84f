"""Which tasks of a job somebody means: those in a status, those of a mask over the rows, row numbers, or labels of the frame."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from enum import StrEnum
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from pandas.api.types import is_bool_dtype

from oqkit.errors import UsageError, one_of
from oqkit.queue.key import task_id
from oqkit.queue.rows import Rows
from oqkit.queue.transition import Status

S = TypeVar("S", bound=StrEnum)


def select(
    where: object,
    allowed: tuple[Status, ...],
    *,
    n_tasks: int,
    index: Callable[[], Any],
    order: Callable[[], np.ndarray | None] = lambda: None,
) -> tuple[tuple[Status, ...], Rows | None]:
    """Return the statuses and the rows (None: all) that `where` means, or raise `UsageError`.

    `where` is the name of an `allowed` status, ``"all"`` of these, a boolean mask of shape ``(n_tasks,)``, row numbers, a
    pandas index of labels or a list of labels that are no numbers, or a frame with a column of row numbers, ``row``. A series as a mask
    is aligned by its own index. `index` returns the labels of all rows, and `order` in which order they are shown (None: in their own),
    which is that of a mask without an index.
    """
    if isinstance(where, str):
        return statuses_of(where, allowed), None
    rows = _rows(where, index)
    if rows.dtype == bool:
        if rows.shape != (n_tasks,):
            raise UsageError(f"the mask has shape {rows.shape}; it must have one value for each of {n_tasks} rows")
        shown = None if isinstance(where, pd.Series) else order()
        rows = np.flatnonzero(rows) if shown is None else shown[rows]
    if rows.size and (rows.dtype.kind not in "iu" or rows.min() < 0 or rows.max() >= n_tasks):
        raise UsageError(
            f"where={where!r}: give row numbers from 0 to {n_tasks - 1}, a boolean mask, or a status; or labels of the "
            "submitted frame, as a pandas index"
        )
    return allowed, Rows.of(rows.tolist())


def statuses_of(where: str, allowed: tuple[Status, ...]) -> tuple[Status, ...]:
    """Return the statuses of one name, or of ``"all"``."""
    return allowed if where == "all" else named([where], allowed, others=["all"])


def labelled(labels: pd.Index, index: pd.Index) -> np.ndarray:
    """Return the numbers of all rows that have one of some labels, in the order of these, or raise `UsageError`."""
    try:
        rows = np.asarray(index.get_indexer_for(labels))
    except TypeError as error:  # such as a set, which nothing can be looked up by
        raise UsageError(f"{labels.tolist()!r:.80} are no labels of the submitted frame: {error}") from None
    if (rows < 0).any():
        strange = labels[~labels.isin(index)]
        raise UsageError(
            f"the submitted frame has no row labelled {(strange if len(strange) else labels).tolist()[0]!r:.80}"
        )
    return rows


def row_of(label: object, index: pd.Index, *, job_id: str) -> int:
    """Return the number of the one row that has a label, or raise `UsageError`."""
    rows = labelled(pd.Index([label]), index)
    if len(rows) > 1:
        first = task_id(job_id, int(rows[0]))
        raise UsageError(
            f"{len(rows):,} rows are labelled {label!r:.80}: oq.get({first!r}) is the task of the first of them"
        )
    return int(rows[0])


def _rows(where: Any, index: Callable[[], Any]) -> np.ndarray:
    """Return row numbers, or a mask, in one dimension; of labels the row numbers."""
    if isinstance(where, pd.Index):
        return labelled(where, index())
    if isinstance(where, pd.DataFrame) and "row" in where:
        return where["row"].to_numpy()
    if hasattr(where, "dtype") and is_bool_dtype(where.dtype):
        return _mask(where, index)
    rows = _array(where)
    return labelled(pd.Index(rows), index()) if rows.dtype.kind in "OUSM" and rows.size else rows


def _mask(mask: Any, index: Callable[[], Any]) -> np.ndarray:
    """Return a mask as an array: what is missing in it is False, and a series goes by the labels that it has itself."""
    if isinstance(mask, pd.Series):
        known = index()
        if len(mask) == len(known) and not mask.index.equals(known):
            mask = _aligned(mask, known)
    return np.asarray(pd.Series(np.asarray(mask, object)).eq(True))  # noqa: FBT003 - takes no keyword


def _aligned(mask: pd.Series, index: pd.Index) -> pd.Series:
    if mask.index.is_unique and index.is_unique and mask.index.isin(index).all():
        return mask.reindex(index)
    if mask.index.equals(pd.RangeIndex(len(mask))):
        return mask
    raise UsageError(
        "the mask is a series with another index than the submitted frame: pass its values, mask.to_numpy()"
    )


def _array(where: object) -> np.ndarray:
    """Return rows or labels as an array of one dimension."""
    if isinstance(where, list) and any(isinstance(one, tuple) for one in where):  # of a frame with several index levels
        labels = np.empty(len(where), object)
        labels[:] = where
        return labels
    return np.atleast_1d(np.asarray(where))


def named(names: Iterable[str], allowed: Collection[S], *, others: Iterable[str] = ()) -> tuple[S, ...]:
    """Return the statuses of these names, or raise `UsageError`; `others` are words that could have been there, too."""
    known = {status.value: status for status in allowed}
    chosen = list(names)
    unknown = [name for name in chosen if name not in known]
    if unknown:
        raise UsageError(f"{unknown[0]!r} is none of {one_of([repr(name) for name in (*others, *known)])}")
    return tuple(known[name] for name in chosen)
