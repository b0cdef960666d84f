"""Which shard a job is in, with any number of layouts that a queue has had."""

from __future__ import annotations

import random

import pytest

from oqkit.errors import FormatError, JobMissing, Unavailable, UsageError
from oqkit.queue import key as keys
from oqkit.queue.layout import SETTINGS, Layouts, Settings, resharded
from oqkit.store.memory import MemoryStore
from tests.queue.faulty import FaultyStore, World

FIRST = Settings(shards=4)


def stored(settings):
    store = MemoryStore()
    store.create(keys.SETTINGS, SETTINGS.dump(settings))
    return store


def test_settings_of_earlier_versions_are_one_layout():
    for data in (b'{"format":1,"shards":4}', b'{"format":1,"requires":[],"shards":4}'):
        assert SETTINGS.load(data, keys.SETTINGS) == FIRST


def test_layouts_only_grow_and_one_that_was_there_comes_back():
    settings = resharded(resharded(FIRST, 16), 64)
    assert (settings.counts, settings.present, settings.most) == ((4, 16, 64), 64, 64)
    again = resharded(settings, 4)
    assert (again.counts, again.present, again.most) == ((4, 16, 64), 4, 64)
    assert SETTINGS.load(SETTINGS.dump(again), keys.SETTINGS) == again
    assert resharded(again, 4) == again


def test_queue_of_one_layout_requires_nothing_and_one_of_several_does():
    assert resharded(FIRST, 4).requires == ()
    assert resharded(FIRST, 8).requires == ("layouts",)


def test_eleventh_layout_is_refused():
    settings = FIRST
    for n in range(5, 14):
        settings = resharded(settings, n)
    with pytest.raises(UsageError, match="10 numbers of shards"):
        resharded(settings, 100)


@pytest.mark.parametrize("layout", range(10))
def test_id_says_the_layout_of_its_job_and_its_time(layout):
    job_id = keys.timed_job_id(1.79e9, random.Random(1), layout=layout)
    assert keys.is_job_id(job_id)
    assert keys.created_hint(job_id) == pytest.approx(1.79e9)
    settings = Settings(shards=1, later=tuple(range(2, 11)))
    key = Layouts(MemoryStore(), settings, fresh_s=600.0).job_key(job_id)
    assert key == keys.job_key(job_id, layout + 1)


@pytest.mark.parametrize("name", ("20261128backfill01", "1" * 18, "2nightly0backfill0"))
def test_names_that_begin_with_a_digit_are_still_names(name):
    assert len(name) == 18
    assert not keys.is_job_id(name)


def test_job_of_a_key_is_where_it_was_in_any_layout():
    job_id = keys.keyed_job_id("queue", "k", 1)
    for settings in (FIRST, resharded(FIRST, 64), resharded(resharded(FIRST, 64), 4)):
        assert Layouts(stored(settings), settings, fresh_s=600.0).job_key(job_id) == keys.job_key(job_id, 4)


def test_layout_that_is_not_known_is_asked_for_and_found():
    layouts = Layouts(stored(Settings(shards=4, later=(16,), current=1, rev=1)), FIRST, fresh_s=600.0)
    job_id = keys.timed_job_id(1.79e9, random.Random(1), layout=1)
    assert layouts.job_key(job_id) == keys.job_key(job_id, 16)
    assert layouts.settings.present == 16


def test_layout_that_there_is_not_is_no_job_and_no_place():
    layouts = Layouts(stored(FIRST), FIRST, fresh_s=600.0)
    with pytest.raises(JobMissing):
        layouts.job_key(keys.timed_job_id(1.79e9, random.Random(1), layout=3))
    with pytest.raises(FormatError, match="layout 3"):
        layouts.shard(World().job(layout=3))


def test_settings_that_cannot_be_read_leave_what_is_known():
    layouts = Layouts(MemoryStore(), FIRST, fresh_s=0.0)
    assert layouts.current() == 0
    assert layouts.settings == FIRST


def test_job_of_a_layout_that_cannot_be_asked_for_is_not_gone():
    """A worker took down the only marker of a job that it could not know to be there."""
    store = FaultyStore(stored(Settings(shards=4, later=(16,), current=1, rev=1)))
    layouts, job_id = Layouts(store, FIRST, fresh_s=600.0), keys.timed_job_id(1.79e9, random.Random(1), layout=1)
    answers = [Unavailable("down")]

    def refuse(_verb, _key):
        if answers:
            raise answers.pop()

    store.before_read = refuse
    with pytest.raises(Unavailable):
        layouts.job_key(job_id)
    assert layouts.job_key(job_id) == keys.job_key(job_id, 16)


def test_settings_of_before_do_not_take_the_place_of_newer_ones():
    """As a reader behind a cache may get them."""
    known = Settings(shards=4, later=(16,), current=1, rev=1)
    layouts = Layouts(stored(FIRST), known, fresh_s=600.0)
    layouts.learn()
    assert layouts.settings == known


@pytest.mark.parametrize("name", ("strange", "", "²abc", "9"))
def test_what_is_no_job_id_is_looked_for_where_it_would_be_without_layouts(name):
    assert Layouts(stored(FIRST), FIRST, fresh_s=600.0).job_key(name) == keys.job_key(name, 4)
