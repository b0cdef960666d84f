"""Leases that run out: who goes on, and who is charged."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oqkit.errors import LeaseLost
from oqkit.queue.commit import Commit, Outcome
from oqkit.queue.part import (
    Lease,
    claim,
    commit,
    output_id,
    reopen,
    settle,
)
from oqkit.queue.policy import Backoff, Policy
from oqkit.queue.rows import NONE, Rows
from oqkit.queue.suspect import lease_s_for
from oqkit.queue.transition import Status, Verb
from tests.queue.faulty import NO_WAIT
from tests.queue.step import LIMITS, end, new, statuses, take


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
