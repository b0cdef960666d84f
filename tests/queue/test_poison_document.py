"""A document that is damaged or from elsewhere is refused or harmless."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from oqkit.errors import FormatError, LeaseLost
from oqkit.limits import QueueLimits
from oqkit.queue.commit import Commit, Outcome
from oqkit.queue.document import MAX_BYTES, dump_job, dump_part, load_job, load_part
from oqkit.queue.job import Control, ControlVerb, Job, caught_up
from oqkit.queue.part import Lease, claim, commit, fresh, settle
from oqkit.queue.policy import Policy
from oqkit.queue.rows import Rows
from oqkit.queue.transition import Status, Verb
from tests.document import paths, with_value

KEY = "the/key.json"


def part_doc():
    part = claim(
        fresh("0abc", 0, n_rows=10, gen=1),
        Lease(id="l1", worker="w", expires=9.0),
        max_rows=4,
        now=5.0,
        policy=Policy(),
        chance=0.5,
        limits=QueueLimits(),
    )
    outcomes = [
        Outcome(verb=Verb.COMPLETE, rows=Rows.span(0, 2)),
        Outcome(verb=Verb.RETRY, rows=Rows.span(2, 3), note="n"),
    ]
    given = Commit(outcomes=outcomes, output={"a": 1})
    part = commit(part, "l1", given, now=6.0, policy=Policy(), chance=0.5, lease_s=60.0)
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


STRANGE = (None, True, -1, 0, 3, 7.5, 10**400, "", "x", "3", [], [[]], [1], {}, {"x": 1}, float("inf"), float("nan"))


def use_part(part):
    """Do to a part what a worker does."""
    policy, lease = Policy(expires_at=50.0), Lease(id="new", worker="w", expires=99.0)
    assert sum(part.counts().values()) == part.n_rows
    _ = (part.is_final, part.next_change())
    for now in (1.0, 20.0, 100.0):
        claimed = claim(
            settle(part, now=now, policy=policy, chance=0.5),
            lease,
            max_rows=3,
            now=now,
            policy=policy,
            chance=0.5,
            limits=QueueLimits(),
        )
        dump_part(claimed)
    try:
        given = Commit(outcomes=[Outcome(verb=Verb.RETRY, rows=part.held("l1"))], is_last=True)
        dump_part(commit(part, "l1", given, now=9.0, policy=policy, chance=0.5, lease_s=60.0))
    except LeaseLost:
        return


def use_job(job):
    """Do to a job what a worker and a view do."""
    _ = (job.gen, job.n_parts, job.locate(3), sorted(job.tags.items()), dict(job.input))
    part = caught_up(job.fresh_part(0), job, now=5.0)
    lease = Lease(id="new", worker="w", expires=99.0)
    part = claim(part, lease, max_rows=3, now=5.0, policy=job.policy, chance=0.5, limits=QueueLimits())
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
