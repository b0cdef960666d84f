"""How workers hear of schedules, when they look at them, and what that costs."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest

from oqkit.claim.poller import Poller, Topics
from oqkit.errors import Denied, Unavailable
from oqkit.limits import ClaimLimits, Limits
from oqkit.observe.event import JobSubmitted
from oqkit.observe.observer import Observers
from oqkit.queue import firing
from oqkit.queue.alarm import alarm_of
from oqkit.queue.sweep import Sweep
from oqkit.queue.timetable import schedule_key
from oqkit.worker.scheduler import Scheduler
from tests.queue.faulty import Crash, FaultyStore, World, cost
from tests.queue.test_firing import EVERY_S, alarms, jobs, make, once, read, slots


@pytest.fixture
def world():
    return World()


class Fleet:
    """One worker's poller and scheduler."""

    def __init__(self, world, *, store=None, topics=None):
        self.world = world
        self.repository = world.repository(store)
        self.poller = Poller(self.repository, topics or Topics(types=frozenset({"score"})))
        self.observers = Observers()
        self.duty = Scheduler(
            self.repository,
            self.poller.alarms,
            worker=f"worker{world.rng.random()}",
            observers=self.observers,
            is_stopping=lambda: False,
        )

    def look(self):
        self.poller.look()
        return self

    def go_on(self, seconds):
        """Let time pass, and do what is due."""
        end = self.world.clock.time_s + seconds
        while self.world.clock.time_s < end:
            if self.duty.wait_s() <= 0:
                self.duty.perform()
            self.world.clock.sleep(0.25)


def test_worker_hears_of_a_schedule_by_its_listing_and_follows_it_without_another(world):
    one = make(world)
    worker = Fleet(world).look()
    assert EVERY_S < worker.duty.wait_s() < EVERY_S + 3.0
    sent = cost(world, lambda: worker.go_on(10.1 * EVERY_S))
    assert slots(world, one.last) == once(10)
    assert set(sent) == {"get", "put", "delete"}
    assert sent["get"] <= 10 + 1
    assert sent["put"] <= 5 * 10


def test_slot_fires_within_seconds_and_at_once_by_the_worker_that_fired_the_last(world):
    make(world)
    worker = Fleet(world).look()
    worker.go_on(3.1 * EVERY_S)
    late_s = sorted(job.created - job.slot.at for job in jobs(world))
    assert max(late_s) < 3.5
    assert late_s[:2] == pytest.approx([0.0, 0.0], abs=0.5)


def test_of_many_workers_one_fires_and_the_others_ask_once(world):
    one = make(world)
    workers = [Fleet(world).look() for _ in range(50)]

    def pass_time(seconds):
        for _ in range(int(4 * seconds)):
            world.clock.sleep(0.25)
            for worker in workers:
                if worker.duty.wait_s() <= 0:
                    worker.duty.perform()

    pass_time(EVERY_S + 10)
    sent = cost(world, lambda: pass_time(5 * EVERY_S))
    assert slots(world, one.last) == once(6)
    assert sent["get"] <= 5 * 51
    assert sent["put"] <= 5 * 5, "of the one that fires"


def test_of_many_workers_one_catches_up_and_the_others_ask_now_and_then(world):
    one, n_missed = make(world), 500
    world.clock.sleep(n_missed * EVERY_S)
    workers, settled_by = [Fleet(world).look() for _ in range(20)], set()

    def pass_time():
        while read(world).last < one.last + n_missed * EVERY_S:
            world.clock.sleep(0.25)
            for worker in workers:
                if worker.duty.wait_s() <= 0:
                    worker.duty.perform()
                    settled_by.add(read(world).settled_by)

    sent = cost(world, pass_time)
    assert len(settled_by) == 1
    assert slots(world, one.last) == once(n_missed)
    assert sent["put"] <= 3.2 * n_missed, "job, marker, and now and then the bell, the schedule and the alarm"


def test_schedules_go_on_when_the_worker_that_fired_dies(world):
    one = make(world)
    first, second = Fleet(world).look(), Fleet(world).look()
    first.go_on(2.5 * EVERY_S)
    second.go_on(3 * EVERY_S)
    assert slots(world, one.last) == once(5)
    assert alarms(world) == [alarm_of(read(world), world.repository())]


def test_worker_that_starts_between_a_slot_and_its_next_alarm_puts_that_up(world):
    make(world)
    world.clock.sleep(EVERY_S)
    store = FaultyStore(world.inner)

    def die(verb, key):
        if key.startswith("open/0000/at/"):
            raise Crash

    store.before_write = die
    with pytest.raises(Crash):
        firing.attend(world.repository(store), "one", seen=alarms(world))
    assert [alarm.due < world.now() + 1 for alarm in alarms(world)] == [True]
    Fleet(world).look().go_on(5.0)
    assert alarms(world) == [alarm_of(read(world), world.repository())]


def test_worker_of_a_queue_without_schedules_asks_for_none(world):
    worker = Fleet(world).look()
    assert worker.duty.wait_s() == float("inf")
    sweep = Sweep(worker.repository, alarmed=worker.poller.alarms.known)
    store = FaultyStore(world.inner)
    asked = []
    store.before_read = lambda verb, key: asked.append(key)
    Sweep(world.repository(store)).perform()
    sweep.perform()
    assert not [key for key in asked if key.startswith("schedules/")]


@pytest.mark.parametrize("everything", (False, True))
def test_alarm_is_seen_in_front_of_more_markers_than_a_page_has(everything):
    world = World(limits=Limits(claim=ClaimLimits(page_markers=10)))
    make(world)
    for n in range(50):
        world.submit(world.job(n))
    store, asked = FaultyStore(world.inner), []
    store.before_read = lambda verb, key: asked.append(key)
    worker = Fleet(world, store=store, topics=Topics(types=frozenset({"score"}), everything=everything))
    for _ in range(5):
        worker.look()
    assert worker.poller.alarms.known() == {"one"}
    assert not [key for key in asked if key.startswith("open/0000/at/")], "at no request of its own"


def test_lost_alarm_is_found_by_the_search_for_what_is_lost(world):
    one, other = make(world), make(world, "two")
    sweep = Sweep(world.repository(), alarmed=lambda: {"two"})
    world.inner.delete(alarm_of(one, world.repository()).key)
    assert cost(world, sweep.perform)["get"] == 2, "how far it is, and the schedule that nobody has heard of"
    assert {alarm.name for alarm in alarms(world)} == {"one", "two"}
    world.inner.delete(alarm_of(one, world.repository()).key)
    world.clock.sleep(600.0)
    assert cost(world, sweep.perform)["get"] <= 1
    assert {alarm.name for alarm in alarms(world)} == {"two"}, "only now and then"
    world.clock.sleep(3_600.0)
    Sweep(world.repository()).perform()  # of a worker that has heard of none
    assert {alarm.name for alarm in alarms(world)} == {"one", "two"}
    assert other.name == "two"


def test_search_for_lost_alarms_ends_with_the_schedules(world):
    make(world)
    repository = world.repository()
    Sweep(repository, alarmed=lambda: {"one"}).perform()
    world.inner.delete(schedule_key("one"))
    world.clock.sleep(4_000.0)
    assert cost(world, Sweep(repository).perform)["list"] > 1
    world.clock.sleep(4_000.0)
    before = cost(world, Sweep(repository).perform)
    assert before["list"] == 1, "of the jobs"


# --- trouble -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("error", "recovers"), ((Unavailable("away"), True), (Denied("no"), False)))
def test_store_that_does_not_answer_is_tried_again_and_that_is_said_once(world, error, recovers, caplog):
    one = make(world)
    store = FaultyStore(world.inner)
    worker = Fleet(world, store=store).look()
    ends, began = world.clock.time_s + EVERY_S + 40, len(caplog.records)

    def fail(verb, key):
        if world.clock.time_s < ends and key.startswith("schedules/"):
            raise error

    store.before_read = fail
    worker.go_on(2 * EVERY_S - 5)
    assert slots(world, one.last) == once(1 if recovers else 0)
    told = [record for record in caplog.records[began:] if record.levelno == logging.WARNING]
    assert len(told) == 1
    assert "schedule one is put off" in told[0].getMessage()


@pytest.mark.parametrize(
    "damage", (b"{", b'{"format": 9}', b'{"format": 1, "requires": ["moon"]}', b"", b"[" * 10_000, b'{"format": 1}')
)
def test_schedule_that_cannot_be_understood_keeps_no_other_from_firing(world, damage, caplog):
    make(world, "bad")
    one = make(world)
    world.inner.overwrite(schedule_key("bad"), damage)
    Fleet(world).look().go_on(3.1 * EVERY_S)
    assert {job.slot.schedule for job in jobs(world)} == {"one"}
    assert slots(world, one.last) == once(3)
    assert sum("bad" in record.getMessage() for record in caplog.records) == 1


@pytest.mark.parametrize(
    "change",
    (
        lambda doc: replace(doc, rhythm=replace(doc.rhythm, every_s=None, cron="61 * * * *")),
        lambda doc: replace(doc, rhythm=replace(doc.rhythm, every_s=None, cron="@daily", tz="Mars/X")),
        lambda doc: replace(doc, rhythm=replace(doc.rhythm, every_s=None, cron="0 0 30 2 *")),
        lambda doc: replace(doc, template={}),
        lambda doc: replace(doc, template={**doc.template, "n_tasks": "many"}),
        lambda doc: replace(doc, template={**doc.template, "policy": []}),
        lambda doc: replace(doc, template={**doc.template, "requires": ["moon"]}),
    ),
)
def test_schedule_that_holds_nonsense_keeps_no_other_from_firing(world, change, caplog):
    bad, one = make(world, "bad"), make(world)
    world.inner.overwrite(schedule_key("bad"), firing.SCHEDULE.dump(change(bad)))
    Fleet(world).look().go_on(3.1 * EVERY_S)
    assert slots(world, one.last) == once(3)
    assert {job.slot.schedule for job in jobs(world)} == {"one"}
    assert sum("bad" in record.getMessage() for record in caplog.records) == 1


def test_alarms_of_schedules_that_are_not_there_are_taken_down(world):
    alarm = alarm_of(make(world), world.repository())
    world.inner.delete(schedule_key("one"))
    worker = Fleet(world).look()
    worker.go_on(EVERY_S + 5)
    assert not world.listed("open/")
    assert worker.poller.alarms.known() == set()
    assert alarm.name == "one"


def test_observers_of_a_worker_are_told_of_the_jobs_that_it_submits_once(world):
    make(world)
    workers, told = [Fleet(world).look(), Fleet(world).look()], []
    for worker in workers:
        worker.observers.on(JobSubmitted, lambda event: told.append(event.job.slot.at))
    for _ in range(3):
        for worker in workers:
            worker.go_on(EVERY_S / 2)
    assert told == sorted(set(told))
    assert len(told) >= 2
