"""Parquet files that are somewhere already, as the input of a job: only their footers pass through the submitter.

A dataset is a list of files that `fsspec` can reach, in order; its rows are numbered through. Part n
of the job is a run of those numbers, whatever the row groups are. Workers read the row groups that a
part touches, of the columns that are needed, and keep the last few for the next part.
"""

from __future__ import annotations

import bisect
import hashlib
import inspect
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final

import pandas as pd
import pyarrow as pa

from oqkit.arrow.table import Frame, to_table
from oqkit.errors import Denied, FormatError, Missing, OqError, Unavailable
from oqkit.limits import PayloadLimits
from oqkit.payload.access import Access
from oqkit.payload.cache import ByteCache
from oqkit.payload.guard import typed
from oqkit.payload.parquet import PayloadReader, PayloadRef
from oqkit.store.base import Blob

_DENIED: Final = {401, 403}
_NO_CREDENTIALS: Final = {  # of botocore, the Azure SDK and google-auth, none of which need be installed
    *("NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError", "TokenRetrievalError"),
    *("UnauthorizedSSOTokenError", "ProfileNotFound", "ClientAuthenticationError", "DefaultCredentialsError"),
}
_MAX_CAUSES: Final = 8
_MAX_GROUPS: Final = 10_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetFile:
    """One file: `tag` is what changes when it is written anew; `groups` are the rows of each row group."""

    path: str
    size_bytes: int
    tag: str
    groups: tuple[int, ...]

    @property
    def n_rows(self) -> int:
        """Return how many rows it has."""
        return sum(self.groups)


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

    @property
    def n_rows(self) -> int:
        """Return how many rows the files have together."""
        return sum(file.n_rows for file in self.files)

    def content(self) -> str:
        """Return a hex digest that changes with the files, their versions, and the columns that are read."""
        doc = self.to_json()
        return hashlib.sha256(json.dumps([doc["stored"], doc["files"]]).encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """Return what the job object holds; counts of rows are packed as ``[rows, how many groups of so many]``."""
        return {
            "protocol": self.protocol,
            "options": dict(self.options),
            "stored": list(self.stored),
            **({"nulls": dict(self.nulls)} if self.nulls else {}),
            "files": [[file.path, file.size_bytes, file.tag, _packed(file.groups)] for file in self.files],
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
                files=tuple(
                    DatasetFile(
                        path=typed(path, str),
                        size_bytes=typed(size, int),
                        tag=typed(tag, str),
                        groups=_unpacked(groups),
                    )
                    for path, size, tag, groups in doc["files"]
                ),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise FormatError(f"the dataset of a job is not readable here: {error!r:.200}") from None
        if not dataset.files:
            raise FormatError("the dataset of a job names no file")
        return dataset


def _packed(groups: Sequence[int]) -> list[list[int]]:
    return [[rows, len(list(same))] for rows, same in itertools.groupby(groups)]


def _unpacked(packed: Sequence[Sequence[int]]) -> tuple[int, ...]:
    if not all(typed(rows, int) >= 0 and typed(n, int) >= 0 for rows, n in packed):
        raise ValueError(f"{packed!r:.80} are not counts of rows")
    if sum(n for _, n in packed) > _MAX_GROUPS:
        raise ValueError(f"more than {_MAX_GROUPS:,} row groups")
    return tuple(rows for rows, n in packed for _ in range(n))


# --- reading -------------------------------------------------------------------------------------


class _Files:
    """The two verbs of a store that reading needs, on an `fsspec` file system; a file that changed is refused."""

    def __init__(self, dataset: Dataset, access: Access) -> None:
        self._system, self._allowed = access.open(dataset.protocol, dataset.options, dataset.to_json()["files"])
        self._tags = {file.path: file.tag for file in dataset.files}
        self._seen: dict[str, str] = {}
        """Where the files lie whose turn it was already."""

    def read(self, key: str) -> Blob:
        return Blob(key=key, data=self._fetch(key, None, None), etag=self._tags[key])

    def read_range(self, key: str, *, start: int, length: int) -> bytes:
        return self._fetch(key, start, start + length if start >= 0 else None)

    def _check(self, key: str) -> None:
        path = self._allowed(key)
        if tag_of(self._system.info(path)) != self._tags[key]:
            raise FormatError(f"{key} is not the file that was submitted: it has been written anew since")
        self._seen[key] = path

    def _fetch(self, key: str, start: int | None, stop: int | None) -> bytes:
        with errors_of(key):
            if key not in self._seen:
                self._check(key)
            return bytes(self._system.cat_file(self._seen[key], start=start, end=stop))


def tag_of(info: Mapping[str, Any]) -> str:
    """Return what tells one version of a file from another: its etag where it has one, else size and time."""
    tag = info.get("ETag") or info.get("etag")
    return str(tag) if tag else f"{info['size']}-{info.get('mtime', '')}"


@contextmanager
def errors_of(path: str) -> Iterator[None]:
    """Turn what a file system raises for a file into `Missing`, `Denied` or `Unavailable`, which name the file."""
    try:
        yield
    except OqError:
        raise
    except Exception as error:  # each file system has its own
        raise _translated(path, error) from error


def _translated(key: str, error: Exception) -> OqError:
    """Return what an error of a file system means: the file is gone, denied, or cannot be reached now."""
    if isinstance(error, FileNotFoundError):
        return Missing(key)
    text = f"{key} cannot be read: {type(error).__name__}: {error}"
    return Denied(text) if any(map(_is_denial, _chain(error))) else Unavailable(text)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and what led to it."""
    for _ in range(_MAX_CAUSES):
        if error is None:
            return
        yield error
        error = error.__cause__ or error.__context__


def _is_denial(error: BaseException) -> bool:
    """Whether the other side, or the lack of credentials here, forbids it; by type and status, never by text."""
    if isinstance(error, PermissionError) or type(error).__name__ in _NO_CREDENTIALS:
        return True
    # Static, since some libraries make an old name of it a property that warns.
    values = (inspect.getattr_static(error, name, None) for name in ("status", "status_code", "code"))
    return any(isinstance(value, int) and value in _DENIED for value in values)


def _to_pandas(table: pa.Table, nulls: Mapping[str, bool]) -> pd.DataFrame:
    """Return the frame of some rows, with the dtypes that all rows together would have."""
    for place, one in enumerate(table.schema):
        if pa.types.is_dictionary(one.type):
            table = table.set_column(place, one.name, table.column(place).cast(one.type.value_type))
        elif nulls.get(one.name) and pa.types.is_integer(one.type):
            table = table.set_column(place, one.name, table.column(place).cast(pa.float64(), safe=False))
    df: pd.DataFrame = table.to_pandas()
    for name, is_known in nulls.items():
        if name in df.columns and not is_known:
            df[name] = _nullable(table.column(name))
        elif name in df.columns and pa.types.is_boolean(table.schema.field(name).type):
            df[name] = df[name].astype(object)
    return df


def _nullable(array: pa.ChunkedArray) -> Any:
    name = (
        "boolean" if pa.types.is_boolean(array.type) else str(array.type).replace("uint", "UInt").replace("int", "Int")
    )
    dtype: Any = pd.api.types.pandas_dtype(name)
    return dtype.__from_arrow__(array)


class DatasetReader:
    """Reads rows of a dataset by their numbers. Threads may share one."""

    def __init__(
        self, dataset: Dataset, access: Access, *, limits: PayloadLimits, cache: ByteCache | None = None
    ) -> None:
        self.dataset = dataset
        self._cache = cache or ByteCache(limits.cache_bytes)
        starts = itertools.accumulate((len(file.groups) for file in dataset.files), initial=0)
        refs = [
            PayloadRef(file.path, start, len(file.groups), file.size_bytes)
            for file, start in zip(dataset.files, starts, strict=False)
            if file.groups
        ]
        self._reader = PayloadReader(_Files(dataset, access), refs, limits=limits, cache=self._cache)
        groups = [rows for file in dataset.files for rows in file.groups]
        self._firsts = list(itertools.accumulate(groups, initial=0))

    def frame(self, first: int, stop: int) -> Frame:
        """Return rows ``first`` to ``stop`` as `pandas.read_parquet` gives them, in the form of submitted frames.

        Every slice has the same dtypes. So what only the whole shows is another than there: an int or bool column of
        which the files do not say whether it has nulls is of Int64 or boolean, and a categorical one of its values.
        """
        if self.dataset.stored:
            df = _to_pandas(self._rows(first, stop), self.dataset.nulls)
        else:  # of which there is nothing to read
            df = pd.DataFrame(index=range(stop - first))
        is_numbered = isinstance(df.index, pd.RangeIndex)
        frame = to_table(df)
        if not is_numbered:
            return frame
        return Frame(table=frame.table, layout=replace(frame.layout, range=(0, self.dataset.n_rows, 1)))

    def _rows(self, first: int, stop: int) -> pa.Table:
        pieces: list[pa.Table] = []
        number = bisect.bisect_right(self._firsts, first) - 1
        while not pieces or (number < len(self._firsts) - 1 and self._firsts[number] < stop):
            start = self._firsts[number]
            group = self._group(number)
            pieces.append(group.slice(max(first - start, 0), min(stop - start, group.num_rows) - max(first - start, 0)))
            number += 1
        return pa.concat_tables(pieces)

    def _group(self, number: int) -> pa.Table:
        return self._cache.get((self, number), lambda: self._reader.part(number, names=self.dataset.stored))
