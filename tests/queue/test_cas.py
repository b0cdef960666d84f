from __future__ import annotations

import itertools
import random

import pytest

from oqkit.errors import Conflict, FormatError, LeaseLost, Missing, Unavailable
from oqkit.limits import QueueLimits
from oqkit.queue import control
from oqkit.queue.cas import JOB, PART, CasLoop
from oqkit.queue.commit import Commit, Outcome
from oqkit.queue.job import ControlVerb
from oqkit.queue.part import Lease, claim, commit, fresh
from oqkit.queue.policy import Policy
from oqkit.queue.rows import Rows
from oqkit.queue.transition import Status, Verb
from tests.queue.faulty import FaultyStore, World

LIMITS = QueueLimits()

FAULTS = ("refuse", "drop", "zombie", "late", "conflict", "unsure")
SCRIPTS = [
    *itertools.product(FAULTS, repeat=1),
    *itertools.product(FAULTS, repeat=2),
    *(("drop", "unsure", "late"), ("zombie", "zombie", "zombie"), ("late", "conflict", "drop"), ("refuse",) * 5),
]
KEY = "parts/0.json"
POLICY = Policy()
scripts = pytest.mark.parametrize("script", SCRIPTS, ids="-".join)


def claiming(lease="a", *, now=0.0, max_rows=100):
    def change(part):
        one = Lease(id=lease, worker="w", expires=now + 60.0)
        return claim(part, one, max_rows=max_rows, now=now, policy=POLICY, chance=0.5, limits=LIMITS)

    return change


def claiming_at_first():
    """Claim a row in the first attempt and none afterwards, as a worker does that may start nothing any more."""
    rooms = iter((1,))

    def change(part):
        return claiming(max_rows=next(rooms, 0))(part)

    return change


def has_lease(lease):
    return lambda part: any(one.id == lease for one in part.leases)


def part_of(world):
    return PART.load(world.inner.read(KEY).data, KEY)


def loop_over(store):
    return CasLoop(store, random.Random(3), limits=LIMITS)


def update(store, change, applied, **more):
    return loop_over(store).update(PART, KEY, change, applied=applied, absent=fresh("job", 0, n_rows=4, gen=1), **more)


# --- one writer and every fault -----------------------------------------------------------------


@scripts
def test_claim_that_creates_the_part_is_applied_once(world, script):
    store = FaultyStore(world.inner, script)
    held = update(store, claiming(), has_lease("a"))
    store.land("late")
    part = part_of(world)
    assert held.doc == part
    assert (part.counts()[Status.RUNNING], part.state_at(0).attempt, part.rev) == (4, 1, 1)


@scripts
def test_commit_is_applied_once(world, script):
    update(world.inner, claiming(), has_lease("a"))

    def change(part):
        outcome = Outcome(verb=Verb.RETRY, rows=part.held("a"))
        given = Commit(outcomes=[outcome], is_last=True)
        return commit(part, "a", given, now=5.0, policy=POLICY, chance=0.5, lease_s=60.0)

    store = FaultyStore(world.inner, script)
    held = update(store, change, lambda part: part.has_commit("a", 1))
    store.land("late")
    part = part_of(world)
    assert held.doc == part
    assert (part.state_at(0).used, part.state_at(0).status, part.leases) == (1, Status.PENDING, ())
    assert [str(event.verb) for event in part.log] == ["claim", "retry"]
    assert part.rev == 2


@scripts
def test_checkpoints_in_a_row_are_each_applied_once(world, script):
    world.submit(world.job(n_tasks=4))
    store = FaultyStore(world.inner, only="parts/")
    worker = world.worker(repository=world.repository(store))
    lease = worker.find()
    for row in range(4):
        store.script = list(script)
        outcome, output = Outcome(verb=Verb.COMPLETE, rows=Rows.span(row, row + 1)), b"row %d" % row
        lease.put_output(output)
        lease.commit(Commit(outcomes=[outcome], output=output, is_last=row == 3))
    store.land("late")
    (part,) = world.parts(lease.job)
    assert part.counts()[Status.COMPLETED] == 4
    assert [one.state.output for one in part.stretches()] == [f"{lease.id}.{n}" for n in range(1, 5)]
    assert [str(event.verb) for event in part.log] == ["claim", *["complete"] * 4]
    outputs = [key for key in world.listed("work/") if "/out/" in key]
    assert [world.inner.read(key).data for key in outputs] == [b"row %d" % row for row in range(4)]


@scripts
def test_job_is_created_once_and_its_submitter_knows(world, script):
    store = FaultyStore(world.inner, script, only="jobs/")
    submitted = world.submit(world.job(), world.repository(store))
    store.land("late")
    assert submitted.is_new
    assert len(world.listed("jobs/")) == 1
    assert len(world.markers()) == 1
    assert world.repository().read_job(submitted.job.id).doc == submitted.job


@scripts
def test_two_submitters_of_one_id_agree_who_was_first(world, script):
    faulty = FaultyStore(world.inner, script, only="jobs/")
    rival = world.job(5)

    def rival_submits(verb, key):
        if key.startswith("jobs/") and not world.listed("jobs/"):
            faulty.before_write = None
            world.submit(rival)

    faulty.before_write = rival_submits
    submitted = world.submit(world.job(5), world.repository(faulty))
    faulty.land("late")
    assert not submitted.is_new
    assert submitted.job.origin == rival.origin
    assert len(world.listed("jobs/")) == 1


@scripts
def test_control_is_given_once(world, script):
    job = world.job(n_tasks=25)
    world.submit(job)
    store = FaultyStore(world.inner, script, only="jobs/")
    control.cancel(world.repository(store), job.id)
    store.land("late")
    stored = world.repository().read_job(job.id).doc
    assert [one.verb for one in stored.controls] == [ControlVerb.CANCEL]
    assert stored.rev == 2
    assert world.statuses(job) == {"cancelled": 25}


@scripts
def test_marker_is_put_up(world, script):
    store = FaultyStore(world.inner, [one for one in script if one not in ("conflict", "unsure")], only="open/")
    world.submit(world.job(), world.repository(store))
    assert len(world.markers()) == 1


@scripts
def test_put_once_writes_the_bytes(world, script):
    store = FaultyStore(world.inner, [one for one in script if one != "unsure"])
    loop_over(store).put_once("out/a", b"data")
    store.land("late")
    assert world.inner.read("out/a").data == b"data"


@scripts
def test_single_task_is_run_once_whatever_each_write_meets(world, script):
    """The faults meet every kind of write in turn: payload, job, marker, bell, claim, commit, clearing up."""
    for offset in range(9):
        fresh_world = World()
        job = fresh_world.job()
        script_at = ("",) * offset + tuple(one for one in script if one not in ("conflict", "unsure"))
        store = FaultyStore(fresh_world.inner, script_at)
        repository = fresh_world.repository(store)
        assert fresh_world.submit(job, repository).is_new
        worker = fresh_world.worker(repository=repository)
        worker.drain()
        store.land("late")
        assert fresh_world.statuses(job) == {"completed": 1}
        assert worker.ran == {(job.id, 0): 1}
        assert fresh_world.parts(job)[0].state_at(0).attempt == 1


# --- several writers ----------------------------------------------------------------------------


@scripts
def test_commit_is_evident_although_others_wrote_before_the_read_back(world, script):
    update(world.inner, claiming("a", max_rows=1), has_lease("a"))
    store = FaultyStore(world.inner, script)
    names = iter("bcdefgh")

    def others_write(verb, key):
        if len(part_of(world).leases) < 4:
            name = next(names)
            update(world.inner, claiming(name, max_rows=1), has_lease(name))

    store.before_read = others_write

    def change(part):
        outcome = Outcome(verb=Verb.COMPLETE, rows=part.held("a"))
        given = Commit(outcomes=[outcome], is_last=True)
        return commit(part, "a", given, now=5.0, policy=POLICY, chance=0.5, lease_s=60.0)

    held = update(store, change, lambda part: part.has_commit("a", 1))
    store.land("late")
    part = part_of(world)
    assert held.doc.has_commit("a", 1)
    assert part.state_at(0).status is Status.COMPLETED
    assert [str(event.verb) for event in part.log].count("complete") == 1


@pytest.mark.parametrize("fault", ("zombie", "late", "refuse", "unsure"))
def test_told_lost_is_never_in_the_document_afterwards(world, fault):
    """The commit is on its way, the lease is taken over, then the commit lands: its condition must fail."""
    update(world.inner, claiming("a"), has_lease("a"))
    store = FaultyStore(world.inner, (fault,))

    def taken_over(verb, key):
        if not has_lease("b")(part_of(world)):
            update(world.inner, claiming("b", now=100.0), lambda part: not has_lease("a")(part))

    store.before_read = taken_over
    held = loop_over(world.inner).read(PART, KEY)

    def change(part):
        outcome = Outcome(verb=Verb.COMPLETE, rows=part.held("a"))
        given = Commit(outcomes=[outcome], is_last=True)
        return commit(part, "a", given, now=5.0, policy=POLICY, chance=0.5, lease_s=60.0)

    with pytest.raises(LeaseLost):
        update(store, change, lambda part: part.has_commit("a", 1), held=held)
    store.land("zombie")
    store.land("late")
    assert part_of(world).counts()[Status.COMPLETED] == 0
    assert not part_of(world).has_commit("a", 1)


def test_claim_that_lands_after_it_was_given_up_is_only_a_lease_that_runs_out(world):
    job = world.job(n_tasks=3)
    world.submit(job)
    store = FaultyStore(world.inner, only="parts/")
    store.script = ["someday"] * 10_000
    worker = world.worker("unlucky", repository=world.repository(store))
    with pytest.raises(Unavailable):
        worker.find()
    store.land("someday")
    assert len(world.parts(job)[0].leases) == 1
    world.worker("lucky").drain()
    assert world.statuses(job) == {"completed": 3}


def test_same_commit_repeated_after_the_loop_gave_up_is_applied_once(world):
    job = world.job(n_tasks=2)
    world.submit(job)
    store = FaultyStore(world.inner, only="parts/")
    worker = world.worker(repository=world.repository(store))
    lease = worker.find()
    store.script = ["drop"] + ["refuse"] * 10_000
    store.before_read = lambda verb, key: (_ for _ in ()).throw(Unavailable("down")) if "parts/" in key else None
    given = Commit(outcomes=[Outcome(verb=Verb.RETRY, rows=Rows.span(0, 1))])
    with pytest.raises(Unavailable):
        lease.commit(given)
    store.script, store.before_read = [], None
    lease.commit(given)
    (part,) = world.parts(job)
    assert (part.state_at(0).status, part.state_at(0).used, part.state_at(1).lease) == (Status.PENDING, 1, lease.id)
    assert part.lease(lease.id).commits == 1


def test_every_write_raises_rev_by_one_and_has_an_op_of_its_own(world):
    job = world.job(n_tasks=30, part_rows=30)
    world.submit(job)
    worker = world.worker(max_rows=4)
    worker.drain()
    key = world.repository().keys_of(job).part(0)
    states = [PART.load(version.data, key) for version in world.inner.versions(key)][::-1]
    assert [state.rev for state in states] == list(range(1, len(states) + 1))
    assert len({state.op for state in states}) == len(states) >= 16


def test_document_that_came_back_to_an_earlier_state_has_other_bytes(world):
    """ABA: an MD5 etag of equal bytes would let a zombie in."""
    first = update(world.inner, claiming("a"), has_lease("a"))
    data = world.inner.read(KEY).data

    def clear(part):
        return fresh("job", 0, n_rows=4, gen=1)

    update(world.inner, clear, lambda part: False)
    again = update(world.inner, claiming("a"), has_lease("a"))
    assert again.doc.states == first.doc.states
    assert world.inner.read(KEY).data != data


# --- the edges of the loop ----------------------------------------------------------------------


def test_change_that_changes_nothing_writes_nothing(world):
    before = world.inner.requests.snapshot()
    held = update(world.inner, lambda part: part, lambda part: False)
    assert held.etag is None
    assert world.inner.requests.snapshot() - before == {"get": 1}


@pytest.mark.parametrize("is_there", (False, True))
@pytest.mark.parametrize("fault", FAULTS)
def test_what_was_told_to_have_changed_nothing_does_not_land_later(world, fault, is_there):
    if is_there:
        update(world.inner, claiming("first", max_rows=1), has_lease("first"))
    store = FaultyStore(world.inner, ("someday" if fault == "late" else fault,))
    held = update(store, claiming_at_first(), has_lease("a"))
    store.land("someday")
    store.land("late")
    is_stored = bool(world.listed("parts/")) and has_lease("a")(part_of(world))
    assert has_lease("a")(held.doc) is is_stored


def test_change_that_changes_nothing_after_others_have_written_writes_nothing(world):
    """The document that the earlier write was to replace is gone, so it cannot land any more."""
    update(world.inner, claiming("b", max_rows=1), has_lease("b"))
    store = FaultyStore(world.inner, ("someday",))
    held = loop_over(world.inner).read(PART, KEY)
    update(world.inner, claiming("c", max_rows=1), has_lease("c"))
    update(store, claiming_at_first(), has_lease("a"), held=held)
    store.land("someday")
    assert (part_of(world).rev, has_lease("a")(part_of(world))) == (2, False)


def test_change_that_is_there_already_writes_nothing(world):
    update(world.inner, claiming("a"), has_lease("a"))
    before = world.inner.requests.snapshot()
    update(world.inner, claiming("a"), has_lease("a"))
    assert world.inner.requests.snapshot() - before == {"get": 1}


def test_stale_knowledge_costs_one_conflict_and_one_read(world):
    old = update(world.inner, claiming("a", max_rows=1), has_lease("a"))
    update(world.inner, claiming("b", max_rows=1), has_lease("b"))
    before = world.inner.requests.snapshot()
    held = update(world.inner, claiming("c", max_rows=1), has_lease("c"), held=old)
    assert held.doc.held("c") == Rows.span(2, 3)
    assert world.inner.requests.snapshot() - before == {"get": 1, "put": 2}


def test_refusal_by_the_change_goes_to_the_caller(world):
    def change(part):
        raise LeaseLost("a")

    with pytest.raises(LeaseLost):
        update(world.inner, change, lambda part: False)


def test_missing_document_that_means_nothing_is_missing(world):
    with pytest.raises(Missing):
        loop_over(world.inner).update(JOB, "jobs/x.json", lambda job: job, applied=lambda job: False)


@pytest.mark.parametrize("script", ((), ("unsure",), ("refuse",)), ids=repr)
def test_document_deleted_meanwhile_is_missing_and_not_created_again(world, script):
    """Some servers answer a replace of what is gone like a conflict."""
    held = update(world.inner, claiming("a", max_rows=1), has_lease("a"))
    store = FaultyStore(world.inner, script)
    store.before_write = lambda verb, key: world.inner.delete(key)
    with pytest.raises(Missing):
        update(store, claiming("b"), has_lease("b"), held=held)
    assert not world.listed("parts/")


def test_poison_document_goes_to_the_caller_at_once(world):
    world.inner.overwrite(KEY, b"poison")
    before = world.clock.time_s
    with pytest.raises(FormatError, match=KEY):
        update(world.inner, claiming("a"), has_lease("a"))
    assert world.clock.time_s == before


@pytest.mark.parametrize("fault", ("refuse", "unsure"))
def test_loop_gives_up_after_its_patience(world, fault):
    store = FaultyStore(world.inner, (fault,) * 100_000)
    began = world.clock.time_s
    with pytest.raises(Unavailable, match=KEY):
        update(store, claiming("a"), has_lease("a"))
    assert 60.0 <= world.clock.time_s - began <= 60.0 + LIMITS.retry_longest_s
    used = 100_000 - len(store.script)
    assert 30 <= used < 200, "it neither hammers nor sleeps through its patience"
    assert not world.listed("parts/")


def test_waits_are_jittered_so_that_rivals_do_not_meet_again(world):
    waits = set()
    for seed in range(20):
        began = world.clock.time_s
        attempts = CasLoop(world.inner, random.Random(seed), limits=LIMITS).attempts()
        for _ in range(4):
            next(attempts)
        waits.add(round(world.clock.time_s - began, 9))
    assert len(waits) == 20


def test_conflict_never_leaves_the_queue(world):
    store = FaultyStore(world.inner, ("unsure",) * 100_000)
    for call in (
        lambda: update(store, claiming("a"), has_lease("a")),
        lambda: world.repository(store).create_job(world.job()),
        lambda: world.submit(world.job(), world.repository(store)),
    ):
        with pytest.raises(Exception) as caught:
            call()
        assert not isinstance(caught.value, Conflict)
