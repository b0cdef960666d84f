"""Files that are somewhere already, as the input of a job: what the job holds of them.

A dataset is a list of files that `fsspec` can reach, in order; its rows are numbered through. Part n of the job is a run of those
numbers, or of those of them that passed a filter, whatever the row groups are.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import pyarrow as pa

from oqkit.errors import FormatError
from oqkit.payload.guard import typed
from oqkit.payload.partition import Partitions, Values
from oqkit.payload.text_format import TextFormat

_MAX_GROUPS: Final = 10_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetFile:
    """One file: `tag` is what changes when it is written anew; `groups` are the rows of each row group."""

    path: str
    size_bytes: int
    tag: str
    groups: tuple[int, ...]
    values: Values = ()
    """What it has in the columns of `Dataset.partitions`."""
    borders: tuple[int, ...] = ()
    """Of text: where the first of `groups` begins, and where each ends, in bytes."""

    @property
    def n_rows(self) -> int:
        """Return how many rows it has."""
        return sum(self.groups)

    def to_json(self) -> list[Any]:
        """Return what the job object holds; counts of rows are packed as ``[rows, how many groups of so many]``."""
        more = (
            [list(self.values), *([list(self.borders)] if self.borders else [])] if self.values or self.borders else []
        )
        return [self.path, self.size_bytes, self.tag, _packed(self.groups), *more]

    @classmethod
    def from_json(cls, doc: Sequence[Any]) -> DatasetFile:
        """Read what `to_json` returned, or raise `TypeError` or `ValueError`."""
        path, size, tag, groups, *more = doc
        values, borders = [*more, [], []][:2] if len(more) <= 2 else more  # noqa: PLR2004 - what may follow
        return cls(
            path=typed(path, str),
            size_bytes=typed(size, int),
            tag=typed(tag, str),
            groups=_unpacked(groups),
            values=tuple(None if value is None else typed(value, str) for value in typed(values, list)),
            borders=tuple(typed(border, int) for border in typed(borders, list)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """Files of one schema behind one `fsspec` file system; `options` is the little that a job may say of that."""

    protocol: str
    options: Mapping[str, Any]
    files: tuple[DatasetFile, ...]
    stored: tuple[str, ...]
    """The columns to read: those that the function is given, and those of a pandas index."""
    nulls: Mapping[str, bool] = field(default_factory=dict)
    """Columns of ints or bools that hold nulls anywhere; False where the files do not say, and may."""
    partitions: Partitions = Partitions()  # noqa: RUF009 - frozen
    """Columns that are not in the files, but in the names of their folders."""
    text: TextFormat | None = None
    """Of CSV and JSON lines; None of Parquet."""

    @property
    def n_rows(self) -> int:
        """Return how many rows the files have together."""
        return sum(file.n_rows for file in self.files)

    def content(self) -> str:
        """Return a hex digest that changes with the files, their versions, and the columns that are read."""
        doc = self.to_json()
        facts = [doc["stored"], doc["files"], *(doc[name] for name in ("partitions", "text") if name in doc)]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """Return what the job object holds."""
        return {
            "protocol": self.protocol,
            "options": dict(self.options),
            "stored": list(self.stored),
            **({"nulls": dict(self.nulls)} if self.nulls else {}),
            **({"partitions": self.partitions.to_json()} if self.partitions else {}),
            **({} if self.text is None else {"text": self.text.to_json()}),
            "files": [file.to_json() for file in self.files],
        }

    @classmethod
    def from_json(cls, doc: Mapping[str, Any]) -> Dataset:
        """Read what `to_json` returned, or raise `FormatError`."""
        try:
            dataset = cls(
                protocol=typed(doc["protocol"], str),
                options=dict(typed(doc["options"], dict)),
                stored=tuple(typed(name, str) for name in doc["stored"]),
                nulls={name: typed(known, bool) for name, known in doc.get("nulls", {}).items()},
                partitions=Partitions.from_json(doc.get("partitions", [])),
                text=TextFormat.from_json(doc["text"]) if "text" in doc else None,
                files=tuple(map(DatasetFile.from_json, doc["files"])),
            )
            for file in dataset.files:
                dataset.partitions.scalars(file.values)
                _check_borders(file, is_text=dataset.text is not None)
        except (KeyError, TypeError, ValueError, OSError, pa.ArrowException) as error:
            raise FormatError(f"the dataset of a job is not readable here: {error!r:.200}") from None
        if not dataset.files:
            raise FormatError("the dataset of a job names no file")
        return dataset


def _check_borders(file: DatasetFile, *, is_text: bool) -> None:
    if len(file.borders) != (len(file.groups) + 1 if is_text else 0) or any(
        not 0 <= start <= stop <= file.size_bytes for start, stop in itertools.pairwise(file.borders)
    ):
        raise ValueError(f"{file.borders!r:.80} do not say where {len(file.groups)} pieces of {file.path!r:.80} are")


def _packed(groups: Sequence[int]) -> list[list[int]]:
    return [[rows, len(list(same))] for rows, same in itertools.groupby(groups)]


def _unpacked(packed: Sequence[Sequence[int]]) -> tuple[int, ...]:
    if not all(typed(rows, int) >= 0 and typed(n, int) >= 0 for rows, n in packed):
        raise ValueError(f"{packed!r:.80} are not counts of rows")
    if sum(n for _, n in packed) > _MAX_GROUPS:
        raise ValueError(f"more than {_MAX_GROUPS:,} row groups")
    return tuple(rows for rows, n in packed for _ in range(n))
