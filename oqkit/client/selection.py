"""Which tasks of a job somebody means: those in a status, those of a mask over the rows, or row numbers."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from enum import StrEnum
from typing import TypeVar

import numpy as np

from oqkit.errors import UsageError, one_of
from oqkit.queue.rows import Rows
from oqkit.queue.transition import Status

S = TypeVar("S", bound=StrEnum)


def select(where: object, allowed: tuple[Status, ...], *, n_tasks: int) -> tuple[tuple[Status, ...], Rows | None]:
    """Return the statuses and the rows (None: all) that `where` means, or raise `UsageError`.

    `where` is the name of an `allowed` status, ``"all"`` of these, a boolean mask of shape ``(n_tasks,)``, or row numbers.
    """
    if isinstance(where, str):
        return (allowed if where == "all" else named([where], allowed, others=["all"])), None
    rows = np.atleast_1d(np.asarray(where))
    if rows.dtype == bool:
        if rows.shape != (n_tasks,):
            raise UsageError(f"the mask has shape {rows.shape}; it must have one value for each of {n_tasks} rows")
        rows = np.flatnonzero(rows)
    if rows.size and (rows.dtype.kind not in "iu" or rows.min() < 0 or rows.max() >= n_tasks):
        raise UsageError(f"where={where!r}: give row numbers from 0 to {n_tasks - 1}, a boolean mask, or a status")
    return allowed, Rows.of(rows.tolist())


def named(names: Iterable[str], allowed: Collection[S], *, others: Iterable[str] = ()) -> tuple[S, ...]:
    """Return the statuses of these names, or raise `UsageError`; `others` are words that could have been there, too."""
    known = {status.value: status for status in allowed}
    chosen = list(names)
    unknown = [name for name in chosen if name not in known]
    if unknown:
        raise UsageError(f"{unknown[0]!r} is none of {one_of([repr(name) for name in (*others, *known)])}")
    return tuple(known[name] for name in chosen)
