"""The state machine of one task: every legal (verb, status) pair, and nothing else.

==============  =========  =========  =============================================================
verb            from       to         when
==============  =========  =========  =============================================================
``claim``       pending    running    a worker takes the task under a lease; the attempt rises by one
``complete``    running    completed  the function returned
``fail``        running    failed     it raised `PermanentError`, or its retries or losses are used up
``retry``       running    pending    it raised something else and has attempts left; due after a back-off
``reschedule``  running    pending    it raised `Reschedule`; no attempt is used up
``wait``        running    pending    it waits for a signal; no attempt is used up
``release``     running    pending    its worker handed it back unstarted; no attempt is used up
``lose``        running    pending    its lease ran out, or it killed its worker and may do so again
``cancel``      pending    cancelled
``cancel``      running    cancelled  its worker loses the right to write an outcome
``expire``      pending    expired    its time to live is over; a running task still completes
``reject``      pending    failed     a job that it depends on did not complete
``reopen``      failed     pending    `retry` by hand; all earlier attempts are forgiven
``reopen``      cancelled  pending
``reopen``      expired    pending
==============  =========  =========  =============================================================
"""

from __future__ import annotations

from enum import StrEnum
from typing import assert_never

from oqkit.errors import IllegalTransition


class Status(StrEnum):
    """Where a task is."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"

    @property
    def is_final(self) -> bool:
        """Whether only a `reopen` by hand can change it."""
        match self:
            case Status.PENDING | Status.RUNNING:
                return False
            case Status.COMPLETED | Status.FAILED | Status.CANCELLED | Status.EXPIRED:
                return True
            case _:
                assert_never(self)


class Verb(StrEnum):
    """What can happen to a task."""

    CLAIM = "claim"
    COMPLETE = "complete"
    FAIL = "fail"
    RETRY = "retry"
    RESCHEDULE = "reschedule"
    WAIT = "wait"
    RELEASE = "release"
    LOSE = "lose"
    CANCEL = "cancel"
    EXPIRE = "expire"
    REJECT = "reject"
    REOPEN = "reopen"


TRANSITIONS: dict[tuple[Verb, Status], Status] = {
    (Verb.CLAIM, Status.PENDING): Status.RUNNING,
    (Verb.COMPLETE, Status.RUNNING): Status.COMPLETED,
    (Verb.FAIL, Status.RUNNING): Status.FAILED,
    (Verb.RETRY, Status.RUNNING): Status.PENDING,
    (Verb.RESCHEDULE, Status.RUNNING): Status.PENDING,
    (Verb.WAIT, Status.RUNNING): Status.PENDING,
    (Verb.RELEASE, Status.RUNNING): Status.PENDING,
    (Verb.LOSE, Status.RUNNING): Status.PENDING,
    (Verb.CANCEL, Status.PENDING): Status.CANCELLED,
    (Verb.CANCEL, Status.RUNNING): Status.CANCELLED,
    (Verb.EXPIRE, Status.PENDING): Status.EXPIRED,
    (Verb.REJECT, Status.PENDING): Status.FAILED,
    (Verb.REOPEN, Status.FAILED): Status.PENDING,
    (Verb.REOPEN, Status.CANCELLED): Status.PENDING,
    (Verb.REOPEN, Status.EXPIRED): Status.PENDING,
}


def sources(verb: Verb) -> tuple[Status, ...]:
    """Return the statuses that `verb` leads away from."""
    return tuple(status for one, status in TRANSITIONS if one is verb)


def target(verb: Verb, status: Status) -> Status:
    """Return the status that `verb` leads to, or raise `IllegalTransition`."""
    try:
        return TRANSITIONS[verb, status]
    except KeyError:
        raise IllegalTransition(verb, status) from None
