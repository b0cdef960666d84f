"""What a command answers: text for people, data for programs, and an exit code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
from pandas.api.types import is_bool_dtype, is_numeric_dtype

from oqkit.cli.cell import json_of, shown_cell
from oqkit.cli.text_table import text_table
from oqkit.printable import printable


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An exit code, and nothing to say."""

    code: int = 0

    def text(self, width: int | None) -> str:
        """Return lines for a terminal of `width` columns; None: the output goes elsewhere, whole and the same for all times."""
        del width
        return ""

    def data(self) -> Any:
        """Return what ``--json`` shows: values of JSON alone."""
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Said(Answer):
    """A line or more, and the facts in it."""

    line: str
    facts: Mapping[str, object]

    def text(self, width: int | None) -> str:
        del width
        return f"{self.line}\n"

    def data(self) -> Any:
        return json_of(self.facts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts(Answer):
    """What is known of one thing: a line each, and what has several lines below its name."""

    facts: Mapping[str, object]
    now: float
    """The queue's time, for ages."""

    def text(self, width: int | None) -> str:
        longest = max(map(len, self.facts))
        return "".join(
            f"{name:<{longest}}  {_shown_lines(value) or shown_cell(value, now=self.now if width else None)}\n"
            for name, value in self.facts.items()
        )

    def data(self) -> Any:
        return json_of(self.facts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Table(Answer):
    """A frame with an index: a line a row; JSON has a list of objects, with the index among their members."""

    frame: pd.DataFrame
    now: float
    """The queue's time, for ages."""
    shown: pd.DataFrame | None = None
    """What text has instead, with the same index: without details, or in fewer columns."""

    def text(self, width: int | None) -> str:
        frame = _flat(self.frame if self.shown is None else self.shown)
        cells = [
            [shown_cell(value, now=self.now if width else None) for value in row]
            for row in frame.itertuples(index=False, name=None)
        ]
        are_numbers = [is_numeric_dtype(dtype) and not is_bool_dtype(dtype) for dtype in frame.dtypes]
        names = [printable(name) for name in frame.columns]
        return text_table(names, cells, are_numbers=are_numbers, width=width) if cells else "none\n"

    def data(self) -> Any:
        frame = _flat(self.frame)
        return [json_of(dict(zip(frame.columns, row, strict=True))) for row in frame.itertuples(index=False, name=None)]


def _flat(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame with its index among the columns, unless it is there already."""
    names = [f"index {n}" if n else "index" for n in range(frame.index.nlevels)]
    names = [names[n] if each is None else str(each) for n, each in enumerate(frame.index.names)]
    return frame if set(names) & set(frame.columns) else frame.reset_index(names=names)


def _shown_lines(value: object) -> str:
    lines = value.rstrip("\n").split("\n") if isinstance(value, str) else []
    return "".join(f"\n    {printable(line)}" for line in lines) if len(lines) > 1 else ""
