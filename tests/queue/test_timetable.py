"""What is due of a schedule, as a function of the schedule and the time."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oqkit.errors import UsageError
from oqkit.queue.bound import MAX_ORDERS
from oqkit.queue.cron import Rhythm
from oqkit.queue.template import slot_job_id
from oqkit.queue.timetable import (
    SCHEDULE,
    CatchUp,
    Pause,
    Schedule,
    check_name,
    due,
    next_due,
    paused,
    resumed,
    settled,
    upcoming,
)

HOUR = 3600.0
START = 1_800_000_000.0  # on the hour


def hourly(catch_up=CatchUp.SKIP, *, last=START, **more):
    rhythm = Rhythm(since=START, cron="0 * * * *", jitter_s=more.pop("jitter_s", 0.0))
    return Schedule(name="one", origin="a", rhythm=rhythm, last=last, catch_up=catch_up, template={}, **more)


def slots(schedule, now, *, most=100):
    found = due(schedule, now, late_s=120.0, most=most)
    return [(slot - START) / HOUR for slot in found.slots], (found.last - START) / HOUR


@pytest.mark.parametrize("catch_up", CatchUp)
class TestAnyCatchUp:
    def test_original_1_28_a_new_schedule_does_not_fire_for_the_past(self, catch_up):
        """There a new schedule fired at once, as it was due since 1970."""
        assert slots(hourly(catch_up), START) == ([], 0)
        assert slots(hourly(catch_up), START + HOUR - 0.001) == ([], 0)
        assert slots(hourly(catch_up, last=0.0), START) == ([], (0.0 - START) / HOUR), "whatever it was told"

    def test_slot_is_due_at_its_time_and_once(self, catch_up):
        one = hourly(catch_up)
        assert slots(one, START + HOUR) == ([1], 1)
        after = settled(one, due(one, START + HOUR, late_s=120.0, most=100))
        assert after.last == after.fired == START + HOUR
        assert slots(after, START + HOUR) == ([], 1)
        assert slots(after, START + 2 * HOUR - 1) == ([], 1)

    def test_clock_that_goes_back_fires_nothing_again(self, catch_up):
        assert slots(hourly(catch_up, last=START + 5 * HOUR), START + 3 * HOUR) == ([], 5)

    def test_paused_schedule_passes_its_slots_by(self, catch_up):
        one = paused(hourly(catch_up), Pause(at=START), order="x")
        assert slots(one, START + 3 * HOUR + 1) == ([], 3)

    def test_slots_after_a_pause_that_is_over_by_itself_fire(self, catch_up):
        one = paused(hourly(catch_up), Pause(at=START, until=START + 2.5 * HOUR), order="x")
        assert slots(one, START + 3 * HOUR + 1) == ([3], 3)

    def test_resumed_schedule_goes_on_with_the_first_slot_from_then_on(self, catch_up):
        one = resumed(paused(hourly(catch_up), Pause(at=START), order="x"), START + 4.5 * HOUR, order="y")
        assert slots(one, START + 4.6 * HOUR) == ([], 4.5)
        assert slots(one, START + 5 * HOUR) == ([5], 5)

    def test_jitter_puts_a_slot_off_and_leaves_out_none(self, catch_up):
        one = hourly(catch_up, jitter_s=1800.0)
        slot, at = next_due(one)
        assert slot == START + HOUR < at < START + 1.5 * HOUR
        assert slots(one, at - 0.001) == ([], 0)
        assert slots(one, at) == ([1], 1)

    def test_jitter_of_one_slot_does_not_hold_back_those_before(self, catch_up):
        one = hourly(catch_up, jitter_s=3600.0)
        second = next_due(replace(one, last=START + HOUR))[1]
        assert slots(one, min(second, START + 2 * HOUR + 60) - 0.001)[1] == 1


def test_skip_leaves_out_what_was_missed():
    assert slots(hourly(), START + 7.5 * HOUR) == ([], 7)
    assert slots(hourly(), START + 7 * HOUR + 120) == ([7], 7)
    assert slots(hourly(), START + 7 * HOUR + 121) == ([], 7)


def test_last_gives_the_newest_of_those_that_were_missed():
    assert slots(hourly(CatchUp.LAST), START + 7.5 * HOUR) == ([7], 7)
    assert slots(hourly(CatchUp.LAST), START + 7 * HOUR) == ([7], 7)


def test_all_gives_all_in_order_and_a_part_of_many():
    assert slots(hourly(CatchUp.ALL), START + 4.5 * HOUR) == ([1, 2, 3, 4], 4)
    assert slots(hourly(CatchUp.ALL), START + 9_999.5 * HOUR, most=3) == ([1, 2, 3], 3)


def test_several_slots_that_are_in_time_all_fire():
    rhythm = Rhythm(since=START, every_s=30.0)
    one = Schedule(name="one", origin="a", rhythm=rhythm, last=START, template={})
    found = due(one, START + 1000.0, late_s=100.0, most=100)
    assert found.slots == (START + 900.0, START + 930.0, START + 960.0, START + 990.0)
    assert found.last == START + 990.0


def test_slots_in_time_that_are_more_than_can_be_submitted_at_once_are_due_next():
    rhythm = Rhythm(since=START, every_s=30.0)
    one = Schedule(name="one", origin="a", rhythm=rhythm, last=START, template={})
    found = due(one, START + 1000.0, late_s=100.0, most=3)
    assert (found.slots, found.last) == ((START + 900.0, START + 930.0, START + 960.0), START + 960.0)
    assert due(settled(one, found), START + 1000.0, late_s=100.0, most=3).slots == (START + 990.0,)


@given(
    catch_up=st.sampled_from(CatchUp),
    looks=st.lists(st.floats(1.0, 20_000.0), min_size=1, max_size=20),
    jitter_s=st.sampled_from((0.0, 400.0, 10_000.0)),
)
def test_whenever_workers_look_no_slot_is_decided_twice_and_all_gives_every_one(catch_up, looks, jitter_s):
    one, now, fired = hourly(catch_up, jitter_s=jitter_s), START, []
    for wait_s in looks:
        now += wait_s
        found = due(one, now, late_s=120.0, most=100)
        assert found.last >= one.last
        assert all(one.last < slot <= found.last for slot in found.slots)
        fired += found.slots
        one = settled(one, found)
        assert next_due(one)[1] > now, "what is due is settled"
    assert fired == sorted(set(fired))
    if catch_up is CatchUp.ALL:
        assert fired == [START + HOUR * n for n in range(1, len(fired) + 1)]


def test_next_slot_that_people_are_told_is_none_while_it_is_paused_for_good():
    one = hourly()
    assert upcoming(one, START) == START + HOUR
    assert upcoming(paused(one, Pause(at=START), order="x"), START) is None
    assert upcoming(paused(one, Pause(at=START, until=START + 1.5 * HOUR), order="x"), START) == START + 2 * HOUR


def test_orders_are_remembered_for_a_while_and_never_more_than_a_few():
    one = hourly()
    for n in range(50):
        one = paused(one, Pause(at=START), order=f"{n}")
        assert one.orders[-1] == f"{n}"
    assert len(one.orders) == MAX_ORDERS


def test_original_1_28_b_schedule_that_is_made_anew_has_other_jobs():
    """There the id followed from the name and the slot alone: the new schedule ran nothing, or failed for a month."""
    assert slot_job_id("one", "a", START) == slot_job_id("one", "a", START)
    assert slot_job_id("one", "a", START) != slot_job_id("one", "b", START)
    assert slot_job_id("one", "a", START) != slot_job_id("one", "a", START + 60)


@pytest.mark.parametrize("name", ("a/b", "../x", "", "a b", ".hidden", "-x", "x" * 65, None, 7, "é", "a\n"))
def test_original_1_28_g_name_that_would_lie_elsewhere_is_refused(name):
    """There a name with a slash collided with other objects."""
    with pytest.raises(UsageError, match="cannot be the name of a schedule"):
        check_name(name)


def test_schedule_is_stored_and_read_as_it_is_and_keeps_what_a_newer_oqkit_wrote():
    one = paused(hourly(CatchUp.ALL, jitter_s=3.0, fired=START), Pause(at=START, reason="why"), order="x")
    one = replace(one, template={"a": [1, {"b": None}]}, unknown=(("more", "[1,2]"),))
    assert SCHEDULE.load(SCHEDULE.dump(one), "schedules/one.json") == one
    assert b'"more": [1,2]' in SCHEDULE.dump(one)
