"""Orders, such as to cancel a job: one entry in the job object, then the parts that it concerns are brought up to date.

Each says who gave it (`by`), which `history` shows. The entry alone is the order. Applying it at once only makes it visible at once: a caller that dies
half-way leaves the rest to whichever worker or later caller meets a part that is behind.

A pause moves no task. Workers that read the job again, as its new marker makes them do, start none
of its tasks; it also brings part 0 up to date, whose generation tells everybody who watches the
parts to read the job again. Another priority and tags move no task either, and no part hears of them: of the
priority workers learn from the marker.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from oqkit.clock import new_id
from oqkit.errors import FormatError, UsageError
from oqkit.queue import key as keys
from oqkit.queue.bound import MAX_TAGS
from oqkit.queue.gate import due
from oqkit.queue.job import Code, Control, ControlVerb, Job, caught_up, concerned, has_control, with_control
from oqkit.queue.repository import Repository
from oqkit.queue.rows import Rows
from oqkit.queue.signal import check_room, check_size
from oqkit.queue.signal_seal import sealed
from oqkit.queue.tag_index import retag
from oqkit.queue.transition import Status, Verb, sources

CANCELLABLE = sources(Verb.CANCEL)
RETRYABLE = sources(Verb.REOPEN)


def cancel(
    repository: Repository,
    job_id: str,
    *,
    statuses: tuple[Status, ...] = CANCELLABLE,
    rows: Rows | None = None,
    reason: str = "",
    by: str = "",
) -> Job:
    """Cancel tasks; when it returns, every one of them is written as cancelled."""
    return _order(repository, job_id, ControlVerb.CANCEL, statuses=statuses, rows=rows, reason=reason, by=by)


def retry(
    repository: Repository,
    job_id: str,
    *,
    statuses: tuple[Status, ...] = (Status.FAILED,),
    rows: Rows | None = None,
    code: Code | None = None,
    by: str = "",
) -> Job:
    """Put tasks that ended without a result to work again; `code` is the function to use from now on."""
    return _order(repository, job_id, ControlVerb.RETRY, code=code, statuses=statuses, rows=rows, by=by)


def pause(repository: Repository, job_id: str, *, reason: str = "", until: float | None = None, by: str = "") -> Job:
    """Let no worker start tasks of a job, until it is resumed or the time `until` (epoch seconds)."""
    return _order(repository, job_id, ControlVerb.PAUSE, reason=reason, until=until, by=by)


def resume(repository: Repository, job_id: str, *, by: str = "") -> Job:
    """End the pause of a job."""
    return _order(repository, job_id, ControlVerb.RESUME, by=by)


def reprioritize(repository: Repository, job_id: str, priority: int, *, by: str = "") -> Job:
    """Give a job another priority: a marker of a new generation tells workers of it, whatever the job waits for."""
    return _order(repository, job_id, ControlVerb.REPRIORITIZE, priority=priority, by=by)


def tag(repository: Repository, job_id: str, tags: Mapping[str, str | None], *, by: str = "") -> Job:
    """Set tags of a job, or remove those that are None; only the index of tags has to be told of it."""
    before: list[Job] = []
    job, _ = _enter(repository, job_id, ControlVerb.TAG, tags=tuple(tags.items()), by=by, seen=before.append)
    retag(repository, job, tags, before=before[-1].tags)
    return job


def _order(repository: Repository, job_id: str, verb: ControlVerb, *, code: Code | None = None, **what: Any) -> Job:
    """Enter an order in the job object, tell the workers, and carry it out."""
    job, control = _enter(repository, job_id, verb, code=code, **what)
    if not job.n_tasks:
        return job
    repository.announce(repository.marker(job, due=due(job, control.at)))
    bring_up(repository, job, control)
    return job


def _enter(
    repository: Repository,
    job_id: str,
    verb: ControlVerb,
    *,
    code: Code | None = None,
    seen: Callable[[Job], object] | None = None,
    **what: Any,
) -> tuple[Job, Control]:
    """Enter an order in the job object; return the job with it, and maybe with orders that others gave since.

    `seen` is called with the job as it is before each attempt; the last is the one that the order changed.
    """
    control = Control(op=new_id(repository.rng), verb=verb, at=repository.now(), **what)

    def change(doc: Job) -> Job:
        if seen is not None:
            seen(doc)
        return _ordered(repository, doc, control, code)

    held = repository.update_job(job_id, change, applied=lambda doc: has_control(doc, control.op))
    return held.doc, control


def signal(
    repository: Repository, job_id: str, *, name: str, value: str, rows: Rows | None = None, by: str = ""
) -> Job:
    """Send a signal to tasks of a job (None: all): `value` is a text of `tagged_json`. Those that wait for it go on."""
    check_size(value)
    return _order(repository, job_id, ControlVerb.SIGNAL, name=name, value=value, rows=rows, by=by)


def _ordered(repository: Repository, job: Job, control: Control, code: Code | None) -> Job:
    if control.verb is ControlVerb.SIGNAL:
        check_room((one.value for one in job.controls if one.verb is ControlVerb.SIGNAL), control.name)
    if control.verb is ControlVerb.CANCEL and control.rows == Rows.span(0, job.n_tasks):
        control = replace(control, rows=None)  # all rows by their numbers: the job as a whole waits for nothing more
    if control.verb is ControlVerb.SIGNAL:
        control = sealed(repository, job, control)
    after = with_control(job, control, code=code)
    if len(after.tags) > max(MAX_TAGS, len(job.tags)):
        raise UsageError(f"job {job.name or job.id} would have {len(after.tags)} tags: at most {MAX_TAGS} are allowed")
    return after if code is None else repository.signed_anew(after, before=job)


def bring_up(repository: Repository, job: Job, control: Control) -> None:
    """Apply the job's controls to the parts that `control` concerns; a cancel also to those that have no object yet.

    A part that does not parse does not keep the others waiting; then its `FormatError` is raised.
    """

    def attempt(index: int) -> FormatError | None:
        try:
            bring_up_part(repository, job, index)
        except FormatError as error:
            return error
        return None

    indexes: Sequence[int] = concerned(job, control)
    if control.verb in {ControlVerb.RETRY, ControlVerb.SIGNAL}:
        existing = existing_parts(repository, job)
        indexes = [index for index in existing if index in indexes]
    for error in repository.map(attempt, indexes):
        if error is not None:
            raise error


def bring_up_part(repository: Repository, job: Job, index: int) -> None:
    """Apply the job's controls to one part."""
    repository.update_part(
        job,
        index,
        lambda part: part if part.gen >= job.gen else caught_up(part, job, now=repository.now()),
        applied=lambda part: part.gen >= job.gen,
    )


def existing_parts(repository: Repository, job: Job) -> list[int]:
    """Return the parts that have an object."""
    pages = repository.store.list_all(repository.keys_of(job).parts)
    return list(keys.part_etags((entry for page in pages for entry in page.entries), n_parts=job.n_parts))
