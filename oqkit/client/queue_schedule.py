"""The verbs of `Queue` for work that comes again and again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from oqkit.client.connection import Connection
from oqkit.client.duplicate import difference
from oqkit.client.option import by_of, reason_of
from oqkit.client.shown_time import shown_times
from oqkit.client.single import Task
from oqkit.client.spec import JobSpec, job_of
from oqkit.client.values_spec import spec_of_values
from oqkit.client.wait import tell
from oqkit.clock import new_id
from oqkit.errors import DuplicateJob, FormatError, Missing, UsageError, one_of
from oqkit.queue import firing
from oqkit.queue.bound import MAX_SPAN_S, MIN_EVERY_S
from oqkit.queue.collection import Unreadable
from oqkit.queue.cron import Rhythm, check_rhythm, millis
from oqkit.queue.timetable import (
    SCHEDULE,
    SCHEDULES,
    CatchUp,
    Schedule,
    check_name,
    same_definition,
    schedule_key,
    upcoming,
)
from oqkit.queue.view import JobStatus
from oqkit.task.function import options_of, seconds

SCHEDULE_COLUMNS = ("name", "type", "cron", "tz", "next", "last", "paused", "every", "catch_up", "reason", "paused_by")


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleState:
    """A schedule as it was when somebody asked; times are in its own time zone."""

    name: str
    type: str
    cron: str
    """Empty if it comes every so many seconds."""
    tz: str
    next: pd.Timestamp | None
    """The next slot; None while it is paused for good, or if there is none."""
    last: pd.Timestamp | None
    """The newest slot that was submitted; None if none was."""
    paused: bool
    every: float | None = None
    """The seconds from slot to slot; None if `cron` says it."""
    catch_up: str = CatchUp.SKIP
    reason: str = ""
    """Why it is paused."""
    paused_by: str = ""


class QueueScheduling(Connection):
    """Has workers submit a call at certain times, and tells of that."""

    def schedule(
        self,
        name: str,
        fn: Callable[..., object] | str,
        input: object = None,  # noqa: A002 - the word of the contract
        *,
        cron: str | None = None,
        tz: str = "UTC",
        every: float | str | None = None,
        catch_up: Literal["skip", "last", "all"] = "skip",
        jitter: float | str = 0,
        **options: object,
    ) -> ScheduleState:
        """Have one call submitted at every slot of `cron` (in the time zone `tz`), or `every` so often from now on.

        Whatever workers run on the queue submit it, each slot exactly once, within seconds; no slot is before now. `fn`,
        `input` and `options` are those of `submit`. `cron` has five fields, minute hour day month weekday (0 and 7 are
        Sunday), or is a name such as ``@daily``; changes of the clocks are as cron has them. `jitter`
        (seconds, or text such as ``"5m"``) puts each slot off by up to so long. `catch_up` says what becomes of slots
        that no worker was there for within two minutes: nothing, or the last of them is submitted, or all.
        To make the same schedule again changes nothing; another one of that name raises `DuplicateJob`.
        """
        check_name(name)
        repository, now = self.repository, self.repository.now()
        spec = spec_of_values([input], fn, part_rows=1, timer=self.timer, limits=repository.limits)
        job = job_of(_inline(spec), repository, name="", options=options_of(_without_times(options)))
        rhythm = _rhythm(now, cron=cron, tz=tz, every=every, jitter=jitter)
        origin, chosen = new_id(repository.rng), _catch_up(catch_up)
        wanted = Schedule(name=name, origin=origin, rhythm=rhythm, last=now, catch_up=chosen, template={})
        wanted = firing.with_template(repository, wanted, job)
        SCHEDULE.dump(wanted)  # which refuses what is too long, before anything is written
        self.submitter.put_code(spec.function)
        found = firing.create_schedule(repository, wanted)
        if found.origin != wanted.origin:
            self._attach(found, wanted)
        return _state(found, now)

    def schedules(self) -> pd.DataFrame:
        """Return one row a schedule: name, type, cron, tz, next, last (UTC), paused, every (s), catch_up, reason, paused_by.

        `next` is NaT while it is paused for good, `last` is the newest slot that was submitted. Of a schedule that
        cannot be read `cron` is ``unreadable: `` and why.
        """
        now = self.repository.now()
        rows = [self._row(one, now) for one in firing.schedules(self.repository).list(SCHEDULES)]
        frame = pd.DataFrame.from_records(rows, columns=list(SCHEDULE_COLUMNS))
        for column in ("next", "last"):
            frame[column] = shown_times(None if pd.isna(at) else at / 1000 for at in frame[column])
        return frame.astype({"paused": "bool", "every": "float64"})

    def get_schedule(self, name: str) -> ScheduleState:
        """Return a schedule as it is now."""
        with self._named(name):
            found = firing.schedules(self.repository).read(schedule_key(check_name(name))).doc
        return _state(found, self.repository.now())

    def unschedule(self, name: str) -> None:
        """Delete a schedule. Its jobs stay; a slot that is due at this very moment may still be submitted."""
        with self._named(name):
            firing.delete_schedule(self.repository, name)

    def trigger(self, name: str) -> Task:
        """Submit what a schedule submits at once, whatever its slots are and also while it is paused."""
        with self._named(name):
            stored = firing.trigger_schedule(self.repository, name)
        return Task(self, stored.job)

    def pause_schedule(
        self,
        name: str,
        *,
        reason: str | None = None,
        resume_after: float | str | None = None,
        by: str | None = None,
    ) -> ScheduleState:
        """Let nothing be submitted for a schedule until `resume_schedule`, or for the time `resume_after`.

        What was due before and no worker has come to yet is submitted first, as far as the schedule catches up.
        `by` says who gives the order; you, if it is left out.
        """
        reason, given_by, now = reason_of(reason), by_of(by), self.repository.now()
        until = None if resume_after is None else now + seconds(resume_after, what="resume_after")
        with self._named(name):
            return _state(firing.pause_schedule(self.repository, name, reason=reason, until=until, by=given_by), now)

    def resume_schedule(self, name: str) -> ScheduleState:
        """Let a schedule go on with its first slot from now on: what fell due while it was paused is left out."""
        with self._named(name):
            return _state(firing.resume_schedule(self.repository, name), self.repository.now())

    @contextmanager
    def _named(self, name: str) -> Iterator[None]:
        check_name(name)
        try:
            yield
        except Missing:
            raise UsageError(f"no schedule is named {name!r} in {self.url}; oq.schedules() lists them") from None

    def _attach(self, found: Schedule, wanted: Schedule) -> None:
        """Take the schedule that is there for the wanted one, or raise `DuplicateJob`."""
        there, here = firing.template_of(found), firing.template_of(wanted)
        differing = [f"another {what}" for what, is_same in same_definition(found, wanted).items() if not is_same]
        if work := difference(there, here):
            differing.append(work)
        if differing:
            raise DuplicateJob(
                f"schedule {found.name!r} exists already, with {' and '.join(differing)}: "
                f"oq.unschedule({found.name!r}) first, or choose another name"
            )
        firing.renew_signature(self.repository, found, here)
        tell(f"Schedule {found.name!r} is there already.")

    def _row(self, one: Any, now: float) -> tuple[object, ...]:
        if isinstance(one, Unreadable):
            return _unreadable_row(one.key.removeprefix(SCHEDULES).removesuffix(".json"), one.why)
        try:
            state = _facts(one.doc, now)
        except (FormatError, UsageError) as error:
            return _unreadable_row(one.doc.name, str(error))
        return tuple(state[column] for column in SCHEDULE_COLUMNS)


def _unreadable_row(name: str, why: str) -> tuple[object, ...]:
    return (name, "", f"{JobStatus.UNREADABLE}: {why}", "", None, None, False, None, "", "", "")


def _facts(schedule: Schedule, now: float) -> dict[str, Any]:
    """Return what there is to know of a schedule by the names of `SCHEDULE_COLUMNS`; times in milliseconds."""
    rhythm, is_paused, following = schedule.rhythm, schedule.is_paused(now), upcoming(schedule, now)
    return {
        "name": schedule.name,
        "type": firing.template_of(schedule).type,
        "cron": rhythm.cron,
        "tz": rhythm.tz,
        "next": None if following is None else millis(following),
        "last": None if schedule.fired is None else millis(schedule.fired),
        "paused": is_paused,
        "every": rhythm.every_s,
        "catch_up": schedule.catch_up.value,
        "reason": schedule.pause.reason if schedule.pause is not None and is_paused else "",
        "paused_by": schedule.pause.by if schedule.pause is not None and is_paused else "",
    }


def _state(schedule: Schedule, now: float) -> ScheduleState:
    facts = _facts(schedule, now)
    for column in ("next", "last"):
        if facts[column] is not None:
            facts[column] = shown_times([facts[column] / 1000])[0].tz_convert(schedule.rhythm.tz)
    return ScheduleState(**facts)


# --- arguments -----------------------------------------------------------------------------------


def _inline(spec: JobSpec) -> JobSpec:
    if spec.table is not None:
        raise UsageError(
            "the input is too large to stand in a schedule: store it somewhere, and let the function be given where it is"
        )
    return spec


def _without_times(options: dict[str, object]) -> dict[str, object]:
    for name in ("at", "delay", "expires_at", "key", "depends_on"):
        if options.get(name) is not None:
            raise UsageError(f"{name}= is no option of a schedule: its slots alone say when it is submitted, each once")
    return options


def _rhythm(now: float, *, cron: Any, tz: Any, every: float | str | None, jitter: float | str) -> Rhythm:
    for name, value in (("cron", cron or ""), ("tz", tz)):
        if not isinstance(value, str):
            raise UsageError(f"{name}={value!r:.200} must be text, such as cron='0 6 * * 1' and tz='Europe/Paris'")
    every_s = None if every is None else _every(every)
    jitter_s = seconds(jitter, what="jitter")
    return check_rhythm(Rhythm(since=now, cron=cron or "", tz=tz, every_s=every_s, jitter_s=jitter_s))


def _every(every: float | str) -> float:
    every_s = seconds(every, what="every")
    if not MIN_EVERY_S <= every_s <= MAX_SPAN_S:
        raise UsageError(f"every={every!r} must be a second at least, and three centuries at most")
    return every_s


def _catch_up(value: Any) -> CatchUp:
    try:
        return CatchUp(value)
    except ValueError:
        allowed = one_of([repr(one.value) for one in CatchUp])
        raise UsageError(f"catch_up={value!r} must be {allowed}") from None
