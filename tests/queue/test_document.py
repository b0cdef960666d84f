from __future__ import annotations

import copy
import json
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from oqkit.errors import FormatError, LeaseLost
from oqkit.queue.document import MAX_BYTES, dump_job, dump_part, load_job, load_part
from oqkit.queue.job import Code, Control, ControlVerb, Job, caught_up
from oqkit.queue.part import Event, Lease, Outcome, Part, claim, commit, fresh, settle
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


# --- round trips --------------------------------------------------------------------------------


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
    part = claim(part, lease, max_rows=100, now=5.0, policy=Policy(), chance=0.5)
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
    )
    bad = Rows.of(range(0, 10_000, 20))
    good = Rows.span(0, 10_000) - bad
    outcomes = [Outcome(verb=Verb.FAIL, rows=bad), Outcome(verb=Verb.COMPLETE, rows=good)]
    part = commit(part, "a" * 16, outcomes, now=6.0, policy=Policy(), chance=0.5, has_output=True)
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
    )
    outcome = Outcome(verb=Verb.FAIL, rows=Rows.span(0, 1), note="no such file: caf\udce9.csv")
    part = commit(part, "l1", [outcome], now=6.0, policy=Policy(), chance=0.5)
    data = dump_part(part)
    data.decode("utf-8", errors="strict")
    assert load_part(data, key=KEY) == part


# --- poison -------------------------------------------------------------------------------------


def part_doc():
    part = claim(
        fresh("0abc", 0, n_rows=10, gen=1),
        Lease(id="l1", worker="w", expires=9.0),
        max_rows=4,
        now=5.0,
        policy=Policy(),
        chance=0.5,
    )
    outcomes = [
        Outcome(verb=Verb.COMPLETE, rows=Rows.span(0, 2)),
        Outcome(verb=Verb.RETRY, rows=Rows.span(2, 3), note="n"),
    ]
    part = commit(
        part, "l1", outcomes, now=6.0, policy=Policy(), chance=0.5, has_output=True, output={"a": 1}, lease_s=60.0
    )
    return json.loads(dump_part(replace(part, done=("l0.2",))))


def job_doc():
    control = Control(
        op="c1", verb=ControlVerb.CANCEL, at=5.0, statuses=(Status.PENDING,), rows=Rows.span(0, 3), reason="why"
    )
    job = Job(
        id="0abc",
        type="score",
        n_tasks=25,
        part_rows=10,
        created=1.0,
        origin="o",
        mode="row",
        policy=Policy(expires_at=99.0, max_reschedules=3),
        timeout_s=5.0,
        tags={"a": "b"},
        input={"inline": [1]},
        controls=(control,),
    )
    return json.loads(dump_job(job))


LOADERS = [(load_part, part_doc), (load_job, job_doc)]


def raw(doc):
    return json.dumps(doc).encode()


@pytest.mark.parametrize("load", (load_part, load_job))
@pytest.mark.parametrize(
    "data",
    (
        b"",
        b"not json",
        b"\xff\xfe\x00",
        b"\x00" * 100,
        b"null",
        b"[]",
        b"1",
        b'"format"',
        b"{}",
        b'{"format": 1}',
        b"[" * 200_000,
        b'{"format": 1, "states": ' + b"[" * 200_000,
        b'{"a":' * 200_000,
        b'{"format": ' + b"9" * 10_000 + b"}",
        b"<?xml version='1.0'?><Error><Code>NoSuchKey</Code></Error>",
    ),
    ids=lambda value: repr(value[:24]) if isinstance(value, bytes) else value.__name__,
)
def test_garbage_is_a_format_error_that_names_the_key(load, data):
    with pytest.raises(FormatError, match=KEY):
        load(data, key=KEY)


@pytest.mark.parametrize(("load", "make"), LOADERS)
@pytest.mark.parametrize("version", (0, 2, 99, "1", None, 1.5))
def test_other_format_is_refused_with_what_to_do(load, make, version):
    with pytest.raises(FormatError, match=rf"{KEY}.*upgrade oqkit"):
        load(raw({**make(), "format": version}), key=KEY)


@pytest.mark.parametrize(("load", "make"), LOADERS)
def test_each_missing_field_is_a_format_error(load, make):
    optional = {"counts", "requires"}  # one follows from the states, the other is new since 0.1
    for name in set(make()) - optional:
        doc = make()
        del doc[name]
        with pytest.raises(FormatError, match=KEY):
            load(raw(doc), key=KEY)


def test_too_large_object_is_refused_before_it_is_parsed():
    with pytest.raises(FormatError, match="at most"):
        load_part(b" " * (MAX_BYTES + 1), key=KEY)


def without(doc, name):
    return {one: value for one, value in doc.items() if one != name}


@pytest.mark.parametrize(
    "states",
    (
        [],
        [["pending", []]],
        [["pending", [[0, 9]]]],
        [["pending", [[0, 11]]]],
        [["pending", [[0, 6]]], ["completed", [[5, 10]]]],
        [["pending", [[0, 4]]], ["completed", [[5, 10]]]],
        [["pending", [[0, 5]]], ["pending", [[5, 10]]], ["pending", [[0, 1]]]],
        [["pending", "AAAA"]],
        [["unheard", [[0, 10]]]],
        [["pending"]],
        [["running", [[0, 10]]]],
        [["running", [[0, 10]], {"lease": "nobody"}]],
        [["pending", [[0, 10]], {"lease": "l1"}]],
        [["pending", [[0, 10]], {"output": 7}]],
        [["pending", [[0, 10]], {"output": -1}]],
        [["pending", [[0, 10]], {"attempt": "3"}]],
        [["pending", [[0, 10]], {"due": None}]],
        [["pending", [[0, 10]], 5]],
    ),
    ids=json.dumps,
)
def test_states_that_make_no_part_are_a_format_error(states):
    with pytest.raises(FormatError, match=KEY):
        load_part(raw({**part_doc(), "states": states}), key=KEY)


@pytest.mark.parametrize(
    "runs",
    (
        [],
        [["pending", 0, 9]],
        [["pending", 0, 11]],
        [["pending", 1, 10]],
        [["pending", 0, 4], ["pending", 5, 10]],
        [["pending", 0, 6], ["pending", 5, 10]],
        [["pending", 5, 10], ["pending", 0, 5]],
        [["pending", 0, 8], ["pending", 8, 2], ["pending", 2, 10]],
        [["pending", 0, 5], ["pending", 5, 5], ["pending", 5, 10]],
        [["pending", 0, 10.0]],
        [["pending", "0", "10"]],
        [["unheard", 0, 10]],
        [["pending"]],
        [[]],
        [["running", 0, 10]],
        [["running", 0, 10, {"lease": "nobody"}]],
        [["pending", 0, 10, {"lease": "l1"}]],
        [["pending", 0, 10, {"output": 7}]],
        [["pending", 0, 10, {"output": -1}]],
        [["pending", 0, 10, {"output": "l1.1"}]],
        [["pending", 0, 10, {"attempt": "3"}]],
        [["pending", 0, 10, {"due": None}]],
        [["pending", 0, 10, 5]],
    ),
    ids=json.dumps,
)
def test_runs_that_make_no_part_are_a_format_error(runs):
    with pytest.raises(FormatError, match=KEY):
        load_part(raw({**without(part_doc(), "states"), "runs": runs}), key=KEY)


def paths(doc, prefix=()):
    yield prefix
    items = doc.items() if isinstance(doc, dict) else enumerate(doc) if isinstance(doc, list) else ()
    for name, value in items:
        yield from paths(value, (*prefix, name))


def with_value(doc, path, value):
    if not path:
        return value
    doc = copy.deepcopy(doc)
    spot = doc
    for name in path[:-1]:
        spot = spot[name]
    spot[path[-1]] = value
    return doc


STRANGE = (None, True, -1, 0, 3, 7.5, 10**400, "", "x", "3", [], [[]], [1], {}, {"x": 1}, float("inf"), float("nan"))


def use_part(part):
    """Do to a part what a worker does."""
    policy, lease = Policy(expires_at=50.0), Lease(id="new", worker="w", expires=99.0)
    assert sum(part.counts().values()) == part.n_rows
    _ = (part.is_final, part.next_change())
    for now in (1.0, 20.0, 100.0):
        claimed = claim(
            settle(part, now=now, policy=policy, chance=0.5), lease, max_rows=3, now=now, policy=policy, chance=0.5
        )
        dump_part(claimed)
    try:
        dump_part(
            commit(part, "l1", [Outcome(verb=Verb.RETRY, rows=part.held("l1"))], now=9.0, policy=policy, chance=0.5)
        )
    except LeaseLost:
        return


def use_job(job):
    """Do to a job what a worker and a view do."""
    _ = (job.gen, job.n_parts, job.locate(3), sorted(job.tags.items()), dict(job.input))
    part = caught_up(job.fresh_part(0), job, now=5.0)
    lease = Lease(id="new", worker="w", expires=99.0)
    part = claim(part, lease, max_rows=3, now=5.0, policy=job.policy, chance=0.5)
    dump_part(part)
    _ = [job.code.digest.strip(), job.code.reference.strip(), job.name.strip(), 255 - job.priority]
    if job.timeout_s is not None:
        _ = job.timeout_s > 1
    dump_job(job)


@pytest.mark.parametrize("path", list(paths(part_doc())), ids=str)
def test_part_with_any_field_replaced_is_refused_or_harmless(path):
    for value in STRANGE:
        try:
            part = load_part(raw(with_value(part_doc(), path, value)), key=KEY)
        except FormatError as error:
            assert KEY in str(error)  # noqa: PT017 - either way is fine, but no other error is
        else:
            use_part(part)


@pytest.mark.parametrize("path", list(paths(job_doc())), ids=str)
def test_job_with_any_field_replaced_is_refused_or_harmless(path):
    for value in STRANGE:
        try:
            job = load_job(raw(with_value(job_doc(), path, value)), key=KEY)
        except FormatError as error:
            assert KEY in str(error)  # noqa: PT017
        else:
            use_job(job)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_part_with_bytes_flipped_is_refused_or_harmless(data):
    good = bytearray(raw(part_doc()))
    for _ in range(data.draw(st.integers(1, 3))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    try:
        part = load_part(bytes(good), key=KEY)
    except FormatError:
        return
    use_part(part)
