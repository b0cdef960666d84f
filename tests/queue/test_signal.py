"""Signals as orders in the job object, and tasks that wait for them: nobody waits for one that has come."""

from __future__ import annotations

import itertools

import pytest

from oqkit.errors import Unavailable, UsageError
from oqkit.queue import control, gate
from oqkit.queue.commit import Commit, Outcome
from oqkit.queue.document import dump_part, load_part
from oqkit.queue.key import parse_marker
from oqkit.queue.rows import Rows
from oqkit.queue.signal import Wait, with_wait
from oqkit.queue.transition import Status, Verb
from oqkit.task.request import TakeSignal
from oqkit.worker.service import LeaseService
from tests.queue.faulty import NO_WAIT, PATIENT, World, WrappedStore
from tests.queue.test_crash import every_crash

sides = pytest.mark.parametrize("is_after", (False, True), ids=("before", "after"))
GO = Wait(name="go", number=0, until=gate.NEVER)


def waits(lease, *, gen=None, wait=GO):
    outcome = Outcome(verb=Verb.WAIT, rows=lease.rows, wait=wait, gen=lease.job.gen if gen is None else gen)
    lease.commit(Commit(outcomes=[outcome], is_last=True))


def found_by(worker):
    while (lease := worker.find()) is None:
        worker.world.clock.sleep(0.5)
    return lease


def waiting(world, n_tasks=1):
    job = world.submit(world.job(1, n_tasks=n_tasks, policy=NO_WAIT)).job
    worker = world.worker()
    lease = worker.find()
    waits(lease)
    worker.claimer.ended(lease)
    return job, worker


def send(world, job, repository=None, **more):
    return control.signal(repository or world.repository(), job.id, name="go", value="1", **more)


def test_waiting_task_uses_no_attempt_and_is_in_nobodys_way(world):
    job, worker = waiting(world)
    (state,) = world.parts(job)[0].states
    assert (state.status, state.used, state.due, state.waits) == ("pending", 0, gate.NEVER, (GO,))
    assert [parse_marker(name).is_later for name in world.markers()] == [True]
    assert worker.drain(until_s=100.0) == 0


def test_signal_makes_the_task_due_at_once(world):
    job, worker = waiting(world)
    assert list(send(world, job).signals("go", 0).values()) == ["1"]
    assert worker.drain(until_s=30.0, idle_s=10.0) == 1
    assert world.statuses(job) == {"completed": 1}


def test_signal_of_another_name_or_to_another_row_wakes_nobody(world):
    job, worker = waiting(world, n_tasks=3)
    control.signal(world.repository(), job.id, name="stop", value="1")
    assert worker.drain(until_s=30.0, idle_s=10.0) == 0
    job = send(world, job, rows=Rows.span(1, 2))
    assert [list(job.signals("go", row).values()) for row in range(3)] == [[], ["1"], []]
    assert worker.drain(until_s=30.0, idle_s=10.0) == 1
    assert worker.ran == {(job.id, 1): 1}


@pytest.mark.parametrize("is_told", (False, True))
def test_signal_that_comes_between_the_look_and_the_commit_is_not_slept_through(world, is_told):
    """The commit says which orders were looked at; the part knows better."""
    job = world.submit(world.job(1, policy=NO_WAIT)).job
    worker = world.worker()
    lease = worker.find()
    after = send(world, job)
    waits(lease, gen=after.gen if is_told else lease.job.gen)
    (state,) = world.parts(job)[0].states
    assert state.due == (gate.NEVER if is_told else pytest.approx(world.now()))


def test_look_at_a_newer_job_than_the_part_has_seen_is_no_obstacle(world):
    """An order that wakes nobody was given after the claim, and its giver died before it told the part."""
    job = world.submit(world.job(1, policy=NO_WAIT)).job
    worker = world.worker()
    lease = worker.find()
    waits(lease, gen=lease.job.gen + 1)
    assert [state.due for state in world.parts(job)[0].states] == [gate.NEVER]
    send(world, job)
    assert worker.drain(until_s=30.0, idle_s=10.0) == 1


@sides
def test_signal_whose_sender_died_is_sent_by_the_next(is_after):
    for world, (job, _) in every_crash(
        waiting, lambda w, repository, made: send(w, made[0], repository), is_after=is_after
    ):
        send(world, job)
        world.worker("heir").drain(until_s=100.0, idle_s=40.0)
        assert world.statuses(job) == {"completed": 1}
        assert world.markers() == []


def test_signal_before_any_request_of_a_wait_wakes_it():
    for at in itertools.count():
        world = World(seed=at)
        job = world.submit(world.job(1, policy=NO_WAIT)).job
        worker = world.worker()
        lease = worker.find()
        numbers, original = itertools.count(), worker.repository.store._do

        def do(verb, key, call, world=world, job=job, at=at, numbers=numbers, original=original):
            if next(numbers) == at:
                send(world, job)
            return original(verb, key, call)

        worker.repository.store._do = do
        waits(lease)
        worker.claimer.ended(lease)
        worker.claimer.sweep(at_once=True)
        if next(numbers) <= at:
            assert at >= 2
            return
        worker.drain(until_s=60.0, idle_s=40.0)
        assert world.statuses(job) == {"completed": 1}, at


@pytest.mark.parametrize(("verb", "due_s"), ((Verb.RETRY, 30.0), (Verb.RESCHEDULE, 40.0)))
def test_signal_ends_neither_a_back_off_nor_a_delay(world, verb, due_s):
    job = world.submit(world.job(1, policy=PATIENT)).job
    worker = world.worker()
    lease = worker.find()
    waits(lease)
    worker.claimer.ended(lease)
    send(world, job)
    worker.finish(found_by(worker), verb, delay_s=40.0)
    due = world.now() + due_s
    send(world, job)
    (state,) = world.parts(job)[0].states
    assert (state.wait, state.due) == (None, pytest.approx(due, abs=1.0))


@pytest.mark.parametrize("ends_as", (Verb.FAIL, "cancel"))
def test_task_that_was_put_back_by_hand_waits_for_a_signal_that_is_sent_after_that(world, ends_as):
    job, worker = waiting(world, n_tasks=2)
    control.signal(world.repository(), job.id, name="go", value="1", rows=Rows.of([0]))
    if ends_as == "cancel":
        control.cancel(world.repository(), job.id, rows=Rows.of([0]))
    else:
        worker.finish(found_by(worker), ends_as)
    control.retry(world.repository(), job.id, statuses=(Status.FAILED, Status.CANCELLED))
    control.signal(world.repository(), job.id, name="go", value="2")
    job = world.repository().read_job(job.id).doc
    since = [world.parts(job)[0].state_at(row).signals_from for row in range(2)]
    assert [list(job.signals("go", row, since=since[row]).values()) for row in range(2)] == [["2"], ["2"]]
    assert since[1] == 0, "it was not put back, and what it was sent is for it"
    part = world.parts(job)[0]
    assert load_part(dump_part(part), key="k") == part


def test_retry_of_a_job_without_signals_writes_nothing_of_them(world):
    job = world.submit(world.job(1)).job
    world.worker().step(Verb.FAIL)
    control.retry(world.repository(), job.id)
    assert b"signals_from" not in dump_part(world.parts(job)[0])


def test_wait_that_was_begun_keeps_its_end():
    first = Wait(name="go", number=0, until=50.0)
    other = Wait(name="stop", number=0, until=60.0)
    assert with_wait(with_wait((), first), other) == (first, other)
    assert with_wait((first, other), first) == (other, first), "the last is what it waits for now"


def test_what_a_task_waits_for_is_stored_and_forgotten_at_its_end(world):
    job, worker = waiting(world)
    part = world.parts(job)[0]
    assert load_part(dump_part(part), key="k") == part
    send(world, job)
    worker.drain(until_s=30.0, idle_s=10.0)
    assert [state.waits for state in world.parts(job)[0].states] == [()]


def test_job_takes_so_many_signals_and_no_more(world):
    job = world.submit(world.job(1)).job
    repository = world.repository()
    with pytest.raises(UsageError, match="may have 10,000"):
        control.signal(repository, job.id, name="go", value="x" * 10_001)
    for _ in range(27):
        control.signal(repository, job.id, name="go", value="x" * 9_999)
    with pytest.raises(UsageError, match="'go' is refused: the job was sent 27 signals of 269,973 characters"):
        send(world, job)


def test_look_for_a_signal_while_the_store_is_away_costs_time_and_no_attempt(world):
    """The task waits as if none had come, and the commit says that only the job as it was claimed was looked at."""

    class Away(WrappedStore):
        is_away = False

        def _do(self, verb, key, call):
            if self.is_away and verb == "read":
                raise Unavailable(key)
            return super()._do(verb, key, call)

    world.submit(world.job(1, policy=NO_WAIT))
    store = Away(world.inner)
    lease = world.worker(repository=world.repository(store)).find()
    store.is_away = True
    service = LeaseService(lease, extend=None, spawn=None, codec=None)
    found = service.answer(lease.rows, TakeSignal(name="go", number=0, timeout_s=None))
    assert (found.has_come, found.wait, found.gen) == (False, GO, lease.job.gen)
