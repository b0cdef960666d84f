"""Firing slots: each once, whatever the store answers, whoever dies when, and whoever gives orders meanwhile."""

from __future__ import annotations

import contextlib
import random
from collections import Counter
from dataclasses import replace

import pytest

from oqkit.errors import FormatError, Missing, NotSigned, Unavailable
from oqkit.queue import firing
from oqkit.queue import key as keys
from oqkit.queue.alarm import Alarm, alarm_of, parse_alarm, put_alarm
from oqkit.queue.cron import Rhythm
from oqkit.queue.deletion import delete_job
from oqkit.queue.firing import create_schedule, delete_schedule, pause_schedule, resume_schedule, submit_slot
from oqkit.queue.listing import newest_jobs
from oqkit.queue.repository import Repository
from oqkit.queue.signature import Keyring
from oqkit.queue.timetable import CatchUp, Schedule, schedule_key
from tests.queue.faulty import Crash, CrashingStore, FaultyStore, World, cost

EVERY_S = 60.0


def attend(repository, name, **more):
    """Let a worker look at a schedule, and return its next alarm."""
    return firing.attend(repository, name, **more)[0]


def make(world, name="one", *, repository=None, catch_up=CatchUp.ALL, policy=None, **more):
    """Make a schedule that comes every minute from now on."""
    repository, now = repository or world.repository(), world.now()
    rhythm = more.pop("rhythm", None) or Rhythm(since=now, every_s=EVERY_S)
    schedule = Schedule(
        name=name, origin=f"{world.rng.getrandbits(40)}", rhythm=rhythm, last=now, catch_up=catch_up, template={}
    )
    job = world.job(**({} if policy is None else {"policy": policy}), input={"kind": "values", "values": [1]})
    return create_schedule(repository, firing.with_template(repository, replace(schedule, **more), job))


def read(world, name="one"):
    return firing.schedules(world.repository()).read(schedule_key(name)).doc


def jobs(world):
    return [listed.job for listed in newest_jobs(world.repository(), limit=100_000).jobs]


def slots(world, since):
    """Return how many jobs each slot has, by its number."""
    return Counter(round((job.slot.at - since) / EVERY_S) for job in jobs(world))


def alarms(world):
    found = [parse_alarm(key, shards=1) for key in world.listed("open/")]
    return [alarm for alarm in found if alarm is not None]


def once(n):
    return Counter(range(1, n + 1))


def test_slot_is_submitted_when_it_is_due_and_the_next_alarm_takes_the_place_of_the_last(world):
    one = make(world)
    (first,) = alarms(world)
    assert first.due == one.last + EVERY_S
    assert attend(world.repository(), "one", seen=[first]) == first, "nothing is due"
    world.clock.sleep(EVERY_S)
    alarm = attend(world.repository(), "one", seen=[first])
    assert alarms(world) == [alarm]
    assert alarm.due == first.due + EVERY_S
    assert slots(world, one.last) == once(1)
    (job,) = jobs(world)
    assert job.name == f"one@{firing.local_time(one.rhythm, one.last + EVERY_S)}"
    assert (job.slot.schedule, job.slot.origin, job.slot.at) == ("one", one.origin, one.last + EVERY_S)
    assert read(world).fired == read(world).last == one.last + EVERY_S
    assert attend(world.repository(), "one") == alarm
    assert slots(world, one.last) == once(1)


def test_original_1_28_d_slots_follow_the_clock_of_the_store(world):
    """There they followed the clock of the machine that ran the scheduler."""
    one = make(world)
    world.clock.sleep(EVERY_S)
    fast, right = world.repository(), world.repository()
    fast.store.clock = type(world.clock)(world.clock.time_s + 10 * EVERY_S)  # its own is ten minutes ahead
    attend(fast, "one")
    assert slots(world, one.last) == once(1)
    attend(right, "one")
    assert slots(world, one.last) == once(1)


def test_slot_costs_seven_requests_and_another_worker_one(world):
    make(world)
    seen = alarms(world)
    world.clock.sleep(EVERY_S)
    fired = cost(world, lambda: attend(world.repository(), "one", seen=seen))
    assert fired == {"get": 1, "put": 5, "delete": 1}, "job, marker, bell, schedule, alarm"
    assert cost(world, lambda: attend(world.repository(), "one", seen=seen, mends=False)) == {"get": 1}


@pytest.mark.parametrize(
    ("fault", "only"),
    (
        *((fault, "") for fault in ("refuse", "drop", "zombie", "late", "someday")),
        *((fault, place) for fault in ("conflict", "unsure") for place in ("jobs/", "schedules/")),
    ),
)
@pytest.mark.parametrize("at", range(7))
def test_each_slot_is_submitted_once_whatever_is_answered(world, at, fault, only):
    one = make(world)
    world.clock.sleep(3 * EVERY_S)
    store = FaultyStore(world.inner, ("",) * at + (fault,), only=only)
    with contextlib.suppress(Unavailable):
        attend(world.repository(store), "one", seen=alarms(world))
    attend(world.repository(), "one", seen=alarms(world))
    for kind in ("zombie", "late", "someday"):
        store.land(kind)
    world.clock.sleep(2 * EVERY_S)
    attend(world.repository(), "one", seen=alarms(world))
    assert slots(world, one.last) == once(5)
    assert max(alarm.due for alarm in alarms(world)) == one.last + 6 * EVERY_S


@pytest.mark.parametrize("is_after", (False, True))
def test_whoever_dies_at_whatever_request_each_slot_is_submitted_once_and_announced(is_after):
    """A thousand slots, four workers that die at random, each time at another request."""
    world, n_slots, rng = World(seed=is_after), 1_000, random.Random(is_after)
    one, n_deaths = make(world), 0
    world.clock.sleep(n_slots * EVERY_S)
    while read(world).last < one.last + n_slots * EVERY_S:
        for _ in range(4):
            store = CrashingStore(world.inner, at=rng.randrange(1, 200), is_after=is_after)
            try:
                attend(world.repository(store), "one", seen=alarms(world))
            except Crash:
                n_deaths += 1
    attend(world.repository(), "one", seen=alarms(world))
    assert slots(world, one.last) == once(n_slots)
    assert n_deaths > 10
    marked = {keys.parse_marker(key).job for key in world.listed("open/") if parse_alarm(key, shards=1) is None}
    assert marked == {job.id for job in jobs(world)}
    assert alarms(world) == [alarm_of(read(world), world.repository())]


@pytest.mark.parametrize("at", range(12))
def test_original_bug_012_slot_is_submitted_before_it_is_noted_as_settled(world, at):
    """There a scheduler that died between the two lost the slot."""
    one = make(world)
    world.clock.sleep(EVERY_S)
    with contextlib.suppress(Crash):
        attend(world.repository(CrashingStore(world.inner, at=at, is_after=False)), "one", seen=alarms(world))
    if read(world).last > one.last:
        assert slots(world, one.last) == once(1)


def test_slot_whose_job_has_ended_and_was_deleted_is_not_submitted_again(world):
    one = make(world)
    world.clock.sleep(EVERY_S)
    store = CrashingStore(world.inner, at=4, is_after=False)
    with pytest.raises(Crash):
        attend(world.repository(store), "one")
    assert read(world).last == one.last, "it died before it was settled"
    (job,) = jobs(world)
    assert world.worker().step()
    assert delete_job(world.repository(), job.id) is not None
    attend(world.repository(), "one", seen=alarms(world))
    assert read(world).last == one.last + EVERY_S
    assert not jobs(world)
    assert world.markers() == [alarm.key for alarm in alarms(world)]


def test_two_workers_that_decide_at_the_same_time_submit_a_slot_once(world):
    one = make(world)
    world.clock.sleep(2 * EVERY_S)
    store, others = FaultyStore(world.inner), []

    def interrupt(verb, key):
        if len(others) < 6:
            others.append(None)
            attend(world.repository(), "one", seen=alarms(world))

    store.before_write = interrupt
    attend(world.repository(store), "one", seen=alarms(world))
    assert slots(world, one.last) == once(2)


def test_worker_that_stood_still_looks_again_before_it_submits(world):
    """What it read is old by then: the schedule may be paused, or gone."""
    one = make(world)
    world.clock.sleep(5 * EVERY_S)
    store = FaultyStore(world.inner)
    store.before_write = lambda verb, key: world.clock.sleep(40.0 if key.startswith("jobs/") else 0.0)
    attend(world.repository(store), "one", seen=alarms(world))
    assert slots(world, one.last) == once(1)
    assert read(world).last == one.last + EVERY_S
    attend(world.repository(), "one", seen=alarms(world))
    assert slots(world, one.last) == once(5)


def interrupted(world, act):
    """Return a repository whose first write of a schedule comes after somebody else has done something."""
    store, done = FaultyStore(world.inner), []

    def interrupt(verb, key):
        if key.startswith("schedules/") and not done:
            done.append(None)
            act()

    store.before_write = interrupt
    return world.repository(store)


def test_worker_that_is_late_to_settle_takes_nothing_back_that_others_have_settled_since(world):
    one = make(world)
    world.clock.sleep(1.5 * EVERY_S)

    def go_on():
        world.clock.sleep(0.5 * EVERY_S)
        attend(world.repository(), "one", seen=alarms(world))

    alarm = attend(interrupted(world, go_on), "one", seen=alarms(world))
    assert read(world).last == one.last + 2 * EVERY_S
    assert alarm.due == one.last + 3 * EVERY_S
    assert slots(world, one.last) == once(2)


def test_worker_that_is_late_to_settle_settles_nothing_of_a_schedule_made_anew(world):
    rhythm = Rhythm(since=world.now(), every_s=EVERY_S)
    one = make(world, rhythm=rhythm)
    world.clock.sleep(3 * EVERY_S)

    def make_anew():
        delete_schedule(world.repository(), "one")
        make(world, rhythm=rhythm, last=one.last)

    attend(interrupted(world, make_anew), "one", seen=alarms(world))
    assert read(world).last == one.last
    attend(world.repository(), "one", seen=alarms(world))
    assert slots(world, one.last) == {1: 2, 2: 2, 3: 2}


def test_many_slots_are_submitted_a_few_at_a_time(world):
    one = make(world)
    world.clock.sleep(60 * EVERY_S)
    for n_settled in (25, 50, 60):
        alarm = attend(world.repository(), "one", seen=alarms(world))
        assert slots(world, one.last) == once(n_settled)
        assert alarm.due == one.last + (n_settled + 1) * EVERY_S


def test_time_to_live_begins_with_the_slot(world):
    make(world, policy=replace(world.job().policy, expires_at=world.now() + 10.0))
    world.clock.sleep(3 * EVERY_S)
    attend(world.repository(), "one")
    assert {job.policy.expires_at - job.created for job in jobs(world)} == {10.0}


# --- orders --------------------------------------------------------------------------------------


def test_paused_schedule_submits_nothing_and_goes_on_when_it_is_resumed(world):
    one = make(world)
    pause_schedule(world.repository(), "one", reason="why")
    world.clock.sleep(3 * EVERY_S)
    attend(world.repository(), "one", seen=alarms(world))
    assert not jobs(world)
    assert len(alarms(world)) == 1, "which passes its slots by, so that it needs none put up when it goes on"
    world.clock.sleep(0.5 * EVERY_S)
    resume_schedule(world.repository(), "one")
    world.clock.sleep(EVERY_S)
    attend(world.repository(), "one", seen=alarms(world))
    assert slots(world, one.last) == Counter([4])


@pytest.mark.parametrize(
    ("catch_up", "numbers"),
    ((CatchUp.ALL, range(1, 31)), (CatchUp.LAST, [29, 30]), (CatchUp.SKIP, [29, 30])),
)
@pytest.mark.parametrize("until_s", (None, 5 * EVERY_S))
def test_slots_that_were_due_before_a_pause_are_owed_and_those_in_it_are_left_out(world, catch_up, numbers, until_s):
    """[V] no worker has come to them yet, and they were never submitted."""
    one = make(world, catch_up=catch_up)
    world.clock.sleep(30.01 * EVERY_S)
    pause_schedule(world.repository(), "one", until=None if until_s is None else world.now() + until_s)
    assert slots(world, one.last) == Counter(numbers)
    assert not read(world).last > world.now()
    world.clock.sleep(5 * EVERY_S)
    if until_s is None:
        resume_schedule(world.repository(), "one")
    world.clock.sleep(EVERY_S)
    attend(world.repository(), "one", seen=alarms(world))
    assert slots(world, one.last) == Counter([*numbers, 36])


def test_pause_of_a_schedule_that_is_made_anew_meanwhile_owes_what_is_due_of_that_one(world, monkeypatch):
    rhythm = Rhythm(since=world.now(), every_s=EVERY_S)
    one = make(world, rhythm=rhythm)
    world.clock.sleep(3.01 * EVERY_S)
    original = firing.fire_owed

    def make_anew_behind_it(repository, name, until):
        found = original(repository, name, until)
        if read(world).origin == one.origin:
            delete_schedule(world.repository(), "one")
            make(world, rhythm=rhythm, last=one.last)
        return found

    monkeypatch.setattr(firing, "fire_owed", make_anew_behind_it)
    pause_schedule(world.repository(), "one")
    assert read(world).pause is not None
    assert slots(world, one.last) == {1: 2, 2: 2, 3: 2}


def test_pause_whose_reply_was_lost_is_not_given_again_to_a_schedule_made_anew(world):
    one, store = make(world), FaultyStore(world.inner, ("drop",), only="schedules/")

    def make_anew(_verb, key):
        if not store.script and read(world).origin == one.origin:
            delete_schedule(world.repository(), "one")
            make(world)

    store.before_read = make_anew
    pause_schedule(world.repository(store), "one")
    assert read(world).origin != one.origin
    assert read(world).pause is None


def test_resume_of_a_pause_that_is_over_leaves_out_nothing_that_was_due_since(world):
    one = make(world)
    pause_schedule(world.repository(), "one", until=world.now() + 2.5 * EVERY_S)
    world.clock.sleep(4.5 * EVERY_S)
    resume_schedule(world.repository(), "one")
    attend(world.repository(), "one", seen=alarms(world))
    assert slots(world, one.last) == Counter([3, 4])


def test_schedule_that_is_not_understood_can_be_paused(world):
    one = make(world)
    strange = replace(one.rhythm, every_s=None, cron="no cron")
    firing.schedules(world.repository()).update(
        schedule_key("one"), lambda doc: replace(doc, rhythm=strange), applied=lambda doc: doc.rhythm == strange
    )
    pause_schedule(world.repository(), "one")
    assert read(world).pause is not None


@pytest.mark.parametrize("fault", ("refuse", "drop", "zombie", "late", "conflict", "unsure"))
def test_order_is_carried_out_once_whatever_is_answered_and_is_not_repeated_over_a_later_one(world, fault):
    make(world)
    store = FaultyStore(world.inner, (fault,))
    pause_schedule(world.repository(store), "one", reason="first")
    assert read(world).pause.reason == "first"
    store = FaultyStore(world.inner, ("drop",))
    store.before_read = lambda verb, key: (
        resume_schedule(world.repository(), "one")
        if read(world).pause and read(world).pause.reason == "second"
        else None
    )
    pause_schedule(world.repository(store), "one", reason="second")
    assert read(world).pause is None


def test_deleted_schedule_is_gone_and_so_is_its_alarm(world):
    make(world)
    seen = alarms(world)
    delete_schedule(world.repository(), "one")
    assert not alarms(world)
    world.clock.sleep(3 * EVERY_S)
    assert attend(world.repository(), "one", seen=seen) is None
    assert not world.listed("open/")
    assert not jobs(world)
    for order in (delete_schedule, pause_schedule, resume_schedule, firing.trigger_schedule):
        with pytest.raises(Missing):
            order(world.repository(), "one")


def test_original_1_28_b_schedule_that_is_made_anew_submits_its_own_slots(world):
    """There a slot that the first had submitted was not submitted again, or failed for a month."""
    rhythm = Rhythm(since=world.now(), every_s=EVERY_S)
    one = make(world, rhythm=rhythm)
    world.clock.sleep(EVERY_S)
    attend(world.repository(), "one", seen=alarms(world))
    delete_schedule(world.repository(), "one")
    again = make(world, rhythm=rhythm, last=one.last)
    assert again.origin != one.origin
    attend(world.repository(), "one", seen=alarms(world))
    assert slots(world, one.last) == {1: 2}


def test_worker_that_knows_the_schedule_before_takes_down_no_alarm_of_the_one_made_anew(world):
    make(world)
    store, seen = FaultyStore(world.inner), alarms(world)
    world.clock.sleep(EVERY_S)
    done = []

    def interrupt(verb, key):
        if key.startswith("schedules/") and not done:
            done.append(None)
            delete_schedule(world.repository(), "one")
            make(world)

    store.before_write = interrupt
    attend(world.repository(store), "one", seen=seen)
    assert done
    assert alarms(world) == [alarm_of(read(world), world.repository())]


def test_original_1_28_trigger_leaves_the_slots_as_they_are(world):
    one = make(world)
    firing.trigger_schedule(world.repository(), "one")
    pause_schedule(world.repository(), "one")
    firing.trigger_schedule(world.repository(), "one")
    assert [job.slot.is_triggered for job in jobs(world)] == [True, True]
    assert read(world).last == one.last
    assert read(world).fired is None


# --- alarms --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ("one", "a.b-c_d.e", "0", "x" * 64))
def test_alarm_is_read_from_its_name(name):
    alarm = Alarm(name=name, origin="a0b1", due=1_800_000_000.123, shard=keys.shard_of(name, 16))
    assert parse_alarm(alarm.key, shards=16) == alarm
    assert parse_alarm(f"{alarm.key}/x", shards=16) is None


def test_alarms_sort_before_all_markers_and_by_time(world):
    world.submit(world.job(code=replace(world.job().code, digest="0" * 64), type="0"))
    world.submit(world.job(1, type="0"))
    for n in range(3):
        make(world, f"s{n}", rhythm=Rhythm(since=world.now(), every_s=EVERY_S * (3 - n)))
    found = world.listed("open/")
    assert [parse_alarm(key, shards=1) is not None for key in found] == [True] * 3 + [False] * 2
    assert [alarm.name for alarm in alarms(world)] == ["s2", "s1", "s0"]


def test_alarm_that_is_newer_or_of_an_unknown_time_is_not_taken_down(world):
    one = make(world)
    (mine,) = alarms(world)
    newer = replace(mine, due=mine.due + 5.0)
    world.inner.create(newer.key, b"")
    put_alarm(world.repository(), one, seen=[newer, mine])
    assert alarms(world) == [mine, newer]


def test_schedule_with_an_origin_that_would_lie_elsewhere_has_no_alarm(world):
    one = make(world)
    with pytest.raises(FormatError, match="origin"):
        alarm_of(replace(one, origin="../../jobs/x"), world.repository())


# --- signatures ----------------------------------------------------------------------------------


SECRET, OTHER = b"s" * 32, b"o" * 32


def signing(world, secret=SECRET):
    ring = Keyring([secret], scope="here")
    return Repository(
        world.repository().store, world.settings, rng=random.Random(world.rng.random()), signer=lambda: ring
    )


def verifying(world, secret=SECRET):
    return world.repository().verifying(Keyring([secret], scope="here"))


def test_job_of_a_slot_has_the_signature_of_whoever_made_the_schedule_whoever_fires_it(world):
    make(world, repository=signing(world))
    world.clock.sleep(EVERY_S)
    attend(signing(world, OTHER), "one")
    (job,) = jobs(world)
    assert verifying(world).read_job(job.id).doc == job
    with pytest.raises(NotSigned):
        verifying(world, OTHER).read_job(job.id)


def test_job_of_a_schedule_that_nobody_signed_is_not_signed_by_the_worker_that_fires_it(world):
    """Else whoever can write the queue could have workers sign whatever he likes."""
    make(world)
    world.clock.sleep(EVERY_S)
    attend(signing(world), "one")
    (job,) = jobs(world)
    assert job.signature is None
    with pytest.raises(NotSigned):
        verifying(world).read_job(job.id)


def tamper(world, change):
    """Fire a signed schedule, then let somebody who has no key write its job anew."""
    one = make(world, repository=signing(world))
    world.clock.sleep(EVERY_S)
    attend(world.repository(), "one")
    (job,) = jobs(world)
    key = keys.job_key(job.id, 1)
    document = firing.record.parse(world.inner.read(key).data)
    new = change({**document}, one)
    world.inner.overwrite(keys.job_key(new["job"], 1), firing.dump(new))
    return new["job"]


def other_slot(doc, one, *, at, created):
    job_id = firing.slot_job_id("one", one.origin, at)
    return {**doc, "job": job_id, "slot": {**doc["slot"], "at": at}, "created": created}


@pytest.mark.parametrize(
    ("forgery", "told"),
    (
        (lambda doc, one: {**doc, "job": "k" + "1" * 17}, "no slot of it"),
        (lambda doc, one: {**doc, "slot": {**doc["slot"], "schedule": "two"}}, "no slot of it"),
        (lambda doc, one: {**doc, "slot": {**doc["slot"], "at": doc["slot"]["at"] + 1}}, "no slot of it"),
        (lambda doc, one: {name: value for name, value in doc.items() if name != "slot"}, "slot"),
        (lambda doc, one: other_slot(doc, one, at=one.last + 90.0, created=one.last + 90.0), "not due then"),
        (lambda doc, one: other_slot(doc, one, at=one.last, created=one.last), "not due then"),
        (lambda doc, one: other_slot(doc, one, at=one.last + 120.0, created=one.last + 60.0), "not due then"),
        (lambda doc, one: other_slot(doc, one, at=one.last + 600.0, created=one.last + 600.0), "still to come"),
    ),
)
def test_signature_of_a_schedule_is_good_for_its_slots_once_they_are_due_and_for_nothing_else(world, forgery, told):
    job_id = tamper(world, forgery)
    with pytest.raises(FormatError, match=told):
        verifying(world).read_job(job_id)


def test_what_is_signed_comes_from_the_signed_text_alone(world):
    job_id = tamper(world, lambda doc, one: {**doc, "input": {"kind": "values", "values": [2]}, "type": "evil"})
    found = verifying(world).read_job(job_id).doc
    assert (found.type, found.input["values"]) == ("score", [1])


def test_schedule_that_was_changed_without_the_key_fires_what_was_signed_or_nothing(world):
    one = make(world, repository=signing(world))
    template = {**one.template, "type": "evil", "input": {"kind": "values", "values": [2]}}
    firing.schedules(world.repository()).update(
        schedule_key("one"), lambda doc: replace(doc, template=template), applied=lambda doc: doc.template == template
    )
    world.clock.sleep(EVERY_S)
    attend(world.repository(), "one")
    assert [(job.type, job.input["values"]) for job in jobs(world)] == [("score", [1])]


def test_triggered_job_is_signed_by_who_triggers_it_only_if_the_schedule_is_his(world, caplog):
    make(world, repository=signing(world))
    mine = firing.trigger_schedule(signing(world), "one").job
    assert verifying(world).read_job(mine.id).doc == mine
    theirs = firing.trigger_schedule(signing(world, OTHER), "one").job
    assert theirs.signature is None
    assert "not signed anew" in caplog.text


def test_signature_is_renewed_once_half_of_its_time_is_over_by_who_has_the_key(world):
    one = make(world, repository=signing(world))
    firing.renew_signature(signing(world), one, firing.template_of(one))
    assert read(world) == one
    world.clock.sleep(200 * 86_400.0)
    firing.renew_signature(signing(world, OTHER), one, firing.template_of(one))
    firing.renew_signature(world.repository(), one, firing.template_of(one))
    assert read(world) == one
    firing.renew_signature(signing(world), one, firing.template_of(one))
    new = read(world)
    assert firing.template_of(new).valid_until == pytest.approx(world.now() + 365 * 86_400.0)
    assert firing.template_of(new).input == firing.template_of(one).input
    submitted = submit_slot(world.repository(), new, new.last + EVERY_S)
    world.clock.sleep(200 * 86_400.0)
    assert verifying(world).read_job(submitted.job.id).doc == submitted.job


def put(world, **changed):
    """Let somebody who has no key write the schedule anew."""
    firing.schedules(world.repository()).update(
        schedule_key("one"), lambda doc: replace(doc, **changed), applied=lambda _: False
    )


def of_a_job(world, one):
    job = world.job(id="j" + "1" * 17, input={"kind": "values", "values": [1000]})
    return signing(world).signed(job).signature


def of_another_schedule(world, one):
    return make(world, "two", repository=signing(world)).signature


def of_one_before(world, one):
    return firing.with_template(signing(world), replace(one, origin="before"), world.job()).signature


@pytest.mark.parametrize("other", (of_a_job, of_another_schedule, of_one_before))
def test_signature_of_something_else_is_neither_fired_nor_signed_anew(world, other):
    one = make(world, repository=signing(world))
    put(world, signature=other(world, one))
    world.clock.sleep(200 * 86_400.0)
    for use in (
        lambda: firing.trigger_schedule(signing(world), "one"),
        lambda: firing.renew_signature(signing(world), read(world), world.job()),
        lambda: attend(world.repository(), "one"),
    ):
        with pytest.raises(FormatError, match="something else"):
            use()
    assert jobs(world) == []


def test_signature_that_has_run_out_is_not_signed_anew_by_a_trigger(world):
    make(world, repository=signing(world))
    world.clock.sleep(366 * 86_400.0)
    with pytest.raises(NotSigned, match="run out"):
        firing.trigger_schedule(signing(world), "one")
    assert jobs(world) == []


def test_signature_is_renewed_for_what_the_caller_wants_and_not_for_what_was_found(world):
    one = make(world, repository=signing(world))
    world.clock.sleep(200 * 86_400.0)
    firing.renew_signature(signing(world), one, world.job(input={"kind": "values", "values": [2]}))
    assert firing.template_of(read(world)).input["values"] == [2]


def test_trigger_signs_no_schema_that_nobody_signed(world):
    one = make(world, repository=signing(world))
    put(world, template={**one.template, "output_schema": {"digest": "evil"}})
    assert firing.trigger_schedule(signing(world), "one").job.output_schema is None
