"""A part: claims, and what becomes of the rows that they take."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oqkit.errors import IllegalTransition, LeaseLost
from oqkit.queue.document import dump_part, load_part
from oqkit.queue.part import (
    Lease,
    cancel,
    output_id,
    settle,
)
from oqkit.queue.policy import Backoff, Policy
from oqkit.queue.rows import NONE, Rows
from oqkit.queue.transition import Status, Verb
from tests.queue.faulty import NO_WAIT
from tests.queue.step import LIMITS, TTL, end, new, statuses, take

# --- claim --------------------------------------------------------------------------------------


def test_claim_takes_the_first_rows_and_raises_their_attempt():
    part = take(new(), max_rows=3)
    assert part.held("a") == Rows.span(0, 3)
    assert [part.state_at(row).attempt for row in (0, 2, 3)] == [1, 1, 0]
    assert part.leases == (Lease(id="a", worker="w", expires=60.0),)


def test_claim_passes_over_rows_that_others_run_and_rows_that_are_not_due():
    part = take(take(new(6), "a", max_rows=2), "b", max_rows=1)
    part = end(part, "b", Verb.RESCHEDULE, delay_s=100.0)
    part = take(part, "c")
    assert part.held("c") == Rows.span(3, 6)


def test_claim_takes_scattered_rows_up_to_its_size():
    part = take(new(10), "a")
    part = end(part, "a", Verb.COMPLETE, Rows.of(range(0, 10, 2)))
    part = take(part, "b", max_rows=3)
    assert part.held("b").numbers() == [1, 3, 5]


def test_claim_without_a_row_leaves_no_lease():
    part = take(new(), "a")
    assert take(part, "b") == part


def test_claim_before_the_job_may_start_takes_nothing():
    policy = Policy(not_before=50.0)
    assert take(new(), now=49.9, policy=policy) == new()
    assert take(new(), now=50.0, policy=policy).held("a")


def test_claim_is_refused_when_there_are_as_many_leases_as_a_part_may_hold():
    part = new(100)
    for n in range(LIMITS.max_leases + 1):
        part = take(part, f"l{n}", max_rows=1)
    assert len(part.leases) == LIMITS.max_leases
    assert part.held(f"l{LIMITS.max_leases}") == NONE


def test_claim_of_a_full_part_goes_through_once_a_lease_ran_out():
    part = new(100)
    for n in range(LIMITS.max_leases):
        part = take(part, f"l{n}", max_rows=1, now=float(n))
    part = take(part, "late", max_rows=1, now=60.0)
    assert part.held("late")
    assert len(part.leases) == LIMITS.max_leases


# --- outcomes -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verb", "status"), ((Verb.COMPLETE, "completed"), (Verb.FAIL, "failed"), (Verb.RETRY, "pending"))
)
def test_outcome_gives_the_rows_their_status_and_frees_them(verb, status):
    part = end(take(new(2)), "a", verb)
    assert statuses(part) == [status] * 2
    assert part.leases == ()
    assert {task.lease for task in part.states} == {""}


@pytest.mark.parametrize("verb", (Verb.CLAIM, Verb.EXPIRE, Verb.REOPEN))
def test_outcome_cannot_be_a_verb_that_is_not_for_workers(verb):
    with pytest.raises(IllegalTransition):
        end(take(new(2)), "a", verb)


@pytest.mark.parametrize("retries", (0, 1, 3))
def test_retry_fails_when_the_retries_are_used_up(retries):
    policy = Policy(retries=retries, backoff=NO_WAIT.backoff)
    part, n = new(1), 0
    while not part.is_final:
        part = end(take(part, f"l{n}", policy=policy, now=float(n)), f"l{n}", Verb.RETRY, policy=policy, now=float(n))
        n += 1
    assert n == part.state_at(0).attempt == retries + 1
    assert statuses(part) == ["failed"]


def test_permanent_error_fails_at_the_first_attempt():
    part = end(take(new(1), policy=Policy(retries=99)), "a", Verb.FAIL, policy=Policy(retries=99))
    assert (statuses(part), part.state_at(0).attempt) == (["failed"], 1)


@given(
    st.integers(1, 200),
    st.floats(0, 1, exclude_max=True),
    st.builds(
        Backoff,
        initial_s=st.floats(0, 100),
        factor=st.floats(1, 1e9),
        max_s=st.floats(0, 1000),
        jitter=st.floats(0, 1),
    ),
)
def test_backoff_is_exponential_bounded_and_jittered(attempt, chance, backoff):
    middle = min(backoff.max_s, backoff.initial_s * backoff.factor ** min(attempt - 1, 30))
    delay = backoff.delay_s(attempt, chance=chance)
    assert 0 <= delay <= backoff.max_s * (1 + backoff.jitter)
    if attempt <= 30:
        assert middle * (1 - backoff.jitter) * 0.999 <= delay <= middle * (1 + backoff.jitter) * 1.001


def test_backoff_doubles_from_one_second_to_a_minute_by_default():
    delays = [Backoff().delay_s(attempt, chance=0.5) for attempt in range(1, 9)]
    assert delays == [1, 2, 4, 8, 16, 32, 60, 60]
    assert Backoff().delay_s(1, chance=0.0) == 0.75
    assert Backoff().delay_s(1, chance=1.0) == 1.25


def test_retried_row_is_due_after_its_backoff():
    policy = Policy(backoff=Backoff(initial_s=10.0))
    part = end(take(new(1), policy=policy), "a", Verb.RETRY, now=5.0, policy=policy, chance=0.0)
    assert part.next_change() == 12.5
    assert not take(part, "b", now=12.4, policy=policy).held("b")
    assert take(part, "b", now=12.5, policy=policy).held("b")


def test_reschedule_uses_no_attempt_and_falls_due_when_it_says():
    policy = Policy(retries=0)
    part = new(1)
    for n in range(50):
        part = take(part, f"l{n}", now=n * 10.0, policy=policy)
        part = end(part, f"l{n}", Verb.RESCHEDULE, now=n * 10.0, policy=policy, delay_s=10.0)
    task = part.state_at(0)
    assert (task.attempt, task.used, task.reschedules, task.due) == (50, 0, 50, 500.0)
    assert statuses(part) == ["pending"]


def test_reschedule_fails_beyond_its_maximum():
    policy = Policy(max_reschedules=2)
    part = new(1)
    for n in range(3):
        assert statuses(part) == ["pending"]
        part = end(take(part, f"l{n}", policy=policy), f"l{n}", Verb.RESCHEDULE, policy=policy)
    assert statuses(part) == ["failed"]


def test_reschedules_count_for_each_row_by_itself():
    policy = Policy(max_reschedules=1)
    part = end(take(new(2), policy=policy), "a", Verb.RESCHEDULE, Rows.span(0, 1), policy=policy)
    part = end(take(part, "b", policy=policy), "b", Verb.RESCHEDULE, policy=policy)
    assert statuses(part) == ["failed", "pending"]


def test_released_rows_are_due_at_once_and_keep_their_attempts():
    policy = Policy(retries=0)
    part = new(4)
    for n in range(20):
        part = end(take(part, f"l{n}", policy=policy), f"l{n}", Verb.COMPLETE, NONE, policy=policy)
    assert part.next_change() == 0.0
    assert (part.state_at(0).attempt, part.state_at(0).used) == (20, 0)


def test_rows_without_an_outcome_are_released_when_the_lease_ends():
    part = end(take(new(4)), "a", Verb.COMPLETE, Rows.span(0, 2))
    assert statuses(part) == ["completed"] * 2 + ["pending"] * 2


def test_checkpoint_keeps_the_lease_longer_and_hands_back_what_it_is_told():
    part = end(take(new(6)), "a", Verb.COMPLETE, Rows.span(0, 1), now=30.0, lease_s=60.0, release=Rows.span(3, 6))
    assert part.held("a") == Rows.span(1, 3)
    assert part.lease("a").expires == 90.0
    assert statuses(part) == ["completed", "running", "running", "pending", "pending", "pending"]
    assert part.state_at(3).used == 0


@pytest.mark.parametrize("release", (NONE, Rows.span(1, 3)))
def test_checkpoint_that_leaves_a_lease_no_row_ends_it(release):
    part = cancel(take(new(4)), Rows.span(3, 4), now=1.0, statuses=frozenset({Status.RUNNING}))
    part = end(part, "a", Verb.COMPLETE, part.held("a") - release, lease_s=60.0, release=release)
    assert part.leases == ()
    assert (part.has_commit("a", 1), part.has_commit("a", 2)) == (True, False)
    with pytest.raises(LeaseLost):
        end(part, "a", Verb.COMPLETE, Rows.span(0, 1))


def test_release_of_rows_that_the_lease_does_not_hold_does_nothing():
    part = take(take(new(4), "a", max_rows=2), "b", max_rows=2)
    part = end(part, "a", Verb.COMPLETE, NONE, lease_s=60.0, release=Rows.span(0, 4))
    assert part.held("b") == Rows.span(2, 4)


# --- the part as a whole ------------------------------------------------------------------------


def test_untouched_part_is_all_pending():
    part = new(7)
    assert part.counts() == {**dict.fromkeys(Status, 0), Status.PENDING: 7}
    assert (part.is_final, part.next_change()) == (False, 0.0)


def test_final_part_never_changes_by_itself():
    part = end(take(new()), "a", Verb.COMPLETE)
    assert part.is_final
    assert part.next_change() is None
    assert settle(part, now=1e9, policy=TTL, chance=0.5) == part
    assert take(part, "b", now=1e9, policy=TTL) == part


def test_next_change_is_the_first_due_row_or_lease_to_run_out():
    part = end(take(new(2), max_rows=1, lease_s=60.0), "a", Verb.RESCHEDULE, delay_s=500.0)
    part = take(part, "b", lease_s=60.0, now=3.0)
    assert part.next_change() == 63.0


def test_document_of_a_long_history_stays_bounded():
    part, patient = new(100), Policy(retries=10**6, backoff=NO_WAIT.backoff)
    for n in range(500):
        part = end(take(part, f"lease{n:011d}"), f"lease{n:011d}", Verb.RETRY, policy=patient, output=b"")
    assert len(dump_part(part)) < 8000
    assert load_part(dump_part(part), key="k") == part
    assert output_id("lease00000000499", 1) in part.outputs
