"""Finding what a dataset consists of: its files are listed, and their footers read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from oqkit.config import LOCAL, canonical_protocol
from oqkit.errors import SchemaError, UsageError
from oqkit.limits import PayloadLimits
from oqkit.payload.access import Access, check_paths
from oqkit.payload.dataset import Dataset, DatasetFile, errors_of, tag_of
from oqkit.payload.parquet import footer_bytes
from oqkit.store.parallel import map_parallel


def find_dataset(
    paths: str | Sequence[str], *, options: Mapping[str, Any], access: Access, limits: PayloadLimits
) -> tuple[Dataset, pa.Schema]:
    """List the files of a dataset (paths, globs or folders) and read their footers, one GET each.

    Return it with all its columns, and the schema that all files share; `access` allows its files from now on.
    Raise `UsageError` if there are no files, `Denied`, `Missing` or `Unavailable` naming one that cannot be read, and
    `SchemaError` naming the first one whose columns differ.
    """
    wanted = _checked(paths)
    protocol = canonical_protocol(wanted[0].partition("://")[0] if "://" in wanted[0] else LOCAL)
    first = wanted[0].rpartition("://")[2]
    options = access.options_of_a_job(protocol, first, options)
    system = access.system(protocol, first, options)
    found = list(dict.fromkeys(path for one in wanted for path in _expand(system, one)))
    if not found:
        raise UsageError(f"no Parquet files match {paths!r}")
    footers = map_parallel(
        lambda path: _footer(system, path, tail_bytes=limits.tail_bytes), found, n_threads=limits.footer_threads
    )
    schema = _common_schema(footers)
    dataset = Dataset(
        protocol=protocol,
        options=options,
        files=tuple(one.file for one in footers),
        stored=tuple(schema.names),
        nulls=_nulls(footers),
    )
    access.grant(protocol, dataset.to_json()["files"])
    return dataset, schema


def _checked(paths: str | Sequence[str]) -> list[str]:
    wanted = [paths] if isinstance(paths, str) else list(paths or [])
    if not wanted or not all(isinstance(path, str) for path in wanted):
        raise UsageError(f"paths={paths!r:.80} must be a path, glob or folder of Parquet files, or a list of them")
    check_paths(wanted)
    return wanted


def _expand(system: Any, path: str) -> list[str]:
    plain = system._strip_protocol(path)  # noqa: SLF001 - fsspec's own word for it, used throughout its plug-ins
    if any(sign in plain for sign in "*?["):
        return sorted(str(one) for one in system.glob(plain))
    if system.isdir(plain):
        return sorted(str(one) for one in system.find(plain) if one.endswith((".parquet", ".pq")))
    if not system.exists(plain):
        raise UsageError(f"there is no file {path!r}")
    return [plain]


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
        found = pq.read_metadata(pa.BufferReader(tail))
        schema = found.schema.to_arrow_schema()
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
