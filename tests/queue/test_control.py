from __future__ import annotations

from contextlib import suppress

import pytest

from oqkit.errors import FormatError, LeaseLost, Missing, UsageError
from oqkit.queue import control
from oqkit.queue.commit import Commit, Outcome
from oqkit.queue.job import Code, ControlVerb
from oqkit.queue.key import parse_marker
from oqkit.queue.policy import Policy
from oqkit.queue.rows import Rows
from oqkit.queue.transition import Status, Verb
from oqkit.queue.view import JobView
from tests.queue.faulty import Crash, CrashingStore, FaultyStore, cost


def test_cancel_writes_also_the_parts_that_nobody_touched(world):
    job = world.job(n_tasks=35)
    world.submit(job)
    control.cancel(world.repository(), job.id, reason="wrong input")
    assert world.statuses(job) == {"cancelled": 35}
    assert len([key for key in world.listed("work/") if "/parts/" in key]) == 4
    assert world.parts(job)[3].log[-1].note == "wrong input"


def test_cancel_leaves_what_is_finished(world):
    job = world.job(n_tasks=30)
    world.submit(job)
    worker = world.worker()
    worker.step()
    worker.step(Verb.FAIL)
    control.cancel(world.repository(), job.id)
    assert world.statuses(job) == {"completed": 10, "failed": 10, "cancelled": 10}


def test_cancel_of_all_rows_by_their_numbers_ends_the_pause_as_a_cancel_of_the_job_does(world):
    job = world.job(n_tasks=15)
    world.submit(job)
    control.pause(world.repository(), job.id)
    cancelled = control.cancel(world.repository(), job.id, rows=Rows.span(0, 15))
    assert cancelled.pause(world.now()) is None
    assert world.statuses(job) == {"cancelled": 15}
    world.worker().drain()
    assert world.markers() == []


def test_cancel_of_some_rows_crosses_parts(world):
    job = world.job(n_tasks=40)
    world.submit(job)
    control.cancel(world.repository(), job.id, rows=Rows.ranged([(8, 12), (39, 40)]))
    cancelled = [
        part.index * 10 + row
        for part in world.parts(job)
        for row in range(10)
        if part.state_at(row).status == "cancelled"
    ]
    assert cancelled == [8, 9, 10, 11, 39]
    world.worker().drain()
    assert world.statuses(job) == {"completed": 35, "cancelled": 5}


def test_cancel_takes_any_order_of_rows(world):
    job = world.job(n_tasks=40)
    world.submit(job)
    control.cancel(world.repository(), job.id, rows=Rows.ranged([(30, 31), (7, 8), (2, 5), (4, 6), (1, 3)]))
    assert world.statuses(job) == {"cancelled": 7, "pending": 33}


def test_cancel_of_pending_rows_lets_running_ones_finish(world):
    job = world.job(n_tasks=20)
    world.submit(job)
    worker = world.worker(max_rows=4)
    lease = worker.find()
    control.cancel(world.repository(), job.id, statuses=(Status.PENDING,))
    worker.finish(lease)
    assert world.statuses(job) == {"completed": 4, "cancelled": 16}


def test_cancelled_rows_drop_out_of_a_lease_with_its_next_commit(world):
    job = world.job(n_tasks=10)
    world.submit(job)
    worker = world.worker()
    lease = worker.find()
    control.cancel(world.repository(), job.id, rows=Rows.span(3, 7))
    lease.commit(Commit())
    assert lease.rows == Rows.ranged([(0, 3), (7, 10)])
    worker.finish(lease)
    assert world.statuses(job) == {"completed": 6, "cancelled": 4}


def test_outcome_on_its_way_is_not_recorded_for_a_cancelled_row(world):
    job = world.job(n_tasks=2)
    world.submit(job)
    lease = world.worker().find()
    control.cancel(world.repository(), job.id, rows=Rows.span(0, 1))
    completed = Outcome(verb=Verb.COMPLETE, rows=Rows.span(0, 2))
    lease.commit(Commit(outcomes=[completed], output={"x": 1}, is_last=True))
    (part,) = world.parts(job)
    assert [str(part.state_at(row).status) for row in (0, 1)] == ["cancelled", "completed"]
    assert part.state_at(0).output == ""


def test_cancel_of_an_unknown_job_is_missing(world):
    with pytest.raises(Missing):
        control.cancel(world.repository(), "k" + "0" * 17)


def test_cancel_of_a_job_without_tasks_is_fine(world):
    job = world.job(n_tasks=0)
    world.submit(job)
    assert control.cancel(world.repository(), job.id).gen == 2
    assert world.markers() == []


def test_retry_reopens_failed_rows_only(world):
    job = world.job(n_tasks=30)
    world.submit(job)
    worker = world.worker()
    worker.step()
    worker.step(Verb.FAIL)
    control.cancel(world.repository(), job.id)
    control.retry(world.repository(), job.id)
    assert world.statuses(job) == {"completed": 10, "pending": 10, "cancelled": 10}
    control.retry(world.repository(), job.id, statuses=control.RETRYABLE)
    assert world.statuses(job) == {"completed": 10, "pending": 20}
    world.worker().drain()
    assert world.statuses(job) == {"completed": 30}


def test_retry_of_some_rows_leaves_the_others(world):
    job = world.job(n_tasks=20)
    world.submit(job)
    world.worker().drain(verb=Verb.FAIL)
    control.retry(world.repository(), job.id, rows=Rows.span(5, 15))
    world.worker().drain()
    assert world.statuses(job) == {"completed": 10, "failed": 10}
    assert world.markers() == []


def test_retry_raises_the_generation_of_the_marker(world):
    job = world.job()
    world.submit(job)
    world.worker().drain(verb=Verb.FAIL)
    control.retry(world.repository(), job.id)
    assert [parse_marker(key).gen for key in world.markers()] == [2]


def test_retry_with_other_code_moves_the_marker_to_its_topic(world):
    job = world.job()
    world.submit(job)
    world.worker().drain(verb=Verb.FAIL)
    control.retry(world.repository(), job.id, code=Code(digest="d" * 64))
    assert [parse_marker(key).topic for key in world.markers()] == ["code-score"]


def test_expired_rows_can_be_put_back_and_run(world):
    job = world.job(n_tasks=20, policy=Policy(expires_at=world.now() + 10.0))
    world.submit(job)
    world.clock.sleep(20.0)
    world.worker().drain()
    assert world.statuses(job) == {"expired": 20}
    control.retry(world.repository(), job.id, statuses=(Status.EXPIRED,))
    world.worker().drain()
    assert world.statuses(job) == {"completed": 20}


def test_controls_are_applied_in_the_order_they_were_given(world):
    """A part that nobody met for three generations ends up as if it had been there all the time."""
    job = world.job(n_tasks=20)
    world.submit(job)
    repository = world.repository()
    store = FaultyStore(world.inner)
    store.before_write = lambda verb, key: (_ for _ in ()).throw(KeyboardInterrupt) if "/parts/" in key else None
    for order in (control.cancel, control.retry, control.cancel):
        with suppress(KeyboardInterrupt):  # a retry has no part to write
            order(world.repository(store), job.id)
    assert [c.verb for c in repository.read_job(job.id).doc.controls] == [
        ControlVerb.CANCEL,
        ControlVerb.RETRY,
        ControlVerb.CANCEL,
    ]
    world.worker().drain()
    assert world.statuses(job) == {"cancelled": 20}


def test_control_given_twice_is_harmless(world):
    job = world.job(n_tasks=20)
    world.submit(job)
    for _ in range(3):
        control.cancel(world.repository(), job.id)
    assert world.statuses(job) == {"cancelled": 20}
    assert {part.gen for part in world.parts(job)} == {4}


def test_order_given_while_a_worker_claims_is_obeyed_either_way(world):
    """Whoever is first: afterwards the row is cancelled and its worker writes nothing."""
    job = world.job(n_tasks=5)
    world.submit(job)
    store = FaultyStore(world.inner)
    worker = world.worker(repository=world.repository(store))

    def cancelled_just_before(verb, key):
        if "/parts/" in key:
            store.before_write = None
            control.cancel(world.repository(), job.id)

    store.before_write = cancelled_just_before
    lease = worker.find()
    if lease is not None:
        with pytest.raises(LeaseLost):
            worker.finish(lease)
    assert world.statuses(job) == {"cancelled": 5}


def test_poison_part_does_not_keep_a_cancel_from_the_others(world):
    job = world.job(n_tasks=40)
    world.submit(job)
    key = world.repository().keys_of(job).part(1)
    world.inner.overwrite(key, b"poison")
    with pytest.raises(FormatError, match=key):
        control.cancel(world.repository(), job.id)
    repository = world.repository()
    stored = repository.read_job(job.id).doc
    assert [str(repository.read_part(stored, n).doc.state_at(0).status) for n in (0, 2, 3)] == ["cancelled"] * 3


# --- priority and tags ---------------------------------------------------------------------------


def test_reprioritized_job_has_a_marker_of_its_new_generation_and_priority_and_keeps_its_place(world):
    job = world.job(n_tasks=3)
    world.submit(job)
    before = parse_marker(*world.markers())
    world.clock.sleep(50.0)
    after = control.reprioritize(world.repository(), job.id, 200, by="me")
    newest = max(map(parse_marker, world.markers()), key=lambda marker: marker.gen)
    assert (after.priority, after.gen, after.controls[-1].by) == (200, 2, "me")
    assert (newest.priority, newest.gen, newest.due) == (200, 2, before.due)


def test_reprioritized_job_comes_before_others_whether_it_waits_or_runs(world):
    jobs = [world.job(n, n_tasks=20, priority=128) for n in range(3)]
    for job in jobs:
        world.submit(job)
    worker = world.worker()
    worker.finish(worker.find())
    control.reprioritize(world.repository(), jobs[2].id, 200)
    control.reprioritize(world.repository(), jobs[0].id, 50)
    world.clock.sleep(2.0)
    seen = []
    while (lease := worker.find()) is not None:
        seen.append(lease.job.id)
        worker.finish(lease)
    order = list(dict.fromkeys(seen))
    assert order == [jobs[2].id, jobs[1].id, jobs[0].id]
    worker.drain()
    assert all(world.statuses(job) == {"completed": 20} for job in jobs)
    assert world.markers() == []


def test_lowered_job_is_known_by_its_newest_marker_to_a_worker_that_never_read_it(world):
    lowered, other = world.job(1, priority=128), world.job(2, priority=100)
    for job in (lowered, other):
        world.submit(job)
    control.reprioritize(world.repository(), lowered.id, 50)
    assert world.worker().find().job.id == other.id


@pytest.mark.parametrize("at", range(5))
@pytest.mark.parametrize("is_after", (False, True))
def test_caller_of_reprioritize_that_dies_anywhere_loses_no_task(world, at, is_after):
    job = world.job(n_tasks=30)
    world.submit(job)
    with suppress(Crash):
        control.reprioritize(world.repository(CrashingStore(world.inner, at=at, is_after=is_after)), job.id, 200)
    world.worker().drain()
    assert world.statuses(job) == {"completed": 30}
    assert world.markers() == []


def test_reprioritize_writes_no_part(world):
    job = world.job(n_tasks=30)
    world.submit(job)
    control.reprioritize(world.repository(), job.id, 200)
    assert not any("/parts/" in key for key in world.listed("work/"))


def test_tags_are_set_changed_and_removed_in_one_write_and_one_for_each_in_the_index_and_no_worker_is_told(world):
    job = world.job(tags={"team": "a", "old": "x"})
    world.submit(job)
    markers = world.markers()
    requests = cost(world, lambda: control.tag(world.repository(), job.id, {"team": "b", "old": None, "new": "y"}))
    assert world.repository().read_job(job.id).doc.tags == {"team": "b", "new": "y"}
    assert requests == {"get": 1 + 1, "put": 1 + 2, "delete": 2}  # the entries of the tags that it has now, and had
    assert [key.rpartition("/")[0] for key in world.listed("tags/")] == ["tags/new/=y", "tags/team/=b"]
    assert world.markers() == markers
    world.worker().drain()
    assert (world.statuses(job), world.markers()) == ({"completed": 1}, [])


def test_more_tags_than_a_job_may_have_are_refused_and_it_is_left_as_it_was(world):
    job = world.job(tags={f"t{n}": "" for n in range(15)})
    world.submit(job)
    with pytest.raises(UsageError, match="would have 21 tags: at most 20"):
        control.tag(world.repository(), job.id, {f"u{n}": "" for n in range(6)})
    assert len(world.repository().read_job(job.id).doc.tags) == 15
    control.tag(world.repository(), job.id, {"t0": None, **{f"u{n}": "" for n in range(6)}})


@pytest.mark.parametrize("order", ("reprioritize", "tag"))
def test_job_with_such_an_order_says_so_to_versions_that_do_not_know_it(world, order):
    job = world.job()
    world.submit(job)
    for _ in range(2):
        if order == "tag":
            control.tag(world.repository(), job.id, {"a": "b"})
        else:
            control.reprioritize(world.repository(), job.id, 5)
    assert world.repository().read_job(job.id).doc.requires == (order,)


def test_job_that_is_being_cancelled_shows_so_whatever_tags_it_is_given(world):
    job = world.job(n_tasks=30)
    world.submit(job)
    with suppress(Crash):
        control.cancel(world.repository(CrashingStore(world.inner, at=3, is_after=True)), job.id)
    control.tag(world.repository(), job.id, {"a": "b"})
    view = JobView(world.repository(), world.repository().read_job(job.id).doc)
    assert view.refresh().status == "cancelling"
