from __future__ import annotations

import random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from oqkit.errors import FormatError, UsageError
from oqkit.queue import key as keys
from oqkit.queue.job import Job
from oqkit.queue.repository import Repository, Settings
from oqkit.store.base import Entry, check_key
from oqkit.store.memory import MemoryStore

types = st.from_regex(r"\A[A-Za-z0-9_][A-Za-z0-9_.\-]{0,63}\Z")
millis = st.integers(0, 4 * 10**12)
markers = st.builds(
    keys.Marker,
    job=st.from_regex(r"\A[0k][0-9a-z]{17}\Z"),
    gen=st.integers(1, 10**6),
    priority=st.integers(0, 255),
    due=millis.map(lambda ms: ms / 1000),
    is_later=st.booleans(),
    topic=st.one_of(st.just("code"), types.map(lambda name: f"code-{name}"), types.map(lambda name: f"type-{name}")),
    shard=st.integers(0, 4095).map(lambda n: f"{n:04x}"),
)


def marker(**more):
    fields = {"job": "0" * 18, "gen": 1, "priority": 128, "due": 5.0, "is_later": False, "topic": "type-a"}
    return keys.Marker(**{**fields, "shard": "0000", **more})


@given(markers)
def test_marker_is_read_back_from_its_name(one):
    assert keys.parse_marker(one.key) == one
    assert check_key(one.key).startswith(keys.open_prefix(one.shard))
    assert len(one.key) < 1024


@given(st.floats(0, 4e9))
def test_marker_due_is_cut_to_milliseconds(due):
    read = keys.parse_marker(marker(due=due).key).due
    assert read - 1e-6 <= due < read + 0.0011


@given(millis)
@example(1001)
@example(2_173_919_425_502)
def test_marker_that_was_read_has_the_name_it_was_read_from(ms):
    """Otherwise it could not be deleted."""
    name = f"open/0000/type-a/ready/127-{ms:014d}-{'0' * 18}.1"
    assert keys.parse_marker(name).key == name


@given(markers, markers)
def test_due_markers_sort_by_priority_then_age(a, b):
    a, b = (marker(priority=m.priority, due=m.due, job=m.job) for m in (a, b))
    if (a.priority, -a.due) > (b.priority, -b.due):
        assert a.key < b.key


@given(markers, markers)
def test_later_markers_sort_by_due_then_priority(a, b):
    a, b = (marker(priority=m.priority, due=m.due, job=m.job, is_later=True) for m in (a, b))
    if (a.due, -a.priority) < (b.due, -b.priority):
        assert a.key < b.key


def test_ready_and_later_markers_are_in_folders_of_their_own():
    folders = {marker(is_later=later).key.rpartition("/")[0] for later in (True, False)}
    assert folders == {"open/0000/type-a/ready", "open/0000/type-a/later"}


@given(markers)
def test_generations_have_different_markers(one):
    assert one.key != keys.Marker(**{f: getattr(one, f) for f in one.__slots__} | {"gen": one.gen + 1}).key


@pytest.mark.parametrize(
    "key",
    (
        "open/0000/type-a/ready/nonsense",
        "open/0000/type-a/ready",
        "open/0000",
        "open/0000/type-a/ready/127-5-0-0.1",
        "open/0000/type-a/ready/127-5-00000000000000000a.",
        "open/0000/type-a/ready/127-x-00000000000000000a.1",
        "open/0000/type-a/ready/127-00000000005000-.1",
        "open/0000/type-a/ready/127-00000000005000-.hidden.1",
        "open/0000/type-a/soon/127-00000000005000-00000000000000000a.1",
        "open/0000/type-a/ready/more/127-00000000005000-00000000000000000a.1",
    ),
)
def test_strange_name_is_no_marker(key):
    with pytest.raises(FormatError, match="is not a marker"):
        keys.parse_marker(key)


# --- ids ----------------------------------------------------------------------------------------


@given(st.text(), st.text(), st.integers(1, 99))
def test_keyed_id_is_the_same_for_everybody(scope, key, generation):
    one = keys.keyed_job_id(scope, key, generation)
    assert one == keys.keyed_job_id(scope, key, generation)
    assert keys.is_job_id(one)
    assert check_key(keys.job_key(one, 16))


def test_keyed_ids_keep_scope_key_and_generation_apart():
    triples = [("a", "bc", 1), ("ab", "c", 1), ("a", "bc", 2), ("", "abc", 1), ("a, b", "c", 1), ("a", "b, c", 1)]
    assert len({keys.keyed_job_id(*triple) for triple in triples}) == len(triples)


@given(st.floats(0, 3e10), st.floats(0.002, 1e6))
def test_timed_id_of_a_newer_job_sorts_first(now, later):
    rng = random.Random(1)
    old, new = keys.timed_job_id(now, rng), keys.timed_job_id(now + later, rng)
    assert new < old
    assert keys.is_job_id(new)


def test_timed_ids_of_one_moment_differ():
    rng = random.Random(1)
    assert len({keys.timed_job_id(5.0, rng) for _ in range(1000)}) == 1000


def test_id_kinds_cannot_meet():
    assert keys.timed_job_id(1.0, random.Random(1))[0] != keys.keyed_job_id("a", "b", 1)[0]


@given(st.floats(0, 3e10), st.floats(0.002, 1e6))
def test_folder_of_a_newer_job_sorts_first(now, later):
    old = keys.JobKeys(job="k" + "z" * 17, shard="0000", created=now)
    new = keys.JobKeys(job="k" + "0" * 17, shard="0000", created=now + later)
    assert new.folder < old.folder
    assert keys.job_of_folder(new.folder) == new.job


def test_task_id_is_read_back():
    job_id = keys.timed_job_id(1.0, random.Random(1))
    assert keys.parse_task_id(keys.task_id(job_id, 12345)) == (job_id, 12345)


@pytest.mark.parametrize(
    "text",
    ("", "x", ".", "0", "x.0", f"{'0' * 18}.", f"{'0' * 18}.x", f"{'0' * 18}.-1", f"{'0' * 18}.²", f"{'0' * 18}"),
)
def test_text_that_is_no_task_id_is_a_clear_error(text):
    with pytest.raises(UsageError, match="is not a task id"):
        keys.parse_task_id(text)


# --- types --------------------------------------------------------------------------------------


@given(types)
def test_type_names_of_letters_digits_and_some_signs_are_fine(name):
    assert keys.check_type(name) == name
    assert check_key(marker(topic=keys.topic_of(name, by_value=False)).key)


@pytest.mark.parametrize("name", ("", ".", "..", ".a", "-a", "a/b", "a b", "a\n", "é", "a" * 65, "a:b", "a\\b"))
def test_other_type_names_are_refused(name):
    with pytest.raises(UsageError, match="cannot be a task type"):
        keys.check_type(name)


def test_type_called_code_does_not_share_the_topic_of_shipped_functions():
    assert keys.topic_of("code", by_value=False) != keys.topic_of("anything", by_value=True)


# --- objects of a job ---------------------------------------------------------------------------


@given(st.integers(0, 10**7 - 1), st.integers(0, 10**7 - 1))
def test_part_keys_sort_by_number_and_are_read_back(a, b):
    job = keys.JobKeys(job="k" + "0" * 17, shard="0000", created=1.0)
    entry = Entry(key=job.part(a), etag="e", size_bytes=1)
    assert keys.part_etags([entry], n_parts=10**7) == {a: "e"}
    assert keys.part_etags([entry], n_parts=a) == {}
    assert (job.part(a) < job.part(b)) == (a < b)


@given(st.integers(1, 4096), st.text(min_size=1))
def test_shard_is_one_of_those_there_are(shards, job_id):
    assert 0 <= int(keys.shard_of(job_id, shards), 16) < shards


def test_shards_are_used_evenly():
    seen = [int(keys.shard_of(str(n), 16), 16) for n in range(16_000)]
    assert all(800 < seen.count(shard) < 1200 for shard in range(16))


def test_no_key_is_the_folder_of_another():
    """A directory store could hold only one of the two."""
    repository = Repository(MemoryStore(), Settings(shards=1), rng=random.Random(1))
    job = Job(id="k" + "0" * 17, type="a", n_tasks=1, part_rows=1, created=1.0, origin="o", mode="row")
    of_job = repository.keys_of(job)
    every = [
        keys.SETTINGS,
        keys.BELL,
        keys.job_key(job.id, 1),
        of_job.part(0),
        of_job.input(0, "d" * 64),
        of_job.output(0, "lease.1"),
        keys.code_key("d" * 64),
        repository.marker(job, due=1.0).key,
        repository.marker(job, due=1e10).key,
    ]
    assert not [(a, b) for a in every for b in every if b.startswith(f"{a}/")]
