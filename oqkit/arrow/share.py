"""Which rows of what a batch function returned came of which of the rows that it was given, where that may be any number."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from oqkit.arrow.tagged_json import show, type_name
from oqkit.errors import SchemaError


@dataclass(frozen=True, slots=True)
class Share:
    """The rows ``first <= row < stop`` of a frame, which others share."""

    frame: Any
    first: int
    stop: int


def shares(result: object, index: pd.Index | None) -> list[Share]:
    """Return for each row of a frame with this index which rows a batch function returned for it, by their labels.

    Raise `SchemaError` if it returned no pandas frame or Series, or if labels do not say of which row they are.
    """
    if isinstance(result, pd.Series):
        result = result.to_frame(type_name(result) if result.name is None else result.name)
    if not isinstance(result, pd.DataFrame) or index is None:
        msg = (
            f"explode=True: a batch function returned {type_name(result)}; return a pandas frame with the labels of the rows that "
            "each comes from, or use a function of single rows"
        )
        raise SchemaError(msg)
    owners = _owners(result.index, index)
    order = np.argsort(owners, kind="stable")
    bounds = np.searchsorted(owners[order], np.arange(len(index) + 1)).tolist()
    frame = result.iloc[order].reset_index(drop=True)
    return [Share(frame, first, stop) for first, stop in pairwise(bounds)]


def _owners(own: pd.Index, index: pd.Index) -> np.ndarray:
    if not index.is_unique:
        msg = "explode=True: labels of the frame occur several times, so they do not say of which row a result is; use reset_index()"
        raise SchemaError(msg)
    try:
        owners: np.ndarray = index.get_indexer_for(own)
    except (TypeError, ValueError) as error:
        msg = f"explode=True: a batch function returned rows whose labels {show(list(own[:3]))} are not the frame's: {error}"
        raise SchemaError(msg) from None
    if (owners < 0).any():
        strange = own[owners < 0].tolist()[0]
        msg = f"explode=True: a batch function returned a row with the label {show(strange)}, which none that it was given has; keep the index"
        raise SchemaError(msg)
    return owners


def joined(values: Sequence[Any]) -> Iterator[Any]:
    """Yield the frames that these are the rows of: neighbours in one frame together, as they are there."""
    frame, first, stop = None, 0, 0
    for value in values:
        if frame is value.frame and value.first == stop:
            stop = value.stop
            continue
        if frame is not None:
            yield frame.iloc[first:stop]
        frame, first, stop = value.frame, value.first, value.stop
    if frame is not None:
        yield frame.iloc[first:stop]
