"""Which rows of a dataset pass a filter: found once, at submit, and stored as their numbers, so that no worker evaluates anything.

Row groups that their statistics or their folders rule out are not read; of the others the columns of the filter are, one row group
at a time. What is kept of a row meanwhile is a bit.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from oqkit.errors import FormatError, SchemaError, UsageError
from oqkit.payload.dataset import Dataset, DatasetFile
from oqkit.payload.dataset_file import errors_of
from oqkit.payload.parquet import PayloadFile, encode_payload
from oqkit.store.parallel import map_parallel

ROW: Final = "oq:row"
_NONE: Final = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class PickedRows:
    """Rows of a dataset: for each row group its size, and a bit a row; no bits where none is picked."""

    groups: tuple[int, ...]
    bits: tuple[bytes, ...]
    n_rows: int

    def content(self) -> str:
        """Return a hex digest of which rows they are."""
        digest = hashlib.sha256()
        for bits in self.bits:
            digest.update(len(bits).to_bytes(8, "little") + bits)
        return digest.hexdigest()

    def files(self, *, part_rows: int, max_bytes: int) -> Iterator[PayloadFile]:
        """Yield the row numbers as Parquet files whose row group k has those of part k; as many as take an eighth of `max_bytes` are in memory at a time."""
        first_part = 0
        if not self.n_rows:
            yield from encode_payload(_table(np.zeros(0, "int64")), part_rows=part_rows)
        for numbers in self._chunks(max(1, max_bytes // 64 // part_rows) * part_rows):
            for file in encode_payload(_table(numbers), part_rows=part_rows, max_file_bytes=max_bytes):
                yield replace(file, first_part=first_part + file.first_part)
            first_part += -(-len(numbers) // part_rows)

    def _chunks(self, size: int) -> Iterator[np.ndarray]:
        held, n_held = list[np.ndarray](), 0
        for numbers in self._numbers():
            held.append(numbers)
            n_held += len(numbers)
            if n_held >= size:
                joined = np.concatenate(held)
                whole = n_held - n_held % size
                yield from np.split(joined[:whole], whole // size)
                held, n_held = [joined[whole:]], n_held - whole
        if n_held:
            yield np.concatenate(held)

    def _numbers(self) -> Iterator[np.ndarray]:
        first = 0
        for n_rows, bits in zip(self.groups, self.bits, strict=True):
            if bits:
                yield first + np.flatnonzero(np.unpackbits(np.frombuffer(bits, "uint8"), count=n_rows))
            first += n_rows


def _table(numbers: np.ndarray) -> pa.Table:
    return pa.table({ROW: pa.array(numbers, pa.int64())})


def expression_of(wanted: Any) -> Any:
    """Return a filter as an expression: one is taken as it is, and a list as `pandas.read_parquet` has it; None stays None."""
    if wanted is None or isinstance(wanted, pc.Expression):
        return wanted
    try:
        return pq.filters_to_expression(wanted)
    except (TypeError, ValueError, AttributeError) as error:
        raise UsageError(
            f"filter={wanted!r:.80} must be an expression, as pyarrow.compute.field('x') > 1, or a list, as "
            f"[('x', '>', 1)]: {error}"
        ) from None


def pick_rows(
    dataset: Dataset, schema: pa.Schema, system: Any, expression: pc.Expression, *, n_threads: int
) -> tuple[Dataset, PickedRows | None]:
    """Return the files in which rows pass a filter, and which rows; None if they all do. Null is no.

    `schema` is that of all columns, also of those that are not given to the function. Raise `SchemaError` if the filter does not
    go with it.
    """
    _check(expression, schema)
    open_file = pafs.PyFileSystem(pafs.FSSpecHandler(system))

    def bits_of(file: DatasetFile) -> list[bytes]:
        if dataset.text is not None:
            return [_mask_bits(mask) for mask in _text_masks(dataset, file, system, expression)]
        with errors_of(file.path):
            fragment = pads.ParquetFileFormat().make_fragment(file.path, open_file, _guarantee(dataset, file))
            return _bits_of(fragment, file, schema, expression)

    found = map_parallel(bits_of, dataset.files, n_threads=n_threads)
    kept = [(file, bits) for file, bits in zip(dataset.files, found, strict=True) if any(bits)] or [
        (dataset.files[0], found[0])
    ]
    groups = tuple(rows for file, _ in kept for rows in file.groups)
    bits = tuple(one for _, all_bits in kept for one in all_bits)
    n_rows = sum(int(np.bitwise_count(np.frombuffer(one, "uint8")).sum()) for one in bits)
    dataset = replace(dataset, files=tuple(file for file, _ in kept))
    is_all = n_rows == dataset.n_rows
    return dataset, None if is_all else PickedRows(groups=groups, bits=bits, n_rows=n_rows)


def _check(expression: pc.Expression, schema: pa.Schema) -> None:
    try:
        kind = pads.dataset(schema.empty_table()).to_table(columns={ROW: expression}).schema.field(ROW).type
    except (pa.ArrowException, TypeError, ValueError) as error:
        columns = ", ".join(f"{one.name}: {one.type}" for one in list(schema)[:20])
        raise SchemaError(f"the filter {expression} does not go with the columns {columns}: {error}") from None
    if kind != pa.bool_():
        raise SchemaError(f"the filter {expression} gives {kind} for a row, and not true or false")


def _bits_of(fragment: Any, file: DatasetFile, schema: pa.Schema, expression: pc.Expression) -> list[bytes]:
    """Return which rows of each row group of a file pass, a bit each."""
    bits = [_NONE] * len(file.groups)
    for one in fragment.split_by_row_group(expression, schema=schema):
        number = one.row_groups[0].id
        passed = one.to_table(schema=schema, columns={ROW: expression}, use_threads=False).column(ROW)
        mask = _mask(passed)
        if len(mask) != file.groups[number]:
            raise FormatError(f"{file.path} has been written anew while it was read")
        bits[number] = _mask_bits(mask)
    return bits


def _text_masks(dataset: Dataset, file: DatasetFile, system: Any, expression: pc.Expression) -> Iterator[np.ndarray]:
    """Yield which rows of each piece of a file of text pass."""
    if dataset.text is None:
        raise AssertionError("a dataset of text says how to read it")
    for (start, stop), n_rows in zip(itertools.pairwise(file.borders), file.groups, strict=True):
        if not n_rows:
            yield np.zeros(0, "bool")
            continue
        with errors_of(file.path):
            data = bytes(system.cat_file(file.path, start=start, end=stop))
        table = dataset.partitions.added(dataset.text.table(data), file.values)
        yield _mask(pads.dataset(table).to_table(columns={ROW: expression}, use_threads=False).column(ROW))


def _mask(passed: pa.ChunkedArray) -> np.ndarray:
    mask: np.ndarray = passed.fill_null(False).combine_chunks().to_numpy(zero_copy_only=False)  # noqa: FBT003 - a value
    return mask


def _mask_bits(mask: np.ndarray) -> bytes:
    return np.packbits(mask).tobytes() if mask.any() else _NONE


def _guarantee(dataset: Dataset, file: DatasetFile) -> pc.Expression:
    """Say what holds for all rows of a file by its folders."""
    found = pc.scalar(True)  # noqa: FBT003 - a value
    for one, value in zip(dataset.partitions.fields, dataset.partitions.scalars(file.values), strict=True):
        column = pc.field(one.name)
        found = found & (column == value if value.is_valid else column.is_null())
    return found
