"""Calling the user's function: row by row, slice by slice, or as coroutines; one bad row costs no other.

These loops are the only code between two calls of the user's function, so they are kept bare.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from oqkit.errors import Reschedule, RowsRefused, SchemaError, UsageError
from oqkit.limits import WorkerLimits
from oqkit.queue.commit import Outcome
from oqkit.queue.key import task_id
from oqkit.queue.rows import Rows
from oqkit.queue.transition import Verb
from oqkit.task.context import Context
from oqkit.task.failure import Failure, SignalMissing, delay_of, failure_of, verb_of
from oqkit.task.handler import Handler
from oqkit.task.request import Request, StartCall
from oqkit.task.schema import checked_call
from oqkit.worker.buffer import CALLS, LIMIT, TAKEN, Many, ResultBuffer, Results
from oqkit.worker.interface import Inputs
from oqkit.worker.service import CallService, CoroutineService, nobody


def as_returned(result: object, _index: object) -> object:
    """Leave what a batch call returned in the order that it has."""
    return result


def as_fitting(_schema: object, result: object, _n_rows: int) -> tuple[Mapping[int, str], object]:
    """Take what a batch call returned as it is."""
    return {}, result


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Rows to run, in order, and all that running them takes."""

    handler: Handler
    job_id: str
    mode: str
    first_task: int
    """The number of the part's first task in the job."""
    rows: Rows
    inputs: Inputs
    attempts: tuple[tuple[Rows, int], ...]
    worker: str
    timeout_s: float | None
    first_batch: int
    """How many rows the first batch call takes; later ones grow to `max_batch` while calls are quick."""
    max_batch: int
    limits: WorkerLimits
    table: Callable[[Any, int], Any] = field(repr=False)
    """Makes a table of what a batch call returned for so many rows."""
    in_order: Callable[[Any, Any], Any] = field(repr=False, default=as_returned)
    """Puts the rows that a batch call returned in the order of the index it was given; a function of a module."""
    origin: str = ""
    """Which submission made the job."""
    is_suspect: bool = False
    """Whether one of the rows may kill its process: a lease of theirs was lost."""
    is_limited: bool = False
    """Whether each call has to be let start, as the limits of the job have it."""
    lease: str = ""
    """The id of the lease."""
    output_schema: Mapping[str, Any] | None = None
    """The JSON Schema that the job has for results; None: it has none."""
    fitting: Callable[[Any, Any, int], tuple[Mapping[int, str], Any]] = field(repr=False, default=as_fitting)
    """Says which rows of what a batch call returned do not fit a schema, and returns the others; a function of a module."""
    ask: Callable[[Rows, Request], object] = field(repr=False, default=nobody)
    """Answers what the call of some rows asks, in the thread that asks."""

    @property
    def results_schema(self) -> Any:
        """What results have to fit: by the job, or else by the function; None if by neither."""
        return self.handler.task.schema.output if self.output_schema is None else self.output_schema

    def attempt(self, row: int) -> int:
        """Return which attempt of a row this is."""
        return next((attempt for rows, attempt in self.attempts if row in rows), 1)

    def context(self, rows: Rows, buffer: ResultBuffer, *, limit: asyncio.Timeout | None = None) -> Context:
        """Describe the call of some rows to the function; `limit` is the time-out of a coroutine."""
        row, asking = rows.first, (self.ask, rows, buffer, self.lease)
        return Context(
            task_id=task_id(self.job_id, self.first_task + row),
            job_id=self.job_id,
            attempt=self.attempt(row),
            worker=self.worker,
            _origin="" if self.handler.is_batch else self.origin,
            _service=CallService(*asking) if limit is None else CoroutineService(*asking, limit),
        )

    def caught(self, rows: Rows, error: BaseException) -> Results:
        """Say what an exception means for the rows of a call."""
        verb = verb_of(error)
        if verb is Verb.COMPLETE:
            return Results(rows=rows, values=[None] * len(rows))
        if verb is Verb.RESCHEDULE:
            try:
                return Results(outcomes=(Outcome(verb=verb, rows=rows, delay_s=delay_of(error)),))
            except ValueError as wrong:  # as if the function had raised that
                verb, error = Verb.RETRY, wrong
        if isinstance(error, SignalMissing):
            wait, gen = error.signal.wait, error.signal.gen
            return Results(outcomes=(Outcome(verb=verb, rows=rows, wait=wait, gen=gen),))
        return Results.failed(rows, verb, lambda row: failure_of(error, attempt=self.attempt(row), worker=self.worker))


def run(work: Work, buffer: ResultBuffer) -> None:
    """Run every row of `work` onto `buffer`; returns early when the limit says so."""
    try:
        if work.handler.is_batch:
            _run_batches(work, buffer)
        elif work.handler.is_async:
            _run_coroutines(work, buffer)
        else:
            _run_rows(work, buffer)
    except (
        UsageError
    ) as error:  # the inputs do not fit the function, or the job's schema is none: no further row can run
        refuse(work, buffer, error)
    finally:
        buffer.is_over = True


def refuse(work: Work, buffer: ResultBuffer, error: UsageError) -> None:
    """Fail every row that has no outcome yet: running it here is impossible."""
    first = buffer.busy[0] if work.handler.is_batch else buffer.taken
    fail(work, buffer, work.rows[first:], error)
    buffer.taken = len(work.rows)


def fail(work: Work, buffer: ResultBuffer, rows: Rows, error: UsageError) -> None:
    """Fail `rows` without a retry, for an error that their function did not raise."""
    kind, message = type(error).__name__, str(error)

    def describe(row: int) -> Failure:
        return Failure(type=kind, message=message, traceback="", attempt=work.attempt(row), worker=work.worker)

    buffer.lay(Results.failed(rows, Verb.FAIL, describe))


def lay_table(work: Work, buffer: ResultBuffer, rows: Rows, result: object) -> None:
    """Lay what a batch function returned for `rows` onto `buffer`; fail them if it is not a table of theirs."""
    try:
        table = work.table(result, len(rows))
    except RowsRefused as error:
        numbers = rows.numbers()
        bad = {numbers[position]: reason for position, reason in error.problems.items()}
        for row, reason in bad.items():
            fail(work, buffer, Rows.span(row, row + 1), SchemaError(reason))
        buffer.lay(Results(tables=((rows - Rows.of(bad), error.table),)))
    except SchemaError as error:  # the function is wrong, not a row
        fail(work, buffer, rows, error)
    else:
        buffer.lay(Results(tables=((rows, table),)))


def _let_start(work: Work, buffer: ResultBuffer, position: int, *, insists: bool = False) -> bool:
    """Wait until a call that begins with this position may start; return False if nothing more is to be started.

    The first call of a lease waits for as long as it takes, and so does one that `insists`.
    """
    while position < buffer.limit:
        buffer.meter[CALLS] += 1  # so that the wait is not taken for the time of the call before
        wait_s = work.ask(work.rows, StartCall(insists=insists or position == 0))
        if wait_s == 0:
            return position < buffer.limit
        if wait_s is None:
            buffer.limit = min(buffer.limit, position)
    return False


def _one_by_one(
    work: Work, buffer: ResultBuffer, arguments: Iterator[tuple[object, ...]]
) -> Iterator[tuple[object, ...]]:
    """Yield the arguments of a call once it may start; once the limit is lowered, as they come: nobody calls with them."""
    for position, values in enumerate(arguments):
        _let_start(work, buffer, position)
        yield values


def calls(work: Work) -> tuple[Callable[..., object], Iterator[tuple[object, ...]]]:
    """Return how to call a function that takes no frames, and with what for each row, but for a context."""
    if work.mode == "value":
        return _checked(work, work.handler.for_value().call), ((value,) for value in work.inputs.values(work.rows))
    if work.mode == "group":
        of_group = work.handler.for_group()
        return _many(work, _checked(work, of_group.call)), work.inputs.arguments(of_group.names, work.rows)
    chosen = work.handler.for_rows(work.inputs.columns)
    call = _checked(work, chosen.call)
    return _many(work, call) if work.mode == "explode" else call, work.inputs.arguments(chosen.names, work.rows)


def _checked(work: Work, call: Callable[..., object]) -> Callable[..., object]:
    schema = work.results_schema
    return call if schema is None else checked_call(call, schema, is_async=work.handler.is_async)


def _many(work: Work, call: Callable[..., Any]) -> Callable[..., Any]:
    """Mark what a call returns as a thing that may be several rows; what it yields is a list."""
    explodes = work.mode == "explode"

    def marked(value: object) -> Many:
        return Many(list(value) if explodes and isinstance(value, Iterator) else value, explodes=explodes)

    if not work.handler.is_async:
        return lambda *values: marked(call(*values))

    async def returned(*values: object) -> Many:
        return marked(await call(*values))

    return returned


def _run_rows(work: Work, buffer: ResultBuffer) -> None:
    call, arguments = calls(work)
    if work.handler.takes_context:
        arguments = (
            (*values, work.context(Rows.span(row, row + 1), buffer))
            for row, values in zip(work.rows, arguments, strict=True)
        )
    if work.is_limited:
        arguments = _one_by_one(work, buffer, arguments)
    buffer.in_order(work.rows)
    keep, meter, rows = buffer.log.append, buffer.meter, work.rows.numbers()
    for taken, values in zip(range(1, len(work.rows) + 1), arguments, strict=True):
        meter[TAKEN] = taken
        if taken > meter[LIMIT]:
            meter[TAKEN] = taken - 1
            return
        try:
            value = call(*values)
        except BaseException as error:  # noqa: BLE001 - the user's function: whatever it raises is the row's outcome
            keep(work.caught(Rows.span(rows[taken - 1], rows[taken - 1] + 1), error))
        else:  # outside of the try: what a signal of the user's raises here must not give the row a second outcome
            keep(value)


# --- batches -------------------------------------------------------------------------------------


def _run_batches(work: Work, buffer: ResultBuffer) -> None:
    call = work.handler.for_frame().call
    size, position = min(work.first_batch, work.max_batch), 0
    while position < len(work.rows):
        buffer.taken = min(position + size, len(work.rows))
        limit = buffer.limit
        if buffer.taken > limit:
            buffer.taken = max(limit, position)
        if buffer.taken == position:
            return
        if work.is_limited and not _let_start(work, buffer, position):
            return
        _bisect(work, buffer, call, (position, work.rows[position : buffer.taken]))
        position, size = buffer.taken, min(size * work.limits.batch_growth_factor, work.max_batch)


def _bisect(work: Work, buffer: ResultBuffer, call: Callable[..., object], batch: tuple[int, Rows]) -> None:
    """Call with some rows, the first of which is at a position; where that raises, with each half, down to those to blame."""
    first, rows = batch
    buffer.begin_call(first, first + len(rows))
    extra = (work.context(rows, buffer),) if work.handler.takes_context else ()
    frame = work.inputs.frame(rows)
    index = getattr(frame, "index", None)  # before the function can change the frame
    try:
        result = call(frame, *extra)
    except BaseException as error:  # noqa: BLE001 - the user's function
        buffer.end_call()
        if len(rows) == 1 or isinstance(error, Reschedule):
            buffer.lay(work.caught(rows, error))
        else:
            half = len(rows) // 2
            for part in ((first, rows[:half]), (first + half, rows[half:])):
                is_let = not work.is_limited or _let_start(work, buffer, part[0], insists=True)
                if is_let and buffer.limit > 0:  # nobody gave the work up meanwhile
                    _bisect(work, buffer, call, part)
    else:
        lay_result(work, buffer, rows, (result, index))


def lay_result(work: Work, buffer: ResultBuffer, rows: Rows, returned: tuple[object, object]) -> None:
    """End a call: put what it returned in order, and see whether it fits, while its time still runs; lay what comes of that."""
    try:
        ordered = work.in_order(*returned)
        if work.mode == "explode":
            buffer.end_call()
            buffer.lay(Results(rows=rows, values=[Many(share, explodes=True) for share in ordered]))
            return
        problems, result = _fitting(work, ordered, len(rows))
    except UsageError as error:
        buffer.end_call()
        fail(work, buffer, rows, error)
        return
    buffer.end_call()
    numbers = rows.numbers()
    for position, reason in problems.items():
        fail(work, buffer, Rows.span(numbers[position], numbers[position] + 1), SchemaError(reason))
    lay_table(work, buffer, rows - Rows.of(numbers[position] for position in problems), result)


def _fitting(work: Work, result: object, n_rows: int) -> tuple[Mapping[int, str], object]:
    schema = work.results_schema
    return ({}, result) if schema is None else work.fitting(schema, result, n_rows)


def overdue(timeout_s: float | None) -> str:
    """Say that a call took too long."""
    return f"still running after its time-out of {timeout_s:g} s"


# --- coroutines ----------------------------------------------------------------------------------


def _run_coroutines(work: Work, buffer: ResultBuffer) -> None:
    call, arguments = calls(work)
    asyncio.run(_gather(work, buffer, call, iter(list(zip(work.rows, arguments, strict=True)))))


async def _gather(
    work: Work, buffer: ResultBuffer, call: Callable[..., Any], queue: Iterator[tuple[int, Sequence[object]]]
) -> None:
    turn = asyncio.Lock()

    async def following() -> tuple[int, Sequence[object]] | None:
        if not work.is_limited:
            return _following(buffer, queue)
        async with turn:  # calls start in the order of their rows
            may_start = await asyncio.to_thread(_let_start, work, buffer, buffer.taken)
            return _following(buffer, queue) if may_start else None

    async def consume() -> None:
        while (one := await following()) is not None:
            row, values = one
            await _one(work, buffer, row, partial(call, *values))

    await asyncio.gather(*(consume() for _ in range(min(work.limits.coroutines, len(work.rows)))))


def _following(
    buffer: ResultBuffer, queue: Iterator[tuple[int, Sequence[object]]]
) -> tuple[int, Sequence[object]] | None:
    """Take the next row, which starts now; None if there is none, or it must not be started."""
    one = next(queue, None)
    if one is None:
        return None
    buffer.taken += 1
    if buffer.taken > buffer.limit:
        buffer.taken -= 1
        return None
    return one


async def _one(work: Work, buffer: ResultBuffer, row: int, call: Callable[..., Awaitable[object]]) -> None:
    own, limit = Rows.span(row, row + 1), asyncio.timeout(work.timeout_s)
    extra = (work.context(own, buffer, limit=limit),) if work.handler.takes_context else ()
    try:
        async with limit:
            value = await call(*extra)
    except BaseException as error:  # noqa: BLE001 - the user's function
        if limit.expired() and isinstance(error, TimeoutError):
            error.args = (overdue(work.timeout_s),)
        buffer.lay(work.caught(own, error))
    else:
        buffer.lay(Results(rows=own, values=(value,)))
