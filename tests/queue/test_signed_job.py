"""Signed jobs: what a worker with a key runs is what was signed, whatever else the bucket says."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from oqkit.errors import FormatError, NotSigned
from oqkit.limits import QueueLimits
from oqkit.observe.observer import Observers
from oqkit.queue import control
from oqkit.queue.dependency import Parent
from oqkit.queue.document import dump_job, load_job
from oqkit.queue.job import Code
from oqkit.queue.key import BELL, job_key, parse_marker
from oqkit.queue.policy import Policy
from oqkit.queue.repository import Repository
from oqkit.queue.rows import Rows
from oqkit.queue.signature import Keyring
from oqkit.queue.transition import Status, Verb
from oqkit.worker.registry import HandlerRegistry
from oqkit.worker.source import LeaseSource
from oqkit.worker.thread import SystemThreads
from tests.queue.faulty import WrappedStore

LIMITS = QueueLimits()

OURS, THEIRS = b"ours " * 8, b"theirs " * 8
SCOPE = "s3://bucket/queue"
CODE = Code(digest="a" * 64)
COVERED = {
    "format": 2,
    "requires": ["something new"],
    "job": "0" * 17 + "9",
    "type": "evil",
    "n_tasks": 1_000,
    "part_rows": 7,
    "created": 1.0,
    "valid_until": 9e9,
    "mode": "value",
    "code": {"digest": "b" * 64},
    "code_rev": 5,
    "policy": {"retries": 99, "backoff": {}},
    "timeout_s": 5.0,
    "input": {"kind": "values", "values": ["evil"]},
}


def ring(*secrets, scope=SCOPE):
    return Keyring(secrets or (OURS,), scope=scope)


def submitter(world, *secrets, scope=SCOPE):
    store = WrappedStore(world.inner)
    return Repository(store, world.settings, rng=world.rng, signer=lambda: ring(*secrets, scope=scope))


def verifying_worker(world, *secrets):
    return world.worker(repository=world.repository().verifying(ring(*secrets)), everything=True)


def submit(world, *secrets, number=1, scope=SCOPE, **more):
    return world.submit(world.job(number, code=CODE, **more), submitter(world, *secrets, scope=scope)).job


def edit(world, job, change):
    """Do to the stored job what somebody does who can write the bucket."""
    key = job_key(job.id, 1)
    doc = json.loads(world.inner.read(key).data)
    change(doc)
    world.inner.overwrite(key, json.dumps(doc).encode())


def in_text(**fields):
    def change(doc):
        text = {**json.loads(doc["signature"]["text"]), **fields}
        doc["signature"]["text"] = json.dumps(text, separators=(",", ":"))

    return change


# --- what is signed ------------------------------------------------------------------------------


def test_signed_job_reads_as_it_was_written(world):
    job = submit(world)
    assert job.signature is not None
    assert job.valid_until == pytest.approx(job.created + LIMITS.signature_s)
    assert load_job(dump_job(job), key="k", keyring=ring()) == job


def test_every_signed_field_has_a_forgery_here(world):
    assert json.loads(submit(world).signature.text).keys() == COVERED.keys()


@pytest.mark.parametrize(
    "name", sorted(COVERED.keys() - {"format", "requires"})
)  # with others of these nobody reads on
def test_signed_field_is_taken_from_the_text_whatever_stands_beside_it(world, name):
    job = submit(world)
    forged = {**json.loads(dump_job(job)), name: COVERED[name]}
    assert load_job(json.dumps(forged).encode(), key="k") == job


@pytest.mark.parametrize("name", COVERED)
def test_change_of_the_signed_text_is_seen(world, name):
    job = submit(world)
    edit(world, job, in_text(**{name: COVERED[name]}))
    with pytest.raises(NotSigned, match="does not fit"):
        world.repository().verifying(ring()).read_job(job.id)


@pytest.mark.parametrize("signed", (None, {"maximum": 1}), ids=str)
@pytest.mark.parametrize("beside", (None, {"maximum": 2}), ids=str)
def test_schema_of_results_is_taken_from_the_text_also_where_it_says_of_none(world, signed, beside):
    job = submit(world, output_schema=signed)
    forged = {**json.loads(dump_job(job)), "output_schema": beside}
    assert load_job(json.dumps(forged).encode(), key="k", keyring=ring()).output_schema == signed


def test_signed_text_that_requires_something_new_is_left_alone(world):
    job = submit(world)
    edit(world, job, in_text(requires=["something new"]))
    with pytest.raises(FormatError, match="newer oqkit, which knows 'something new'"):
        world.repository().read_job(job.id)


# --- who runs what -------------------------------------------------------------------------------


def spoilers():
    def another_key(world):
        return submit(world, THEIRS)

    def another_queue(world):
        return submit(world, scope="s3://bucket/elsewhere")

    def unsigned(world):
        return world.submit(world.job(1, code=CODE)).job

    def stripped(world):
        job = submit(world)
        edit(world, job, lambda doc: doc.pop("signature"))
        return job

    def other_inputs(world):
        job = submit(world)
        edit(world, job, in_text(input={"kind": "values", "values": ["evil"]}))
        return job

    def other_code(world):
        job = submit(world)
        edit(world, job, in_text(code={"digest": "b" * 64}))
        return job

    return [another_key, another_queue, unsigned, stripped, other_inputs, other_code]


@pytest.mark.parametrize("spoil", spoilers(), ids=lambda one: one.__name__)
def test_worker_with_a_key_leaves_alone_what_is_not_signed_with_it(world, spoil):
    job = spoil(world)
    world.clock.sleep(LIMITS.bell_fresh_s + 1)  # the bell holds the job as it was
    good = submit(world, number=3)
    assert verifying_worker(world).drain() == 1
    assert world.parts(good)[0].is_final
    assert world.statuses(job) == {"pending": 1}
    assert world.worker(everything=True).drain() == 1, "one without a key runs what it trusts"


def test_signed_text_of_another_job_is_left_alone_by_everybody(world):
    job, other = submit(world), submit(world, number=2, n_tasks=0)
    signature = json.loads(world.inner.read(job_key(other.id, 1)).data)["signature"]
    edit(world, job, lambda doc: doc.update(signature=signature))
    world.clock.sleep(LIMITS.bell_fresh_s + 1)  # the bell holds the job as it was
    assert world.worker(everything=True).drain() == verifying_worker(world).drain() == 0
    with pytest.raises(FormatError, match="that of another job"):
        world.repository().read_job(job.id)


def test_bell_is_believed_only_if_the_job_in_it_is_signed(world):
    worker = verifying_worker(world)
    assert worker.find() is None
    forged = world.submit(world.job(1, code=CODE)).job
    assert forged.id.encode() in world.inner.read(BELL).data
    for _ in range(100):
        assert worker.find() is None
        world.clock.sleep(0.5)
    good = submit(world, number=2)
    assert worker.drain() == 1
    assert world.parts(good)[0].is_final


def test_every_key_of_a_worker_is_good(world):
    submit(world, OURS)
    submit(world, THEIRS, number=2)
    assert verifying_worker(world, OURS, THEIRS).drain() == 2


def test_signature_runs_out(world):
    submit(world)
    world.clock.sleep(LIMITS.signature_s + 1)
    assert verifying_worker(world).drain() == 0


# --- orders --------------------------------------------------------------------------------------


def test_order_of_somebody_without_a_key_leaves_the_signature_as_it_is(world):
    job = submit(world, n_tasks=3)
    after = control.cancel(world.repository(), job.id, rows=None, reason="no key needed")
    assert after.signature == job.signature
    assert world.repository().verifying(ring()).read_job(job.id).doc.controls == after.controls


def test_what_orders_require_is_kept_beside_the_signed_text(world):
    """An order is not signed, and every later one must know of it: a version that does not leaves the job alone."""
    job = submit(world, n_tasks=3)
    control.tag(world.repository(), job.id, {"team": "a"})
    control.cancel(world.repository(), job.id, rows=Rows.span(0, 1))
    after = world.repository().verifying(ring()).read_job(job.id).doc
    assert (after.requires, after.tags, after.signature) == (("tag",), {"team": "a"}, job.signature)


def test_corrected_function_is_signed_anew(world):
    job = submit(world, policy=Policy(retries=0))
    verifying_worker(world).drain(verb=Verb.FAIL)
    after = control.retry(submitter(world), job.id, code=Code(digest="c" * 64))
    assert (after.code.digest, after.code_rev) == ("c" * 64, 1)
    assert verifying_worker(world).drain() == 1
    assert world.statuses(job) == {Status.COMPLETED: 1}


def test_corrected_function_of_somebody_without_a_key_is_left_alone(world):
    job = submit(world, policy=Policy(retries=0))
    verifying_worker(world).drain(verb=Verb.FAIL)
    after = control.retry(world.repository(), job.id, code=Code(digest="c" * 64))
    assert after.signature is None
    assert verifying_worker(world).drain() == 0


FORGERIES = {
    "stripped, with other inputs": lambda doc: doc.update(input={"kind": "values", "values": ["evil"]}, signature=None),
    "with other inputs in the text": in_text(input={"kind": "values", "values": ["evil"]}),
    "with a longer time-out in the text": in_text(timeout_s=9e9),
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_corrected_function_does_not_get_inputs_signed_that_nobody_vouched_for(world, forgery, caplog):
    job = submit(world, policy=Policy(retries=0))
    verifying_worker(world).drain(verb=Verb.FAIL)
    edit(world, job, FORGERIES[forgery])
    after = control.retry(submitter(world), job.id, code=Code(digest="c" * 64))
    assert (after.code.digest, after.signature) == ("c" * 64, None)
    assert "not signed anew" in caplog.text
    assert verifying_worker(world).drain() == 0
    assert world.worker(everything=True).drain() == 1


def test_corrected_function_of_a_job_that_another_key_signed_is_not_signed_with_ours(world):
    job = submit(world, THEIRS, policy=Policy(retries=0))
    verifying_worker(world, THEIRS).drain(verb=Verb.FAIL)
    assert control.retry(submitter(world), job.id, code=Code(digest="c" * 64)).signature is None
    again = submit(world, THEIRS, number=2)
    assert control.retry(submitter(world, OURS, THEIRS), again.id, code=Code(digest="c" * 64)).signature is not None


def test_job_that_was_deleted_and_submitted_again_runs_and_its_old_copy_does_not(world):
    job = submit(world)
    control.retry(submitter(world), job.id, code=Code(digest="c" * 64))
    repository = world.repository().verifying(ring())
    assert repository.read_job(job.id).doc.code_rev == 1
    old = world.inner.read(job_key(job.id, 1)).data
    world.inner.delete(job_key(job.id, 1))
    world.clock.sleep(1)
    assert submit(world).code_rev == 0
    assert repository.read_job(job.id).doc.code_rev == 0
    world.inner.overwrite(job_key(job.id, 1), old)
    with pytest.raises(NotSigned, match="old copy"):
        repository.read_job(job.id)


def test_old_copy_of_a_job_is_refused_once_the_new_one_was_seen(world):
    job = submit(world, policy=Policy(retries=0))
    verifying_worker(world).drain(verb=Verb.FAIL)
    old = world.inner.read(job_key(job.id, 1)).data
    control.retry(submitter(world), job.id, code=Code(digest="c" * 64))
    repository = world.repository().verifying(ring())
    assert repository.read_job(job.id).doc.code_rev == 1
    world.inner.overwrite(job_key(job.id, 1), old)
    with pytest.raises(NotSigned, match="older function"):
        repository.read_job(job.id)


def test_job_of_no_key_has_no_trace_of_signatures(world):
    doc = json.loads(dump_job(replace(world.job(1), rev=1, op="op")))
    assert not {"signature", "code_rev", "valid_until"} & doc.keys()


# --- what is for everybody -----------------------------------------------------------------------


def test_worker_with_a_key_finds_the_lost_jobs_of_others_again(world):
    """The search is one for the whole queue: what its step passes over, nobody looks at again."""
    job = world.submit(world.job(1, code=CODE)).job
    for key in world.listed("open/"):
        world.inner.delete(key)
    registry = HandlerRegistry(repository := world.repository().verifying(ring()), [], trusts_code=True)
    search = LeaseSource(
        repository,
        None,
        registry,
        worker="w",
        lease_s=60.0,
        grace_s=0.0,
        isolates_after=2,
        concurrency=1,
        threads=SystemThreads(),
        observers=Observers(),
    ).sweep
    for _ in range(2):
        world.clock.sleep(search.wait_s() + 60.0)
        search.perform()
    assert [parse_marker(key).job for key in world.listed("open/")] == [job.id]


def test_worker_with_a_key_tells_an_unsigned_job_that_its_parent_has_ended_and_runs_it_not(world):
    """Whoever ends a job tells those that wait for it; only those who may run them read them to run them."""
    parent = submit(world)
    waits = world.job(
        2,
        code=CODE,
        depends_on=(Parent(job=parent.id, origin=parent.origin),),
        requires=("dependencies",),
    )
    child = world.submit(waits).job
    worker = verifying_worker(world)
    worker.drain(until_s=200.0, idle_s=100.0)
    assert [job_id for job_id, _ in worker.ran] == [parent.id]
    assert world.repository().read_job(child.id).doc.release is not None
    assert world.listed("waiting/") == []
    anybody = world.worker("anybody", everything=True)
    anybody.drain(until_s=60.0, idle_s=30.0)
    assert [job_id for job_id, _ in anybody.ran] == [child.id]


def test_signed_job_that_was_given_orders_still_says_what_it_requires(world):
    parent = submit(world)
    world.submit(world.job(2, depends_on=(Parent(job=parent.id, origin=parent.origin),), requires=("dependencies",)))
    found = world.repository().verifying(ring()).read_job(parent.id).doc
    assert found.has_followers
    assert found.requires == ("dependencies",)
