"""Calls that are submitted at certain times: made, fired by any worker, paused, triggered and deleted."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pandas as pd
import pytest

import oqkit
from oqkit import DuplicateJob, SchemaError, UsageError
from oqkit.clock import new_id
from oqkit.queue import firing
from oqkit.queue.timetable import schedule_key
from tests.local import WAIT_S, until

PARIS = ZoneInfo("Europe/Paris")


@oqkit.task
def score(x: float, y: float = 0.0) -> float:
    return x + y


@oqkit.task
def other(x: float) -> float:
    return -x


def jobs_of(queue, name):
    """Return the jobs that a schedule has submitted, oldest first."""
    frame = queue.jobs()
    return [queue.job(job_id) for job_id in frame.index[frame["name"].str.startswith(f"{name}@")]][::-1]


def put_back(queue, name, seconds):
    """Let a schedule have been made earlier, and no worker have run since."""
    repository = queue.repository
    made = firing.schedules(repository).read(schedule_key(name)).doc
    queue.unschedule(name)
    rhythm = replace(made.rhythm, since=made.rhythm.since - seconds)
    new = replace(made, origin=new_id(repository.rng), rhythm=rhythm, last=rhythm.since)
    firing.create_schedule(repository, firing.with_template(repository, new, firing.template_of(made)))


def test_original_1_28_e_a_schedule_is_made_shown_and_fired_by_any_worker(queue, start):
    """There a daemon of the command line fired schedules, and Python could not."""
    made = queue.schedule("steady", score, {"x": 1.0, "y": 2.0}, every=1.0, tags={"team": "risk"})
    assert (made.name, made.type, made.every, made.tz, made.paused, made.last) == (
        "steady",
        "score",
        1.0,
        "UTC",
        False,
        None,
    )
    frame = queue.schedules()
    assert list(frame.columns[:7]) == ["name", "type", "cron", "tz", "next", "last", "paused"]
    assert frame.loc[0, ["name", "type", "cron", "paused"]].tolist() == ["steady", "score", "", False]
    start(other, queue=queue, trust_code=False)  # which has not the function, and fires it nevertheless
    jobs = until(lambda: jobs_of(queue, "steady"))
    start(score, queue=queue)
    assert list(jobs[0].result()["score"]) == [3.0]
    assert jobs[0].tags == {"team": "risk"}
    assert queue.schedules().loc[0, "last"] >= pd.Timestamp(made.next)
    assert queue.job(jobs[0].name).id == jobs[0].id


def test_slots_are_those_of_the_time_zone(queue):
    made = queue.schedule("weekly", score, {"x": 1.0}, cron="0 6 * * 1", tz="Europe/Paris")
    assert made.next.tz is not None
    assert (made.next.weekday(), made.next.hour, made.next.minute) == (0, 6, 0)
    assert made.next - pd.Timestamp(datetime.now(PARIS)) <= timedelta(days=7, hours=1)
    assert queue.schedules().loc[0, "next"] == made.next


def test_original_1_28_a_new_schedule_does_not_fire_at_once(queue, start):
    queue.schedule("yearly", score, {"x": 1.0}, cron="@yearly", catch_up="all")
    queue.schedule("soon", score, {"x": 1.0}, every=1.0)
    start(score, queue=queue)
    until(lambda: jobs_of(queue, "soon"))
    assert not jobs_of(queue, "yearly")


@pytest.mark.parametrize(("catch_up", "expected"), (("skip", 0), ("last", 1), ("all", 5)))
def test_slots_that_were_missed_are_caught_up_as_it_is_told(queue, start, catch_up, expected):
    queue.schedule("daily", score, {"x": 1.0}, every="1d", catch_up=catch_up)
    put_back(queue, "daily", 5.5 * 86_400)
    queue.schedule("soon", score, {"x": 1.0}, every=1.0)
    start(score, queue=queue)
    until(
        lambda: (
            jobs_of(queue, "soon")
            and firing.schedules(queue.repository).read(schedule_key("daily")).doc.last
            > queue.repository.now() - 86_400
        )
    )
    assert len(jobs_of(queue, "daily")) == expected


def test_a_function_typed_into_a_notebook_is_scheduled_by_value(queue, start):
    offset = 7

    def typed(x):
        return x + offset

    queue.schedule("typed", typed, 1, every=1.0)
    start(queue=queue)
    (job, *_) = until(lambda: jobs_of(queue, "typed"))
    assert list(job.result()["typed"]) == [8]


def test_the_same_schedule_again_changes_nothing_and_another_is_refused(queue):
    made = queue.schedule("one", score, {"x": 1.0}, cron="@daily")
    assert queue.schedule("one", score, {"x": 1.0}, cron="@daily") == made
    for change in ({"cron": "@weekly"}, {"tz": "Europe/Paris"}, {"catch_up": "all"}, {"jitter": "5m"}, {"retries": 9}):
        with pytest.raises(DuplicateJob, match="unschedule"):
            queue.schedule("one", score, {"x": 1.0}, **{"cron": "@daily", **change})
    with pytest.raises(DuplicateJob, match="other content"):
        queue.schedule("one", score, {"x": 2.0}, cron="@daily")
    with pytest.raises(DuplicateJob, match="another function"):
        queue.schedule("one", other, {"x": 1.0}, cron="@daily")


def test_times_are_shown_that_nanoseconds_do_not_reach(queue):
    """In 2262 those end, and frames of pandas 2 count in them unless told otherwise."""
    made = queue.schedule("far", "score", {"x": 1}, every=290 * 365.25 * 86_400, tz="Europe/Paris")
    frame = queue.schedules()
    assert (made.next.year, str(made.next.tz)) == (made.next.tz_convert("UTC").year, "Europe/Paris")
    assert frame.loc[0, "next"] == made.next
    assert made.next.year > 2300
    assert frame.dtypes[["next", "last"]].map(str).tolist() == ["datetime64[us, UTC]"] * 2


def test_a_schedule_that_is_paused_submits_nothing_until_it_is_resumed(queue, start):
    queue.schedule("one", score, {"x": 1.0}, every=1.0)
    paused = queue.pause_schedule("one", reason="holidays", by="ana@desk")
    assert (paused.paused, paused.next, paused.reason, paused.paused_by) == (True, None, "holidays", "ana@desk")
    queue.schedule("soon", score, {"x": 1.0}, every=1.0)
    start(score, queue=queue)
    until(lambda: len(jobs_of(queue, "soon")) > 2)
    assert not jobs_of(queue, "one")
    assert queue.schedules().set_index("name").loc["one", ["paused", "reason"]].tolist() == [True, "holidays"]
    assert not queue.resume_schedule("one").paused
    until(lambda: jobs_of(queue, "one"))


def test_a_schedule_is_triggered_by_hand_also_while_it_is_paused(queue, start):
    queue.schedule("one", score, {"x": 1.0}, cron="@yearly")
    queue.pause_schedule("one")
    start(score, queue=queue)
    first, second = queue.trigger("one"), queue.trigger("one")
    assert (first.result(), second.result()) == (1.0, 1.0)
    assert first.id != second.id
    assert queue.schedules().loc[0, "last"] is pd.NaT


def test_a_schedule_that_is_deleted_and_made_anew_is_another(queue, start):
    queue.schedule("one", score, {"x": 1.0}, every=1.0)
    start(score, queue=queue)
    until(lambda: jobs_of(queue, "one"))
    queue.unschedule("one")
    assert not len(queue.schedules())
    with pytest.raises(UsageError, match="no schedule is named"):
        queue.trigger("one")
    queue.schedule("one", score, {"x": 5.0}, every=1.0)
    until(lambda: any(job.result()["score"].tolist() == [5.0] for job in jobs_of(queue, "one")))


@pytest.mark.parametrize(
    ("change", "told"),
    (
        ({"cron": "0 6 * * 8"}, "cron='0 6 \\* \\* 8'"),
        ({"cron": "0 0 6 * * 1"}, "five fields"),
        ({"tz": "Mars/Phobos"}, "Mars/Phobos"),
        ({"tz": 1}, "tz=1 must be text"),
        ({"cron": 5}, "cron=5 must be text"),
        ({"cron": f"{'1,' * 150}1 * * * *"}, "cannot be stored"),
        ({"every": 5}, "one of the two"),
        ({"cron": None}, "one of the two"),
        ({"cron": None, "every": 0.5}, "every=0.5"),
        ({"catch_up": "some"}, "catch_up='some'"),
        ({"jitter": "often"}, "jitter='often'"),
        ({"delay": 5}, "delay="),
        ({"key": "k"}, "key="),
        ({"depends_on": ["j"]}, "depends_on="),
        ({"name": "a/b"}, "name of a schedule"),
        ({"input": "x" * 400_000}, "too large"),
        ({"strange": 1}, "strange= is no option"),
    ),
)
def test_a_schedule_that_cannot_be_is_refused_before_anything_is_written(queue, change, told):
    given = {"name": "one", "fn": "score", "input": {"x": 1.0}, "cron": "@daily", **change}
    with pytest.raises(UsageError, match=told):
        queue.schedule(given.pop("name"), given.pop("fn"), given.pop("input"), **given)
    with pytest.raises(SchemaError):
        queue.schedule("one", score, {"z": 1.0}, cron="@daily")
    assert not len(queue.schedules())


def test_a_schedule_that_cannot_be_understood_is_shown_and_stops_nobody(queue, start, caplog):
    queue.schedule("bad", score, {"x": 1.0}, every=1.0)
    store = queue.repository.store
    for name, change in (
        ("cron", {"rhythm": {"since": 0, "cron": "61 * * * *"}}),
        ("newer", {"requires": ["moon"]}),
        ("zone", {"rhythm": {"since": 0, "cron": "@daily", "tz": "Mars/X"}}),
        ("empty", {"template": {}}),
    ):
        document = json.loads(store.read(schedule_key("bad")).data)
        store.create(schedule_key(name), json.dumps({**document, **change, "name": name}).encode())
        store.create(f"open/0000/at/00000000000001-{name}.{document['origin']}", b"")
    store.overwrite(schedule_key("bad"), b"{")
    queue.schedule("soon", score, {"x": 1.0}, every=1.0)
    start(score, queue=queue)
    until(lambda: len(jobs_of(queue, "soon")) > 1)
    frame = queue.schedules().set_index("name")
    assert frame["cron"].str.startswith("unreadable: ").to_dict() == {
        "bad": True,
        "cron": True,
        "empty": True,
        "newer": True,
        "soon": False,
        "zone": True,
    }
    assert len(jobs_of(queue, "soon")) > 1


@pytest.mark.server
def test_the_job_of_a_slot_runs_on_local_workers_which_run_only_what_their_user_has_signed(queue):
    if queue.url.startswith("memory:"):
        pytest.skip("other processes do not reach it, and nothing in it is signed")
    queue.schedule("signed", lambda x: -x, 3, every=1.0)
    with oqkit.local_workers(1, queue=queue):
        (job, *_) = until(lambda: jobs_of(queue, "signed"))
        assert job.result(WAIT_S).iloc[0, 0] == -3
        assert queue.trigger("signed").result(WAIT_S) == -3


def test_original_1_28_f_the_command_line_pauses_and_resumes_as_it_does_jobs(queue, oq):
    """There the same was called enable and disable."""
    queue.schedule("one", score, {"x": 1.0}, cron="@daily")
    assert json.loads(oq("schedule", "pause", "one", "--json"))["paused"] is True
    assert json.loads(oq("schedule", "resume", "one", "--json"))["paused"] is False


def test_the_command_line_has_every_verb_of_schedules(queue, oq, start):
    said = oq(
        "schedule",
        "create",
        "weekly",
        "score",
        "-i",
        '{"x": 1.5}',
        "--cron",
        "0 6 * * 1",
        "--tz",
        "Europe/Paris",
        "--retries",
        1,
    )
    assert said.startswith("next at 20")
    oq("schedule", "create", "code", "tests.features.test_schedule:score", "-i", '{"x": 2}', "--every", "1d")
    (first, second) = json.loads(oq("schedule", "list", "--json"))
    assert (first["name"], first["every"], second["name"], second["cron"]) == ("code", 86_400.0, "weekly", "0 6 * * 1")
    assert "Europe/Paris" in oq("schedule", "show", "weekly")
    assert oq("schedule", "pause", "weekly", "--reason", "why") == "paused; `oq schedule resume weekly` goes on\n"
    assert "goes on at" in oq("schedule", "pause", "weekly", "--for", "1d")
    assert json.loads(oq("schedule", "show", "weekly", "--json"))["paused"] is True
    assert oq("schedule", "resume", "weekly").startswith("next at")
    start(score, queue=queue)
    assert queue.get(oq("schedule", "trigger", "weekly").strip()).result() == 1.5
    assert queue.get(oq("schedule", "trigger", "code").strip()).result() == 2.0
    assert oq("schedule", "delete", "weekly") == "deleted weekly; its jobs are still there\n"
    assert "no schedule is named 'weekly'" in oq("schedule", "show", "weekly", code=2)
    assert "--input is no JSON" in oq("schedule", "create", "x", "score", "-i", "{", "--cron", "@daily", code=2)
