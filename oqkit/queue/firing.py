"""Schedules as they are made, ordered about and fired; workers do the last of it, each slot exactly once.

To fire is to submit the jobs of the slots that are due, and only then to note in the schedule that they are settled.
Whoever dies between the two leaves slots that another worker submits again, and finds there: the id of a slot's job
follows from the slot, so that its conditional create is all that decides.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from functools import partial

from oqkit.clock import new_id
from oqkit.errors import Denied, FormatError, Missing, NotSigned, StoreError, UsageError
from oqkit.queue import key as keys
from oqkit.queue import record
from oqkit.queue.alarm import Alarm, alarm_of, put_alarm
from oqkit.queue.cas import Versioned
from oqkit.queue.collection import Collection
from oqkit.queue.cron import local_time
from oqkit.queue.document import SIGNED_IF_THERE, dump, dump_job, load_job, signed_text
from oqkit.queue.job import Job, Slot
from oqkit.queue.repository import Repository
from oqkit.queue.submission import Submission, Submitted
from oqkit.queue.template import TEMPLATE_ID, filled, signed_part, slot_job_id
from oqkit.queue.timetable import (
    SCHEDULE,
    SCHEDULES,
    Due,
    Pause,
    Schedule,
    check_name,
    due,
    next_due,
    paused,
    resumed,
    schedule_key,
    settled,
)


def schedules(repository: Repository) -> Collection[Schedule]:
    """Return the schedules of a queue."""
    return Collection(repository, SCHEDULE)


# --- making one ----------------------------------------------------------------------------------


def with_template(repository: Repository, schedule: Schedule, job: Job) -> Schedule:
    """Return a schedule that submits copies of `job`, signed by whoever works here."""
    valid_until = repository.now() + repository.limits.queue.signature_s
    own = replace(job, id=TEMPLATE_ID, name="", origin="", valid_until=valid_until)
    part = signed_part(schedule.name, schedule.origin, schedule.rhythm)
    signature = repository.sign(lambda: signed_text(own, schedule=part))
    own = own if signature is not None else replace(own, valid_until=None)
    return replace(schedule, template=record.parse(dump_job(own)), signature=signature)


def create_schedule(repository: Repository, schedule: Schedule) -> Schedule:
    """Create a schedule and tell the workers, or return the one that has its name: `origin` tells which of the two.

    One that takes the place of another knows the orders to that: whoever gave one does not give it again.
    """
    found = schedules(repository).create(schedule, inherit=lambda old: replace(schedule, orders=old.orders)).doc
    put_alarm(repository, found)
    repository.ring()
    return found


def delete_schedule(repository: Repository, name: str) -> None:
    """Delete a schedule, or raise `Missing`: nothing is submitted for it that is not already. Its jobs stay."""
    every, key = schedules(repository), schedule_key(name)
    held = every.read(key)
    while not every.delete(held):
        held = every.read(key)
    with suppress(
        FormatError, UsageError, StoreError
    ):  # one that is left over is taken down by the worker that looks next
        if (alarm := alarm_of(held.doc, repository)) is not None:
            repository.store.delete(alarm.key)


def renew_signature(repository: Repository, schedule: Schedule, job: Job) -> None:
    """Sign a schedule anew if it was signed here before, and more than half of the time is over that this is good for.

    What is signed is `job`, the caller's own, and never what was found in the queue.
    """
    old = schedule.signature
    is_old = (template_of(schedule).valid_until or 0.0) < repository.now() + repository.limits.queue.signature_s / 2
    if old is None or not is_old or not repository.is_own(old):
        return
    new = with_template(repository, schedule, job)

    def change(doc: Schedule) -> Schedule:
        return replace(doc, template=new.template, signature=new.signature) if doc.signature == old else doc

    schedules(repository).update(schedule_key(schedule.name), change, applied=lambda doc: doc.signature != old)


# --- orders --------------------------------------------------------------------------------------


def pause_schedule(
    repository: Repository, name: str, *, reason: str = "", until: float | None = None, by: str = ""
) -> Schedule:
    """Let nothing be submitted for a schedule, until it is resumed or the time `until`; raise `Missing`.

    Slots that were due before are submitted first, as far as the schedule catches up: the pause is about those to come.
    """
    pause, order = Pause(at=repository.now(), reason=reason, until=until, by=by), new_id(repository.rng)
    while True:
        settled: str | None = None
        with suppress(
            FormatError, UsageError, Denied
        ):  # nobody can say, or I may not submit: it is paused all the same
            settled = fire_owed(repository, name, pause.at).origin
        found = _order(repository, name, partial(_paused, pause=pause, order=order, settled=settled), order=order)
        if order in found.orders:  # else it was deleted meanwhile, and there is another one of its name
            return found


def _paused(schedule: Schedule, *, pause: Pause, order: str, settled: str | None) -> Schedule:
    return paused(schedule, pause, order=order) if settled in (None, schedule.origin) else schedule


def resume_schedule(repository: Repository, name: str) -> Schedule:
    """Let a schedule go on with the first slot from now on; raise `Missing`."""
    order = new_id(repository.rng)
    return _order(repository, name, lambda doc: resumed(doc, repository.now(), order=order), order=order)


def fire_owed(repository: Repository, name: str, until: float) -> Schedule:
    """Submit the slots of a schedule that were due by then, whoever would have come to them later, and return it; raise `Missing`."""
    seen: tuple[str, float] | None = None
    while True:
        schedule = schedules(repository).read(schedule_key(name)).doc
        if (schedule.origin, schedule.last) == seen or _is_settled(schedule, until):
            return schedule
        seen = schedule.origin, schedule.last
        attend(repository, name)


def _order(repository: Repository, name: str, change: Callable[[Schedule], Schedule], *, order: str) -> Schedule:
    held = schedules(repository).update(schedule_key(name), change, applied=lambda doc: order in doc.orders)
    return held.doc


def trigger_schedule(repository: Repository, name: str) -> Submitted:
    """Submit the job of a schedule at once, whatever its slots are; raise `Missing`, or `NotSigned` if its signature has run out."""
    schedule, now = schedules(repository).read(schedule_key(name)).doc, repository.now()
    slot = Slot(schedule=name, origin=schedule.origin, at=now, is_triggered=True)
    template = template_of(schedule)
    if template.valid_until is not None and now > template.valid_until:
        raise NotSigned(f"schedule {name!r}: its signature has run out; to make the same schedule again renews it")
    job = _submittable(repository, template, slot, schedule, job_id=keys.timed_job_id(now, repository.rng))
    before = replace(template, signature=schedule.signature)
    return Submission(repository, job).commit(repository.signed_anew(job, before=before))


# --- firing --------------------------------------------------------------------------------------


def attend(
    repository: Repository,
    name: str,
    *,
    by: str = "",
    seen: Iterable[Alarm] = (),
    expected: float | None = None,
    mends: bool = True,
    told: Callable[[Submitted], None] = lambda _: None,
) -> tuple[Alarm | None, bool]:
    """Submit what is due of a schedule; return its next alarm, and whether its last slot was settled by the worker `by`.

    None in place of the alarm: the schedule is gone, or never comes again.

    `seen` are alarms of it that were seen before. If `expected` is when the next slot was due as far as was known, and
    it is settled by now, somebody else is at it: then nothing is submitted. Where nothing is, who has settled the
    last slot puts up the next alarm, and this call does so too if it `mends`. `told` is called with each job.
    """
    try:
        held = schedules(repository).read(schedule_key(name))
        found = (
            _submit_due(repository, held.doc, told) if expected is None or not _is_settled(held.doc, expected) else None
        )
        if found is None or found.last == held.doc.last:
            after, is_news = held.doc, mends
        else:
            after, is_news = _settle(repository, held, settled(held.doc, found, by=by)), True
        alarm = put_alarm(repository, after, seen=seen) if is_news else alarm_of(after, repository)
    except Missing:
        repository.delete_quietly(*(alarm.key for alarm in seen))
        return None, False
    except UsageError as error:  # of who made the schedule: a worker has called nothing wrongly
        raise FormatError(f"schedule {name!r}: {error}") from None
    else:
        return alarm, after.settled_by == by


def _is_settled(schedule: Schedule, due_s: float) -> bool:
    """Whether the slot that was due then is settled."""
    following = next_due(schedule)
    return following is None or following[1] > due_s


def _submit_due(repository: Repository, schedule: Schedule, told: Callable[[Submitted], None]) -> Due:
    """Submit the slots that are due, as long as what is known of the schedule is fresh."""
    limits, clock = repository.limits.queue, repository.store.clock
    read = clock.monotonic()
    found = due(schedule, repository.now(), late_s=limits.schedule_late_s, most=limits.schedule_slots)
    for number, slot in enumerate(found.slots):
        if clock.monotonic() - read > limits.schedule_fresh_s:  # by now others may have fired, paused or deleted it
            return Due(slots=found.slots[:number], last=found.slots[number - 1] if number else schedule.last)
        told(submit_slot(repository, schedule, slot))
    return found


def submit_slot(repository: Repository, schedule: Schedule, slot: float) -> Submitted:
    """Submit the job of a slot, or find that somebody has."""
    job_id = slot_job_id(schedule.name, schedule.origin, slot)
    of = Slot(schedule=schedule.name, origin=schedule.origin, at=slot)
    job = _submittable(repository, template_of(schedule), of, schedule, job_id=job_id)
    return Submission(repository, job).commit(job)


def restore_alarms(repository: Repository, *, known: Container[str]) -> bool:
    """Put up the alarms of schedules that are not `known` to have one; return whether there are schedules.

    Those that cannot be understood are left alone.
    """
    every, n_found = schedules(repository), 0
    keys_of = (entry.key for page in repository.store.list_all(SCHEDULES) for entry in page.entries)
    for key in keys_of:
        n_found += 1
        if key.removeprefix(SCHEDULES).removesuffix(".json") not in known:
            with suppress(Missing, FormatError, UsageError):
                put_alarm(repository, every.read(key).doc)
    return n_found > 0


def template_of(schedule: Schedule) -> Job:
    """Return what a schedule submits, or raise `FormatError`: as it was signed, if it was, and for this schedule.

    Else the signature of another job or schedule, copied into this one, would have its owner run that. The signature
    itself is verified by whoever runs a job, or signs something anew.
    """
    fields = dict(schedule.template)
    if schedule.signature is not None:
        try:
            signed = record.parse(schedule.signature.text.encode())
        except (ValueError, TypeError):
            raise FormatError(f"schedule {schedule.name!r}: its signed text does not parse") from None
        part = signed_part(schedule.name, schedule.origin, schedule.rhythm)
        if not isinstance(signed, dict) or signed.get("schedule") != part:
            raise FormatError(f"schedule {schedule.name!r}: what is signed in it is something else than this schedule")
        fields = {**fields, SIGNED_IF_THERE: None, **signed}
    fields = {name: value for name, value in fields.items() if name not in {"schedule", "slot", "signature"}}
    return load_job(dump(fields), key=schedule_key(schedule.name))


def _submittable(repository: Repository, template: Job, slot: Slot, schedule: Schedule, *, job_id: str) -> Job:
    """Return the job of a slot."""
    created = max(repository.now(), slot.at)
    fields = filled(record.parse(dump_job(template)), job_id=job_id, created=created)
    job = load_job(dump(fields), key=schedule_key(schedule.name))
    return replace(
        job,
        name=slot_name(schedule, slot.at),
        origin=new_id(repository.rng),
        slot=slot,
        signature=None if slot.is_triggered else schedule.signature,
        controls=(),
    )


def slot_name(schedule: Schedule, at: float) -> str:
    """Return the name of a slot's job: the schedule, and the time there."""
    return f"{schedule.name}@{local_time(schedule.rhythm, at)}"


def named_slot(repository: Repository, name: str) -> Job | None:
    """Return the job that has this name of a slot, of the schedule that there is now; None if there is none."""
    schedule_name, _, text = name.rpartition("@")
    try:
        schedule = schedules(repository).read(schedule_key(check_name(schedule_name))).doc
        at = datetime.fromisoformat(text).timestamp()
        return repository.read_job(slot_job_id(schedule.name, schedule.origin, at)).doc
    except (Missing, ValueError, OverflowError):  # UsageError is a ValueError: no schedule can have that name
        return None


def _settle(repository: Repository, held: Versioned[Schedule], after: Schedule) -> Schedule:
    """Note that what was due is submitted, unless somebody has, or the schedule is another one by now."""

    def is_over(doc: Schedule) -> bool:
        return doc.is_deleted or doc.origin != after.origin or doc.last >= after.last

    def change(doc: Schedule) -> Schedule:
        return doc if is_over(doc) else replace(doc, last=after.last, fired=after.fired, settled_by=after.settled_by)

    return schedules(repository).update(schedule_key(after.name), change, applied=is_over, held=held).doc
