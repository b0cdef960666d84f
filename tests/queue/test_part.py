from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oqkit.errors import IllegalTransition, LeaseLost
from oqkit.limits import QueueLimits
from oqkit.queue.commit import Commit, Outcome
from oqkit.queue.document import dump_part, load_part
from oqkit.queue.part import (
    DONE_RING,
    LOG_RANGES,
    LOG_RING,
    Lease,
    cancel,
    claim,
    commit,
    fresh,
    output_id,
    reopen,
    settle,
)
from oqkit.queue.policy import Backoff, Policy
from oqkit.queue.rows import NONE, Rows
from oqkit.queue.suspect import lease_s_for
from oqkit.queue.transition import Status, Verb

LIMITS = QueueLimits()

ALL = frozenset(Status)
NO_WAIT = Policy(retries=3, backoff=Backoff(initial_s=0.0, jitter=0.0))


def new(n_rows=10):
    return fresh("job", 0, n_rows=n_rows, gen=1)


def take(part, lease="a", *, max_rows=1000, now=0.0, policy=NO_WAIT, lease_s=60.0, worker="w"):
    one = Lease(id=lease, worker=worker, expires=now + lease_s)
    return claim(part, one, max_rows=max_rows, now=now, policy=policy, chance=0.5, limits=LIMITS)


def end(part, lease, verb, rows=None, *, now=0.0, policy=NO_WAIT, chance=0.5, lease_s=None, **more):
    fields = {name: more.pop(name) for name in ("delay_s", "note") if name in more}
    outcome = Outcome(verb=verb, rows=part.held(lease) if rows is None else rows, **fields)
    given = Commit(outcomes=[outcome], is_last=lease_s is None, **more)
    return commit(part, lease, given, now=now, policy=policy, chance=chance, lease_s=lease_s or 0.0)


def statuses(part):
    return [str(part.state_at(row).status) for row in range(part.n_rows)]


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


# --- leases that run out ------------------------------------------------------------------------


def test_lease_lives_until_its_time_is_over():
    part = take(new(), lease_s=60.0)
    assert settle(part, now=59.9, policy=NO_WAIT, chance=0.5) == part
    part = settle(part, now=60.0, policy=NO_WAIT, chance=0.5)
    assert part.leases == ()
    assert set(statuses(part)) == {"pending"}


@pytest.mark.parametrize("retries", (0, 1, 3))
def test_lost_rows_are_due_at_once_and_have_used_no_attempt(retries):
    policy = Policy(retries=retries, backoff=Backoff(initial_s=8.0))
    part = settle(take(new(5), policy=policy), now=60.0, policy=policy, chance=0.5)
    run = part.state_at(0)
    assert (run.due, run.used, run.lost, run.deaths) == (0.0, 0, 1, 0)
    assert set(statuses(part)) == {"pending"}


def test_rows_that_are_lost_again_and_again_among_others_never_fail():
    policy, part = Policy(retries=0), new(3)
    for n in range(50):
        part = take(part, f"l{n}", now=n * 100.0, policy=policy)
        part = settle(part, now=n * 100.0 + 60, policy=policy, chance=0.5)
    assert set(statuses(part)) == {"pending"}


def alone(part, lease, *, now=0.0, policy=NO_WAIT):
    """Put on record that the row of a lease runs while nothing else is at stake in its worker."""
    return commit(part, lease, Commit(is_alone=True), now=now, policy=policy, chance=0.5, lease_s=60.0)


@pytest.mark.parametrize("max_losses", (1, 3))
def test_row_whose_worker_dies_while_it_runs_alone_fails_when_its_losses_are_used_up(max_losses):
    policy = Policy(retries=0, max_losses=max_losses, backoff=NO_WAIT.backoff)
    part = new(1)
    for n in range(max_losses):
        assert statuses(part) == ["pending"]
        now = n * 100.0
        part = alone(take(part, f"l{n}", now=now, policy=policy), f"l{n}", now=now, policy=policy)
        part = settle(part, now=now + 60, policy=policy, chance=0.5)
    assert statuses(part) == ["failed"]
    run = part.state_at(0)
    assert (run.output, run.deaths, run.used) == ("", max_losses, 1)


def test_row_waits_for_its_backoff_after_each_death_that_it_is_charged_with():
    policy = Policy(backoff=Backoff(initial_s=8.0, jitter=0.0))
    part = settle(alone(take(new(1)), "a"), now=60.0, policy=policy, chance=0.5)
    assert part.state_at(0).due == 68.0
    part = end(take(part, "b", now=68.0), "b", Verb.LOSE, now=70.0, policy=policy)
    assert (part.state_at(0).due, part.state_at(0).deaths) == (86.0, 2)


def test_holder_charges_the_row_that_killed_its_child_process():
    policy = Policy(retries=0, max_losses=2, backoff=NO_WAIT.backoff)
    part = take(new(4), policy=policy)
    part = end(part, "a", Verb.LOSE, Rows.span(2, 3), policy=policy, lease_s=60.0)
    assert statuses(part) == ["running", "running", "pending", "running"]
    assert (part.state_at(2).deaths, part.state_at(2).used) == (1, 0)
    part = end(part, "a", Verb.COMPLETE)
    part = end(take(part, "b", policy=policy), "b", Verb.LOSE, policy=policy, output={"why": 1})
    assert statuses(part) == ["completed", "completed", "failed", "completed"]
    assert part.state_at(2).output == output_id("b", 1)


def test_death_that_may_be_the_doing_of_others_is_counted_but_fails_nobody():
    policy = Policy(max_losses=2, backoff=NO_WAIT.backoff)
    part = new(1)
    for n in range(3):
        part = take(part, f"l{n}", policy=policy)
        died = Outcome(verb=Verb.LOSE, rows=Rows.span(0, 1), is_certain=False)
        given = Commit(outcomes=[died], is_last=True)
        part = commit(part, f"l{n}", given, now=0.0, policy=policy, chance=0.5, lease_s=60.0)
        assert (statuses(part), part.state_at(0).deaths) == (["pending"], n + 1)
    part = end(take(part, "last", policy=policy), "last", Verb.LOSE, policy=policy)
    assert statuses(part) == ["failed"]


@pytest.mark.parametrize(
    ("lease_s", "lengths"), ((5.0, [5, 10, 20, 40, 60, 60]), (40.0, [40, 60, 60]), (90.0, [90, 90]))
)
def test_lease_lasts_longer_after_each_that_ran_out_up_to_a_minute(lease_s, lengths):
    part, now, found = new(1), 0.0, []
    for n, length in enumerate(lengths):
        lease = Lease(id=f"l{n}", worker="w", expires=now + lease_s)
        part = claim(part, lease, max_rows=1, now=now, policy=NO_WAIT, chance=0.5, limits=LIMITS)
        found.append(part.leases[0].expires - now)
        assert lease_s_for(part.states, f"l{n}", lease_s=lease_s, limits=LIMITS) == length
        now = part.leases[0].expires
    assert found == lengths


def test_reopened_row_may_lose_its_worker_as_often_as_a_new_one():
    policy = Policy(max_losses=1)
    part = end(take(new(1), policy=policy), "a", Verb.LOSE, policy=policy)
    assert statuses(part) == ["failed"]
    part = reopen(part, Rows.span(0, 1), now=1.0, statuses=frozenset({Status.FAILED}))
    assert (part.state_at(0).deaths, part.state_at(0).is_suspect) == (0, False)


def test_claim_takes_over_from_a_lease_that_ran_out():
    part = take(take(new(), "a"), "b", now=60.0)
    assert part.held("a") == NONE
    assert part.held("b")


def test_holder_may_still_commit_after_its_time_when_nobody_took_over():
    assert statuses(end(take(new(1)), "a", Verb.COMPLETE, now=1000.0)) == ["completed"]


def test_holder_that_was_taken_over_is_fenced_by_lease_not_by_worker():
    part = take(new(1), "a", worker="same")
    part = take(part, "b", worker="same", now=60.0)
    with pytest.raises(LeaseLost):
        end(part, "a", Verb.COMPLETE, Rows.span(0, 1), now=61.0)
    assert statuses(end(part, "b", Verb.COMPLETE, now=61.0)) == ["completed"]


def test_outcome_for_rows_of_another_lease_is_not_recorded():
    part = take(take(new(4), "a", max_rows=2), "b", max_rows=2)
    part = end(part, "a", Verb.COMPLETE, Rows.span(0, 4))
    assert statuses(part) == ["completed", "completed", "running", "running"]


def test_ended_lease_cannot_commit_again():
    part = end(take(new(1)), "a", Verb.RETRY)
    with pytest.raises(LeaseLost):
        end(part, "a", Verb.COMPLETE, Rows.span(0, 1))


def test_claims_shrink_after_each_loss_down_to_one_row():
    n_rows, now, sizes = 8192, 0.0, []
    part = new(n_rows)
    for n in range(5):
        part = take(part, f"l{n}", max_rows=100_000, now=now)
        sizes.append(len(part.held(f"l{n}")))
        now += 60.0
    first, shrink = n_rows // LIMITS.suspect_first_factor, LIMITS.suspect_factor
    assert sizes == [n_rows, first, first // shrink, first // shrink**2, 1]


def test_row_that_is_known_to_have_killed_its_worker_is_claimed_alone():
    part = end(take(new(10)), "a", Verb.LOSE, Rows.span(4, 5))
    part = end(take(part, "b"), "b", Verb.RELEASE, NONE)
    sizes = []
    for n in range(2):
        part = take(part, f"c{n}")
        sizes.append(len(part.held(f"c{n}")))
    assert sorted(sizes) == [1, 9]


@given(st.lists(st.sampled_from(["lose", "die", "retry", "complete", "release"]), max_size=12), st.integers(1, 40))
def test_no_claim_mixes_suspects_with_others(story, max_rows):
    policy = Policy(retries=2, backoff=NO_WAIT.backoff)
    part, now = new(20), 0.0
    for n, what in enumerate(story):
        before = part
        part = take(part, f"l{n}", max_rows=max_rows, now=now, policy=policy)
        rows = part.held(f"l{n}").numbers()
        suspects = [row for row in rows if before.state_at(row).is_suspect]
        assert len(suspects) in {0, len(rows)}
        assert len(rows) == 1 or not any(before.state_at(row).deaths for row in rows)
        if not rows:
            continue
        if what == "lose":
            now += 60.0
            part = settle(part, now=now, policy=policy, chance=0.5)
        else:
            verb = {"die": Verb.LOSE, "retry": Verb.RETRY, "complete": Verb.COMPLETE, "release": Verb.RELEASE}[what]
            part = end(part, f"l{n}", verb, part.held(f"l{n}").head(1), now=now, policy=policy)


@pytest.mark.parametrize("retries", (0, 3))
def test_killer_row_costs_its_neighbours_no_failure_even_where_no_process_isolates_it(retries):
    policy = Policy(retries=retries, backoff=NO_WAIT.backoff)
    part, now, n = new(300), 0.0, 0
    while not part.is_final:
        part = take(part, f"l{n}", now=now, policy=policy)
        rows = part.held(f"l{n}").numbers()
        if len(rows) == 1 and part.state_at(rows[0]).lost:
            part = alone(part, f"l{n}", now=now, policy=policy)
        if 137 in rows:
            now += 60.0  # the worker dies
            part = settle(part, now=now, policy=policy, chance=0.5)
        else:
            part = end(part, f"l{n}", Verb.COMPLETE, now=now, policy=policy)
        n += 1
        assert n < 1000
    assert part.counts()[Status.FAILED] == 1
    assert statuses(part)[137] == "failed"
    assert part.state_at(137).deaths == policy.max_losses


def test_losses_are_forgotten_after_an_outcome():
    part = settle(take(new(100)), now=60.0, policy=NO_WAIT, chance=0.5)
    part = end(take(part, "b", now=60.0), "b", Verb.RETRY, now=61.0)
    assert part.state_at(0).lost == 0


# --- time to live -------------------------------------------------------------------------------

TTL = Policy(expires_at=100.0, backoff=NO_WAIT.backoff)


def test_pending_rows_expire_when_their_time_is_over():
    assert set(statuses(settle(new(), now=99.9, policy=TTL, chance=0.5))) == {"pending"}
    assert set(statuses(settle(new(), now=100.0, policy=TTL, chance=0.5))) == {"expired"}


def test_claim_after_the_time_to_live_takes_nothing():
    part = take(new(), now=100.0, policy=TTL)
    assert (part.is_final, part.leases) == (True, ())


def test_running_rows_still_complete_after_their_time_to_live():
    part = settle(take(new(1), now=99.0, policy=TTL), now=101.0, policy=TTL, chance=0.5)
    assert statuses(part) == ["running"]
    assert statuses(end(part, "a", Verb.COMPLETE, now=102.0, policy=TTL)) == ["completed"]


def test_lost_rows_expire_after_their_time_to_live():
    part = take(new(1), now=99.0, policy=TTL)
    assert statuses(settle(part, now=159.0, policy=TTL, chance=0.5)) == ["expired"]


@pytest.mark.parametrize("status", ("expired", "failed", "cancelled"))
def test_task_reopened_after_its_time_to_live_runs(status):
    part = take(new(1), policy=TTL)
    if status == "failed":
        part = end(part, "a", Verb.FAIL, policy=TTL)
    elif status == "cancelled":
        part = cancel(part, Rows.span(0, 1), now=5.0, statuses=ALL)
    else:
        part = settle(end(part, "a", Verb.RETRY, policy=TTL), now=100.0, policy=TTL, chance=0.5)
    assert statuses(part) == [status]
    part = reopen(part, Rows.span(0, 1), now=200.0, statuses=frozenset({Status(status)}))
    part = take(part, "b", now=201.0, policy=TTL)
    assert statuses(part) == ["running"]
    assert statuses(end(part, "b", Verb.COMPLETE, now=202.0, policy=TTL)) == ["completed"]


# --- cancel and reopen --------------------------------------------------------------------------


def mixed():
    """Rows 0 completed, 1 failed, 2 cancelled, 3 running under b, 4 pending."""
    part = take(new(5), "a", max_rows=3)
    outcomes = [Outcome(verb=Verb.COMPLETE, rows=Rows.span(0, 1)), Outcome(verb=Verb.FAIL, rows=Rows.span(1, 2))]
    given = Commit(outcomes=outcomes, output={"x": 1}, is_last=True)
    part = commit(part, "a", given, now=1.0, policy=NO_WAIT, chance=0.5, lease_s=60.0)
    part = cancel(part, Rows.span(2, 3), now=1.0, statuses=ALL & {Status.PENDING})
    return take(part, "b", max_rows=1, now=2.0)


def test_cancel_takes_pending_and_running_rows_and_leaves_the_rest():
    part = cancel(mixed(), Rows.span(0, 5), now=3.0, statuses=frozenset({Status.PENDING, Status.RUNNING}), note="why")
    assert statuses(part) == ["completed", "failed", "cancelled", "cancelled", "cancelled"]
    assert part.leases == ()
    assert (part.log[-1].verb, part.log[-1].note, part.log[-1].rows) == (Verb.CANCEL, "why", Rows.span(3, 5))


def test_cancel_of_some_rows_leaves_the_lease_of_the_others():
    part = cancel(take(new(4)), Rows.span(0, 2), now=1.0, statuses=frozenset({Status.RUNNING}))
    assert part.held("a") == Rows.span(2, 4)
    assert part.lease("a")


def test_cancel_takes_the_right_to_commit_away():
    part = cancel(take(new(2)), Rows.span(0, 2), now=1.0, statuses=frozenset({Status.RUNNING}))
    with pytest.raises(LeaseLost):
        end(part, "a", Verb.COMPLETE, Rows.span(0, 2))


def test_commit_leaves_rows_alone_that_were_cancelled_meanwhile():
    part = cancel(take(new(3)), Rows.span(1, 2), now=1.0, statuses=frozenset({Status.RUNNING}))
    part = end(part, "a", Verb.COMPLETE, Rows.span(0, 3), output={})
    assert statuses(part) == ["completed", "cancelled", "completed"]
    assert part.state_at(1).output == ""


def test_cancel_of_final_rows_is_refused():
    with pytest.raises(IllegalTransition):
        cancel(mixed(), Rows.span(0, 5), now=3.0, statuses=frozenset({Status.COMPLETED}))


def test_reopen_of_completed_rows_is_refused():
    with pytest.raises(IllegalTransition):
        reopen(mixed(), Rows.span(0, 5), now=3.0, statuses=frozenset({Status.COMPLETED}))


def test_reopen_takes_only_the_statuses_it_was_told():
    part = reopen(mixed(), Rows.span(0, 5), now=3.0, statuses=frozenset({Status.FAILED}))
    assert statuses(part) == ["completed", "pending", "cancelled", "running", "pending"]


def test_reopened_row_has_all_its_retries_again_but_its_attempts_go_on():
    policy = Policy(retries=1, backoff=NO_WAIT.backoff)
    part = new(1)
    for n in range(2):
        part = end(take(part, f"l{n}", policy=policy), f"l{n}", Verb.RETRY, policy=policy)
    part = reopen(part, Rows.span(0, 1), now=5.0, statuses=frozenset({Status.FAILED}))
    assert part.state_at(0).attempt == 2
    for n in range(2, 4):
        assert statuses(part) == ["pending"]
        part = end(take(part, f"l{n}", policy=policy, now=5.0), f"l{n}", Verb.RETRY, policy=policy, now=5.0)
    assert statuses(part) == ["failed"]
    assert part.state_at(0).attempt == 4


# --- outputs and evidence -----------------------------------------------------------------------


def test_output_is_named_by_the_rows_of_its_commit():
    part = end(take(new(4)), "a", Verb.COMPLETE, Rows.span(0, 2), output={"x": 1}, lease_s=60.0)
    part = end(part, "a", Verb.COMPLETE, Rows.span(2, 4), output=b"")
    assert part.outputs == {"a.1": {"x": 1}, "a.2": None}
    assert [part.state_at(row).output for row in range(4)] == ["a.1", "a.1", "a.2", "a.2"]


def test_output_is_swept_only_when_no_row_names_it():
    part = end(take(new(2)), "a", Verb.RETRY, output={"error": 1})
    part = end(take(part, "b", max_rows=1), "b", Verb.COMPLETE, output={"ok": 1})
    assert set(part.outputs) == {"a.1", "b.1"}, "row 1 still tells of its error"
    part = end(take(part, "c"), "c", Verb.COMPLETE, output={"ok": 2})
    assert set(part.outputs) == {"b.1", "c.1"}


def test_output_that_no_row_took_is_not_kept():
    part = take(new(2))
    part = cancel(part, Rows.span(0, 1), now=1.0, statuses=frozenset({Status.RUNNING}))
    part = end(part, "a", Verb.COMPLETE, Rows.span(0, 1), output={}, lease_s=60.0)
    assert part.outputs == {}
    assert part.has_commit("a", 1)


def test_commit_is_evident_after_others_wrote():
    part = end(take(take(new(9), "a", max_rows=1), "b", max_rows=1), "a", Verb.COMPLETE, output={})
    part = end(take(part, "c"), "c", Verb.COMPLETE, now=2.0)
    assert part.has_commit("a", 1)
    assert not part.has_commit("b", 1)
    assert not part.has_commit("never", 1)


def test_checkpoint_is_evident_by_its_number():
    part = end(take(new(9)), "a", Verb.COMPLETE, NONE, lease_s=60.0)
    assert part.has_commit("a", 1)
    assert not part.has_commit("a", 2)


def test_commit_with_an_output_is_evident_after_the_ring_overflowed():
    part = end(take(new(DONE_RING * 3), "a", max_rows=1), "a", Verb.COMPLETE, output={})
    for n in range(DONE_RING + 1):
        part = end(take(part, f"l{n}", max_rows=1), f"l{n}", Verb.COMPLETE)
    assert not [last for last in part.done if last.startswith("a.")]
    assert len(part.done) == DONE_RING
    assert part.has_commit("a", 1)


def test_checkpoint_with_an_output_is_evident_after_its_lease_was_taken_over():
    part = end(take(new(2)), "a", Verb.COMPLETE, Rows.span(0, 1), output={}, lease_s=60.0)
    part = take(part, "b", now=100.0)
    assert part.has_commit("a", 1)
    assert not part.has_commit("a", 2)


def test_checkpoint_without_an_output_is_evident_after_its_lease_was_taken_over():
    """Told "lost" must mean: not in the document."""
    part = end(take(new(2)), "a", Verb.COMPLETE, Rows.span(0, 1), lease_s=60.0)
    part = take(part, "b", now=100.0)
    assert part.has_commit("a", 1)
    assert not part.has_commit("a", 2)


def test_checkpoint_is_evident_after_the_rest_of_its_lease_was_cancelled():
    part = end(take(new(2)), "a", Verb.COMPLETE, Rows.span(0, 1), lease_s=60.0)
    part = cancel(part, Rows.span(0, 2), now=2.0, statuses=frozenset({Status.RUNNING}))
    assert part.has_commit("a", 1)
    assert not part.has_commit("a", 2)


def test_lease_without_a_commit_leaves_no_evidence_when_it_is_taken_over():
    part = take(take(new(2)), "b", now=100.0)
    assert not part.has_commit("a", 1)


# --- log ----------------------------------------------------------------------------------------


def test_log_is_a_short_ring():
    part = new(1)
    for n in range(LOG_RING):
        part = end(take(part, f"l{n}"), f"l{n}", Verb.RELEASE)
    assert len(part.log) == LOG_RING
    assert part.log[-1].verb is Verb.RELEASE


def test_log_shortens_scattered_rows():
    rows = Rows.of(range(0, 4 * LOG_RANGES, 2))
    part = end(take(new(4 * LOG_RANGES)), "a", Verb.COMPLETE, rows)
    event = next(event for event in part.log if event.verb is Verb.COMPLETE)
    assert event.rows == Rows.span(0, rows.last + 1)
    assert event.n_rows == 2 * LOG_RANGES


def test_log_says_who_did_what_when():
    part = end(take(new(2), worker="host:7", now=5.0), "a", Verb.RETRY, now=6.0, note="ValueError: x")
    assert [(e.at, str(e.verb), e.rows, e.worker, e.note) for e in part.log] == [
        (5.0, "claim", Rows.span(0, 2), "host:7", ""),
        (6.0, "retry", Rows.span(0, 2), "host:7", "ValueError: x"),
    ]


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
