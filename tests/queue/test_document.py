"""Jobs and parts are read back as they were written, and a person can read them."""

from __future__ import annotations

import json
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from oqkit.limits import QueueLimits
from oqkit.queue.commit import Commit, Outcome
from oqkit.queue.document import dump_job, dump_part, load_job, load_part
from oqkit.queue.job import Code, Control, ControlVerb, Job
from oqkit.queue.part import Lease, Part, claim, commit, fresh
from oqkit.queue.part_log import Event
from oqkit.queue.policy import Backoff, Policy
from oqkit.queue.rows import Rows
from oqkit.queue.task_state import TaskState, grouped
from oqkit.queue.transition import Status, Verb

KEY = "the/key.json"


def without_surrogate_pairs(text):
    """JSON cannot tell the two halves of a pair from the character they make."""
    return not any("\ud800" <= a <= "\udbff" and "\udc00" <= b <= "\udfff" for a, b in pairwise(text))


texts = st.text(st.characters(exclude_categories=()), max_size=12).filter(without_surrogate_pairs)  # as in file names
plain = st.text(max_size=12)
times = st.floats(0, 4e9)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | plain,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(plain, inner, max_size=3),
    max_leaves=6,
)
row_sets = st.sets(st.integers(0, 300)).map(Rows.of)


@st.composite
def parts(draw):
    names = draw(st.lists(st.from_regex(r"\A[a-z]{1,6}\.[0-9]\Z"), unique=True, max_size=3))
    leases = draw(st.lists(st.from_regex(r"\A[a-z]{1,6}\Z"), unique=True, max_size=3))
    found, first = [], 0
    for n in draw(st.lists(st.integers(1, 9), min_size=1, max_size=6)):
        status = draw(st.sampled_from([s for s in Status if s is not Status.RUNNING or leases]))
        lease = draw(st.sampled_from(leases)) if status is Status.RUNNING else ""
        spared = draw(st.integers(0, 3))
        task = TaskState(
            status=status,
            attempt=spared + draw(st.integers(int(status is Status.RUNNING), 3)),
            spared=spared,
            lost=draw(st.integers(0, 3)),
            reschedules=draw(st.integers(0, 3)),
            due=draw(times),
            is_reopened=draw(st.booleans()),
            lease=lease,
            output=draw(st.sampled_from(["", *names])),
        )
        found.append((task, Rows.span(first, first + n)))
        first += n
    return Part(
        job=draw(plain),
        index=draw(st.integers(0, 10**6)),
        n_rows=first,
        states=grouped(found),
        gen=draw(st.integers(1, 9)),
        rev=draw(st.integers(0, 9)),
        op=draw(plain),
        at=draw(times),
        leases=tuple(
            Lease(id=one, worker=draw(texts), expires=draw(times), commits=draw(st.integers(0, 9))) for one in leases
        ),
        outputs={name: draw(st.none() | json_values) for name in names},
        done=tuple(draw(st.lists(st.from_regex(r"\A[a-z]{1,6}\.[1-9]\Z"), max_size=3))),
        log=tuple(
            draw(
                st.lists(
                    st.builds(
                        Event,
                        at=times,
                        verb=st.sampled_from(Verb),
                        rows=row_sets,
                        n_rows=st.integers(0, 99),
                        worker=texts,
                        note=texts,
                        by=texts,
                    ),
                    max_size=3,
                )
            )
        ),
    )


policies = st.builds(
    Policy,
    retries=st.integers(0, 9),
    backoff=st.builds(Backoff, initial_s=times, factor=times, max_s=times, jitter=st.floats(0, 1)),
    max_reschedules=st.none() | st.integers(0, 9),
    not_before=times,
    expires_at=st.none() | times,
)
controls = st.builds(
    Control,
    op=plain,
    verb=st.sampled_from(ControlVerb),
    at=times,
    statuses=st.lists(st.sampled_from(Status), unique=True).map(tuple),
    rows=st.none() | row_sets,
    reason=texts,
    by=texts,
)
jobs = st.builds(
    Job,
    id=plain,
    type=st.from_regex(r"\A[A-Za-z0-9_][A-Za-z0-9_.\-]{0,9}\Z"),
    n_tasks=st.integers(0, 10**7),
    part_rows=st.integers(1, 10**4),
    created=times,
    origin=plain,
    mode=plain,
    name=texts,
    content_digest=plain,
    options_digest=plain,
    code=st.builds(Code, reference=plain, digest=st.sampled_from(["", "0" * 64, "af" * 32]), fingerprint=plain),
    policy=policies,
    priority=st.integers(0, 255),
    timeout_s=st.none() | times,
    tags=st.dictionaries(texts, texts, max_size=3),
    input=st.dictionaries(plain, json_values, max_size=3),
    controls=st.lists(controls, max_size=3).map(tuple),
    rev=st.integers(0, 99),
    op=plain,
)


@given(parts())
def test_part_is_read_back_as_it_was_written(part):
    assert load_part(dump_part(part), key=KEY) == part


@given(jobs)
def test_job_is_read_back_as_it_was_written(job):
    assert load_job(dump_job(job), key=KEY) == job


@given(parts())
def test_part_object_is_json_that_any_tool_reads(part):
    doc = json.loads(dump_part(part).decode("utf-8", errors="strict"))
    assert sum(doc["counts"].values()) == doc["n_rows"] == part.n_rows
    assert {"format", "job", "part", "counts", "states", "leases", "log"} <= set(doc)


def test_part_object_is_readable_by_a_person():
    part = fresh("0abc", 7, n_rows=10_000, gen=1)
    lease = Lease(id="l1", worker="host:1", expires=99.5)
    part = claim(part, lease, max_rows=100, now=5.0, policy=Policy(), chance=0.5, limits=QueueLimits())
    assert dump_part(part).decode().splitlines() == [
        "{",
        ' "format": 1,',
        ' "requires": [],',
        ' "job": "0abc",',
        ' "part": 7,',
        ' "n_rows": 10000,',
        ' "counts": {"pending":9900,"running":100},',
        ' "gen": 1,',
        ' "rev": 0,',
        ' "op": "",',
        ' "at": 0.0,',
        ' "states": [["running",[[0,100]],{"attempt":1,"lease":"l1"}],["pending",[[100,10000]]]],',
        ' "leases": [{"id":"l1","worker":"host:1","expires":99.5,"commits":0}],',
        ' "outputs": [],',
        ' "done": [],',
        ' "log": [{"at":5.0,"verb":"claim","rows":[[0,100]],"n_rows":100,"worker":"host:1"}]',
        "}",
    ]


def test_part_of_ten_thousand_rows_with_five_hundred_scattered_failures_stays_small():
    part = claim(
        fresh("0abc", 0, n_rows=10_000, gen=1),
        Lease(id="a" * 16, worker="host:1", expires=99.5),
        max_rows=10_000,
        now=5.0,
        policy=Policy(),
        chance=0.5,
        limits=QueueLimits(),
    )
    bad = Rows.of(range(0, 10_000, 20))
    good = Rows.span(0, 10_000) - bad
    outcomes = [Outcome(verb=Verb.FAIL, rows=bad), Outcome(verb=Verb.COMPLETE, rows=good)]
    given = Commit(outcomes=outcomes, output=b"", is_last=True)
    part = commit(part, "a" * 16, given, now=6.0, policy=Policy(), chance=0.5, lease_s=60.0)
    assert len(dump_part(part)) < 2_000
    assert load_part(dump_part(part), key=KEY) == part


def test_note_that_is_no_valid_unicode_does_not_stop_a_commit():
    """`os.fsdecode` puts lone surrogates into file names, and those get into error messages."""
    part = claim(
        fresh("0abc", 0, n_rows=1, gen=1),
        Lease(id="l1", worker="w", expires=9.0),
        max_rows=1,
        now=5.0,
        policy=Policy(),
        chance=0.5,
        limits=QueueLimits(),
    )
    outcome = Outcome(verb=Verb.FAIL, rows=Rows.span(0, 1), note="no such file: caf\udce9.csv")
    given = Commit(outcomes=[outcome], is_last=True)
    part = commit(part, "l1", given, now=6.0, policy=Policy(), chance=0.5, lease_s=60.0)
    data = dump_part(part)
    data.decode("utf-8", errors="strict")
    assert load_part(data, key=KEY) == part
