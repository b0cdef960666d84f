"""Inputs of `submit` and `map`: a value a task, in the job itself while they are small."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Final, NoReturn

import pandas as pd
import pyarrow as pa

from oqkit.arrow import tagged_json
from oqkit.errors import UsageError
from oqkit.payload.guard import typed
from oqkit.payload.input_source import InputSource
from oqkit.payload.kind import Kind
from oqkit.payload.parquet import PayloadRef, files_from_json, files_to_json
from oqkit.payload.part_input import PartValues

_JSON: Final = "oq:json"
_READ: Final[Mapping[Kind, Callable[[Any], Any]]] = {
    Kind.VALUES: lambda value: value,
    Kind.TAGGED: tagged_json.loads,
    Kind.JSON: json.loads,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ValuesInput:
    """Values in the form of `kind`: `items` in the job, or as texts in `files`, where row group k is part k."""

    mode: ClassVar = "value"
    backend: ClassVar = "pandas"
    columns: ClassVar = None
    """A row function is called with the value itself."""

    kind: Kind
    items: Sequence[Any] | None = None
    """None if they are in `files`."""
    files: tuple[PayloadRef, ...] = ()

    @classmethod
    def of(cls, texts: Sequence[str], *, is_plain: bool, is_inline: bool) -> ValuesInput:
        """Return what a job holds of these texts of `tagged_json`: nothing unless `is_inline`.

        Plain values are stored as everybody reads them.
        """
        if not is_inline:
            return cls(kind=Kind.TAGGED)
        if is_plain:
            return cls(kind=Kind.VALUES, items=[json.loads(text) for text in texts])
        return cls(kind=Kind.TAGGED, items=texts)

    @classmethod
    def from_json(cls, kind: Kind, doc: Mapping[str, Any]) -> ValuesInput:
        """Read what `to_json` returned."""
        items = doc.get(_items_name(kind))
        return cls(
            kind=kind,
            items=None if items is None else typed(items, list),
            files=files_from_json(doc.get("files", [])) if items is None else (),
        )

    def to_json(self) -> dict[str, Any]:
        """Return what the job object holds."""
        if self.items is not None:
            return {"kind": self.kind.value, _items_name(self.kind): list(self.items)}
        return {"kind": self.kind.value, **files_to_json(self.files)}

    def with_files(self, files: Sequence[PayloadRef]) -> ValuesInput:
        """Return this input with where its texts were uploaded."""
        return replace(self, files=tuple(files))

    @property
    def n_uploads(self) -> int:
        """Return how many files its submitter uploaded."""
        return len(self.files)

    def values(self, first: int = 0, stop: int | None = None) -> list[Any] | None:
        """Return the values (of these tasks) that the job holds itself; None if they are in files."""
        return None if self.items is None else self._read(self.items[first:stop])

    def _read(self, items: Sequence[Any]) -> list[Any]:
        return list(map(_READ[self.kind], items))

    def part(self, source: InputSource, index: int) -> PartValues:
        """Read the values of a part."""
        first = index * source.job.part_rows
        values = self.values(first, first + source.job.part_size(index))
        if values is None:
            values = self._read(source.files(self.files).part(index).column(_JSON).to_pylist())
        return PartValues(tuple(values))

    def index(self, source: InputSource) -> pd.Index:
        """Return the index of the results: tasks are numbered."""
        return pd.RangeIndex(source.job.n_tasks)

    def joinable(self) -> NoReturn:
        """Raise `UsageError`: there is no frame to put the results beside."""
        raise UsageError("join=True needs a job of submit_frame; this one was submitted as values")


def text_table(texts: Sequence[str]) -> pa.Table:
    """Return the table of texts that are too large for the job itself."""
    return pa.table({_JSON: pa.array(texts, pa.large_string())})


def _items_name(kind: Kind) -> str:
    return "values" if kind is Kind.VALUES else "texts"
