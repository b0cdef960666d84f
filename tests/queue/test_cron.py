"""Slots of cron texts and intervals: both changes of the clocks, ends of months, leap years, jitter."""

from __future__ import annotations

import itertools
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oqkit.errors import UsageError
from oqkit.queue.cron import Rhythm, check_rhythm, fires_at, local_time, newest_slot, next_slot

PARIS, NEW_YORK = "Europe/Paris", "America/New_York"


def moment(text, tz, *, fold=0):
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(tz), fold=fold).timestamp()


def rhythm(cron="", *, since=0.0, **more):
    return Rhythm(since=since, cron=cron, **more)


def slots(cron, tz, start, stop):
    """Return the slots of a day as people there read them."""
    one, slot, found = rhythm(cron, tz=tz), moment(start, tz) - 1, []
    while (slot := next_slot(one, slot)) is not None and slot < moment(stop, tz):
        found.append(local_time(one, slot).removeprefix(f"{start[:10]}T"))
    return found


# In Paris 02:00 becomes 03:00 on 2027-03-28, and 03:00 becomes 02:00 on 2027-10-31; in New York 02:00 becomes 03:00 on
# 2027-03-14, and 02:00 becomes 01:00 on 2027-11-07.
SPRING = {PARIS: ("2027-03-28", "+01:00", "+02:00"), NEW_YORK: ("2027-03-14", "-05:00", "-04:00")}
AUTUMN = {PARIS: ("2027-10-31", "+02:00", "+01:00", 2), NEW_YORK: ("2027-11-07", "-04:00", "-05:00", 1)}


@pytest.mark.parametrize("tz", (PARIS, NEW_YORK))
class TestSpring:
    def day(self, cron, tz):
        day, before, after = SPRING[tz]
        return slots(cron, tz, f"{day}T00:00", f"{day}T23:59"), before, after

    def test_time_that_is_skipped_comes_right_after_the_gap(self, tz):
        found, _, after = self.day("30 2 * * *", tz)
        assert found == [f"03:00{after}"]

    def test_time_beside_the_gap_comes_as_ever(self, tz):
        found, _, after = self.day("0 6 * * *", tz)
        assert found == [f"06:00{after}"]

    def test_every_half_hour_goes_by_real_time(self, tz):
        found, before, after = self.day("*/30 * * * *", tz)
        assert len(found) == 46
        assert found[2:6] == [f"01:00{before}", f"01:30{before}", f"03:00{after}", f"03:30{after}"]

    def test_every_hour_goes_by_real_time(self, tz):
        found, before, after = self.day("0 * * * *", tz)
        assert len(found) == 23
        assert found[:4] == [f"00:00{before}", f"01:00{before}", f"03:00{after}", f"04:00{after}"]

    def test_two_times_in_the_gap_are_one_slot(self, tz):
        found, before, after = self.day("15,45 1,2 * * *", tz)
        assert found == [f"01:15{before}", f"01:45{before}", f"03:00{after}"]


@pytest.mark.parametrize("tz", (PARIS, NEW_YORK))
class TestAutumn:
    def day(self, cron, tz):
        day, before, after, hour = AUTUMN[tz]
        return slots(cron.replace("H", str(hour)), tz, f"{day}T00:00", f"{day}T23:59"), before, after, hour

    def test_time_that_is_there_twice_is_one_slot(self, tz):
        """`croniter` 6 gives two."""
        found, before, _, hour = self.day("30 H * * *", tz)
        assert found == [f"0{hour}:30{before}"]

    def test_time_beside_the_hour_that_is_there_twice_comes_as_ever(self, tz):
        found, _, after, _ = self.day("0 6 * * *", tz)
        assert found == [f"06:00{after}"]

    def test_every_half_hour_goes_by_real_time(self, tz):
        found, before, after, hour = self.day("*/30 * * * *", tz)
        assert len(found) == 50
        twice = [slot for slot in found if slot.startswith(f"0{hour}:")]
        assert twice == [f"0{hour}:00{before}", f"0{hour}:30{before}", f"0{hour}:00{after}", f"0{hour}:30{after}"]

    def test_every_hour_goes_by_real_time(self, tz):
        found, *_ = self.day("0 * * * *", tz)
        assert len(found) == 25

    def test_several_times_in_the_hour_that_is_there_twice_come_once_each(self, tz):
        found, before, _, hour = self.day("15,45 H * * *", tz)
        assert found == [f"0{hour}:15{before}", f"0{hour}:45{before}"]

    def test_no_slot_is_before_the_moment_that_it_is_to_follow_in_the_second_of_the_two_hours(self, tz):
        day, _, _, hour = AUTUMN[tz]
        after = moment(f"{day}T0{hour}:40", tz, fold=1)
        assert next_slot(rhythm(f"45 {hour} * * *", tz=tz), after) > after + 3600


@pytest.mark.parametrize(
    ("cron", "expected"),
    (
        ("0 0 31 * *", ["2027-01-31", "2027-03-31", "2027-05-31", "2027-07-31"]),
        ("0 0 L * *", ["2027-01-31", "2027-02-28", "2027-03-31", "2027-04-30"]),
        ("0 0 29 2 *", ["2028-02-29", "2032-02-29", "2036-02-29", "2040-02-29"]),
        ("0 0 28-31 2 *", ["2027-02-28", "2028-02-28", "2028-02-29", "2029-02-28"]),
        ("@monthly", ["2027-02-01", "2027-03-01", "2027-04-01", "2027-05-01"]),
        ("@yearly", ["2028-01-01", "2029-01-01", "2030-01-01", "2031-01-01"]),
        ("@weekly", ["2027-01-03", "2027-01-10", "2027-01-17", "2027-01-24"]),
        ("0 0 * * 7", ["2027-01-03", "2027-01-10", "2027-01-17", "2027-01-24"]),
    ),
)
def test_ends_of_months_leap_years_and_names_of_rhythms(cron, expected):
    one, found = rhythm(cron), [moment("2027-01-01T00:00", "UTC")]
    for _ in expected:
        found.append(next_slot(one, found[-1]))
    assert [local_time(one, slot)[:10] for slot in found[1:]] == expected


def test_leap_day_is_not_in_2100():
    found = next_slot(rhythm("0 0 29 2 *"), moment("2096-03-01T00:00", "UTC"))
    assert local_time(rhythm(), found)[:10] == "2104-02-29"


# --- faults that the original has -----------------------------------------------------------------


@pytest.mark.parametrize(("weekday", "dates"), (("0", [3, 10]), ("1-5", [1, 4, 5, 6, 7, 8, 11]), ("7", [3, 10])))
def test_original_1_28_c_numeric_weekdays_count_from_sunday(weekday, dates):
    """There ``* * 0`` was refused, and ``1-5`` was Sunday to Thursday. 2027-01-01 is a Friday."""
    one, start = rhythm(f"0 12 * * {weekday}"), moment("2027-01-01T00:00", "UTC")
    found, slot = [], start
    while (slot := next_slot(one, slot)) < moment("2027-01-12T00:00", "UTC"):
        found.append(int(local_time(one, slot)[8:10]))
    assert found == dates


@pytest.mark.parametrize("cron", ("0 0 6 * * 1", "0 6 * * 1 2027"))
def test_original_1_28_c_six_fields_are_refused(cron):
    """There the sixth was silently a year."""
    with pytest.raises(UsageError, match="five fields"):
        check_rhythm(rhythm(cron))


@pytest.mark.parametrize("cron", ("@daily", " @Daily ", "@midnight"))
def test_original_1_28_c_daily_is_understood(cron):
    assert next_slot(rhythm(cron), 86_400.0 * 9 + 5) == 86_400.0 * 10


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cron", "told"),
    (
        ("", "one of the two"),
        ("every monday", "five fields"),
        ("61 * * * *", "minute"),
        ("* 24 * * *", "hour"),
        ("* * * * 8", "day-of-week"),
        ("* * * * L/2", "day-of-week"),
        ("*/0 * * * *", "not understood"),
        ("9-5 * * * *", "minute"),
        ("0 0 31 2 *", "day-of-month"),
        ("0 0 31 4,6 *", "day-of-month"),
        ("0 0 1 13 *", "month"),
        ("٣ * * * *", "minute"),
        ("@reboot", "five fields"),
    ),
)
def test_cron_that_is_not_understood_is_refused_by_name(cron, told):
    with pytest.raises(UsageError, match=told):
        check_rhythm(rhythm(cron))


@pytest.mark.parametrize(
    "tz", ("", "Europe", "Mars/Phobos", "../../etc/passwd", "/etc/passwd", "a" * 64, "Europe/Paris\n")
)
def test_zone_that_is_not_known_is_refused(tz):
    with pytest.raises(UsageError, match="no time zone"):
        check_rhythm(rhythm("@daily", tz=tz))


@given(st.text("0123456789*/,-#LW @", max_size=24), st.floats(0, 3.4e10))
def test_whatever_a_cron_text_is_it_gives_slots_or_is_refused(cron, after):
    try:
        slot = next_slot(rhythm(cron, tz=PARIS), after)
    except UsageError:
        return
    assert slot is None or slot > after


# --- intervals ------------------------------------------------------------------------------------


def test_interval_counts_from_its_beginning():
    one = rhythm(since=1000.25, every_s=60.0)
    assert next_slot(one, 0.0) == 1060.25
    assert next_slot(one, 1060.25) == 1120.25
    assert next_slot(one, 1060.249) == 1060.25
    assert newest_slot(one, after=0.0, until=1_000_000.0) == 999_940.25 + 60 * ((1_000_000.0 - 999_940.25) // 60)
    assert newest_slot(one, after=0.0, until=1060.0) is None


@given(
    since=st.floats(1_700_000_000, 1_800_000_000), after_s=st.floats(0, 3), every_s=st.sampled_from((1.0, 1.5, 60.0))
)
def test_interval_that_begins_between_two_milliseconds_has_no_slot_at_its_beginning(since, after_s, every_s):
    one = rhythm(since=since, every_s=every_s)
    first = next_slot(one, since)
    assert first == pytest.approx(since + every_s, abs=0.001)
    found = newest_slot(one, after=since, until=since + after_s)
    assert found is None or (found >= first and next_slot(one, found - 0.001) == found)


RHYTHMS = (
    rhythm("* * * * *", tz=PARIS),
    rhythm("30 2 * * *", tz=PARIS),
    rhythm("0 0 29 2 *", tz=NEW_YORK),
    rhythm("*/7 3 * 10,11 0", tz=NEW_YORK),
    rhythm(since=1_700_000_000.5, every_s=1.5),
    rhythm(since=1_700_000_000.5, every_s=86_400.0),
)


@given(st.sampled_from(RHYTHMS), st.integers(1_700_000_000, 1_800_000_000), st.floats(0, 3_000))
def test_newest_slot_is_the_last_of_those_that_follow_each_other(one, after, span_s):
    expected, slot = None, next_slot(one, after)
    while slot is not None and slot <= after + span_s:
        expected, slot = slot, next_slot(one, slot)
    assert newest_slot(one, after=after, until=after + span_s) == expected


@given(st.sampled_from(RHYTHMS), st.integers(1_700_000_000, 1_800_000_000))
def test_newest_slot_of_a_long_time_is_found_and_nothing_lies_behind_it(one, until):
    slot = newest_slot(one, after=0.0, until=until)
    assert slot is None or slot <= until < next_slot(one, slot)


# --- jitter ---------------------------------------------------------------------------------------


def test_jitter_of_a_slot_is_always_the_same_and_differs_from_slot_to_slot():
    one = rhythm("0 * * * *", jitter_s=600.0)
    times = [fires_at(one, 3600.0 * n, seed="a") - 3600.0 * n for n in range(1, 200)]
    assert times == [fires_at(one, 3600.0 * n, seed="a") - 3600.0 * n for n in range(1, 200)]
    assert len(set(times)) > 190
    assert 0 <= min(times) < 30
    assert 570 < max(times) <= 600
    assert times != [fires_at(one, 3600.0 * n, seed="b") - 3600.0 * n for n in range(1, 200)]


def test_jitter_never_reaches_the_next_slot():
    one = rhythm("* * * * *", jitter_s=100_000.0)
    moments = [fires_at(one, 60.0 * n, seed="a") for n in range(1, 500)]
    assert all(60.0 * n <= at < 60.0 * (n + 1) for n, at in enumerate(moments, 1))
    assert all(a < b for a, b in itertools.pairwise(moments))
