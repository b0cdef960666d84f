"""Finding what a dataset consists of: its files are listed, and their footers read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from oqkit.errors import SchemaError, UsageError
from oqkit.limits import PayloadLimits
from oqkit.payload.access import Access
from oqkit.payload.dataset import Dataset, DatasetFile
from oqkit.payload.dataset_file import errors_of, tag_of
from oqkit.payload.file_list import FileList, list_files, value_type
from oqkit.payload.parquet import footer_bytes
from oqkit.payload.partition import hive_partitions, nulls_of
from oqkit.store.parallel import map_parallel


def find_dataset(
    source: Any, *, options: Mapping[str, Any], access: Access, limits: PayloadLimits
) -> tuple[Dataset, pa.Schema]:
    """List the files of a dataset, as `list_files` does, and read their footers, as `read_footers` does."""
    return read_footers(list_files(source, options=options, access=access), access=access, limits=limits)


def read_footers(listed: FileList, *, access: Access, limits: PayloadLimits) -> tuple[Dataset, pa.Schema]:
    """Read the footers of files, one GET each.

    Return the dataset with all its columns, and the schema that all files share, with the columns that their folders
    name; `access` allows its files from now on.
    Raise `UsageError` if there are no files, `Denied`, `Missing` or `Unavailable` naming one that cannot be read, and
    `SchemaError` naming the first one whose columns differ.
    """
    footers = map_parallel(
        lambda path: _footer(listed.system, path, tail_bytes=limits.tail_bytes),
        listed.paths,
        n_threads=limits.footer_threads,
    )
    _check_row_groups(footers, listed.row_groups)
    schema = _common_schema(footers)
    partitions, values = listed.partitions, listed.values
    if partitions is None:
        partitions, values = hive_partitions(listed.paths, held=schema.names)
    for one in partitions.fields:
        schema = schema.append(one)
    schema = schema if listed.schema is None else _projected(schema, listed.schema)
    dataset = Dataset(
        protocol=listed.protocol,
        options=listed.options,
        files=tuple(replace(one.file, values=values[one.file.path]) for one in footers),
        stored=tuple(schema.names),
        nulls={
            name: is_known
            for name, is_known in {**_nulls(footers), **nulls_of(partitions, values)}.items()
            if name in schema.names
        },
        partitions=partitions,
    )
    access.grant(listed.protocol, [file.to_json() for file in dataset.files])
    return dataset, schema


def _check_row_groups(footers: Sequence[_Footer], wanted: Mapping[str, Sequence[int]]) -> None:
    for one in footers:
        if list(wanted.get(one.file.path, range(len(one.file.groups)))) != list(range(len(one.file.groups))):
            raise UsageError(
                f"the dataset has single row groups of {one.file.path}: submit the files, with filter= to pick rows"
            )


def _projected(schema: pa.Schema, wanted: pa.Schema) -> pa.Schema:
    """Return the columns that a dataset of pyarrow has; raise `SchemaError` for one that the files have not, or not so."""
    for one in wanted:
        found = schema.field(one.name).type if one.name in schema.names else "no such column"
        if found != value_type(one.type) and found != one.type:
            raise SchemaError(
                f"column {one.name!r} is {one.type} in the dataset, and {found} in its files, which are read as they are: "
                "give the dataset the schema of the files, and convert in the function"
            )
    return pa.schema([schema.field(one.name) for one in wanted], metadata=schema.metadata)


# --- footers -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Footer:
    """What the footer of one file says; `nulls` as in `Dataset`."""

    file: DatasetFile
    schema: pa.Schema
    nulls: Mapping[str, bool]


def _footer(system: Any, path: str, *, tail_bytes: int) -> _Footer:
    with errors_of(path):
        info = system.info(path)
        size = int(info["size"])
        tail = footer_bytes(
            lambda length: system.cat_file(path, start=max(0, size - length)), size_bytes=size, tail_bytes=tail_bytes
        )
    try:
        # Not `found.schema`: that and its footer hold each other, so that all footers stay until Python looks for such.
        opened = pq.ParquetFile(pa.BufferReader(tail))
        found, schema = opened.metadata, opened.schema_arrow
    except (pa.ArrowException, OSError) as error:
        raise UsageError(f"{path} is not a Parquet file: {error}") from None
    groups = tuple(found.row_group(number).num_rows for number in range(found.num_row_groups))
    file = DatasetFile(path=path, size_bytes=size, tag=tag_of(info), groups=groups)
    return _Footer(file=file, schema=schema, nulls=_nulls_in(found, schema))


def _common_schema(footers: Sequence[_Footer]) -> pa.Schema:
    first = footers[0]
    for one in footers:
        if not one.schema.remove_metadata().equals(first.schema.remove_metadata()):
            raise SchemaError(
                f"{one.file.path} has the columns {_told(one.schema)}, but {first.file.path} has {_told(first.schema)}"
            )
    return first.schema


def _told(schema: pa.Schema) -> str:
    return ", ".join(f"{field.name}: {field.type}" for field in list(schema)[:20])


def _nulls(footers: Sequence[_Footer]) -> dict[str, bool]:
    """Return the int and bool columns that hold nulls in any file, or may: then False."""
    found: dict[str, bool] = {}
    for one in footers:
        for name, is_known in one.nulls.items():
            found[name] = found.get(name, False) or is_known
    return found


def _nulls_in(footer: Any, schema: pa.Schema) -> dict[str, bool]:
    wanted = {one.name for one in schema if one.nullable and _is_plain(one.type)}
    found: dict[str, bool] = {}
    for number in range(footer.num_columns if footer.num_row_groups else 0):
        name = footer.row_group(0).column(number).path_in_schema
        if name in wanted and not found.get(name):
            counts = [_null_count(footer.row_group(group).column(number)) for group in range(footer.num_row_groups)]
            if any(counts):
                found[name] = True
            elif None in counts:
                found[name] = False
    return found


def _null_count(chunk: Any) -> int | None:
    statistics = chunk.statistics
    return statistics.null_count if statistics is not None and statistics.has_null_count else None


def _is_plain(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_boolean(kind))
