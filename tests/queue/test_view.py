from __future__ import annotations

import pytest

from oqkit.queue import control
from oqkit.queue.policy import Policy
from oqkit.queue.transition import Status, Verb
from oqkit.queue.view import _WORST_FIRST, JobStatus, JobView
from tests.queue.faulty import FaultyStore, cost


def view_of(world, job, **more):
    view = JobView(world.repository(), job, **more)
    view.refresh()
    return view


def counts(view):
    return {str(status): n for status, n in view.state.counts().items() if n}


@pytest.mark.parametrize(("n_tasks", "n_parts"), ((1, 1), (10, 1), (11, 2), (1000, 100)))
def test_refresh_of_an_untouched_job_costs_one_request(world, n_tasks, n_parts):
    job = world.job(n_tasks=n_tasks)
    world.submit(job)
    view = JobView(world.repository(), job)
    requests = cost(world, view.refresh)
    assert sum(requests.values()) == 1
    assert counts(view) == {"pending": n_tasks}
    assert len(list(view.state.parts())) == job.n_parts == n_parts


def test_refresh_reads_only_what_changed(world):
    job = world.job(n_tasks=300)
    world.submit(job)
    worker, view = world.worker(), view_of(world, job)
    for n_leases in (3, 0, 7, 1):
        for _ in range(n_leases):
            assert worker.step()
        requests = cost(world, view.refresh)
        assert requests["list"] == 1
        assert requests.get("get", 0) == n_leases


def test_refresh_lists_a_thousand_parts_at_once(world):
    job = world.job(n_tasks=2001, part_rows=1)
    world.submit(job)
    control.cancel(world.repository(), job.id)
    view = view_of(world, world.repository().read_job(job.id).doc)
    assert counts(view) == {"cancelled": 2001}
    assert cost(world, view.refresh) == {"get": 1}, "all has ended: only the job may have got an order"
    control.retry(world.repository(), job.id, statuses=control.RETRYABLE)
    view.refresh()
    assert counts(view) == {"pending": 2001}
    assert cost(world, view.refresh) == {"list": 3}


def test_counts_always_sum_to_the_number_of_tasks(world):
    job = world.job(n_tasks=95)
    world.submit(job)
    view, workers = view_of(world, job), [world.worker(f"w{n}", max_rows=3) for n in range(3)]
    verbs = [Verb.COMPLETE, Verb.FAIL, Verb.RETRY, Verb.COMPLETE]
    for n in range(60):
        workers[n % 3].step(verbs[n % 4])
        view.refresh()
        assert sum(view.state.counts().values()) == len(job_rows(view)) == 95
        world.clock.sleep(0.5)


def job_rows(view):
    return [one.state.status for part in view.state.parts() for one in part.stretches() for _ in range(one.n_rows)]


def test_status_follows_the_life_of_a_job(world):
    job = world.job(n_tasks=20)
    world.submit(job)
    view, worker = view_of(world, job), world.worker()
    assert (view.state.status, view.state.is_started, view.state.is_final, view.state.workers) == (
        "pending",
        False,
        False,
        set(),
    )
    lease = worker.find()
    view.refresh()
    assert (view.state.status, view.state.is_started, view.state.is_final, view.state.workers) == (
        "running",
        True,
        False,
        {"w"},
    )
    worker.finish(lease)
    worker.drain()
    view.refresh()
    assert (view.state.status, view.state.is_final, view.state.workers) == ("completed", True, set())


@pytest.mark.parametrize("n_tasks", (1, 20))
def test_status_tells_the_worst_that_happened(world, n_tasks):
    job = world.job(n_tasks=n_tasks)
    world.submit(job)
    worker = world.worker()
    worker.step(Verb.FAIL)
    worker.drain()
    assert view_of(world, job).state.status == "failed"


@pytest.mark.parametrize("n_tasks", (1, 20, 40))
def test_job_is_cancelling_until_every_part_says_so(world, n_tasks):
    job = world.job(n_tasks=n_tasks)
    world.submit(job)
    store, seen = FaultyStore(world.inner), []

    def look(verb, key):
        if "/parts/" in key:
            seen.append(view_of(world, world.repository().read_job(job.id).doc))

    store.before_write = look
    control.cancel(world.repository(store), job.id)
    assert [view.state.status for view in seen] == ["cancelling"] * job.n_parts
    assert not any(view.state.is_final for view in seen)
    assert view_of(world, world.repository().read_job(job.id).doc).state.status == "cancelled"


def test_view_learns_of_orders_given_elsewhere(world):
    job = world.job(n_tasks=20)
    world.submit(job)
    world.worker().drain(verb=Verb.FAIL)
    view = view_of(world, job)
    assert view.state.is_final
    control.retry(world.repository(), job.id)
    view.refresh()
    assert (view.state.is_final, view.state.job.gen, view.state.status) == (False, 2, "running")
    world.worker().drain()
    view.refresh()
    assert (view.state.is_final, view.state.status) == (True, "completed")


def test_view_that_knows_of_an_order_is_not_final_before_it_is_applied(world):
    job = world.job(n_tasks=20)
    world.submit(job)
    world.worker().drain(verb=Verb.FAIL)
    store = FaultyStore(world.inner)
    store.before_write = lambda verb, key: (_ for _ in ()).throw(KeyboardInterrupt) if "/parts/" in key else None
    with pytest.raises(KeyboardInterrupt):
        control.retry(world.repository(store), job.id)
    view = view_of(world, world.repository().read_job(job.id).doc)
    assert not view.state.is_final


def test_expired_job_says_so(world):
    job = world.job(n_tasks=20, policy=Policy(expires_at=world.now() + 5.0))
    world.submit(job)
    world.clock.sleep(10.0)
    world.worker().drain()
    view = view_of(world, job)
    assert (view.state.status, counts(view)) == ("expired", {"expired": 20})


def test_strange_objects_among_the_parts_are_passed_over(world):
    job = world.job(n_tasks=20)
    world.submit(job)
    for name in ("0000001.json~", "0000099.json", "x"):
        world.inner.overwrite(world.repository().keys_of(job).parts + name, b"?")
    assert counts(view_of(world, job)) == {"pending": 20}


def test_view_of_a_job_without_tasks_is_final(world):
    job = world.job(n_tasks=0)
    world.submit(job)
    view = view_of(world, job)
    assert (view.state.is_final, view.state.status, sum(view.state.counts().values())) == (True, "completed", 0)


def test_job_that_has_ended_is_what_tasks_of_it_are():
    final = {status for status in JobStatus if status.is_final}
    assert {status.value for status in final} == {status.value for status in Status if status.is_final}
    assert set(_WORST_FIRST) == final


def test_counts_name_every_status(world):
    job = world.job()
    world.submit(job)
    assert set(view_of(world, job).state.counts()) == set(Status)
