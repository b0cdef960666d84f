"""What the worker asks of the layer that knows Parquet and frames."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from oqkit.errors import OqError
from oqkit.queue.commit import Output
from oqkit.queue.job import Job
from oqkit.queue.rows import Rows
from oqkit.task.failure import Failure
from oqkit.task.request import Spawn
from oqkit.worker.buffer import Results

Spawner = Callable[[Spawn, str, Job], str]
"""Submits the call that a task (given by its id) of a job asks for, and returns the id of its task."""


class InputError(OqError):
    """Inputs outside of the queue that were denied or are gone. That may pass: rows fail as if their function had raised it."""


class Inputs(Protocol):
    """The inputs of one part; pickles, so that a child process can take them."""

    def __len__(self) -> int:
        """Return how many rows there are."""

    @property
    def columns(self) -> Sequence[str]:
        """Return the columns that a row function can name."""

    def arguments(self, names: Sequence[str], rows: Rows) -> Iterator[tuple[Any, ...]]:
        """Yield, for each row, the Python values of the named columns."""

    def values(self, rows: Rows) -> Iterator[Any]:
        """Yield the input of each task that was submitted as a value."""

    def frame(self, rows: Rows) -> Any:
        """Return the rows as a slice of the user's frame."""

    def only(self, rows: Rows) -> Inputs:
        """Return the inputs without those of other rows, so that they travel light; row numbers stay."""


class Codec(Protocol):
    """Inputs in, outcomes out."""

    def open(self, job: Job, index: int) -> Inputs:
        """Read the inputs of a part: one ranged GET once the file is known.

        Raise `InputError` as it says, `FormatError`, `Missing` and `UsageError` if they can never be read, and other
        errors of the store if this worker cannot read them now.
        """

    def value(self, text: str) -> Any:
        """Read a value that was sent to a running function."""

    def table(self, result: object, n_rows: int) -> Any:
        """Check what a batch function returned for `n_rows` rows, and convert it.

        Raise `RowsRefused` if some of the rows cannot be stored, and `SchemaError` if that is none of such a function.
        """

    @property
    def in_order(self) -> Callable[[Any, Any], Any]:
        """Return the function, which pickles, that puts what a batch function returned in the order of an index."""

    @property
    def shares(self) -> Callable[[Any, Any], Any]:
        """Return the function, which pickles, that says for each label of an index which rows a batch function returned for it."""

    @property
    def fitting(self) -> Callable[[Any, Any, int], tuple[Mapping[int, str], Any]]:
        """Return the function, which pickles, that says which rows of what a batch function returned do not fit a schema.

        Called with the schema, the result and the number of rows, it returns why, by position, and the result without those;
        it raises `SchemaError` if it is the whole that does not fit.
        """

    def pack(
        self, results: Results, *, refuse: Callable[[int, str], Failure], inline_bytes: int
    ) -> tuple[Output | None, Mapping[int, Failure]]:
        """Encode values and failures, of more than `inline_bytes` apart from the part; None if there are none.

        Also return the rows whose value cannot be stored, with what is stored of each instead: what `refuse` says of it.
        """


def order_of(codec: Codec, mode: str) -> Callable[[Any, Any], Any]:
    """Return the function that says whose row is whose in what batch functions return for jobs of a mode."""
    return codec.shares if mode == "explode" else codec.in_order
