"""Mistakes about schedules: who fires a slot, when, and how the next one is heard of."""

from __future__ import annotations

from dataclasses import replace

import pytest

from oqkit.clock import new_id
from oqkit.queue import firing, timetable
from oqkit.queue import key as keys
from oqkit.queue.firing import schedules
from oqkit.queue.repository import Repository
from oqkit.queue.timetable import schedule_key
from oqkit.testing.simulation import recurring_actor


def slot_is_settled_before_it_is_submitted(patch: pytest.MonkeyPatch) -> None:
    """Whoever advances the schedule has the slot; if he dies then, nobody submits it."""
    settle, submit = firing._settle, firing.submit_slot

    def submit_first(repository, schedule, slot):
        held = firing.schedules(repository).read(timetable.schedule_key(schedule.name))
        if held.doc.origin == schedule.origin:
            settle(repository, held, timetable.settled(held.doc, timetable.Due(slots=(slot,), last=slot)))
        return submit(repository, schedule, slot)

    patch.setattr(firing, "submit_slot", submit_first)


def job_of_a_slot_follows_from_its_name_and_time_alone(patch: pytest.MonkeyPatch) -> None:
    """A schedule that is made anew under the name of another one finds that its slots were submitted."""
    patch.setattr(firing, "slot_job_id", lambda name, origin, slot: keys.keyed_job_id("schedule", name, slot))


def job_of_a_slot_has_an_id_of_its_own(patch: pytest.MonkeyPatch) -> None:
    """Nothing but the schedule says whether a slot was submitted."""

    def slot_job_id(name, origin, slot):
        return keys.keyed_job_id("schedule", new_id(_CHANCE[0]), slot)

    init = Repository.__init__

    def remember(self, *arguments, **more):
        init(self, *arguments, **more)
        _CHANCE[:] = [self.rng]

    patch.setattr(Repository, "__init__", remember)
    patch.setattr(firing, "slot_job_id", slot_job_id)


_CHANCE: list = []


def pause_forgets_what_was_due_before(patch: pytest.MonkeyPatch) -> None:
    """Slots that no worker has come to yet are left out with those that fall into the pause."""

    def read(repository, name, until):
        return schedules(repository).read(schedule_key(name)).doc

    patch.setattr(firing, "fire_owed", read)


def resume_leaves_out_what_was_due_after_the_pause(patch: pytest.MonkeyPatch) -> None:
    """Whoever ends a pause that is over by itself has all pass by that no worker has come to yet."""

    def resumed(schedule, now, *, order):
        return replace(schedule, pause=None, last=max(schedule.last, now), orders=(*schedule.orders, order)[-16:])

    patch.setattr(firing, "resumed", resumed)


def new_schedule_is_due_for_the_past(patch: pytest.MonkeyPatch) -> None:
    """What is due is reckoned from long ago, as nothing was ever fired: it fires before its first slot."""
    original = recurring_actor.schedule_of

    def schedule_of(repository, plan, **more):
        new = original(repository, plan, **more)
        return replace(new, last=new.last - 3 * plan.every_s)

    def next_slot(rhythm, after):
        number = (after - rhythm.since + 0.0005) // rhythm.every_s + 1
        return round(rhythm.since + number * rhythm.every_s, 3)

    def newest_slot(rhythm, *, after, until):
        slot = next_slot(rhythm, until - rhythm.every_s)
        return slot if slot > after else None

    patch.setattr(recurring_actor, "schedule_of", schedule_of)
    patch.setattr(timetable, "next_slot", next_slot)
    patch.setattr(timetable, "newest_slot", newest_slot)


def pause_of_a_schedule_stops_nothing(patch: pytest.MonkeyPatch) -> None:
    """Whoever fires does not ask whether it is paused."""
    patch.setattr(timetable, "_falls_into_pause", lambda schedule, slot: False)


def alarm_moves_by_way_of_nothing(patch: pytest.MonkeyPatch) -> None:
    """The old alarm is taken down before the next one is there."""
    put_alarm = firing.put_alarm

    def put(repository, schedule, *, seen=()):
        alarm = firing.alarm_of(schedule, repository)
        repository.delete_quietly(*(one.key for one in seen if alarm is None or one.due < alarm.due))
        return put_alarm(repository, schedule)

    patch.setattr(firing, "put_alarm", put)


def next_alarm_is_forgotten(patch: pytest.MonkeyPatch) -> None:
    """Whoever fires a slot keeps to himself when the next one is."""

    def put(repository, schedule, *, seen=()):
        if not seen:
            return put_alarm(repository, schedule)
        repository.delete_quietly(*(one.key for one in seen))
        return firing.alarm_of(schedule, repository)

    put_alarm = firing.put_alarm
    patch.setattr(firing, "put_alarm", put)


def missed_slots_are_left_out_whatever_was_asked_for(patch: pytest.MonkeyPatch) -> None:
    """Only the newest of the slots that are due is submitted."""
    original = timetable.due

    def due(schedule, now, **limits):
        found = original(schedule, now, **limits)
        return replace(found, slots=found.slots[-1:])

    patch.setattr(firing, "due", due)
