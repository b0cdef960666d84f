"""Finding what files of CSV or JSON lines hold: gone through once, at submit, for types, and for where records begin and end.

A file is cut into pieces of whole records, of some MiB each. What the job holds of it are those byte ranges, the number of rows of
each, and the types of the columns: so a worker reads the ranges that its part touches and nothing else, and all convert alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from oqkit.errors import SchemaError, UsageError
from oqkit.limits import PayloadLimits
from oqkit.payload.access import Access
from oqkit.payload.dataset import Dataset, DatasetFile
from oqkit.payload.dataset_file import errors_of, tag_of
from oqkit.payload.file_list import FileList
from oqkit.payload.partition import hive_partitions, nulls_of
from oqkit.payload.text_format import (
    Inferred,
    TextFormat,
    TextKind,
    check_quotes,
    first_end,
    inferred,
    joined,
    last_end,
    parse_csv,
    parse_jsonl,
)
from oqkit.store.parallel import map_parallel

_BOM = b"\xef\xbb\xbf"
_LARGEST = 16
"""How many times as large as a piece is meant to be one record may be."""

Types = Mapping[str, pa.DataType]


@dataclass(frozen=True, slots=True, kw_only=True)
class _TextFile:
    """What was found in one file."""

    file: DatasetFile
    columns: Mapping[str, Inferred]


def read_texts(
    listed: FileList, kind: TextKind, *, types: Types, delimiter: str, access: Access, limits: PayloadLimits
) -> tuple[Dataset, pa.Schema]:
    """Go through all files; return the dataset with all its columns, and their schema; `access` allows its files from now on.

    Columns have the `types` that are given, or those that hold the values of all files. Raise `SchemaError` that names the file, and where
    in it, if records are not of the same columns, or values not of their type.
    """
    reader = _TextReader(listed.system, kind, types=types, delimiter=delimiter, piece_bytes=limits.text_bytes)
    found = map_parallel(reader.read, listed.paths, n_threads=limits.text_threads)
    columns = _all_columns(found, kind)
    if unknown := [name for name in types if name not in columns]:
        raise SchemaError(f"types= names the column {unknown[0]!r}; the files have {', '.join(columns)}")
    schema = pa.schema([(name, one.type) for name, one in columns.items()])
    partitions, values = hive_partitions(listed.paths, held=schema.names)
    nulls = {
        name: True
        for name, one in columns.items()
        if one.has_nulls and (pa.types.is_integer(one.type) or pa.types.is_boolean(one.type))
    }
    for one in partitions.fields:
        schema = schema.append(one)
    dataset = Dataset(
        protocol=listed.protocol,
        options=listed.options,
        files=tuple(replace(one.file, values=values[one.file.path]) for one in found),
        stored=tuple(schema.names),
        nulls={**nulls, **nulls_of(partitions, values)},
        partitions=partitions,
        text=TextFormat(
            kind=kind, schema=pa.schema([(name, one.type) for name, one in columns.items()]), delimiter=delimiter
        ),
    )
    access.grant(listed.protocol, [file.to_json() for file in dataset.files])
    return dataset, schema


def _all_columns(found: list[_TextFile], kind: TextKind) -> dict[str, Inferred]:
    """Return what the columns of all files are like."""
    columns = dict(found[0].columns)
    for one in found[1:]:
        if kind is TextKind.CSV and list(one.columns) != list(found[0].columns):
            raise SchemaError(
                f"{one.file.path} has the columns {', '.join(one.columns)}, but {found[0].file.path} has "
                f"{', '.join(found[0].columns)}"
            )
        with _told(one.file.path):
            columns = _together(columns, one.columns, kind)
    if not columns:
        raise UsageError(f"{found[0].file.path} has no columns")
    return {
        name: replace(one, type=pa.string()) if pa.types.is_null(one.type) else one for name, one in columns.items()
    }


def _together(one: Mapping[str, Inferred], other: Mapping[str, Inferred], kind: TextKind) -> dict[str, Inferred]:
    if not one or not other:  # no record was seen
        return dict(one or other)
    gap = Inferred(type=pa.null(), has_nulls=True)
    return {
        name: joined(one.get(name, gap), other.get(name, gap), kind=kind, name=name)
        for name in dict.fromkeys([*one, *other])
    }


class _TextReader:
    """Goes through single files. Threads may share it."""

    def __init__(self, system: Any, kind: TextKind, *, types: Types, delimiter: str, piece_bytes: int) -> None:
        self._system = system
        self._kind = kind
        self._types = dict(types)
        self._delimiter = delimiter
        self._piece_bytes = piece_bytes

    def read(self, path: str) -> _TextFile:
        """Return the pieces of a file, and what its columns are like."""
        with errors_of(path):
            info = self._system.info(path)
        size, names, columns = int(info["size"]), list[str](), dict[str, Inferred]()
        groups, borders = list[int](), list[int]()
        for start, data in self._pieces(path, size):
            with _told(f"{path}, bytes {start:,} to {start + len(data):,}"):
                skipped = 0 if borders else self._preface(data)
                if not borders:
                    names = self._header(data[:skipped])
                    columns = {name: Inferred(type=self._types.get(name, pa.null())) for name in names}
                    borders.append(skipped)
                table = self._table(data[skipped:], names)
                columns = _together(columns, inferred(table), self._kind) if table.num_rows else columns
            groups.append(table.num_rows)
            borders.append(start + len(data))
        file = DatasetFile(
            path=path, size_bytes=size, tag=tag_of(info), groups=tuple(groups), borders=tuple(borders or [0])
        )
        return _TextFile(file=file, columns=columns)

    def _pieces(self, path: str, size: int) -> Iterator[tuple[int, bytes]]:
        """Yield where whole records begin, and their bytes, a piece at a time."""
        start, wanted = 0, self._piece_bytes
        while start < size:
            stop = min(size, start + wanted)
            with errors_of(path):
                data = bytes(self._system.cat_file(path, start=start, end=stop))
            end = len(data) if stop == size else last_end(data, self._kind)
            if not end and wanted < _LARGEST * self._piece_bytes:
                wanted *= 2
                continue
            if not end:
                raise SchemaError(f"{path} has no end of a record in {len(data):,} bytes from {start:,} on")
            yield start, data[:end]
            start, wanted = start + end, self._piece_bytes

    def _preface(self, data: bytes) -> int:
        """Return how many bytes come before the first record."""
        mark = len(_BOM) if data.startswith(_BOM) else 0
        if self._kind is TextKind.JSONL:
            return mark
        return mark + (first_end(data[mark:], self._kind) or len(data) - mark)

    def _header(self, data: bytes) -> list[str]:
        if self._kind is TextKind.JSONL:
            return []
        names: list[str] = parse_csv(data.removeprefix(_BOM), [], {}, delimiter=self._delimiter).column_names
        if len(set(names)) < len(names):
            raise SchemaError(f"the header names a column twice: {', '.join(names)}")
        return names

    def _table(self, data: bytes, names: list[str]) -> pa.Table:
        if not data.strip():
            return pa.table({name: pa.nulls(0, self._types.get(name, pa.null())) for name in names})
        if self._kind is TextKind.JSONL:
            return parse_jsonl(data, pa.schema(list(self._types.items())), is_whole=True)
        check_quotes(data, delimiter=self._delimiter)
        types = {name: kind for name, kind in self._types.items() if name in names}
        return parse_csv(data, names, types, delimiter=self._delimiter)


@contextmanager
def _told(where: str) -> Iterator[None]:
    """Name the place in what is said of some records."""
    try:
        yield
    except (pa.ArrowException, SchemaError) as error:
        raise SchemaError(f"{where}: {error}") from None
