"""Which files a dataset consists of: paths, globs and folders are looked up, and what `pyarrow.dataset` lists is taken over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final

import pyarrow as pa
import pyarrow.dataset as pads

from oqkit.config import LOCAL, canonical_protocol
from oqkit.errors import UsageError
from oqkit.payload.access import Access, check_paths
from oqkit.payload.partition import Partitions, Values

_PROTOCOLS: Final = {"local": LOCAL, "s3": "s3", "gcs": "gs", "abfs": "abfs"}
"""What `pyarrow.fs` calls a file system, and what `fsspec` does."""
_SUBTREE: Final = "subtree"


class FileFormat(StrEnum):
    """What is in files."""

    PARQUET = "parquet"
    CSV = "csv"
    JSONL = "jsonl"


_SUFFIXES: Final = {
    FileFormat.PARQUET: (".parquet", ".pq"),
    FileFormat.CSV: (".csv", ".tsv"),
    FileFormat.JSONL: (".jsonl", ".ndjson"),
}
_COMPRESSED: Final = (".gz", ".bz2", ".zst", ".xz", ".zip", ".lz4", ".snappy")


@dataclass(frozen=True, slots=True, kw_only=True)
class FileList:
    """Files in order, behind one `fsspec` file system, and what is known of them before any is opened."""

    protocol: str
    options: Mapping[str, Any]
    system: Any
    paths: tuple[str, ...]
    format: FileFormat = FileFormat.PARQUET
    schema: pa.Schema | None = None
    """The columns that are wanted; None: all."""
    partitions: Partitions | None = None
    """None: those that the folders name."""
    values: Mapping[str, Values] = field(default_factory=dict)
    """By path, if `partitions` are known."""
    row_groups: Mapping[str, Sequence[int]] = field(default_factory=dict)
    """By path, where only some may be meant."""
    filter: Any = None
    """A `pyarrow.compute.Expression` that rows have to pass; None: all."""


def list_files(source: Any, *, format: Any = None, options: Mapping[str, Any], access: Access) -> FileList:  # noqa: A002
    """Return the files of a path, glob or folder, of a list of them, or of a `pyarrow.dataset.Dataset`.

    `format` is one of `FileFormat`, or None: what the first file's name says, Parquet if it says nothing.
    Raise `UsageError` if there are none, or if they are not where a worker could find them.
    """
    if isinstance(source, pads.Dataset):
        if format not in {None, FileFormat.PARQUET}:
            raise UsageError(f"format={format!r} is for paths: a dataset of pyarrow has its own")
        return _of_arrow(source, options=options, access=access)
    wanted = _checked(source)
    opened = _opened(wanted, options=options, access=access)
    chosen = _format(format)
    found = tuple(dict.fromkeys(path for one in wanted for path in _expand(opened.system, one, chosen)))
    if not found:
        raise UsageError(f"no {'Parquet' if chosen is None else chosen} files match {source!r}")
    chosen = chosen or _format_of(found[0])
    if chosen is not FileFormat.PARQUET and (packed := [path for path in found if path.endswith(_COMPRESSED)]):
        raise UsageError(
            f"{packed[0]} is compressed, so that no worker could read a part of it: unpack it, or make Parquet of it"
        )
    return replace(opened, paths=found, format=chosen)


def _format(name: Any) -> FileFormat | None:
    try:
        return None if name is None else FileFormat(name)
    except ValueError:
        raise UsageError(f"format={name!r} must be one of {', '.join(map(repr, map(str, FileFormat)))}") from None


def _format_of(path: str) -> FileFormat:
    plain = next((path.removesuffix(end) for end in _COMPRESSED if path.endswith(end)), path)
    return next((one for one, ends in _SUFFIXES.items() if plain.endswith(ends)), FileFormat.PARQUET)


def _opened(paths: Sequence[str], *, options: Mapping[str, Any], access: Access) -> FileList:
    protocol = canonical_protocol(paths[0].partition("://")[0] if "://" in paths[0] else LOCAL)
    first = paths[0].rpartition("://")[2]
    options = access.options_of_a_job(protocol, first, options)
    return FileList(protocol=protocol, options=options, system=access.system(protocol, first, options), paths=())


def _checked(paths: str | Sequence[str]) -> list[str]:
    wanted = [paths] if isinstance(paths, str) else list(paths or [])
    if not wanted or not all(isinstance(path, str) for path in wanted):
        raise UsageError(
            f"paths={paths!r:.80} must be a path, glob or folder of files, a list of them, or a pyarrow.dataset.Dataset"
        )
    check_paths(wanted)
    return wanted


def _expand(system: Any, path: str, wanted: FileFormat | None) -> list[str]:
    plain = system._strip_protocol(path)  # noqa: SLF001 - fsspec's own word for it, used throughout its plug-ins
    if any(sign in plain for sign in "*?["):
        return sorted(str(one) for one in system.glob(plain))
    if system.isdir(plain):
        below = sorted(str(one) for one in system.find(plain))
        kinds = FileFormat if wanted is None else (wanted,)
        return next((found for kind in kinds if (found := [one for one in below if one.endswith(_SUFFIXES[kind])])), [])
    if not system.exists(plain):
        raise UsageError(f"there is no file {path!r}")
    return [plain]


# --- pyarrow.dataset -----------------------------------------------------------------------------


def _of_arrow(dataset: pads.Dataset, *, options: Mapping[str, Any], access: Access) -> FileList:
    """Take over what a dataset of pyarrow lists, its filter, and its columns: those of its schema."""
    if not isinstance(dataset, pads.FileSystemDataset):
        raise UsageError(
            f"a {type(dataset).__name__} is not files of one kind: submit each of its children, and a table with submit_frame"
        )
    if not isinstance(dataset.format, pads.ParquetFileFormat):
        raise UsageError(f"a dataset of {dataset.format!r} cannot be read in parts: give the paths of its files")
    scan: Mapping[str, Any] = getattr(dataset, "_scan_options", {})  # pyarrow has no other word for it
    fragments = _fragments(dataset)
    if not fragments:
        raise UsageError("the dataset has no files")
    prefix, path_of = _place(dataset.filesystem)
    paths = [path_of(fragment.path) for fragment in fragments]
    opened = _opened([f"{prefix}{paths[0]}"], options=options, access=access)
    paths = [opened.system._strip_protocol(path) for path in paths]  # noqa: SLF001 - as above
    keys = [pads.get_partition_keys(fragment.partition_expression) for fragment in fragments]
    partitions = _partitions(dataset.schema, keys)
    return replace(
        opened,
        paths=tuple(paths),
        schema=dataset.schema,
        partitions=partitions,
        values={path: _values(partitions, found) for path, found in zip(paths, keys, strict=True)},
        row_groups=_row_groups(fragments, paths),
        filter=scan.get("filter"),
    )


def _fragments(dataset: pads.Dataset) -> list[Any]:
    """Return the files of a dataset, also of one with a filter, which does not give them."""
    bare = dataset.replace_schema(dataset.schema)
    bare._scan_options = {}  # noqa: SLF001 - see above
    return list(bare.get_fragments())


def _row_groups(fragments: Sequence[Any], paths: Sequence[str]) -> dict[str, list[int]]:
    """Return which row groups are meant of files of which that was said, without a look into them."""
    if len(set(paths)) < len(paths):
        raise UsageError("the dataset has single row groups of its files: submit the files, with filter=")
    said = [fragment.__reduce__()[1][-1] for fragment in fragments]
    return {path: groups for path, groups in zip(paths, said, strict=True) if isinstance(groups, list)}


def _place(system: Any, below: str = "") -> tuple[str, Any]:
    """Return what `fsspec` puts in front of paths of a file system of pyarrow, and what makes such a path of its own."""
    kind = str(system.type_name)
    if kind == _SUBTREE:
        return _place(system.base_fs, f"{below}{system.base_path.rstrip('/')}/")
    if kind in _PROTOCOLS:
        protocol = _PROTOCOLS[kind]
    elif kind.startswith("py::fsspec"):
        named = system.handler.fs.protocol
        protocol = named if isinstance(named, str) else named[0]
    else:
        raise UsageError(f"files of a {kind} file system of pyarrow cannot be found by workers: give their paths")
    prefix = "" if canonical_protocol(protocol) == LOCAL else f"{protocol}://"
    return prefix, lambda path: f"{below}{path}"


def _partitions(schema: pa.Schema, keys: Sequence[Mapping[str, Any]]) -> Partitions:
    named = {name for found in keys for name in found}
    fields = [one for one in schema if one.name in named]
    return Partitions(names=tuple(one.name for one in fields), types=tuple(value_type(one.type) for one in fields))


def value_type(kind: pa.DataType) -> pa.DataType:
    """Return what a column holds that may be a dictionary of it."""
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _values(partitions: Partitions, found: Mapping[str, Any]) -> Values:
    """Return what a file has in the columns as text that gives the same values again, or raise `UsageError`."""
    scalars = [pa.scalar(found.get(one.name), one.type) for one in partitions.fields]
    try:
        texts = tuple(None if one.as_py() is None else one.cast(pa.string()).as_py() for one in scalars)
        is_same = partitions.scalars(texts) == scalars
    except (pa.ArrowException, NotImplementedError):
        is_same = False
    if not is_same:
        told = ", ".join(f"{one.name}: {one.type}" for one in partitions.fields)
        raise UsageError(f"the partition columns {told} cannot be part of a job: make numbers, texts or dates of them")
    return texts
