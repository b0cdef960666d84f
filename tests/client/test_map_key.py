"""`map(fn, items, key="id")`: an item that is known under another job is not run again."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import itertools
import pickle
import random
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

import oqkit as oq
from oqkit.client.duplicate import canonical
from oqkit.client.item_key import plain
from oqkit.client.queue import Queue
from oqkit.config import Settings
from oqkit.errors import DuplicateJob, JobFailed, SchemaError, Unavailable, UsageError
from oqkit.limits import ClientLimits, Limits
from oqkit.payload.item_places import ItemPlaces
from oqkit.queue.repository import open_repository
from oqkit.store.memory import MemoryStore
from oqkit.testing.race import race
from tests.client.sample import n_jobs
from tests.local import WAIT_S, names_below, work_off
from tests.queue.faulty import Crash, CrashingStore, FaultyStore

CALLS: Counter[int] = Counter()
SOON = Limits(client=ClientLimits(item_grace_s=0.0))
"""Whoever died is not waited for."""


@oq.task(retries=0)
def score(id, x=0):  # noqa: A002 - the field that items are known by
    CALLS[id] += 1
    if x == 13:
        raise ValueError("no luck")
    return id * 10 + x


@pytest.fixture(autouse=True)
def _no_calls():
    CALLS.clear()


def items(*ids, **more):
    return [{"id": one, **more} for one in ids]


def queue_on(store, limits=SOON):
    return Queue(open_repository(store, limits=limits), Settings(url=store.url))


@pytest.fixture
def store():
    store = MemoryStore()
    queue_on(store)
    return store


# --- what is run, and what comes back -----------------------------------------------------------


def test_item_that_is_known_runs_once_and_its_result_comes_from_its_job(queue):
    first = queue.map(score, items(1, 2, 3), key="id")
    second = queue.map(score, items(5, 3, 4, 1), key="id")
    third = queue.map(score, items(4, 2), key="id")
    assert (len(first), len(second), len(third)) == (3, 2, 0)
    work_off(queue, score)
    assert dict.fromkeys(range(1, 6), 1) == CALLS
    assert first.result(WAIT_S)["score"].tolist() == [10, 20, 30]
    assert second.result(WAIT_S)["score"].tolist() == [50, 30, 40, 10]
    assert third.result(WAIT_S)["score"].tolist() == [40, 20]


def test_handle_that_is_found_again_gives_the_same(queue):
    queue.map(score, items(1, 2), key="id")
    job = queue.map(score, items(2, 3), key="id")
    work_off(queue, score)
    for again in (queue.job(job.id), pickle.loads(pickle.dumps(job))):
        assert again == job
        assert again.result(WAIT_S)["score"].tolist() == [20, 30]


def test_same_items_again_are_the_same_job(queue):
    job = queue.map(score, items(1, 2), key="id")
    assert queue.map(score, [{"x": 0, "id": 1}, {"id": 2}][1:] + items(1), key="id").id != job.id  # another order
    assert queue.map(score, items(1, 2), key="id").id == job.id


def test_result_is_waited_for_in_other_jobs_too(queue):
    first = queue.map(score, items(1), key="id")
    job = queue.map(score, items(1, 1), key="id")
    assert len(job) == 0
    assert not job.done()
    assert job.partial().empty
    with pytest.raises(oq.WaitTimeout):
        job.result(0)
    work_off(queue, score)
    assert job.done()
    assert first.done()
    assert job.result(WAIT_S)["score"].tolist() == [10, 10]


def test_other_tasks_of_other_jobs_are_not_waited_for(queue, start):
    @oq.task(name="score")
    def some(id):  # noqa: A002
        if id == 2:
            raise oq.Reschedule(3600.0)
        return id * 10

    first = queue.map("score", items(1, 2), key="id", part_rows=1)
    job = queue.map("score", items(1, 3), key="id")
    start(some)
    assert job.result(WAIT_S)["score"].tolist() == [10, 30]
    assert job.done()
    assert not first.done()
    assert asyncio.run(awaited(job)) is job


async def awaited(job):
    return await job


def test_item_that_is_no_row_of_its_job_is_refused(store):
    queue = queue_on(store)
    first = queue.map("score", items(1), key="id")
    job = queue.map("score", items(1, 2), key="id")
    key = queue.repository.read_job(job.id).doc.input["places"]
    store.overwrite(key, ItemPlaces(job=np.array([first.id, job.id], object), row=np.array([7, 0])).dump())
    work_off(queue, score)
    with pytest.raises(oq.FormatError, match=f"an item that is row 7 of job {first.id}, which has 1"):
        queue.job(job.id).done()


def test_item_that_occurs_twice_is_one_task_with_two_rows(queue):
    job = queue.map(score, items(1, 2, 1), key="id")
    assert len(job) == 2
    work_off(queue, score)
    assert job.result(WAIT_S)["score"].tolist() == [10, 20, 10]
    assert CALLS == {1: 1, 2: 1}


def test_item_that_failed_fails_here_too(queue):
    first = queue.map(score, [*items(1), *items(2, x=13)], key="id")
    job = queue.map(score, [*items(2, x=13), *items(3)], key="id")
    work_off(queue, score)
    with pytest.raises(JobFailed, match="1 of 2 items") as caught:
        job.result(WAIT_S)
    assert caught.value.failures["task_id"].tolist() == [f"{first.id}.1"]
    assert job.result(errors="drop")["score"].tolist() == [30]
    assert job.result(errors="coerce")["score"].isna().tolist() == [True, False]


def test_items_are_known_by_task_type_and_field(queue):
    other = oq.task(name="other")(score.function)
    jobs = [
        queue.map(score, items(1), key="id"),
        queue.map(other, items(1), key="id"),
        queue.map(score, items(1, x=0), key="x"),
        queue.map(score, items(1)),  # without a key it is no item
    ]
    assert [len(job) for job in jobs] == [1, 1, 1, 1]
    assert len({job.id for job in jobs}) == 4


@pytest.mark.parametrize("one", ("a", "é\n'\"", 7, -1, 2.5, True, (1, "a"), "k" * 10_000), ids=repr)
def test_any_value_is_an_id(queue, one):
    assert len(queue.map("t", [{"id": one}], key="id")) == 1
    assert len(queue.map("t", [{"id": one}, {"id": "other"}], key="id")) == 1


def test_ids_of_different_types_are_different(queue):
    queue.map("t", items(1), key="id")
    assert len(queue.map("t", items("1", 2), key="id")) == 2


PARIS = "Europe/Paris"
NOON = pd.Timestamp("2026-03-01 12:00", tz="UTC")
LATER = dt.timedelta(hours=36)
ONE = {
    "number": [1, 1.0, np.int64(1), np.int8(1), np.uint64(1), np.float32(1), Decimal(1), Decimal("1.00"), Decimal("1E0")],
    "true": [True, np.True_],
    "zero": [0, 0.0, -0.0, np.float64(-0.0)],
    "half": [0.5, np.float32(0.5), Decimal("0.50")],
    "tenth": [Decimal("0.1"), Decimal("0.10")],
    "tenth, nearly": [0.1, np.float64(0.1), Decimal(0.1)],  # noqa: RUF032 - the very number
    "large": [2**70, float(2**70), Decimal(2**70)],
    "infinite": [float("inf"), np.float32("inf")],
    "text": ["1", np.str_("1")],
    "bytes": [b"1"],
    "moment": [
        NOON, NOON.as_unit("s"), NOON.tz_convert(PARIS), NOON.to_pydatetime(), NOON.tz_convert(PARIS).to_pydatetime(),
        dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC), dt.datetime(2026, 3, 1, 14, tzinfo=dt.timezone(dt.timedelta(hours=2))),
    ],
    "local time": [
        NOON.tz_localize(None), dt.datetime.fromisoformat("2026-03-01T12:00"), np.datetime64("2026-03-01T12"), np.datetime64("2026-03-01T12:00:00.000"),
        pd.Timestamp("2026-03-01 12:00").as_unit("ns"),
    ],
    "midnight": [np.datetime64("2026-03-01"), dt.datetime.fromisoformat("2026-03-01")],
    "day": [dt.date(2026, 3, 1)],
    "nanosecond": [pd.Timestamp(1, unit="ns", tz="UTC"), pd.Timestamp(1, unit="ns", tz="UTC").tz_convert(PARIS)],
    "far": [dt.datetime.fromisoformat("9999-01-01"), np.datetime64("9999-01-01", "us")],
    "duration": [LATER, pd.Timedelta(LATER), np.timedelta64(36, "h"), np.timedelta64(36 * 3600 * 1000, "ms")],
    "longest": [dt.timedelta.max],
    "pair": [(1, "a"), (1.0, "a"), (np.int64(1), np.str_("a"))],
    "list": [[1, "a"]],
}  # fmt: skip
"""Keys that are one, by what they are."""


def test_keys_that_are_equal_are_one_item_and_no_others(queue):
    for number, keys in enumerate(ONE.values()):
        assert len({queue.map("t", [{"id": key, "x": number}], key="id").id for key in keys}) == 1
    every = [{"id": key, "x": number} for number, keys in enumerate(ONE.values()) for key in keys]
    job = queue.map("other", every, key="id")
    assert len(job) == len(ONE)


@pytest.mark.parametrize("kind", list(ONE))
def test_keys_of_one_item_are_equal_and_no_two_items_are_one(kind):
    comparable = [key for key in ONE[kind] if not isinstance(key, (Decimal, np.datetime64))]  # by numpy as by pandas
    for one, other in itertools.product(comparable, repeat=2):
        assert one == other
    for key in ONE[kind]:
        names = [
            name for name, keys in ONE.items() for other in keys if canonical(plain(other)) == canonical(plain(key))
        ]
        assert set(names) == {kind}


def test_frame_with_a_gap_makes_the_same_items_as_one_without(queue):
    """Where a value is missing pandas makes floats of ints."""
    whole = pd.DataFrame({"id": [1, 2]}).to_dict("records")
    gap = pd.DataFrame({"id": [1, 2, None]}).dropna().to_dict("records")
    job = queue.map(score, whole, key="id")
    assert queue.map(score, gap, key="id") == job


def test_other_input_of_an_equal_key_names_what_differs_and_not_the_key(queue):
    queue.map(score, items(1, x=4), key="id")
    with pytest.raises(DuplicateJob, match=r"as task \S+: x is 4 there and 5 here\. Give"):
        queue.map(score, items(1.0, x=5), key="id")
    with pytest.raises(DuplicateJob, match=r"another input: x is 1 there and 2 here$"):
        queue.map(score, [*items(3, x=1), *items(np.int64(3), x=2)], key="id")


# --- another input ------------------------------------------------------------------------------


def test_other_input_of_a_known_id_is_refused_and_named(queue):
    first = queue.map(score, items(1, 2, x=4), key="id")
    with pytest.raises(
        DuplicateJob,
        match=f"the item with id 2 was submitted before with another input, as task {first.id}.1: x is 4 there and 5 here",
    ):
        queue.map(score, [*items(3), *items(2, x=5)], key="id")
    assert n_jobs(queue) == 1
    with pytest.raises(
        DuplicateJob, match="item 1 has the id of another, 3, and another input: x is 1 there and 2 here"
    ):
        queue.map(score, [*items(3, x=1), *items(3, x=2)], key="id")
    queue.map(score, [{"x": 4, "id": 2}, {"id": 3}], key="id")  # the order of keys means nothing


@pytest.mark.parametrize(
    ("given", "more", "told"),
    (
        ([1, 2], {}, "input 0 is a int: with key='id' every one is a dict"),
        ([{"id": 1}, {"x": 1}], {}, r"input 1 has no 'id', .*\['x'\]"),
        ([{"id": None}], {}, "input 0 has no 'id'"),
        ([{"id": float("nan")}], {}, "input 0 has no 'id'"),
        ([{"id": np.float32("nan")}], {}, "input 0 has no 'id'"),
        ([{"id": pd.NA}], {}, "input 0 has no 'id'"),
        ([{"id": pd.NaT}], {}, "input 0 has no 'id'"),
        ([{"id": np.datetime64("NaT")}], {}, "input 0 has no 'id'"),
        ([{"id": Decimal("NaN")}], {}, "input 0 has no 'id'"),
        ([{"id": 1}], {"key": ""}, "key='' must be text"),
        ([{"id": 1}], {"name": "n"}, "leave out name= and on_duplicate="),
        ([{"id": 1}], {"on_duplicate": "rerun"}, "leave out name= and on_duplicate="),
        ([{"id": 1}, {"id": 2}], {"max_tasks": 1}, "2 tasks are more than max_tasks=1"),
    ),
    ids=str,
)
def test_call_that_cannot_be_is_refused_and_nothing_is_written(queue, given, more, told):
    with pytest.raises((SchemaError, UsageError), match=told):
        queue.map("t", given, **{"key": "id", **more})
    assert names_below(queue.storage, "items/") == names_below(queue.storage, "jobs/") == []


def test_no_items_are_no_tasks(queue):
    job = queue.map(score, [], key="id")
    assert len(job) == 0
    assert job.result(WAIT_S).empty


def test_join_is_refused(queue):
    queue.map(score, items(1), key="id")
    job = queue.map(score, items(1, 2), key="id")
    work_off(queue, score)
    with pytest.raises(UsageError, match="submitted as values"):
        job.result(WAIT_S, join=True)
    with pytest.raises(UsageError, match="errors='what'"):
        job.result(errors="what")


# --- what is deleted ----------------------------------------------------------------------------


def delete(queue, job):
    queue.storage.delete_many([key for key in names_below(queue.storage) if job.id in key])


def test_item_of_a_deleted_job_is_free(store):
    queue = queue_on(store)
    first = queue.map(score, items(1, 2), key="id")
    second = queue.map(score, items(2, 3), key="id")
    delete(queue, first)
    third = queue.map(score, [*items(1, x=7), *items(2, 3)], key="id")
    assert len(third) == 2  # 1, with another input, and 2
    fourth = queue.map(score, [*items(1, x=7), *items(2, 3, 4)], key="id")
    assert len(fourth) == 1
    work_off(queue, score)
    assert dict(CALLS) == {1: 1, 2: 1, 3: 1, 4: 1}
    assert fourth.result(WAIT_S)["score"].tolist() == [17, 20, 30, 40]
    with pytest.raises(JobFailed, match=f"of some the job was deleted: {first.id}"):
        second.result(WAIT_S)
    assert second.result(errors="drop")["score"].tolist() == [30]


def test_index_that_was_deleted_forgets_its_items_alone(store):
    queue = queue_on(store)
    queue.map(score, items(1), key="id")
    store.delete_many(names_below(store, "items/"))
    assert len(queue.map(score, items(1, 2), key="id")) == 2


# --- many at once, and those who die ------------------------------------------------------------


def owned(store):
    """Return how many stored tasks there are of each item."""
    queue, n = queue_on(store), Counter()
    for job_id in queue.jobs(limit=100).index:
        n.update(row["id"] for row in (queue.get(f"{job_id}.{row}").input for row in range(len(queue.job(job_id)))))
    return n


def test_concurrent_calls_make_one_task_of_each_item(store):
    queues = [queue_on(store, Limits()) for _ in range(6)]
    calls = [items(*range(3 * n, 3 * n + 9)) for n in range(6)]
    jobs = race([lambda q=q, call=call: q.map("score", call, key="id") for q, call in zip(queues, calls, strict=True)])
    assert owned(store) == dict.fromkeys(range(24), 1)
    work_off(queue_on(store), score)
    assert set(CALLS.values()) == {1}
    for job, call in zip(jobs, calls, strict=True):
        assert job.result(WAIT_S)["score"].tolist() == [10 * one["id"] for one in call]


@pytest.mark.parametrize("is_after", (False, True), ids=["before", "after"])
@pytest.mark.parametrize("is_large", (False, True), ids=["inline", "uploaded"])
def test_call_that_died_anywhere_takes_no_item_along(is_after, is_large):
    payload = "reference" if is_large else "auto"
    for at in itertools.count():
        store = MemoryStore()
        queue_on(store).map("score", items(1, 2), key="id")
        dying = CrashingStore(store, at=at, is_after=is_after)
        with contextlib.suppress(Crash):
            queue_on(dying).map("score", items(2, 3, 4), key="id", payload=payload)
        job = queue_on(store).map("score", items(3, 4, 5), key="id", payload=payload)
        assert owned(store) == dict.fromkeys((1, 2, 3, 4, 5), 1)
        assert queue_on(store).map("score", items(3, 4, 5), key="id").result is not None
        assert len(job) in (1, 3)
        if dying.n <= at:
            break
    assert at > 8


@pytest.mark.parametrize("fault", ("drop", "zombie", "late", "conflict", "unsure"))
@pytest.mark.parametrize("where", ("items/", "jobs/"))
def test_lost_reply_makes_no_second_task(store, fault, where):
    queue_on(store).map("score", items(1, 2), key="id")
    for _ in range(2):
        with contextlib.suppress(Unavailable):
            queue_on(FaultyStore(store, (fault,), only=where)).map("score", items(2, 3), key="id")
    queue_on(store).map("score", items(1, 2, 3, 4), key="id")
    assert owned(store) == {1: 1, 2: 1, 3: 1, 4: 1}


WEATHER = ("", "", "", "refuse", "drop", "zombie", "late", "conflict", "unsure")


@pytest.mark.parametrize("first", range(0, 60, 20))
def test_each_item_is_one_task_in_any_weather(first):
    """Submitters with overlapping items, one after the other, whose writes are lost, doubled and late, and who die."""
    for seed in range(first, first + 20):
        rng, store = random.Random(seed), MemoryStore()
        queue_on(store)
        known: set[int] = set()
        stores = []
        for _ in range(rng.choice((3, 5, 8))):
            call = sorted(rng.sample(range(12), rng.randrange(1, 8)))
            script = tuple(rng.choice(WEATHER) for _ in range(rng.randrange(6)))
            stores.append(faulty := FaultyStore(store, script, only=rng.choice(("items/", "jobs/"))))
            dying = CrashingStore(faulty, at=rng.randrange(30), is_after=rng.random() < 0.5)
            with contextlib.suppress(Crash):
                queue_on(dying).map("score", items(*call), key="id")
                known.update(call)
            if rng.random() < 0.5:
                for one in stores:
                    one.land("zombie"), one.land("late")
        for one in stores:
            one.land("zombie"), one.land("late")
        n = owned(store)
        assert set(n.values()) <= {1}, seed
        assert known <= set(n), seed
        queue_on(store).map("score", items(*range(12)), key="id")
        assert owned(store) == dict.fromkeys(range(12), 1), seed


def test_submitter_that_comes_too_late_finds_its_items_taken(store):
    """It stood still between taking its items and storing its job, for longer than anybody waits."""
    slow = FaultyStore(store)
    meanwhile = []

    def stand_still(verb, key):
        if key.startswith("jobs/"):
            slow.before_write = None
            meanwhile.append(queue_on(store).map("score", items(2, 3), key="id"))

    slow.before_write = stand_still
    job = queue_on(slow).map("score", items(1, 2), key="id")
    assert [len(one) for one in meanwhile] == [2]
    assert len(job) == 1  # the other is a task of the one that came in between
    assert owned(store) == {1: 1, 2: 1, 3: 1}
    work_off(queue_on(store), score)
    assert job.result(WAIT_S)["score"].tolist() == [10, 20]


def test_submitter_that_is_about_to_store_its_job_is_waited_for(store):
    patient = Limits(client=ClientLimits(item_grace_s=3600.0, item_look_s=0.01))
    slow, watched = FaultyStore(store), FaultyStore(store)
    looks, others = threading.Semaphore(0), []
    watched.before_read = lambda verb, key: looks.release() if key.startswith("jobs/") else None

    def stand_still(verb, key):
        if key.startswith("jobs/") and not others:
            others.append(in_background(lambda: queue_on(watched, patient).map("score", items(2, 3), key="id")))
            for _ in range(3):  # it looks for the job, again and again
                assert looks.acquire(timeout=WAIT_S)

    slow.before_write = stand_still
    job = queue_on(slow, patient).map("score", items(1, 2), key="id")
    assert (len(job), len(others[0].result(WAIT_S))) == (2, 1)


def test_uploads_of_a_call_that_came_second_are_withdrawn(store):
    slow, others = FaultyStore(store), []

    def come_between(verb, key):
        if key.startswith("items/") and not others:
            others.append(queue_on(store).map("score", items(2, 3), key="id", payload="reference"))

    slow.before_write = come_between
    job = queue_on(slow).map("score", items(1, 2), key="id", payload="reference")
    assert len(job) == 1
    folders = {key.split("/")[2] for key in names_below(store, "work/")}
    assert len(folders) == n_jobs(queue_on(store)) == 2


def in_background(act):
    pool = ThreadPoolExecutor(1)
    found = pool.submit(act)
    pool.shutdown(wait=False)
    return found


# --- what it costs ------------------------------------------------------------------------------


@pytest.mark.slow
def test_call_costs_the_same_for_any_number_of_items(store):
    queue = queue_on(store)

    def cost(first, n):
        before = store.requests.snapshot()
        queue.map("score", items(*range(first, first + n)), key="id", part_rows=10_000)
        return dict(store.requests.snapshot() - before)

    assert sum(cost(0, 10).values()) <= 8
    assert sum(cost(1_000_000, 100_000).values()) <= 12
    assert sum(cost(1_000_005, 100_000).values()) <= 14
    for n in range(60):
        cost(-10 * n - 10, 10)
    assert sum(cost(2_000_000, 1000).values()) <= 20  # however many jobs there were before


def test_index_of_many_calls_has_few_objects(store):
    queue = queue_on(store, Limits(client=ClientLimits(item_grace_s=-1.0)))
    for n in range(70):
        queue.map("score", items(n, n + 1000), key="id")
    before = store.requests.snapshot()
    job = queue.map("score", items(0, 1069, 5000), key="id")
    assert (store.requests.snapshot() - before)["get"] <= 12
    assert len(job) == 1


def test_damaged_index_is_said(store):
    queue = queue_on(store)
    queue.map("score", items(1), key="id")
    (key,) = names_below(store, "items/")
    for data in (b"", b"PAR1", b"{}", store.read(key).data[:-20]):
        store.overwrite(key, data)
        with pytest.raises(oq.FormatError, match=r"index of items .* is not readable here"):
            queue.map("score", items(1), key="id")


def test_list_of_another_job_is_not_read(store):
    """Whoever can write the queue may write any key into a job."""
    queue = queue_on(store)
    queue.map("score", items(1), key="id")
    job = queue.map("score", items(1, 2), key="id")
    (key,) = [name for name in names_below(store, "jobs/") if job.id in name]
    text = store.read(key).data.decode()
    places = queue.repository.read_job(job.id).doc.input["places"]
    store.overwrite(key, text.replace(places, "queue.json").encode())
    with pytest.raises(oq.FormatError, match=r"lists its items in 'queue\.json'"):
        queue.job(job.id).partial()


def test_frames_are_of_the_right_types(queue):
    queue.map("parts", items(1), key="id")
    job = queue.map("parts", items(2, 1), key="id")

    @oq.task(name="parts")
    def parts(**item):
        return {"n": item["id"], "when": pd.Timestamp("2024-05-01", tz="UTC")}

    work_off(queue, parts)
    frame = job.result(WAIT_S)
    assert frame["n"].tolist() == [2, 1]
    assert str(frame["when"].dtype).startswith("datetime64")


def test_item_of_a_job_that_was_deleted_by_its_handle_is_free(queue):
    first = queue.map(score, items(1, 2), key="id")
    work_off(queue, score)
    first.delete()
    job = queue.map(score, items(2, 3), key="id")
    assert len(job) == 2
    work_off(queue, score)
    assert dict(CALLS) == {1: 1, 2: 2, 3: 1}
    assert job.result(WAIT_S)["score"].tolist() == [20, 30]
