"""Published schemas: each publication is one version, whatever becomes of replies and whoever else publishes."""

from __future__ import annotations

import itertools

import pytest

from oqkit.errors import UsageError
from oqkit.queue.published_schema import delete_schema, publish, read_schema
from oqkit.testing.race import race
from tests.local import names_below
from tests.queue.faulty import FaultyStore

FAULTS = ("refuse", "drop", "zombie", "late", "conflict", "unsure")


def schema(n):
    return {"input": {"maximum": n}}


@pytest.mark.parametrize("script", tuple(itertools.product(FAULTS, repeat=2)), ids="-".join)
def test_publication_counts_once_whatever_becomes_of_the_replies(world, script):
    store = FaultyStore(world.inner, script)
    assert publish(world.repository(store), "score", schema(1), by="me").version == 1
    store.script = list(script)
    assert publish(world.repository(store), "score", schema(2), by="me").version == 2
    assert read_schema(world.repository(), "score").parts() == schema(2)


def test_publication_whose_reply_was_lost_is_not_repeated_over_a_later_one(world):
    store = FaultyStore(world.inner, ("drop",))
    theirs = [lambda: publish(world.repository(), "score", schema(2), by="them")]
    store.before_read = lambda *_: read_schema(world.repository(), "score") and theirs and theirs.pop()()
    publish(world.repository(store), "score", schema(1), by="me")
    held = read_schema(world.repository(), "score")
    assert (held.parts(), held.version, theirs) == (schema(2), 2, [])


@pytest.mark.parametrize("fault", FAULTS)
def test_first_publications_at_once_both_count_whatever_becomes_of_the_replies(world, fault):
    store = FaultyStore(world.inner, (fault,))
    theirs = [lambda: publish(world.repository(), "score", schema(2), by="them")]
    store.before_write = lambda *_: theirs and theirs.pop()()
    publish(world.repository(store), "score", schema(1), by="me")
    held = read_schema(world.repository(), "score")
    assert (held.parts(), held.version, theirs) == (schema(1), 2, [])


def test_publication_whose_reply_was_lost_is_not_repeated_after_a_delete_and_a_later_one(world):
    store = FaultyStore(world.inner, ("drop",))

    def publish_anew():
        assert delete_schema(world.repository(), "score")
        publish(world.repository(), "score", schema(2), by="them")

    theirs = [publish_anew]
    store.before_read = lambda *_: read_schema(world.repository(), "score") and theirs and theirs.pop()()
    publish(world.repository(store), "score", schema(1), by="me")
    held = read_schema(world.repository(), "score")
    assert (held.parts(), held.version, theirs) == (schema(2), 1, [])


def test_publishers_at_once_make_a_version_each(world):
    found = race([lambda n=n: publish(world.repository(), "score", schema(n), by="me") for n in range(12)])
    assert sorted(one.version for one in found) == list(range(1, 13))
    (last,) = (one for one in found if one.version == 12)
    assert read_schema(world.repository(), "score").parts() == last.parts()


def test_publishers_of_the_same_at_once_make_one_version(world):
    found = race([lambda: publish(world.repository(), "score", schema(1), by="me") for _ in range(8)])
    assert {one.version for one in found} == {1}


def test_schema_that_was_deleted_is_gone_until_another_is_published(world):
    repository = world.repository()
    publish(repository, "score", schema(1), by="me")
    assert delete_schema(repository, "score")
    assert read_schema(repository, "score") is None
    assert publish(repository, "score", schema(1), by="me").version == 1
    assert read_schema(repository, "score").parts() == schema(1)


def test_delete_leaves_what_was_published_meanwhile(world):
    publish(world.repository(), "score", schema(1), by="me")
    store = FaultyStore(world.inner)
    theirs = [lambda: publish(world.repository(), "score", schema(2), by="them")]
    store.before_write = lambda *_: theirs and theirs.pop()()
    assert not delete_schema(world.repository(store), "score")
    assert read_schema(world.repository(), "score").parts() == schema(2)


def test_schema_that_nobody_could_read_is_not_stored(world):
    with pytest.raises(UsageError):
        publish(world.repository(), "a/b", schema(1), by="me")
    assert names_below(world.inner, "schemas/") == []
