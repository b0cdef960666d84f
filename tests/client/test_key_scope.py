"""`submit(key=, scope=, key_ttl=)`: where a key counts, and for how long."""

from __future__ import annotations

import contextlib
import itertools
import re

import pytest

import oqkit as oq
from oqkit.client.queue import Queue
from oqkit.config import Settings
from oqkit.errors import DuplicateJob
from oqkit.queue.repository import open_repository
from oqkit.store.memory import MemoryStore
from oqkit.testing.race import race
from tests.client.sample import n_jobs, other, scaled
from tests.clock import FakeClock
from tests.local import WAIT_S, names_below
from tests.queue.faulty import Crash, CrashingStore, FaultyStore

SCOPES = ("type", "queue", "invoices", "a/b", "../up", "task scaled", "own queue", "é" * 512)


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def store(clock):
    return MemoryStore(clock=clock)


def queue_on(store) -> Queue:
    return Queue(open_repository(store), Settings(url=store.url))


def delete(task):
    """Delete the job of a task, as a person does it in the bucket."""
    store = task.job._repository.store
    store.delete_many([key for key in names_below(store) if task.job.id in key])


# --- scope= --------------------------------------------------------------------------------------


@pytest.mark.parametrize("scope", SCOPES)
def test_key_is_one_task_within_its_scope(queue, start, scope):
    first = queue.submit(scaled, {"x": 1}, key="order 7", scope=scope)
    assert queue.submit(scaled, {"x": 1}, key="order 7", scope=scope).id == first.id
    start()
    assert first.result(WAIT_S) == 2
    again = queue.submit(scaled, {"x": 1}, key="order 7", scope=scope)
    assert (again.id, again.status) == (first.id, "completed")
    assert n_jobs(queue) == 1


def test_scopes_do_not_meet(queue):
    """Nor do a scope and a task type of the same name."""
    named = [oq.task(name=name)(scaled) for name in ("queue", "type", "job", "own", "scaled")]
    tasks = [queue.submit(task, {"x": 1}, key="k") for task in named]
    tasks += [queue.submit(scaled, {"x": 1}, key="k", scope=scope) for scope in SCOPES[1:]]
    assert len({task.id for task in tasks}) == len(tasks)


def test_key_of_a_type_is_the_same_in_a_scope_that_is_not_given(queue):
    assert queue.submit(scaled, {"x": 1}, key="k").id == queue.submit(scaled, {"x": 1}, key="k", scope="type").id


@pytest.mark.parametrize(("scope", "called"), (("queue", "of the whole queue"), ("mine", "of scope 'mine'")))
def test_other_task_type_is_another_input_where_types_share_keys(queue, scope, called):
    first = queue.submit(scaled, {"x": 1}, key="k", scope=scope)
    told = f"key 'k' {called} was already used for another 'scaled' task, {first.id}: it is of type 'scaled' there and 'other' here"
    with pytest.raises(DuplicateJob, match=re.escape(told)):
        queue.submit(other, {"x": 1}, key="k", scope=scope)
    assert n_jobs(queue) == 1


@pytest.mark.parametrize(
    ("given", "told"),
    (
        ({"scope": "queue"}, "give key= as well"),
        ({"key_ttl": 5}, "give key= as well"),
        ({"key": "k", "scope": ""}, "scope='' must be text"),
        ({"key": "k", "scope": 7}, "scope=7 must be text"),
        ({"key": "k", "key_ttl": 0}, "key_ttl=0 must be more than 0"),
        ({"key": "k", "key_ttl": -1}, "key_ttl=-1 is not a duration"),
        ({"key": "k", "key_ttl": "soon"}, "key_ttl='soon' is not a duration"),
        ({"key": "k", "key_ttl": 1e12}, "at most three centuries"),
    ),
    ids=str,
)
def test_scope_and_ttl_that_cannot_be_are_refused_and_nothing_is_written(queue, given, told):
    with pytest.raises(oq.UsageError, match=told):
        queue.submit(scaled, {"x": 1}, **given)
    assert n_jobs(queue) == 0


# --- key_ttl= ------------------------------------------------------------------------------------


def test_key_makes_a_new_task_once_its_time_is_over(store, clock):
    queue = queue_on(store)
    tasks = []
    for _ in range(5):
        tasks += [queue.submit(scaled, {"x": 1}, key="k", key_ttl="1h")]
        clock.sleep(3599.0)
        assert queue.submit(scaled, {"x": 1}, key="k", key_ttl="1h").id == tasks[-1].id
        clock.sleep(1.1)
    assert len({task.id for task in tasks}) == n_jobs(queue) == 5


def test_key_whose_time_is_over_takes_another_input(store, clock):
    queue = queue_on(store)
    queue.submit(scaled, {"x": 1}, key="k", key_ttl=60)
    with pytest.raises(DuplicateJob, match="x is 1 there and 2 here"):
        queue.submit(scaled, {"x": 2}, key="k", key_ttl=60)
    clock.sleep(60.1)
    second = queue.submit(scaled, {"x": 2}, key="k", key_ttl=60)
    with pytest.raises(DuplicateJob, match=f"{second.id}: x is 2 there and 1 here"):
        queue.submit(scaled, {"x": 1}, key="k", key_ttl=60)


def test_submission_that_made_the_task_says_for_how_long_it_holds_the_key(store, clock):
    queue = queue_on(store)
    first = queue.submit(scaled, {"x": 1}, key="for ever")
    second = queue.submit(scaled, {"x": 1}, key="an hour", key_ttl="1h")
    clock.sleep(3590.0)
    assert queue.submit(scaled, {"x": 1}, key="an hour", key_ttl=1).id == second.id
    assert queue.submit(scaled, {"x": 1}, key="for ever", key_ttl=1).id == first.id
    clock.sleep(11.0)
    assert queue.submit(scaled, {"x": 1}, key="an hour").id != second.id  # and that one for ever
    clock.sleep(1e6)
    assert queue.submit(scaled, {"x": 1}, key="for ever").id == first.id
    assert n_jobs(queue) == 3


@pytest.mark.parametrize("n_before", (0, 1, 2, 5))
def test_concurrent_submissions_after_the_time_make_one_task(store, clock, n_before):
    for _ in range(n_before):
        queue_on(store).submit(scaled, {"x": 1}, key="k", key_ttl=60)
        clock.sleep(61.0)
    queues = [queue_on(store) for _ in range(8)]
    tasks = race([lambda q=q: q.submit(scaled, {"x": 1}, key="k", key_ttl=60) for q in queues])
    assert len({task.id for task in tasks}) == 1
    assert n_jobs(queue_on(store)) == n_before + 1
    assert len([key for key in names_below(store, "open/") if tasks[0].job.id in key]) == 1


@pytest.mark.parametrize("is_after", (False, True))
@pytest.mark.parametrize("n_before", (0, 1, 3))
def test_submission_that_died_anywhere_is_completed_by_the_next(clock, n_before, is_after):
    for at in itertools.count():
        store = MemoryStore(clock=clock)
        queue_on(store)  # which creates the queue
        for _ in range(n_before):
            queue_on(store).submit(scaled, {"x": 1}, key="k", key_ttl=60)
            clock.sleep(61.0)
        dying = CrashingStore(store, at=at, is_after=is_after)
        with contextlib.suppress(Crash):
            queue_on(dying).submit(scaled, {"x": 1}, key="k", key_ttl=60)
        task = queue_on(store).submit(scaled, {"x": 1}, key="k", key_ttl=60)
        assert queue_on(store).submit(scaled, {"x": 1}, key="k", key_ttl=60).id == task.id
        assert n_jobs(queue_on(store)) == n_before + 1
        assert [key for key in names_below(store, "open/") if task.job.id in key]
        if dying.n <= at:
            break
    assert at > 2  # it did die somewhere


@pytest.mark.parametrize("fault", ("drop", "zombie", "late", "conflict", "unsure"))
@pytest.mark.parametrize("n_before", (0, 2))
def test_lost_reply_makes_no_second_task(store, clock, n_before, fault):
    for _ in range(n_before):
        queue_on(store).submit(scaled, {"x": 1}, key="k", key_ttl=60)
        clock.sleep(61.0)
    n_creates = n_before + 1
    for number in range(min(n_creates, 2)):
        faulty = FaultyStore(store, ("",) * number + (fault,), only="jobs/")
        task = queue_on(faulty).submit(scaled, {"x": 1}, key="k", key_ttl=60)
        assert queue_on(store).submit(scaled, {"x": 1}, key="k", key_ttl=60).id == task.id
    assert n_jobs(queue_on(store)) == n_before + 1


@pytest.mark.parametrize("n_before", (0, 1, 4))
def test_deleted_task_frees_its_key(store, clock, n_before):
    queue = queue_on(store)
    for _ in range(n_before):
        queue.submit(scaled, {"x": 0}, key="k", key_ttl=60)
        clock.sleep(61.0)
    delete(queue.submit(scaled, {"x": 1}, key="k", key_ttl=60))
    second = queue.submit(scaled, {"x": 2}, key="k", key_ttl=60)  # another input
    assert queue_on(store).submit(scaled, {"x": 2}, key="k", key_ttl=60).id == second.id
    assert n_jobs(queue) == n_before + 1


def test_key_with_a_scope_and_a_time_costs_no_request_more(store, clock):
    queue = queue_on(store)
    queue.submit(scaled, {"x": 1})

    def cost(**more):
        before = store.requests.snapshot()
        queue.submit(scaled, {"x": 1}, **more)
        return dict(store.requests.snapshot() - before)

    assert cost(key="a") == cost(key="a", scope="queue") == cost(key="a", scope="own", key_ttl=5)
    for _ in range(64):
        clock.sleep(5.0)
        queue.submit(scaled, {"x": 1}, key="a", scope="own", key_ttl=5)
    clock.sleep(5.0)
    assert sum(cost(key="a", scope="own", key_ttl=5).values()) < 25  # by halving, not one after the other
