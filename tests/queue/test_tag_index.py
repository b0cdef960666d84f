"""The index of tags: what it has for a job, whatever happens to whoever changes it, and that it never decides."""

from __future__ import annotations

from contextlib import suppress

import pytest

from oqkit.errors import Denied, Unavailable
from oqkit.queue import control, tag_index
from oqkit.queue import key as keys
from oqkit.queue.deletion import delete_job
from oqkit.queue.listing import Filter, newest_jobs, tagged_jobs
from oqkit.queue.submission import resume
from oqkit.queue.sweep import Sweep
from tests.queue.faulty import Crash, CrashingStore, FaultyStore, WrappedStore, cost


def entries(world):
    return world.listed("tags/")


def expected(world, *jobs):
    """Return the entries that jobs have by what their objects say."""
    docs = [world.repository().read_job(job.id).doc for job in jobs]
    return sorted(key for doc in docs for key in tag_index.entries_of(doc, doc.tags))


def found(world, **tags):
    return [job.id for job in newest_jobs(world.repository(), limit=20, wanted=Filter(tags=tags)).jobs]


def test_submit_writes_an_entry_a_tag_and_nothing_without(world):
    assert cost(world, lambda: world.submit(world.job(1)))["put"] == 3  # the job, its marker and the bell
    assert entries(world) == []
    job = world.job(2, tags={"team": "risk", "run": "7"})
    assert cost(world, lambda: world.submit(job))["put"] == 3 + 2
    assert entries(world) == expected(world, job)
    assert [key.rpartition("/")[0] for key in entries(world)] == ["tags/run/=7", "tags/team/=risk"]


@pytest.mark.parametrize(
    "text", ("", ".", "..", "a/b", "a%2Fb", "~", "é" * 256, "a" * 256, " ", "=", "\\", "A", "x" * 159 + ".", "日本")
)
def test_any_text_is_a_part_of_a_key_that_no_other_text_has(world, text):
    key = keys.tag_key("name", text, job="k" * 18, created=world.now())
    world.inner.create(key, b"")
    assert key.count("/") == 3
    assert len(key) < 400
    assert key.isascii()
    others = {"", ".", "..", "a/b", "a%2Fb", "~", "é" * 255, "a" * 255, "A", "a"} - {text}
    assert keys.tag_prefix("name", text) not in {keys.tag_prefix("name", other) for other in others}


@pytest.mark.parametrize("limit", (1, 2, 3, 4, 100))
def test_newest_of_jobs_that_were_submitted_at_almost_the_same_time_are_found(world, limit):
    """Names tell the millisecond, and the job object more; and newer jobs without the tag make no answer incomplete."""
    ids = []
    for number in range(4):
        world.clock.sleep(0.0002)
        ids.insert(0, world.submit(world.job(number, tags={"team": "risk"})).job.id)
    for number in range(4, 12):
        world.clock.sleep(1.0)
        world.submit(world.job(number))
    listed = newest_jobs(world.repository(), limit=limit, wanted=Filter(tags={"team": "risk"}))
    assert [job.id for job in listed.jobs] == ids[:limit] or limit == 1
    assert listed.is_complete


def test_newer_jobs_come_first_and_all_tags_have_to_fit(world):
    ids = []
    for number in range(4):
        world.clock.sleep(1.0)
        job = world.job(number, tags={"team": "risk", "odd": str(number % 2)})
        ids.append(world.submit(job).job.id)
    assert found(world, team="risk") == ids[::-1]
    assert found(world, team="risk", odd="1") == [ids[3], ids[1]]
    assert found(world, team="risk", odd="2") == found(world, nobody="x") == []
    assert list(tagged_jobs(world.repository(), {"team": "risk", "odd": "0"})) == [[ids[2], ids[0]]]


def test_entry_of_a_tag_that_a_job_has_not_is_taken_down_by_whoever_meets_it(world):
    job = world.job(1, tags={"team": "risk"})
    world.submit(job)
    (stale,) = tag_index.entries_of(job, {"team": "sales"})
    gone = keys.tag_key("team", "sales", job="k" * 18, created=world.now())
    for key in (stale, gone):
        world.inner.create(key, b"")
    assert found(world, team="sales") == []
    assert entries(world) == expected(world, job)


def with_stale_entries(world, n_stale, *, n_live=1):
    """Submit jobs with a tag, and have the index say the same of newer ones that are gone, or have it no more; return the ids."""
    ids = []
    for number in range(n_live + n_stale):
        world.clock.sleep(1.0)
        is_live = number < n_live
        job = world.job(number, tags={"team": "risk"} if is_live else {})
        if is_live:
            ids.insert(0, job.id)
        if is_live or number % 2:
            world.submit(job)
        if not is_live:
            world.inner.create(tag_index.entries_of(job, {"team": "risk"})[0], b"")
    return ids


RISK = Filter(tags={"team": "risk"})


@pytest.mark.parametrize("n_stale", (1, 2, 3, 10, 27))
@pytest.mark.parametrize("limit", (1, 2, 5, 20))
def test_stale_entries_in_front_hide_no_job(world, limit, n_stale):
    if limit == 20 and n_stale > 20:
        pytest.skip("as many as the reads of one call are for")
    ids = with_stale_entries(world, n_stale, n_live=2)
    listed = []
    spent = cost(world, lambda: listed.append(newest_jobs(world.repository(), limit=limit, wanted=RISK)))
    assert [job.id for job in listed[0].jobs] == ids[:limit]
    assert listed[0].is_complete
    assert spent["list"] <= 3
    assert spent["get"] <= 60


@pytest.mark.parametrize("limit", (1, 5, 20))
def test_listing_that_stops_before_the_end_of_stale_entries_says_so_and_the_next_ones_go_on(world, limit):
    ids, listed = with_stale_entries(world, 100), []

    def look():
        listed.append(newest_jobs(world.repository(), limit=limit, wanted=RISK))

    for _ in range(10):
        spent = cost(world, look)
        assert spent["list"] <= 3
        assert spent["get"] <= 60
        if listed[-1].is_complete:
            break
    assert len(listed) > 1
    assert [len(one.jobs) for one in listed[:-1]] == [0] * (len(listed) - 1)
    assert [job.id for job in listed[-1].jobs] == ids
    assert len(entries(world)) == 1


def test_deleted_job_leaves_no_entries(world):
    job = world.job(1, tags={"team": "risk"})
    world.submit(job)
    world.worker().drain()
    assert delete_job(world.repository(), job.id) is not None
    assert entries(world) == []


def test_whoever_may_only_read_finds_jobs_past_stale_entries(world):
    job = world.job(1, tags={"team": "risk"})
    world.submit(job)
    world.inner.create(tag_index.entries_of(job, {"team": "sales"})[0], b"")

    class ReadOnly(WrappedStore):
        def _do(self, verb, key, call):
            if verb in {"create", "replace", "overwrite", "delete"}:
                raise Denied(key)
            return call()

    repository = world.repository(ReadOnly(world.inner))
    assert newest_jobs(repository, limit=5, wanted=Filter(tags={"team": "sales"})).jobs == []
    assert len(newest_jobs(repository, limit=5, wanted=Filter(tags={"team": "risk"})).jobs) == 1


@pytest.mark.parametrize("heal", ("attach", "sweep", "tag"))
def test_entry_that_was_lost_is_put_up_again(world, heal):
    job = world.job(1, tags={"team": "risk"})
    world.submit(job)
    for key in entries(world):
        world.inner.delete(key)
    if heal == "attach":
        resume(world.repository(), job)
    elif heal == "tag":
        control.tag(world.repository(), job.id, {"team": "risk"})
    else:
        world.clock.sleep(1_000.0)
        Sweep(world.repository()).perform()
    assert entries(world) == expected(world, job)


def test_job_is_stored_though_its_entries_are_not(world, caplog):
    job = world.job(1, tags={"team": "risk"})

    class NoIndex(WrappedStore):
        def _do(self, verb, key, call):
            if key.startswith("tags/"):
                raise Unavailable(key)
            return call()

    assert world.submit(job, world.repository(NoIndex(world.inner))).is_new
    assert "not found by all of its tags for now" in caplog.text
    with pytest.raises(Unavailable):
        control.tag(world.repository(NoIndex(world.inner)), job.id, {"run": "1"})
    control.tag(world.repository(), job.id, {"run": "1"})  # giving the order again does what was left
    assert set(entries(world)) < set(expected(world, job))
    resume(world.repository(), job)
    assert found(world, run="1") == [job.id]


@pytest.mark.parametrize("is_after", (False, True))
@pytest.mark.parametrize("at", range(8))
def test_change_of_tags_that_dies_anywhere_is_completed_by_the_next_one(world, at, is_after):
    job = world.job(1, tags={"team": "a", "old": "x"})
    world.submit(job)
    change = {"team": "b", "old": None, "new": "y"}
    with suppress(Crash):
        control.tag(world.repository(CrashingStore(world.inner, at=at, is_after=is_after)), job.id, change)
    control.tag(world.repository(), job.id, change)
    assert set(expected(world, job)) <= set(entries(world)), "no tag is missing"
    assert found(world, team="a") == found(world, old="x") == []
    assert found(world, team="b") == found(world, new="y") == [job.id]
    assert entries(world) == expected(world, job), "what is stale is gone once somebody met it"


@pytest.mark.parametrize("at", range(8))
@pytest.mark.parametrize("fault", ("drop", "zombie", "late"))
def test_tag_set_while_another_one_removes_it_has_its_entry(world, at, fault):
    """Whatever the moment at which the other one comes between, and whatever becomes of a write on its way."""
    job = world.job(1, tags={"team": "a"})
    world.submit(job)
    store = FaultyStore(world.inner, script=("",) * at + (fault,))
    n = [0]

    def meanwhile(verb, key):
        n[0] += 1
        if n[0] == at + 1:
            control.tag(world.repository(), job.id, {"team": "a"})

    store.before_write = meanwhile
    control.tag(world.repository(store), job.id, {"team": None})
    assert set(expected(world, job)) <= set(entries(world))
    assert found(world, team="a") == ([job.id] if world.repository().read_job(job.id).doc.tags else [])
