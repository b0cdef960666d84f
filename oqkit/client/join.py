"""Results beside the frame that was submitted, with all of its columns: which frame that is, and how they are put together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from oqkit.arrow.frame_kind import labels_of
from oqkit.arrow.identity import digest_by_name
from oqkit.arrow.metadata import Label
from oqkit.arrow.table import fingerprint, to_table
from oqkit.errors import SchemaError, UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    """A frame as it was submitted, of pandas, polars or pyarrow, and the digest of the columns that were stored of it."""

    frame: Any
    columns: tuple[Label, ...]
    content: str

    def is_intact(self) -> bool:
        """Whether nothing wrote into the frame since."""
        return has_content(self.frame, self.columns, self.content)


def has_content(frame: Any, columns: Sequence[Label], content: str) -> bool:
    """Whether these columns of a frame, and its index, are those of which `content` is the digest."""
    try:
        stored = to_table(frame, columns=columns)
        return content in {fingerprint(stored), digest_by_name(stored)}
    except SchemaError:  # it lacks one, or holds what cannot have been submitted
        return False


def check_given(frame: Any, columns: Sequence[Label], content: str) -> None:
    """Raise `UsageError` unless a frame that was passed as ``join=`` is the one of which `content` is the digest."""
    if not content:
        raise UsageError("join=<frame>: this job was submitted by an earlier oqkit, which did not note of what frame")
    if not has_content(frame, columns, content):
        raise UsageError(
            f"join=<frame>: this is not the frame that was submitted; its index or one of the columns "
            f"{', '.join(map(repr, columns)) or '(none)'} differs"
        )


def beside(frame: Any, results: Any, *, rows: np.ndarray | None, suffix: str) -> Any:
    """Return a frame, of which `rows` are wanted (None: all), with results of as many rows behind its columns.

    By position: labels of an index may occur several times. Both are of one kind, and so is what comes out. A
    result that has the name of a column gets `suffix` behind it; raise `UsageError` if that is the name of another one.
    """
    taken = set(labels_of(frame))
    names = [f"{name}{suffix}" if name in taken else name for name in labels_of(results)]
    if twice := [name for name, n in Counter([*taken, *names]).items() if n > 1]:
        raise UsageError(f"join=: two columns would be called {twice[0]!r}: choose another suffix than {suffix!r}")
    if isinstance(frame, pd.DataFrame):
        frame = frame if rows is None else frame.iloc[rows]
        pair = [frame.reset_index(drop=True), results.set_axis(names, axis=1).reset_index(drop=True)]
        return pd.concat(pair, axis=1).set_axis(frame.index)
    if isinstance(frame, pa.Table):
        frame = frame if rows is None else frame.take(rows)
        for field, name, column in zip(results.schema, names, results.columns, strict=True):
            frame = frame.append_column(field.with_name(name), column)
        return frame
    frame = frame if rows is None else frame[rows]
    return frame.hstack(results.rename(dict(zip(results.columns, names, strict=True))))
