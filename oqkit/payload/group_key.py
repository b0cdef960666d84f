"""The keys of groups, as stored: by name, as a pandas index, and as Python values that functions are given."""

from __future__ import annotations

from typing import Any

import pandas as pd

from oqkit.arrow.metadata import label_of
from oqkit.arrow.table import Layout, index_of, to_lists


def keys_of(table: Any, layout: Layout, *, is_multi: bool) -> list[Any]:
    """Return the key of each group: what pandas calls it, of other frames a value, or a tuple of the values of several columns."""
    if layout.backend == "pandas":
        return list(index_of(table, layout))
    lists = list(to_lists(table, layout).values())
    return list(zip(*lists, strict=True)) if is_multi else lists[0]


def index_of_keys(table: Any, layout: Layout, *, is_multi: bool) -> pd.Index:
    """Return the keys as a pandas index, whatever the kind of the frame."""
    if layout.backend == "pandas":
        return index_of(table, layout)
    names = [label_of(table.schema.field(name)) for name in layout.columns]
    keys = keys_of(table, layout, is_multi=is_multi)
    return pd.MultiIndex.from_tuples(keys, names=names) if is_multi else pd.Index(keys, name=names[0])
