"""Calling the user's function: row by row, slice by slice, or as coroutines; one bad row costs no other.

These loops are the only code between two calls of the user's function, so they are kept bare.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from oqkit.errors import Reschedule, SchemaError, UsageError
from oqkit.queue.key import task_id
from oqkit.queue.run import Range, ranges_of
from oqkit.queue.transition import Verb
from oqkit.worker.codec import Inputs
from oqkit.worker.context import Context
from oqkit.worker.failure import MAX_MESSAGE, Failure, cut, failure_of, verb_of
from oqkit.worker.handler import Handler
from oqkit.worker.tray import LIMIT, TAKEN, Mishap, Tray

COROUTINES = 64
GROWTH = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Rows to run, in order, and all that running them takes."""

    handler: Handler
    job_id: str
    mode: str
    first_task: int
    """The number of the part's first task in the job."""
    rows: Sequence[int]
    inputs: Inputs
    attempts: tuple[tuple[Range, int], ...]
    worker: str
    timeout_s: float | None
    first_batch: int
    """How many rows the first batch call takes; later ones grow to `max_batch` while calls are quick."""
    max_batch: int
    table: Callable[[Any, int], Any] = field(repr=False)

    def attempt(self, row: int) -> int:
        """Return which attempt of a row this is."""
        return next((attempt for (first, stop), attempt in self.attempts if first <= row < stop), 1)

    def context(self, row: int, tray: Tray) -> Context:
        """Describe a row's task to the function."""
        return Context(
            task_id=task_id(self.job_id, self.first_task + row),
            job_id=self.job_id,
            attempt=self.attempt(row),
            worker=self.worker,
            _is_cancelled=lambda: tray.limit <= 0,
        )

    def mishap(self, row: int, error: BaseException) -> Mishap:
        """Say what an exception means for a row."""
        verb = verb_of(error)
        if isinstance(error, Reschedule):
            return Mishap(verb, delay_s=error.delay_s)
        if verb is Verb.COMPLETE:
            return Mishap(verb)
        return Mishap(verb, failure=failure_of(error, attempt=self.attempt(row), worker=self.worker))


def run(work: Work, tray: Tray) -> None:
    """Run every row of `work` onto `tray`; returns early when the limit says so."""
    try:
        if work.handler.is_batch:
            _run_batches(work, tray)
        elif work.handler.is_async:
            _run_coroutines(work, tray)
        else:
            _run_rows(work, tray)
    except SchemaError as error:  # the inputs do not fit the function: no further row can run
        refuse(work, tray, error)
    finally:
        tray.is_over = True


def refuse(work: Work, tray: Tray, error: UsageError) -> None:
    """Fail every row that has no outcome yet: running it here is impossible."""
    first = tray.busy[0] if work.handler.is_batch else tray.taken
    done = {*tray.rows, *tray.mishaps}
    fail(work, tray, [row for row in work.rows[first:] if row not in done], error)
    tray.taken = len(work.rows)


def fail(work: Work, tray: Tray, rows: Iterable[int], error: UsageError) -> None:
    """Fail `rows` without a retry, for an error that their function did not raise."""
    kind, message = type(error).__name__, cut(str(error), MAX_MESSAGE)
    for row in rows:
        failure = Failure(type=kind, message=message, traceback="", attempt=work.attempt(row), worker=work.worker)
        tray.mishaps[row] = Mishap(Verb.FAIL, failure=failure)


def lay_table(work: Work, tray: Tray, rows: Sequence[int], result: Any) -> None:
    """Lay what a batch function returned for `rows` onto `tray`; fail them if it is not a table of theirs."""
    try:
        table = work.table(result, len(rows))
    except SchemaError as error:  # the function is wrong, not a row
        fail(work, tray, rows, error)
    else:
        tray.tables.append((ranges_of(rows), table))


def _calls(work: Work) -> tuple[Callable[..., Any], Iterator[tuple[Any, ...]]]:
    ranges = ranges_of(work.rows)
    if work.mode == "value":
        return work.handler.for_value().call, ((value,) for value in work.inputs.values(ranges))
    chosen = work.handler.for_rows(work.inputs.columns)
    return chosen.call, work.inputs.arguments(chosen.names, ranges)


def _run_rows(work: Work, tray: Tray) -> None:
    call, arguments = _calls(work)
    if work.handler.takes_context:
        arguments = ((*values, work.context(row, tray)) for row, values in zip(work.rows, arguments, strict=True))
    tray.in_order(work.rows)
    keep, meter = tray.values.append, tray.meter
    for taken, values in zip(range(1, len(work.rows) + 1), arguments, strict=True):
        meter[TAKEN] = taken
        if taken > meter[LIMIT]:
            meter[TAKEN] = taken - 1
            return
        try:
            value = call(*values)
        except BaseException as error:  # noqa: BLE001 - the user's function: whatever it raises is the row's outcome
            row = work.rows[taken - 1]
            tray.mishaps[row] = work.mishap(row, error)
        else:  # outside of the try: what a signal of the user's raises here must not give the row a mishap, too
            keep(value)


# --- batches -------------------------------------------------------------------------------------


def _run_batches(work: Work, tray: Tray) -> None:
    call = work.handler.for_frame().call
    size, position = min(work.first_batch, work.max_batch), 0
    while position < len(work.rows):
        tray.taken = min(position + size, len(work.rows))
        limit = tray.limit
        if tray.taken > limit:
            tray.taken = max(limit, position)
        if tray.taken == position:
            return
        _bisect(work, tray, call, (position, tray.taken))
        position, size = tray.taken, min(size * GROWTH, work.max_batch)


def _bisect(work: Work, tray: Tray, call: Callable[..., Any], span: Range) -> None:
    """Call with all rows of `span` (positions); where that raises, with each half, down to the rows to blame."""
    first, stop = span
    rows = work.rows[first:stop]
    tray.begin_call(first, stop)
    extra = (work.context(rows[0], tray),) if work.handler.takes_context else ()
    frame = work.inputs.frame(ranges_of(rows))
    try:
        result = call(frame, *extra)
    except BaseException as error:  # noqa: BLE001 - the user's function
        tray.end_call()
        if len(rows) == 1 or isinstance(error, Reschedule):
            tray.mishaps.update({row: work.mishap(row, error) for row in rows})
        else:
            half = (first + stop) // 2
            for part in ((first, half), (half, stop)):
                if tray.limit > 0:  # nobody gave the work up meanwhile
                    _bisect(work, tray, call, part)
    else:
        tray.end_call()
        lay_table(work, tray, rows, result)


def overdue(timeout_s: float | None) -> str:
    """Say that a call took too long."""
    return f"still running after its time-out of {timeout_s:g} s"


# --- coroutines ----------------------------------------------------------------------------------


def _run_coroutines(work: Work, tray: Tray) -> None:
    call, arguments = _calls(work)
    asyncio.run(_gather(work, tray, call, iter(list(zip(work.rows, arguments, strict=True)))))


async def _gather(work: Work, tray: Tray, call: Callable[..., Any], queue: Iterator[tuple[int, Sequence[Any]]]) -> None:
    async def consume() -> None:
        for row, values in queue:
            tray.taken += 1
            if tray.taken > tray.limit:
                tray.taken -= 1
                return
            extra = (work.context(row, tray),) if work.handler.takes_context else ()
            await _one(work, tray, row, partial(call, *values, *extra))

    await asyncio.gather(*(consume() for _ in range(min(COROUTINES, len(work.rows)))))


async def _one(work: Work, tray: Tray, row: int, call: Callable[[], Awaitable[Any]]) -> None:
    limit = asyncio.timeout(work.timeout_s)
    try:
        async with limit:
            value = await call()
    except BaseException as error:  # noqa: BLE001 - the user's function
        if limit.expired() and isinstance(error, TimeoutError):
            error.args = (overdue(work.timeout_s),)
        tray.mishaps[row] = work.mishap(row, error)
    else:
        tray.values.append(value)
        tray.rows.append(row)
