"""What a document must say, what it may say that this oqkit does not know, and how much of it."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from dataclasses import replace

import pytest

from oqkit.errors import FormatError, UsageError
from oqkit.limits import QueueLimits
from oqkit.queue import bound, control, document, record
from oqkit.queue.commit import Commit, Outcome
from oqkit.queue.document import MAX_BYTES, dump_job, dump_part, load_job, load_part
from oqkit.queue.job import Control, ControlVerb
from oqkit.queue.part import Lease, claim, commit
from oqkit.queue.part_log import Event
from oqkit.queue.policy import Backoff, Policy
from oqkit.queue.rows import Rows
from oqkit.queue.transition import Status, Verb

KEY = "the/key.json"


@pytest.fixture
def job(world):
    order = Control(op="c", verb=ControlVerb.RETRY, at=5.0, statuses=(Status.FAILED,), rows=Rows.span(0, 3))
    return replace(world.job(n_tasks=25, tags={"team": "risk"}), controls=(order,), timeout_s=5.0)


@pytest.fixture
def part(job):
    leases = [Lease(id=name, worker="host:1", expires=99.0) for name in ("l1", "l2")]
    part = job.fresh_part(0)
    for lease in leases:
        part = claim(part, lease, max_rows=4, now=5.0, policy=job.policy, chance=0.5, limits=QueueLimits())
    retried = Outcome(verb=Verb.RETRY, rows=Rows.span(0, 1), note="why")
    given = Commit(outcomes=[retried], output=b"")
    return commit(part, "l1", given, now=6.0, policy=job.policy, chance=0.5, lease_s=9.0)


def doc_of(data):
    return json.loads(data)


def raw(doc):
    return json.dumps(doc).encode()


LOADERS = pytest.mark.parametrize(
    ("kind", "dump", "load"), (("job", dump_job, load_job), ("part", dump_part, load_part))
)


@pytest.fixture
def value(kind, job, part):
    return {"job": job, "part": part}[kind]


# --- what it requires of its reader -------------------------------------------------------------


@LOADERS
def test_document_says_what_it_requires(value, dump, load):
    assert doc_of(dump(value))["requires"] == []


@LOADERS
@pytest.mark.parametrize("requires", (["telepathy"], ["telepathy", "signature"]))
def test_document_that_requires_an_unknown_feature_is_refused_with_what_to_do(value, dump, load, requires):
    doc = {**doc_of(dump(value)), "requires": requires}
    with pytest.raises(FormatError, match=f"{KEY}.*newer oqkit, which knows 'telepathy'.*: upgrade"):
        load(raw(doc), key=KEY)


@LOADERS
def test_feature_counts_before_anything_else_that_is_not_understood(value, dump, load):
    doc = {**doc_of(dump(value)), "requires": ["telepathy"], "job": ["of", "another", "kind"]}
    with pytest.raises(FormatError, match="newer oqkit, which knows 'telepathy'"):
        load(raw(doc), key=KEY)


@LOADERS
@pytest.mark.parametrize("requires", (None, "telepathy", [1], {"a": 1}, [["a"]]))
def test_requirement_that_is_no_list_of_names_is_refused(value, dump, load, requires):
    with pytest.raises(FormatError, match=KEY):
        load(raw({**doc_of(dump(value)), "requires": requires}), key=KEY)


@LOADERS
def test_feature_that_is_known_is_read_and_written_again(value, dump, load, monkeypatch):
    monkeypatch.setattr(document, "FEATURES", frozenset({"telepathy"}))
    found = load(raw({**doc_of(dump(value)), "requires": ["telepathy"]}), key=KEY)
    assert doc_of(dump(found))["requires"] == ["telepathy"]


# --- what it says beside that -------------------------------------------------------------------


def objects(doc, path=()):
    """Yield the paths of all objects of a document that are not a user's own."""
    if isinstance(doc, dict):
        yield path
    if not isinstance(doc, (dict, list)):
        return
    for name, value in doc.items() if isinstance(doc, dict) else enumerate(doc):
        if name not in {"input", "tags", "counts", "backoff", "outputs"}:
            yield from objects(value, (*path, name))


def with_more(doc, path, more):
    doc = copy.deepcopy(doc)
    spot = doc
    for name in path:
        spot = spot[name]
    spot.update(more)
    return doc


MORE = {"later": {"deep": [1, 2.5, None, "é", 10**30]}, "unknown": "a field of that name"}


@LOADERS
def test_unknown_fields_survive_a_rewrite_wherever_they_are(value, dump, load):
    doc = doc_of(dump(value))
    paths = list(objects(doc))
    assert len(paths) >= 4
    for path in paths:
        more = with_more(doc, path, MORE)
        assert doc_of(dump(load(raw(more), key=KEY))) == more, path


def test_unknown_fields_of_a_task_a_lease_and_the_log_survive_the_next_commit(job, part):
    doc = doc_of(dump_part(part))
    for path in objects(doc):
        doc = with_more(doc, path, {"later": str(path)})
    before = load_part(raw(doc), key=KEY)
    after = commit(before, "l2", Commit(), now=7.0, policy=job.policy, chance=0.5, lease_s=9.0)
    text = dump_part(after).decode()
    assert all(json.dumps(str(path)) in text for path in objects(doc_of(dump_part(part))))


def test_unknown_fields_survive_an_order(world):
    repository, job = world.repository(), world.job(n_tasks=5)
    world.submit(job)
    key = next(key for key in world.listed("jobs/"))
    world.inner.overwrite(key, raw({**doc_of(world.inner.read(key).data), "later": {"a": [1]}}))
    control.cancel(repository, job.id, reason="no")
    doc = doc_of(world.inner.read(key).data)
    assert doc["later"] == {"a": [1]}
    assert len(doc["controls"]) == 1


def test_more_in_a_closed_record_is_refused_not_lost(job):
    doc = doc_of(dump_job(job))
    doc["policy"]["backoff"]["later"] = 1
    with pytest.raises(FormatError, match="does not know 'later' in a backoff: upgrade"):
        load_job(raw(doc), key=KEY)


# --- how much -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    (
        lambda job: {"tags": {"a": "x" * (MAX_BYTES + 1)}},
        lambda job: {"tags": {"a": "x" * (bound.MAX_TEXT + 1)}},
        lambda job: {"input": {"kind": "values", "values": ["x" * MAX_BYTES]}},
        lambda job: {"input": {"kind": "values", "values": [float("nan")]}},
        lambda job: {"controls": (Control(op="c", verb=ControlVerb.CANCEL, at=5.0, reason="x" * 70_000_000),)},
        lambda job: {"controls": (Control(op="c", verb=ControlVerb.PAUSE, at=5.0, until=1e300),)},
        lambda job: {"policy": Policy(backoff=Backoff(max_s=1e300))},
        lambda job: {"policy": Policy(not_before=float("nan"))},
        lambda job: {"created": -1.0},
        lambda job: {"timeout_s": 1e300},
        lambda job: {"n_tasks": 10**12, "part_rows": 1},
        lambda job: {"part_rows": 10**9, "n_tasks": 10**9},
        lambda job: {"type": "../x"},
        lambda job: {"priority": 256},
    ),
)
def test_job_that_nobody_could_read_is_refused_before_it_is_written(job, change):
    with pytest.raises(UsageError) as caught:
        dump_job(replace(job, **change(job)))
    assert len(str(caught.value)) < 1_000


def test_deep_values_are_refused_on_both_sides(job):
    value = []
    for _ in range(bound.MAX_DEPTH + 1):
        value = [value]
    deep = {"kind": "values", "values": [value]}
    with pytest.raises(UsageError, match="nested"):
        dump_job(replace(job, input=deep))
    with pytest.raises(FormatError, match="nested"):
        load_job(raw({**doc_of(dump_job(job)), "input": deep}), key=KEY)
    brackets = {"kind": "values", "values": ["[" * 5_000, '{"' * 5_000, "\\" * 99]}
    assert load_job(dump_job(replace(job, input=brackets)), key=KEY).input == brackets


def test_note_that_is_too_long_is_cut_and_the_commit_goes_through(job, part):
    outcome = Outcome(verb=Verb.FAIL, rows=part.held("l2"), note="x" * 70_000_000)
    given = Commit(outcomes=[outcome], is_last=True)
    after = commit(part, "l2", given, now=7.0, policy=job.policy, chance=0.5, lease_s=9.0)
    assert len(dump_part(after)) < 20_000


@pytest.mark.parametrize(
    ("name", "value"),
    (
        ("at", -1.0),
        ("at", 1e300),
        ("at", True),
        ("n_rows", 10**400),
        ("n_rows", -1),
        ("n_rows", 1.5),
        ("note", "x" * (bound.MAX_NOTE + 1)),
        ("worker", "x" * 2_000),
        ("worker", None),
        ("rows", [[5, 4]]),
        ("rows", [[0, 2**60]]),
        ("rows", [["0", "4"]]),
        ("verb", "unheard"),
    ),
)
def test_value_out_of_its_bounds_is_refused(name, value):
    doc = record.write(Event(at=1.0, verb=Verb.CLAIM, rows=Rows.span(0, 3), n_rows=3, worker="w", note="n"))
    with pytest.raises(ValueError, match=r"."):
        record.read(Event, {**doc, name: value})


# --- whose it is --------------------------------------------------------------------------------


def test_job_object_of_another_job_is_refused(world):
    repository, jobs = world.repository(), [world.job(n) for n in (1, 2)]
    for job in jobs:
        world.submit(job)
    one, other = world.listed("jobs/")
    world.inner.overwrite(one, world.inner.read(other).data)
    ids = sorted(job.id for job in jobs)
    with pytest.raises(FormatError, match=f"another job: '{ids[1]}'"):
        repository.read_job(ids[0])
    with pytest.raises(FormatError, match="another job"):
        control.cancel(repository, ids[0])


@pytest.mark.parametrize("field", ("job", "part", "n_rows"))
def test_part_object_of_another_part_is_refused(world, field):
    repository, job = world.repository(), world.job(1, n_tasks=25)
    world.submit(job)
    control.cancel(repository, job.id)
    job = repository.read_job(job.id).doc
    doc = doc_of(world.inner.read(repository.keys_of(job).part(1)).data)
    other = {
        "job": {"job": "0" * 18},
        "part": {"part": 2},
        "n_rows": {"n_rows": 5, "states": [["cancelled", [[0, 5]]]]},
    }
    world.inner.overwrite(repository.keys_of(job).part(1), raw({**doc, **other[field]}))
    with pytest.raises(FormatError, match="another part"):
        repository.read_part(job, 1)


FIRST_READS = """
import sys, threading
from dataclasses import make_dataclass
from oqkit.queue import record

sys.setswitchinterval(1e-6)
inner = [make_dataclass(f"Inner{n}", [(f"x{k}", int, 0) for k in range(40)], frozen=True) for n in range(200)]
kinds = [make_dataclass(f"Kind{n}", [("inner", one)], frozen=True) for n, one in enumerate(inner)]
meet = threading.Barrier(8)

def read_all():
    for kind in kinds:
        meet.wait()
        assert record.read(kind, {"inner": {"x7": 5}}).inner.x7 == 5

threads = [threading.Thread(target=read_all) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print("all read")
"""


def test_threads_may_read_the_first_document_of_a_kind_together():
    done = subprocess.run([sys.executable, "-c", FIRST_READS], capture_output=True, text=True, check=False)
    assert done.stdout == "all read\n", (done.returncode, done.stderr[-500:])
