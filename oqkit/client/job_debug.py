"""The verb of a job that runs one of its tasks here once more, for a debugger to stop in."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import partial
from types import FunctionType
from typing import Any, assert_never

from oqkit.client.job_base import JobBase
from oqkit.client.selection import row_of
from oqkit.client.signing import verifier
from oqkit.errors import SchemaError, UsageError
from oqkit.queue import key as keys
from oqkit.queue.job import Job as JobObject
from oqkit.queue.rows import Rows
from oqkit.queue.signal_seal import signals_taken
from oqkit.queue.task_state import TaskState
from oqkit.task.code import described, is_same, load_code
from oqkit.task.failure import Failure
from oqkit.task.function import TaskFunction, as_task
from oqkit.task.handler import Handler
from oqkit.task.request import ExtendLease, Request, Signal, Spawn, StartCall, TakeSignal
from oqkit.worker.call import Work
from oqkit.worker.interface import order_of
from oqkit.worker.replay import replay


class JobDebugging(JobBase):
    """Runs stored rows in this process."""

    def debug(self, index: object, fn: Callable[..., object] | None = None) -> Any:
        """Run a task here once more, with its stored input, and return what the function returns; what it raises is raised here.

        ``%debug`` in the next cell then stops in the line that raised, with the values of the row. `index` is the label of the row in the submitted frame,
        as `errors` has it, or the number of an item of `map`. `fn` is a corrected function to try; without it that of the job
        is used, if this process has it. One that is stored in the queue is loaded only if this process is configured to trust
        code from there (``OQ_TRUST_CODE=1``); else `UsageError` is raised.

        A batch function is called with a slice of this row alone, as a worker does in the end with each row for which it raises; where what it
        returned could not be taken, with the rows for which it was returned. Nothing is stored: what the function asks of its `Context`
        reaches no worker, and `ctx.spawn` submits nothing. Raise `SchemaError` if what it returns could not be stored.
        """
        return self._debug(row_of(index, self._collector.index(), job_id=self.id), fn)

    def _debug(self, row: int, fn: Callable[..., object] | None) -> Any:
        self._refresh()
        job = self._view.state.job
        task = self._own_function(job) if fn is None else as_task(fn)
        work = self._work(job, Handler(task).for_mode(job.mode), row)
        result, results = replay(work)
        self._connection.codec.pack(results, refuse=_refuse, inline_bytes=0)
        return result

    def _work(self, job: JobObject, handler: Handler, row: int) -> Work:
        number, within = job.locate(row)
        part, codec = self._view.state.part(number), self._connection.codec
        rows = self._collector.failed_with(part, within) if handler.is_batch else Rows.span(within, within + 1)
        state = part.state_at(within)
        return Work(
            handler=handler,
            job_id=job.id,
            origin=job.origin,
            mode=job.mode,
            first_task=number * job.part_rows,
            rows=rows,
            inputs=self._inputs(number),
            attempts=((rows, max(1, state.used)),),
            worker="debug",
            timeout_s=None,
            first_batch=len(rows),
            max_batch=len(rows),
            limits=self._repository.limits.worker,
            table=codec.table,
            in_order=order_of(codec, job.mode),
            output_schema=job.output_schema,
            fitting=codec.fitting,
            ask=partial(self._answer, job, row, state),
        )

    def _answer(self, job: JobObject, row: int, state: TaskState, _rows: Rows, request: Request) -> object:
        """Answer what the function asks, as far as that changes nothing."""
        match request:
            case ExtendLease():
                return None
            case Spawn():
                return keys.task_id(keys.keyed_job_id(keys.key_scope(request.scope, request.type), request.key, 1), 0)
            case StartCall():
                return 0
            case TakeSignal():
                sent = signals_taken(self._repository, job, request.name, row, since=state.signals_from)
                if len(sent) <= request.number:
                    raise UsageError(f"the task was sent no such signal {request.name!r}: here nobody waits for it")
                return Signal(has_come=True, value=self._connection.codec.value(sent[request.number]))
            case _:
                assert_never(request)

    def _own_function(self, job: JobObject) -> TaskFunction:
        """Return the function of the job as this process has it, or raise `UsageError`."""
        for task in self._candidates(job):
            verdict = is_same(described(task), job.code)
            if verdict or (verdict is None and (task is self._function or not job.code.digest)):
                return task
        if not self._connection.settings.trust_code:
            raise UsageError(
                f"the function of job {self.name or self.id!r}, {job.type!r}, is not in this process as it was submitted: define or import it "
                "and pass it, debug(index, fn=...). Only with OQ_TRUST_CODE=1 is it loaded from the queue"
            )
        keyring = verifier(self._connection.settings, url=self._connection.url)
        repository = self._repository if keyring is None else self._repository.verifying(keyring)
        return load_code(repository, repository.read_job(job.id).doc.code)

    def _candidates(self, job: JobObject) -> Iterator[TaskFunction]:
        """Yield what may be the function of the job; nothing is imported or loaded for it."""
        if self._function is not None:
            yield self._function
        module, _, name = job.code.reference.partition(":")
        for place, path in ((module, name), ("__main__", job.type)):
            found: Any = sys.modules.get(place)
            for each in path.split("."):
                found = getattr(found, each, None)
            if isinstance(found, (TaskFunction, FunctionType)):
                yield as_task(found)


def _refuse(_row: int, message: str) -> Failure:
    raise SchemaError(message)
