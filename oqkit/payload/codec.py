"""Between leases and Parquet: a part's inputs for the worker, and the outcomes it hands back."""

from __future__ import annotations

import copy
import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import numpy as np
import pyarrow as pa

from oqkit.arrow import tagged_json
from oqkit.arrow.align import align
from oqkit.arrow.batch import encode_batch
from oqkit.arrow.metadata import label_of
from oqkit.arrow.order import in_order
from oqkit.arrow.table import Frame, Layout, to_frame, to_lists
from oqkit.arrow.unify import unify
from oqkit.arrow.value import encode_values
from oqkit.errors import Denied, FormatError, Missing, NotAllowed, OqError, SchemaError
from oqkit.payload.access import Access
from oqkit.payload.dataset import KIND, Dataset, DatasetReader
from oqkit.payload.output import encode_inline, encode_outcomes
from oqkit.payload.parquet import PayloadReader, PayloadRef
from oqkit.queue.job import Job
from oqkit.queue.repository import Repository
from oqkit.queue.rows import Rows
from oqkit.task.failure import Failure
from oqkit.worker.interface import Finished, InputError, Packed

R = TypeVar("R")

INLINE_BYTES = 8192
JSON_COLUMN = "oq:json"
TAGGED = "tagged"
"""The kind of inputs that are texts of `tagged_json`."""
_TEXTS: dict[str, Callable[[str], Any]] = {TAGGED: tagged_json.loads, "json": json.loads}
"""How the kinds of inputs that are texts are read; an earlier oqkit wrote plain JSON."""
_MAX_READERS = 16
_UNREADABLE = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError, pa.ArrowException)
_MUTABLE = frozenset({dict, list, tuple, set, np.ndarray})


@contextmanager
def _readable() -> Iterator[None]:
    """Let whatever somebody may have written into a stored frame be told as a `SchemaError`: it fails its rows."""
    try:
        yield
    except (*_UNREADABLE, FormatError) as error:
        if isinstance(error, SchemaError):
            raise
        reason = f"{type(error).__name__}: {error}"
        raise SchemaError(f"the inputs are not readable here: {reason:.500}") from error


@dataclass(frozen=True, slots=True)
class FrameInputs:
    """Rows of a stored frame; `table` holds just those of `rows`, in order."""

    table: Any
    layout: Layout
    rows: Rows
    first_task: int

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the columns that a row function can name."""
        with _readable():
            labels = [label_of(self.table.schema.field(name)) for name in self.layout.columns]
        return tuple(label for label in labels if isinstance(label, str))

    def arguments(self, names: Sequence[str], rows: Rows) -> Iterator[tuple[Any, ...]]:
        """Yield the values of the named columns, row by row."""
        if not names:
            return iter([()] * len(rows))
        with _readable():
            lists = to_lists(self._select(rows), self.layout, columns=names)
        return zip(*(lists[name] for name in names), strict=True)

    def values(self, rows: Rows) -> Iterator[Any]:
        """Yield each row as a dict of all its columns."""
        names = self.columns
        return (dict(zip(names, row, strict=True)) for row in self.arguments(names, rows))

    def frame(self, rows: Rows) -> Any:
        """Return the rows as a slice of the user's frame."""
        first = self.first_task + (rows.first if rows else 0)
        with _readable():
            return to_frame(self._select(rows), self.layout, rows=first)

    def only(self, rows: Rows) -> FrameInputs:
        """Return the inputs of these rows alone."""
        return FrameInputs(self._select(rows).combine_chunks(), self.layout, rows, self.first_task)

    def _select(self, rows: Rows) -> Any:
        if rows == self.rows:
            return self.table
        pieces = [self.table.slice(place, n) for place, n in self.rows.places(rows)]
        return pieces[0] if len(pieces) == 1 else pa.concat_tables(pieces or [self.table.slice(0, 0)])


@dataclass(frozen=True, slots=True)
class ValueInputs:
    """Tasks that were each submitted with a JSON value of their own."""

    items: tuple[Any, ...]
    columns: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.items)

    def values(self, rows: Rows) -> Iterator[Any]:
        """Yield the values, each a copy: what a call does to its own is not seen by the next attempt."""
        return (
            copy.deepcopy(value) if type(value) in _MUTABLE else value
            for first, stop in rows.ranges
            for value in self.items[first:stop]
        )

    def arguments(self, names: Sequence[str], rows: Rows) -> Iterator[tuple[Any, ...]]:
        """Yield the named entries of values that are dicts."""
        return (tuple(value[name] for name in names) for value in self.values(rows))

    def frame(self, rows: Rows) -> Any:
        """Return the values as a frame, for a batch function."""
        table, _ = encode_values(list(self.values(rows)))
        n_rows = table.num_rows
        return align(
            [(np.arange(n_rows), table)], n_rows=n_rows, index=None, backend="pandas", name="value", missing="null"
        )

    def only(self, rows: Rows) -> ValueInputs:  # noqa: ARG002 - the protocol gives them
        """Return these inputs; they are small."""
        return self


class ParquetCodec:
    """The codec of a queue: reads inputs, encodes outcomes. Threads may share it.

    Inputs outside of the queue are opened as far as `access` allows it; None allows none.
    """

    def __init__(self, repository: Repository, access: Access | None = None) -> None:
        self._repository = repository
        self._access = access or Access()
        self._readers: OrderedDict[str, tuple[Mapping[str, Any], Any]] = OrderedDict()
        """By the id of a job: of which inputs, and the reader."""
        self._lock = threading.Lock()

    def open(self, job: Job, index: int) -> FrameInputs | ValueInputs:
        """Read the inputs of a part.

        Raise `FormatError` if this oqkit does not know their kind, or if they cannot be read, whatever is the matter with
        them; `NotAllowed` if they lie where this machine does not read; and the errors of the store.
        """
        try:
            inputs = self._open(job, index)
        except _UNREADABLE as error:  # whoever can write the queue can write anything into a job and its files
            if isinstance(error, OqError):
                raise
            reason = f"{type(error).__name__}: {error}"
            raise FormatError(f"the inputs of job {job.id} are not readable here: {reason:.500}") from error
        found, wanted = len(inputs), job.part_size(index)
        if found != wanted:
            raise FormatError(f"the inputs of part {index} of job {job.id} have {found:,} rows, not {wanted:,}")
        return inputs

    def _open(self, job: Job, index: int) -> FrameInputs | ValueInputs:
        kind = job.input.get("kind")
        n_rows, first = job.part_size(index), index * job.part_rows
        inline = inline_values(job, first=first, stop=first + n_rows)
        if inline is not None:
            return ValueInputs(tuple(inline))
        if kind in _TEXTS:
            read = _TEXTS[kind]
            return ValueInputs(tuple(read(text) for text in self._texts(job, index)))
        if kind == "frame":
            layout = Layout.from_json(job.input["layout"])
            return FrameInputs(self.reader(job).part(index), layout, Rows.span(0, n_rows), first)
        if kind == KIND:
            frame = self._rows_of_dataset(job, first, first + n_rows)
            return FrameInputs(frame.table, frame.layout, Rows.span(0, n_rows), first)
        raise FormatError(f"job {job.id} has inputs of kind {kind!r}, which this oqkit does not know: upgrade it here")

    def _texts(self, job: Job, index: int) -> list[str]:
        texts: list[str] = self.reader(job).part(index).column(JSON_COLUMN).to_pylist()
        return texts

    def _rows_of_dataset(self, job: Job, first: int, stop: int) -> Frame:
        try:
            return self.dataset(job).frame(first, stop)
        except (Denied, Missing) as error:  # of a store that may not be the queue's own
            raise InputError(str(error)) from error

    def reader(self, job: Job) -> PayloadReader:
        """Return the reader of a job's input files, which remembers their footers."""
        return self._opened(job, lambda: PayloadReader(self._repository.store, self._files(job)))

    def _files(self, job: Job) -> list[PayloadRef]:
        """Return the input files of a job, or raise `NotAllowed` if it names those of others."""
        try:
            files = [PayloadRef(*ref) for ref in job.input["files"]]
            folder = self._repository.keys_of(job).folder
            other = next((ref.key for ref in files if not ref.key.startswith(folder)), None)
        except (AttributeError, KeyError, TypeError) as error:
            raise FormatError(f"the input files of job {job.id} are not readable here: {error!r:.200}") from None
        if other is not None:
            raise NotAllowed(f"job {job.id} asks for {other!r}, which is not among its own files, below {folder}")
        return files

    def dataset(self, job: Job) -> DatasetReader:
        """Return the reader of a job's dataset, which remembers footers and the row groups read last."""
        return self._opened(job, lambda: self._dataset(job))

    def _dataset(self, job: Job) -> DatasetReader:
        dataset = Dataset.from_json(job.input.get("dataset", {}))
        if dataset.n_rows != job.n_tasks:
            raise FormatError(f"job {job.id} has {job.n_tasks:,} tasks, but its files have {dataset.n_rows:,} rows")
        return DatasetReader(dataset, self._access)

    def _opened(self, job: Job, make: Callable[[], R]) -> R:
        with self._lock:
            known = self._readers.get(job.id)
            if known is None or known[0] != job.input:  # a job that was deleted and submitted again has the same id
                known = self._readers[job.id] = (job.input, make())
            self._readers.move_to_end(job.id)
            if len(self._readers) > _MAX_READERS:
                self._readers.popitem(last=False)
        return cast("R", known[1])

    def table(self, result: Any, n_rows: int) -> Any:
        """Check and convert what a batch function returned."""
        return encode_batch(result, n_rows)

    @property
    def in_order(self) -> Callable[[Any, Any], Any]:
        """Return the function that orders what a batch function returned by its index."""
        return in_order

    def pack(self, finished: Finished, *, refuse: Callable[[int, str], Failure], has_room: bool = True) -> Packed:
        """Encode outcomes: as JSON if they are few and plain, and the part has room for that, else as Parquet."""
        numbers = [_numbers(finished.rows)]
        tables = [table for _, table in finished.tables]
        refused: dict[int, Failure] = {}
        if finished.rows:
            values, bad = encode_values(finished.values)
            refused = {row: refuse(row, message) for row, message in ((finished.rows[n], m) for n, m in bad.items())}
            tables.insert(0, values)
        numbers += [np.asarray(rows.numbers(), "int64") for rows, _ in finished.tables]
        rows = np.concatenate(numbers)
        if not len(rows) and not finished.failures:
            return Packed()
        values = pa.concat_tables(unify(tables)) if len(tables) > 1 else tables[0] if tables else None
        failures = {**finished.failures, **refused}
        inline = encode_inline(rows, values, failures, limit_bytes=INLINE_BYTES if has_room else 0)
        if inline is not None:
            return Packed(inline=inline, refused=refused)
        try:
            return Packed(data=encode_outcomes(rows, values, failures), refused=refused)
        except SchemaError as error:
            refused |= {row: refuse(row, f"row {row}: {error}") for row in _unwritable(rows, values)}
            return Packed(data=encode_outcomes(rows, values, {**failures, **refused}), refused=refused)


def _unwritable(rows: np.ndarray, values: pa.Table) -> list[int]:
    """Return the rows whose values Parquet cannot hold, or all of them if it is only together that it cannot."""

    def bad(first: int, stop: int) -> list[int]:
        try:
            encode_outcomes(rows[first:stop], values.slice(first, stop - first), {})
        except SchemaError:
            middle = (first + stop) // 2
            return [first] if stop - first == 1 else [*bad(first, middle), *bad(middle, stop)]
        return []

    found = [int(rows[place]) for place in bad(0, len(rows))]
    return found or rows.tolist()


def inline_values(job: Job, *, first: int = 0, stop: int | None = None) -> list[Any] | None:
    """Return the inputs (of these tasks) that a job object holds itself, None if it holds none."""
    values, texts = job.input.get("values"), job.input.get("texts")
    if values is not None:
        return list(values[first:stop])
    return None if texts is None else [tagged_json.loads(text) for text in texts[first:stop]]


def _numbers(rows: Sequence[int]) -> np.ndarray:
    return np.arange(rows.start, rows.stop) if isinstance(rows, range) else np.asarray(rows, "int64")
