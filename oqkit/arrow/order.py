"""Whose row is whose in what a batch function returned."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd

from oqkit.arrow.tagged_json import show
from oqkit.errors import SchemaError

_NOT_COMPARABLE: Final = (TypeError, ValueError, pd.errors.InvalidIndexError)


def in_order(result: object, index: pd.Index) -> object:
    """Return what a batch function returned for a frame with its rows in the frame's order, by their labels.

    `index` is the frame's (None: it had none, and its rows count from 0). A new index that counts from 0 says that
    the rows are in order, and so does a result without one. Raise `SchemaError` if the labels are others than the
    frame's, or in another order and not unique.
    """
    if isinstance(result, dict):
        return {name: in_order(values, index) for name, values in result.items()}
    if not isinstance(result, pd.DataFrame | pd.Series):
        return result
    index = pd.RangeIndex(len(result)) if index is None else index
    own = result.index
    if len(own) != len(index) or _is_new(own) or own.equals(index):
        return result
    places = _places(own, index)
    if places is not None:
        return result.iloc[places]
    if own.equals(pd.RangeIndex(len(own))):
        return result
    what = "in another order, and not unique" if set(map(repr, own)) == set(map(repr, index)) else "not the frame's"
    msg = (
        f"a batch function returned rows whose labels {show(list(own[:3]))} are {what}; keep the frame's index, or "
        "say that the rows are in the frame's order with reset_index(drop=True)"
    )
    raise SchemaError(msg)


def _is_new(index: object) -> bool:
    return isinstance(index, pd.RangeIndex) and index.start == 0 and index.step == 1


def _places(own: pd.Index, index: pd.Index) -> np.ndarray | None:
    """Return where each label of `index` is in `own`, None if that cannot be said."""
    try:
        if not (own.is_unique and index.is_unique):
            return None
        places: np.ndarray = own.get_indexer(index)
    except _NOT_COMPARABLE:
        return None
    return places if (places >= 0).all() else None
