"""Recording submissions in the caller's own database transaction: they reach the queue if, and only if, it is committed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

from oqkit.client.connection import Connection
from oqkit.client.outbox_database import Database
from oqkit.client.outbox_table import OutboxTable, job_id_of
from oqkit.client.spec import Function, job_of
from oqkit.client.values_spec import spec_of_values
from oqkit.clock import new_id
from oqkit.errors import UsageError
from oqkit.queue.cas import JOB
from oqkit.queue.key import task_id
from oqkit.task.function import options_of


class Outbox:
    """Submissions of one transaction; get one from `Queue.outbox`, and use it in a ``with`` block."""

    def __init__(self, connection: Connection, database: Any, *, table: str) -> None:
        self._connection = connection
        self._table = OutboxTable(Database(database), table=table)
        self._rows: list[tuple[str, str, float, str]] | None = None

    def __enter__(self) -> Self:
        self._rows = []
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write what was recorded into the table; nothing of it if the block raised."""
        rows, self._rows = self._rows or [], None
        if error is None and rows:
            self._table.insert(rows)

    def submit(self, fn: Callable[..., object] | str, input: object = None, **options: object) -> str:  # noqa: A002 - as in `Queue.submit`
        """Record one call, and return the id of the task that it becomes; `Queue.get` knows it once it is delivered.

        The call is checked now, as by `Queue.submit`, and takes the same options, but no `key`: a record is one task. What
        counts from the submission (`delay`, `ttl`) counts from now. `fn` is the name of a task type, or a function that
        workers can import.
        """
        if self._rows is None:
            raise UsageError("record in a block: with q.outbox(connection) as box: box.submit(…)")
        record = new_id(self._connection.repository.rng)
        job_id = job_id_of(record)
        document = self._document(job_id, fn, input, options)
        task = task_id(job_id, 0)
        self._rows.append((record, task, self._connection.repository.now(), document))
        return task

    def _document(self, job_id: str, fn: Callable[..., object] | str, value: object, options: dict[str, object]) -> str:
        """Return the job as it will be stored, signed by whoever submits here: a relay only passes it on."""
        if taken := {"key", "scope", "key_ttl"} & options.keys():
            raise UsageError(
                f"{min(taken)}= is not for an outbox: each record becomes one task, however often it is delivered"
            )
        repository = self._connection.repository
        limits, most = repository.limits, repository.limits.outbox.input_bytes
        chosen = options_of(options)
        timer = self._connection.timer
        spec = spec_of_values([value], fn, part_rows=1, timer=timer, limits=limits, payload=most)
        _check_travels(spec.function)
        if spec.table is not None:
            raise UsageError(
                f"the input takes more than {most:,} bytes, which is too much for an outbox: store it elsewhere, and submit where it is"
            )
        job = replace(job_of(spec, repository, name="", options=chosen), id=job_id)
        return JOB.dump(repository.signed(job)).decode()


def _check_travels(function: Function) -> None:
    """Refuse a function by value: its bytes would be in the queue before, and without, the transaction."""
    if function.data is not None:
        raise UsageError(
            f"{function.type!r} cannot be imported by workers, and an outbox takes no function by value: put it into a "
            "module, or submit the name of its task type"
        )
