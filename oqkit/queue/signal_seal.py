"""Signed signals: a worker that runs signed jobs only also gives them signals that are signed only.

What a signal says is an input of the call that waits for it: else whoever can write the bucket could approve what he likes. The
text that is signed is made of the job (its id, and when it was submitted, which its own signature covers), the place of the signal among
the orders, its name, its rows and its value. So one that was copied to another job, or in the same job to another place, is none.
"""

from __future__ import annotations

import logging
from dataclasses import replace

from oqkit.errors import NotSigned
from oqkit.printable import printable
from oqkit.queue import record
from oqkit.queue.job import Control, Job
from oqkit.queue.repository import Repository
from oqkit.queue.signature import Seal, Signature

log = logging.getLogger(__name__)


def sealed(repository: Repository, job: Job, control: Control) -> Control:
    """Return a signal that is to be the next order of a job, signed by whoever works here; as it is if there is no key."""
    signature = repository.sign(lambda: _text(job, job.gen + 1, control))
    if signature is None:
        return control
    if job.signature is not None and not repository.is_own(job.signature):
        log.warning(
            "job %s was signed with another key than the signal %s to it: workers that have its key alone do not take that",
            job.id, printable(repr(control.name)),
        )  # fmt: skip
    return replace(control, seal=Seal(kid=signature.kid, mac=signature.mac))


def signals_taken(repository: Repository, job: Job, name: str, row: int, *, since: int) -> list[str]:
    """Return the values of the signals that a task was sent, as `Job.signals` does, without those that are not signed as they have to be."""
    sent = job.signals(name, row, since=since)
    return [value for gen, value in sent.items() if _is_taken(repository, job, gen)]


def _is_taken(repository: Repository, job: Job, gen: int) -> bool:
    control = job.controls[gen - 2]
    seal, what = control.seal, f"signal {control.name!r} to job {job.id}"
    signature = None if seal is None else Signature(text=_text(job, gen, control), kid=seal.kid, mac=seal.mac)
    try:
        repository.check_signed(signature, what=what)
    except NotSigned as error:
        log.warning("left alone: %s", printable(str(error)))
        return False
    return True


def _text(job: Job, gen: int, control: Control) -> str:
    rows = None if control.rows is None else control.rows.to_json()
    return record.text_of(["signal", job.id, job.created, gen, control.name, rows, control.value])
