"""What a job says of those before it, from the job alone."""

from __future__ import annotations

import dataclasses
import itertools

import pytest

from oqkit.errors import FormatError, UsageError
from oqkit.queue import gate
from oqkit.queue.dependency import FIRST_RECHECK_S, LONGEST_RECHECK_S, OnFailure, Parent, named, recheck
from oqkit.queue.document import dump_job, load_job
from oqkit.queue.job import Control, ControlVerb, caught_up, concerned, with_control
from oqkit.queue.key import parse_waiting, waiting_key
from oqkit.queue.policy import Policy
from oqkit.queue.rows import Rows
from oqkit.queue.transition import Status

FIRST = Parent(job="0" * 18, origin="a", name="load")
CANCEL_ALL = {"statuses": (Status.PENDING, Status.RUNNING)}


def order(verb, op="op", **more):
    return Control(op=op, verb=verb, at=1_000.0, **more)


def given(job, *verbs, **more):
    for number, verb in enumerate(verbs):
        job = with_control(job, order(verb, f"op{number}", **more))
    return job


def test_looks_come_ever_more_rarely_and_at_the_same_moments_for_all():
    moments, now = [], 0.0
    while now < 20_000.0:
        now = recheck(0.0, now)
        moments.append(now)
    assert moments[:6] == [60.0, 120.0, 240.0, 480.0, 960.0, 1920.0]
    waits = [later - one for one, later in itertools.pairwise(moments)]
    assert max(waits) <= LONGEST_RECHECK_S
    assert waits[-1] == LONGEST_RECHECK_S
    assert all(recheck(0.0, moment - 0.5) == moment for moment in moments)


def test_look_is_later_than_now_whatever_the_clocks_say():
    for created in (0.0, 1_760_000_000.25):
        for waited in (-500.0, 0.0, 0.001, 59.999, 60.0, 61.0, 3_599.0, 3_600.0, 3_601.0, 1e8):
            assert recheck(created, created + waited) > created + waited
    assert recheck(100.0, 50.0) == 100.0 + FIRST_RECHECK_S


def test_job_without_parents_is_not_blocked(world):
    assert not world.job().is_blocked(world.now())


def test_job_is_blocked_until_it_is_released(world):
    job = world.job(1, depends_on=(FIRST,))
    assert job.is_blocked(world.now())
    for verb in (ControlVerb.PAUSE, ControlVerb.RESUME, ControlVerb.FOLLOW, ControlVerb.RETRY):
        assert given(job, verb).is_blocked(world.now())
    released = given(job, ControlVerb.RELEASE)
    assert not released.is_blocked(world.now())
    assert not given(released, ControlVerb.RETRY).is_blocked(world.now())
    assert released.release == order(ControlVerb.RELEASE, "op0")


def test_job_whose_tasks_were_all_cancelled_is_blocked_no_more_until_they_are_retried(world):
    job = world.job(1, depends_on=(FIRST,))
    assert given(job, ControlVerb.CANCEL, statuses=(Status.RUNNING,)).is_blocked(world.now())
    assert given(job, ControlVerb.CANCEL, rows=Rows.span(0, 1), **CANCEL_ALL).is_blocked(world.now())
    cancelled = given(job, ControlVerb.CANCEL, **CANCEL_ALL)
    assert not cancelled.is_blocked(world.now())
    assert with_control(cancelled, order(ControlVerb.RETRY)).is_blocked(world.now())


def test_job_whose_time_is_over_is_blocked_no_more(world):
    job = world.job(1, depends_on=(FIRST,), policy=Policy(expires_at=world.now() + 5.0))
    assert job.is_blocked(world.now())
    assert not job.is_blocked(world.now() + 5.0)
    assert gate.opens(job, world.now()) == world.now() + 5.0, "somebody looks then, to write that it expired"


def test_gate_says_which_jobs_it_waits_for(world):
    many = [Parent(job=f"{n:018d}", origin=f"o{n}", name=f"job{n}") for n in range(5)]
    hold = gate.held(world.job(1, depends_on=tuple(many)), world.now())
    assert hold.until == world.now() + FIRST_RECHECK_S
    assert all(f"'job{n}' ({n:018d})" in hold.why for n in range(3))
    assert "and 2 more have ended" in hold.why
    assert "'load'" in gate.held(world.job(1, depends_on=(FIRST,)), world.now()).why
    assert named(many[:1]) == "'job0' (000000000000000000)"


@pytest.mark.parametrize(
    ("on_failure", "reason", "status"),
    (
        (OnFailure.FAIL, "", "pending"),
        (OnFailure.SKIP, "", "pending"),
        (OnFailure.RUN, "", "pending"),
        (OnFailure.FAIL, "it depends on 'load', which did not complete", "failed"),
        (OnFailure.SKIP, "it depends on 'load', which did not complete", "cancelled"),
        (OnFailure.RUN, "it depends on 'load', which did not complete", "pending"),
    ),
)
def test_released_tasks_go_the_way_that_their_job_has_chosen(world, on_failure, reason, status):
    job = given(
        world.job(1, n_tasks=25, depends_on=(FIRST,), on_failure=on_failure), ControlVerb.RELEASE, reason=reason
    )
    for index in range(3):
        part = caught_up(job.fresh_part(index), job, now=world.now())
        assert {str(status) for status, n in part.counts().items() if n} == {status}
        assert part.gen == 2
        assert [event.note for event in part.log] == ([reason] if status != "pending" else [])
    parts = concerned(job, job.controls[-1])
    assert parts == (range(3) if status != "pending" else range(0)), "they end although nobody claims them"


def test_release_moves_no_task_that_ended_before(world):
    job = given(world.job(1, depends_on=(FIRST,)), ControlVerb.CANCEL, **CANCEL_ALL)
    job = with_control(job, order(ControlVerb.RELEASE, reason="it depends on 'load', which did not complete"))
    assert caught_up(job.fresh_part(0), job, now=world.now()).counts()[Status.CANCELLED] == 1


def test_follower_changes_no_task_of_its_parent(world):
    job = given(world.job(1), ControlVerb.FOLLOW)
    assert job.has_followers
    assert not world.job(1).has_followers
    assert caught_up(job.fresh_part(0), job, now=world.now()).states == job.fresh_part(0).states
    assert concerned(job, job.controls[-1]) == range(0)


def test_document_keeps_what_a_job_says_of_those_before_it(world):
    job = world.job(
        1, depends_on=(FIRST, Parent(job="0" * 17 + "1", origin="b", root="0" * 18)), on_failure=OnFailure.SKIP
    )
    job = dataclasses.replace(job, root="0" * 18, parent="0" * 18 + ".7")
    assert load_job(dump_job(job), key="k") == job
    plain = dump_job(world.job(1))
    assert not any(name in plain for name in (b"depends_on", b"on_failure", b"parent", b"root")), "most jobs have none"


def test_job_with_parents_or_followers_is_not_touched_by_versions_that_do_not_know_of_them(world, monkeypatch):
    jobs = [given(world.job(1), verb) for verb in (ControlVerb.FOLLOW, ControlVerb.RELEASE)]
    monkeypatch.setattr("oqkit.queue.document.FEATURES", frozenset())
    for job in jobs:
        assert job.requires == ("dependencies",)
        with pytest.raises(FormatError, match="newer oqkit, which knows 'dependencies'"):
            load_job(dump_job(job), key="k")
    assert given(world.job(1), ControlVerb.PAUSE).requires == ()


def test_more_parents_than_there_may_be_are_refused(world):
    many = tuple(Parent(job=f"{n:018d}", origin="o") for n in range(10_001))
    with pytest.raises(UsageError, match="cannot be stored"):
        dump_job(world.job(1, depends_on=many))


@pytest.mark.parametrize("failed", (None, 0, 17))
def test_name_of_an_entry_is_read_back(failed):
    assert parse_waiting(waiting_key("0" * 18, "k" * 18, failed=failed)) == ("k" * 18, failed)


@pytest.mark.parametrize("name", ("", "junk", "0" * 18 + ".", "0" * 18 + ".x", "0" * 18 + ".-1", "0" * 17))
def test_name_that_is_no_entry_is_refused(name):
    with pytest.raises(FormatError, match="not the name of an entry"):
        parse_waiting(f"waiting/{'0' * 18}/{name}")
