"""Documents that are declared by a dataclass: what is stored comes back, by whom it was written, and who was first."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import pytest

from oqkit.errors import FormatError, Missing, Unavailable, UsageError
from oqkit.queue.bound import Count, Id, Moment, Name, Text, Unknown
from oqkit.queue.collection import Collection, Unreadable
from oqkit.queue.document_type import Document, document_type
from oqkit.testing.race import race
from tests.fuzz.mutation import mutated
from tests.queue.faulty import FaultyStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """A record inside of a note."""

    who: Name
    since: Moment = 0.0
    unknown: Unknown = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Note(Document):
    """A document that only these tests know."""

    name: Id
    text: Text = ""
    count: Count = 0
    first: Seat | None = None
    seats: tuple[Seat, ...] = ()
    value: Any = None
    tags: Mapping[Name, Text] = field(default_factory=dict)


NOTE = document_type(Note, what="note", key_of=lambda note: f"notes/{note.name}.json")
KEY = "notes/a.json"
FULL = Note(
    name="a",
    text="é \udcff",
    count=3,
    first=Seat(who="me", since=5.0),
    seats=(Seat(who="x"), Seat(who="y")),
    value={"deep": [1, 2.5, None, {"z": "é"}]},
    tags={"team": "risk"},
)
FAULTS = ("refuse", "drop", "zombie", "late", "conflict", "unsure")
scripts = pytest.mark.parametrize(
    "script", (*itertools.product(FAULTS, repeat=1), *itertools.product(FAULTS, repeat=2)), ids="-".join
)


@pytest.fixture
def notes(world):
    return Collection(world.repository(), NOTE)


def collection(world, store=None):
    return Collection(world.repository(store), NOTE)


def stored(world):
    return json.loads(world.inner.read(KEY).data)


def put(world, **fields):
    world.inner.overwrite(KEY, json.dumps({**stored(world), **fields}).encode())


def count_up(note):
    return replace(note, count=note.count + 1)


def never(note):
    return False


def content(note):
    return replace(note, rev=0, op="", origin="")


# --- what is stored ------------------------------------------------------------------------------


def test_document_comes_back_as_it_was_stored(notes):
    notes.create(FULL)
    assert content(notes.read(KEY).doc) == FULL


def test_document_says_its_format_and_what_it_requires(world, notes):
    notes.create(FULL)
    assert (stored(world)["format"], stored(world)["requires"]) == (1, [])


def test_document_that_is_not_there_is_missing(notes):
    with pytest.raises(Missing):
        notes.read(KEY)
    with pytest.raises(Missing):
        notes.update(KEY, count_up, applied=never)


def test_document_is_changed_and_counts_its_revisions(notes):
    notes.create(FULL)
    assert (notes.update(KEY, count_up, applied=never).doc.count, notes.read(KEY).doc.rev) == (4, 2)


def test_unknown_fields_survive_a_change(world, notes):
    notes.create(FULL)
    seats = [{**seat, "colour": "red"} for seat in stored(world)["seats"]]
    put(world, later={"a": [1, None]}, seats=seats)
    notes.update(KEY, count_up, applied=never)
    assert stored(world)["later"] == {"a": [1, None]}
    assert [seat["colour"] for seat in stored(world)["seats"]] == ["red", "red"]


def test_document_that_requires_an_unknown_feature_is_left_alone(world, notes):
    notes.create(FULL)
    put(world, requires=["flying"])
    data = world.inner.read(KEY).data
    for call in (notes.read, partial(notes.update, change=count_up, applied=never)):
        with pytest.raises(
            FormatError, match=r"note 'notes/a\.json' was written by a newer oqkit, which knows 'flying'"
        ):
            call(KEY)
    with pytest.raises(FormatError):
        notes.create(Note(name="a"))
    assert world.inner.read(KEY).data == data


def test_document_at_the_key_of_another_one_is_refused(world, notes):
    notes.create(replace(FULL, name="b"))
    world.inner.overwrite(KEY, world.inner.read("notes/b.json").data)
    with pytest.raises(FormatError, match=r"that of another key: 'notes/b\.json'"):
        notes.read(KEY)


def test_change_cannot_make_it_the_document_of_another_key(notes):
    notes.create(FULL)
    with pytest.raises(UsageError, match=r"cannot become 'notes/b\.json'"):
        notes.update(KEY, lambda note: replace(note, name="b"), applied=never)


@pytest.mark.parametrize(
    "fields",
    (
        {"count": -1},
        {"count": 2**60},
        {"count": 2**70},
        {"count": 1.5},
        {"text": "x" * 10_001},
        {"first": Seat(who="x", since=-1.0)},
        {"tags": {"x": 5}},
        {"value": float("nan")},
        {"value": object},
        {"name": "x" * 65},
    ),
    ids=str,
)
def test_document_that_nobody_could_read_is_refused_before_it_is_written(world, notes, fields):
    with pytest.raises(UsageError):
        notes.create(replace(FULL, **fields))
    assert world.listed("notes/") == []


@pytest.mark.parametrize(
    "fields",
    (
        {"format": 2},
        {"count": "3"},
        {"count": 10**400},
        {"seats": [{"who": None}]},
        {"rev": -1},
        {"requires": None},
        {"is_deleted": 1},
        {"origin": "x" * 65},
    ),
    ids=str,
)
def test_document_out_of_its_bounds_is_refused_when_it_is_read(world, notes, fields):
    notes.create(FULL)
    put(world, **fields)
    with pytest.raises(FormatError, match=r"notes/a\.json"):
        notes.read(KEY)


def test_damaged_document_is_read_or_refused_and_can_always_be_listed(world, notes):
    notes.create(FULL)
    sound = world.inner.read(KEY).data
    for seed in range(500):
        _, data = mutated(sound, random.Random(seed))
        world.inner.overwrite(KEY, data)
        with suppress(FormatError, Missing):
            notes.read(KEY)
        for one in notes.list("notes/"):
            assert isinstance(one, Unreadable) or one.doc.name == "a"


def test_listing_shows_what_is_there_and_says_what_cannot_be_read(world, notes):
    for name in "abc":
        notes.create(Note(name=name))
    notes.delete(notes.read("notes/b.json"))
    world.inner.overwrite("notes/c.json", b"{")
    first, second = notes.list("notes/")
    assert first.doc.name == "a"
    assert (second.key, "does not parse" in second.why) == ("notes/c.json", True)


# --- creating ------------------------------------------------------------------------------------


def test_of_16_racing_creates_one_wins_and_all_know_which(world):
    for number in range(20):
        offers = [Note(name=f"n{number}", text=str(n), origin=f"o{n}") for n in range(16)]
        made = race([partial(collection(world).create, offer) for offer in offers])
        won = collection(world).read(f"notes/n{number}.json")
        assert {one.doc for one in map(hashable, made)} == {hashable(won).doc}
        assert offers[int(won.doc.text)].origin == won.doc.origin


def hashable(found):
    return replace(found, doc=(found.doc.text, found.doc.origin, found.doc.op))


@scripts
def test_create_succeeds_once_whatever_becomes_of_the_replies(world, script):
    store = FaultyStore(world.inner, script)
    made = collection(world, store).create(replace(FULL, origin="mine"))
    store.land("late")
    assert (made.doc.origin, made.doc.rev) == ("mine", 1)
    assert collection(world).read(KEY).doc == made.doc


@scripts
def test_creator_whose_reply_was_lost_knows_its_document_after_others_changed_it(world, script):
    store = FaultyStore(world.inner, script)

    def change(verb, key):
        if world.listed("notes/"):
            collection(world).update(KEY, count_up, applied=never)

    store.before_read = change
    made = collection(world, store).create(replace(FULL, origin="mine"))
    store.land("late")
    assert made.doc.origin == "mine"
    assert collection(world).read(KEY).doc.origin == "mine"


def test_create_where_one_was_deleted_makes_a_new_one(notes):
    first = notes.create(replace(FULL, origin="one"))
    notes.delete(first)
    second = notes.create(Note(name="a", origin="two"))
    assert (second.doc.origin, second.doc.rev, notes.read(KEY).doc.text) == ("two", 3, "")


# --- deleting what is unchanged ------------------------------------------------------------------


def test_deleted_document_is_missing(notes):
    assert notes.delete(notes.create(FULL))
    with pytest.raises(Missing):
        notes.read(KEY)
    with pytest.raises(Missing):
        notes.update(KEY, count_up, applied=never)
    assert notes.list("notes/") == []


def test_delete_spares_a_document_that_changed_since_it_was_seen(notes):
    seen = notes.create(FULL)
    notes.update(KEY, count_up, applied=never)
    assert not notes.delete(seen)
    assert notes.read(KEY).doc.count == 4


def test_delete_spares_a_document_that_took_the_place_of_the_one_seen(world, notes):
    seen = notes.create(FULL)
    notes.delete(seen)
    notes.create(Note(name="a", text="new"))
    assert not notes.delete(seen)
    assert notes.read(KEY).doc.text == "new"


def test_delete_of_what_was_removed_from_the_store_is_done(world, notes):
    seen = notes.create(FULL)
    world.inner.delete(KEY)
    assert notes.delete(seen)


@scripts
def test_delete_hits_the_version_seen_and_no_later_one_whatever_becomes_of_the_replies(world, script):
    seen = collection(world).create(FULL)
    store = FaultyStore(world.inner, script)
    assert collection(world, store).delete(seen)
    collection(world).create(Note(name="a", text="new"))
    for kind in ("late", "zombie"):
        store.land(kind)
    assert collection(world).read(KEY).doc.text == "new"


@scripts
def test_change_is_made_once_whatever_becomes_of_the_replies(world, script):
    collection(world).create(FULL)
    store = FaultyStore(world.inner, script)

    def change(note):
        return replace(note, count=note.count + 1, tags={"by": "me"})

    collection(world, store).update(KEY, change, applied=lambda note: note.tags.get("by") == "me")
    store.land("late")
    assert collection(world).read(KEY).doc.count == 4


def test_absent_document_is_changed_from_what_its_absence_means(world, notes):
    for _ in range(2):
        notes.update(KEY, count_up, applied=never, absent=Note(name="a", count=10))
    assert notes.read(KEY).doc.count == 12
    notes.delete(notes.read(KEY))
    notes.update(KEY, count_up, applied=never, absent=Note(name="a", count=10))
    assert (notes.read(KEY).doc.count, notes.read(KEY).doc.rev) == (11, 4)


def test_change_fails_with_unavailable_where_the_store_does(world):
    with pytest.raises(Unavailable):
        collection(world, FaultyStore(world.inner, ("refuse",) * 1_000)).create(FULL)
