"""Which frame the results are put beside: the one that was submitted, with all of its columns, or none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from oqkit.arrow.identity import digest_by_name
from oqkit.arrow.metadata import Label
from oqkit.arrow.table import fingerprint, to_table
from oqkit.errors import SchemaError, UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    """A pandas frame as it was submitted, and the digest of the columns that were stored of it."""

    frame: pd.DataFrame
    columns: tuple[Label, ...]
    content: str

    def is_intact(self) -> bool:
        """Whether nothing wrote into the frame since."""
        return has_content(self.frame, self.columns, self.content)


def has_content(frame: pd.DataFrame, columns: Sequence[Label], content: str) -> bool:
    """Whether these columns of a frame, and its index, are those of which `content` is the digest."""
    try:
        stored = to_table(frame, columns=columns)
        return content in {fingerprint(stored), digest_by_name(stored)}
    except SchemaError:  # it lacks one, or holds what cannot have been submitted
        return False


def check_given(frame: pd.DataFrame, columns: Sequence[Label], content: str) -> None:
    """Raise `UsageError` unless a frame that was passed as ``join=`` is the one of which `content` is the digest."""
    if not content:
        raise UsageError("join=<frame>: this job was submitted by an earlier oqkit, which did not note of what frame")
    if not has_content(frame, columns, content):
        raise UsageError(
            f"join=<frame>: this is not the frame that was submitted; its index or one of the columns "
            f"{', '.join(map(repr, columns)) or '(none)'} differs"
        )
