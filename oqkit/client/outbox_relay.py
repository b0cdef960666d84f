"""The relay of an outbox: puts what transactions recorded into the queue, each record exactly once.

The id of a job follows from its record, so that storing it twice is storing it once. A relay stores first, and notes
that in the table afterwards: one that dies in between leaves a record that the next one finds stored already.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from threading import Event
from typing import Any

from oqkit.client.connection import Connection
from oqkit.client.outbox_database import Database
from oqkit.client.outbox_table import OutboxTable, Record, make_table
from oqkit.clock import new_id
from oqkit.errors import FormatError, StoreError, UsageError
from oqkit.observe.event import JobSubmitted
from oqkit.printable import printable
from oqkit.queue.job import Job
from oqkit.queue.repository import Repository
from oqkit.queue.submission import Submission

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """What one look of a relay came to."""

    n_claimed: int = 0
    n_delivered: int = 0
    troubles: dict[str, str] = field(default_factory=dict)
    """Records that were put aside, and why."""
    error: StoreError | None = None
    """What kept the others from the queue, which are tried again."""


class OutboxRelay:
    """Delivers the records of one table. Any number of relays may work on it, on any machines."""

    def __init__(self, connection: Connection, connect: Callable[[], Any], *, table: str, keep_s: float) -> None:
        """`connect` opens a connection to the database that is the relay's own: SQLAlchemy's, or one with the DB-API."""
        own = connection.repository
        # A relay vouches for nothing: what it finds is signed by whoever recorded it, or not at all.
        self._repository = Repository(own.store, own.settings, rng=own.rng, limits=own.limits)
        self._observers = connection.observers
        self._connect = connect
        self._name = table
        self._keep_s = keep_s
        self._limits = own.limits.outbox
        self._database: Database | None = None
        self._errors: tuple[type[Exception], ...] = ()
        self._pruned: float | None = None

    def run(self, stop: Event | None = None) -> None:
        """Deliver until `stop` is set. An outage, of the queue or the database, is waited for, but not at the start."""
        stop, wait_s = stop or Event(), 0.0
        with closing(self):
            self.check()
            while not stop.wait(wait_s):
                done = self._look()
                if done is None or done.error is not None:
                    wait_s = min(max(self._limits.first_wait_s, 2 * wait_s), self._limits.longest_wait_s)
                else:
                    wait_s = 0.0 if done.n_claimed == self._limits.batch_records else self._limits.poll_s

    def check(self) -> None:
        """Raise `UsageError` if the table is not there, or cannot be read."""
        database = self._opened()
        try:
            OutboxTable(database, table=self._name).check()
        except database.errors as error:
            raise UsageError(
                f"the outbox {self._name} cannot be read ({error!s:.200}): q.outbox_setup(connection), or `oq outbox setup`, makes it"
            ) from error

    def _look(self) -> Delivery | None:
        """Deliver a batch; None if the database did not answer."""
        try:
            return self.deliver()
        except self._errors as error:
            log.warning("the database of the outbox did not answer: %s", printable(str(error)))
            self.close()
            return None

    def deliver(self) -> Delivery:
        """Make one look: deliver up to a batch of records, and say what came of it; raise what the database's driver does."""
        table = OutboxTable(self._opened(), table=self._name)
        self._prune(table)
        by = new_id(self._repository.rng)
        records = table.claim(by, limit=self._limits.batch_records, for_s=self._limits.claim_s)
        outcomes = dict(zip(records, self._repository.map(self._outcome, records), strict=True))
        delivered = [record.id for record, outcome in outcomes.items() if outcome is None]
        troubles = {record.id: outcome for record, outcome in outcomes.items() if isinstance(outcome, str)}
        table.settle(delivered=delivered, troubles=troubles)
        for record, why in troubles.items():
            log.error(
                "record %s of outbox %s is put aside, and never delivered: %s",
                printable(record),
                self._name,
                printable(why),
            )
        errors = [outcome for outcome in outcomes.values() if isinstance(outcome, StoreError)]
        if errors:
            log.warning("%d records of the outbox wait for the queue: %s", len(errors), printable(str(errors[0])))
            table.release(by)
        return Delivery(
            n_claimed=len(records),
            n_delivered=len(delivered),
            troubles=troubles,
            error=errors[0] if errors else None,
        )

    def deliver_all(self) -> Delivery:
        """Deliver what there is now; raise the error of the queue, if one keeps something from it."""
        n_delivered = 0
        troubles: dict[str, str] = {}
        with closing(self):
            self.check()
            while (done := self.deliver()).n_claimed:
                n_delivered += done.n_delivered
                troubles |= done.troubles
                if done.error is not None:
                    raise done.error
        return Delivery(n_delivered=n_delivered, troubles=troubles)

    def set_up(self) -> None:
        """Make the table, if it is not there."""
        with closing(self):
            database = self._opened()
            make_table(database, table=self._name)
            database.commit()

    def close(self) -> None:
        """Close the connection to the database; the next look opens another."""
        database, self._database = self._database, None
        if database is not None:
            database.close()

    def _opened(self) -> Database:
        if self._database is None:
            self._database = Database(self._connect())
            self._errors = self._database.errors
        return self._database

    def _prune(self, table: OutboxTable) -> None:
        now = self._repository.store.clock.monotonic()
        if self._pruned is None or now - self._pruned >= self._limits.prune_every_s:
            table.prune(keep_s=self._keep_s)
            self._pruned = now

    def _outcome(self, record: Record) -> str | StoreError | None:
        """Store the job of a record: None if it is stored now, an error if it may be later, and else why it cannot be."""
        try:
            job = self._job(record)
            began = self._repository.store.clock.monotonic()
            found = Submission(self._repository, job).commit(job)
        except StoreError as error:
            return error
        except (FormatError, UsageError) as error:
            return str(error)
        if not found.is_new:
            return f"job {record.job_id} is another one's"
        took_s = self._repository.store.clock.monotonic() - began
        self._observers.tell(
            JobSubmitted, lambda: JobSubmitted(at=self._repository.now(), job=found.job, took_s=took_s)
        )
        return None

    def _job(self, record: Record) -> Job:
        document = record.document if isinstance(record.document, bytes) else record.document.encode()
        job = self._repository.load_job(document, self._repository.layouts.job_key(record.job_id))
        if job.id != record.job_id:
            raise FormatError(f"its document is that of job {job.id!r:.80}, not of {record.job_id}")
        return job
