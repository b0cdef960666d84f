"""Which worker may run which job: the pure part, and what a worker puts on record of it."""

from __future__ import annotations

import json

import pytest

from oqkit.queue.eligibility import Ability, Hurdle, Refusal, reason, refusal_of
from oqkit.queue.job import Code, Job
from oqkit.queue.key import worker_key
from oqkit.queue.worker_record import Noted, WorkerRecord, put_worker, workers

BY_NAME = Code(reference="pkg.tasks:score", fingerprint="py3.11-f", python="3.11", magic="a70d0d0a")
BY_VALUE = Code(digest="d" * 64, fingerprint="py3.11-f", python="3.11", magic="a70d0d0a")


def job_of(code, *, job_id="0" * 18):
    return Job(
        id=job_id,
        type="score",
        n_tasks=1,
        part_rows=1,
        created=1.0,
        origin="o",
        mode="frame",
        code=code,
    )


def ability(*types, trusts_code=False, python="3.11", magic="a70d0d0a"):
    return Ability(types=frozenset(types), trusts_code=trusts_code, python=python, magic=magic)


@pytest.mark.parametrize(
    ("able", "code", "hurdle"),
    (
        (ability("score"), Code(), None),
        (ability("score"), BY_NAME, None),
        (ability("score"), BY_VALUE, None),  # it may be the very function that it has
        (ability("other"), Code(), Hurdle.TYPE),
        (ability("other"), BY_NAME, Hurdle.TRUST),
        (ability("other"), BY_VALUE, Hurdle.TRUST),
        (ability(trusts_code=True), Code(), Hurdle.TYPE),
        (ability(trusts_code=True), BY_NAME, None),
        (ability(trusts_code=True), BY_VALUE, None),
        (ability(trusts_code=True, python="3.12", magic="cb0d0d0a"), BY_NAME, None),  # imported, not unpickled
        (ability(trusts_code=True, python="3.12", magic="cb0d0d0a"), BY_VALUE, Hurdle.PYTHON),
        (ability(trusts_code=True, magic="000d0d0a"), BY_VALUE, Hurdle.PYTHON),
        (ability(trusts_code=True), Code(digest="d" * 64), None),  # of a version that did not say
    ),
)
def test_what_a_worker_certainly_cannot_run(able, code, hurdle):
    found = refusal_of(able, job_of(code))
    assert (found and found.hurdle) == hurdle


def test_other_python_is_named_with_the_one_that_is_needed():
    found = refusal_of(ability(trusts_code=True, python="3.12", magic="cb0d0d0a"), job_of(BY_VALUE))
    assert reason(found, job_of(BY_VALUE)) == "it runs 3.12, this needs 3.11"
    same = refusal_of(ability(trusts_code=True, magic="000d0d0a"), job_of(BY_VALUE))
    assert reason(same, job_of(BY_VALUE)) == "it runs 3.11, this needs 3.11 with byte code a70d0d0a"


@pytest.mark.parametrize("hurdle", Hurdle)
def test_every_hurdle_has_its_words(hurdle):
    told = reason(Refusal(hurdle=hurdle, detail="{braces} stay"), job_of(BY_VALUE))
    assert told
    assert "score" in told or "{braces} stay" in told


# --- the record ----------------------------------------------------------------------------------


def record(**changes):
    plain = {"name": "w", "host": "h", "pid": 1, "types": ["a"], "trusts_code": True, "concurrency": 1}
    return WorkerRecord(**{**plain, "started": 1.0, "seen": 2.0, "n_rows": 3, "requests": {"get": 4}, **changes})


def test_record_gives_back_what_was_noted(world):
    noted = Noted(subject="d" * 64, hurdle=Hurdle.UNLOADABLE, detail="no module 'x'")
    put_worker(world.repository(), record(python="3.12", magic="cb0d0d0a", every_s=60.0, refusals=(noted,)))
    (found,) = workers(world.repository())
    assert [one.refusal for one in found.refusals] == [Refusal(hurdle=Hurdle.UNLOADABLE, detail="no module 'x'")]
    assert (found.ability.python, found.ability.magic, found.every_s) == ("3.12", "cb0d0d0a", 60.0)


def test_refusal_that_only_a_newer_version_knows_is_read_with_its_detail(world):
    noted = Noted(subject="d" * 64, hurdle="too_cold", detail="it is too cold")
    put_worker(world.repository(), record(refusals=(noted,)))
    (found,) = workers(world.repository())
    assert reason(found.refusals[0].refusal, job_of(BY_VALUE)) == "it says that it is too cold"


def test_record_of_the_first_version_is_read(world):
    old = {
        "format": 1, "name": "w", "host": "h", "pid": 1, "types": [], "trusts_code": False, "concurrency": 1,
        "started": 1.0, "seen": 2.0, "n_rows": 3, "requests": {}, "is_stopped": False,
    }  # fmt: skip
    world.inner.overwrite(worker_key("w"), json.dumps(old).encode())
    (found,) = workers(world.repository())
    assert (found.python, tuple(found.refusals)) == ("", ())


@pytest.mark.parametrize(
    ("subject", "concerned"), (("d" * 64, True), ("0" * 18, True), ("e" * 64, False), ("1" * 18, False), ("", False))
)
def test_what_was_noted_concerns_jobs_of_that_function_or_that_job_alone(subject, concerned):
    assert Noted(subject=subject, hurdle=Hurdle.MISSING).concerns(job_of(BY_VALUE)) is concerned
    assert not Noted(subject="", hurdle=Hurdle.MISSING).concerns(job_of(Code()))
