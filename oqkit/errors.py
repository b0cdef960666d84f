"""Every error oqkit raises, grouped by what the caller does next."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class OqError(Exception):
    """The root of all oqkit errors."""


# --- the store: try again, or look at the bucket -------------------------------------------------


class StoreError(OqError):
    """A store could not do what it was asked."""


class Missing(StoreError, KeyError):
    """The key does not exist."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key

    def __str__(self) -> str:
        return f"no object {self.key!r}"


class Conflict(StoreError):
    """A conditional write found another state than it asked for; read again. Never leaves `queue/`."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key

    def __str__(self) -> str:
        return f"object {self.key!r} changed meanwhile"


class Unavailable(StoreError):
    """The store gave no usable answer. A write may have been applied, may not, or may still land."""


class Denied(StoreError):
    """The credentials do not allow this request."""


class Unsupported(StoreError):
    """The store cannot hold a queue, for example because it ignores conditional writes."""


class PartlySubmitted(StoreError):
    """Some of the calls of `submit_many` were stored, and others were not, or nobody knows.

    `tasks` has the stored ones by number, with None in place of the others; `failures` says of each of these why.
    """

    def __init__(self, tasks: Sequence[object], failures: Mapping[int, OqError]) -> None:
        super().__init__(tasks, failures)
        self.tasks = tasks
        self.failures = failures

    def __str__(self) -> str:
        first, *more = self.failures
        others = f" and {len(more):,} others" if more else ""
        return (
            f"{len(self.tasks) - len(self.failures):,} of {len(self.tasks):,} tasks were stored; not so call {first}{others}: "
            f"{self.failures[first]}. In this error, .tasks has the stored ones by number, with None for those to submit again"
        )


# --- tasks: the state machine said no ------------------------------------------------------------


class TaskError(OqError):
    """A task cannot make this transition."""


class IllegalTransition(TaskError):
    """The verb does not apply to a task in this status."""

    def __init__(self, verb: str, status: str) -> None:
        super().__init__(verb, status)
        self.verb = verb
        self.status = status

    def __str__(self) -> str:
        return f"cannot {self.verb} a task that is {self.status}"


class LeaseLost(TaskError):
    """The lease ended or was taken over; nothing more may be written under it."""

    def __init__(self, lease: str) -> None:
        super().__init__(lease)
        self.lease = lease

    def __str__(self) -> str:
        return f"lease {self.lease} is no longer held: another worker may own its rows now; stop working on them"


# --- jobs: look at the failures ------------------------------------------------------------------


class JobFailed(OqError):
    """A job ended with tasks that did not complete; `failures` has one row for each of them."""

    def __init__(self, message: str, failures: object = None) -> None:
        super().__init__(message, failures)
        self.message = message
        self.failures = failures

    def __str__(self) -> str:
        return self.message


class WaitTimeout(OqError, TimeoutError):
    """The work was not done within the time-out. It goes on; only the waiting ended."""


class FormatError(OqError):
    """A document in the queue does not parse, or was written by a newer oqkit."""


class NotSigned(FormatError):
    """A job has no signature that this worker, which runs signed jobs only, can accept."""


# --- the call: fix the arguments -----------------------------------------------------------------


class UsageError(OqError, ValueError):
    """The call is wrong; the text says which argument, which value and what to do."""


class UnknownTask(UsageError):
    """No function is known for this task type."""


class UnknownJob(UsageError, KeyError):
    """No job has this id or name."""

    __str__ = Exception.__str__


class JobMissing(Missing, UnknownJob):
    """No job object is there, or it is that of a job that was deleted: at a time (epoch seconds), by somebody, if that is known."""

    def __init__(self, job_id: str, deleted: float | None = None, by: str = "") -> None:
        Exception.__init__(self, job_id, deleted, by)
        self.key = self.job_id = job_id
        self.deleted = deleted
        self.by = by

    def named(self, unknown: str) -> UnknownJob:
        """Return what to tell somebody who asked for it by name: `unknown` if nothing is known of it."""
        return UnknownJob(unknown) if self.deleted is None else self

    def __str__(self) -> str:
        if self.deleted is None:
            return f"there is no job {self.job_id!r} any more: it was deleted, or has never been there"
        when = datetime.fromtimestamp(self.deleted, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        return f"job {self.job_id!r} was deleted on {when}" + (f" by {self.by!r}" if self.by else "")


class UnknownQueue(UsageError):
    """No queue is at this URL, and none was to be created."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.url = url

    def __str__(self) -> str:
        return (
            f"there is no queue at {self.url}: see whether that is the right place. A worker, the first submission or "
            "oq.connect(url) creates one"
        )


class QueueFull(OqError):
    """Nothing was submitted, since `n_open` jobs and tasks of its type are open, and at most `max_pending` may be."""

    def __init__(self, job_type: str, n_open: int, max_pending: int) -> None:
        super().__init__(job_type, n_open, max_pending)
        self.job_type = job_type
        self.n_open = n_open
        self.max_pending = max_pending

    def __str__(self) -> str:
        return (
            f"{self.n_open:,} jobs and tasks named {self.job_type!r} are open, and max_pending={self.max_pending:,}: nothing was "
            "submitted. Try again later, start more workers, or let on_full='wait' wait for them"
        )


class DuplicateJob(UsageError):
    """The name or key is taken by a job with other content."""


class NotAllowed(UsageError):
    """A job asks for what this machine's own configuration does not allow; the text names the setting that would."""


class SchemaError(UsageError):
    """The columns or values do not fit the function, or cannot be stored."""


class RowsRefused(SchemaError):
    """Some of the values that a batch function returned cannot be stored: `problems` says which, by position, and why.

    `table` holds the others, in order.
    """

    def __init__(self, table: object, problems: Mapping[int, str]) -> None:
        super().__init__(table, problems)
        self.table = table
        self.problems = problems

    def __str__(self) -> str:
        return min(self.problems.items())[1]


# --- raised by users inside a task ---------------------------------------------------------------


class PermanentError(Exception):
    """Raise inside a task to fail it at once, without a retry."""


class Skip(Exception):  # control flow, named for how it reads: `raise oq.Skip("empty")`
    """Raise inside a task to complete it without a value."""


class Reschedule(Exception):  # control flow: `raise oq.Reschedule(30)`
    """Raise inside a task to put it back for `delay` seconds without using up an attempt."""

    LONGEST_S: ClassVar = 10 * 366 * 86_400.0
    delay_s = 0.0  # for subclasses with an __init__ of their own
    reason = ""

    def __init__(self, delay: Any = 0.0, reason: str = "") -> None:
        super().__init__(delay, reason)
        if isinstance(delay, str) or not delay <= self.LONGEST_S:  # also refuses NaN
            raise UsageError(f"Reschedule(delay={delay!r}) must be a number of seconds, at most ten years")
        self.delay_s = max(0.0, float(delay))
        self.reason = reason

    def __str__(self) -> str:
        return self.reason or f"put back for {self.delay_s:g} s"


def one_of(values: Sequence[str]) -> str:
    """Name the allowed values in an error text: ``a, b or c``."""
    *head, last = values
    return f"{', '.join(head)} or {last}" if head else last
