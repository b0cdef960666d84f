"""What an order and a time to live do to a part."""

from __future__ import annotations

import pytest

from oqkit.errors import IllegalTransition, LeaseLost
from oqkit.queue.commit import Commit, Outcome
from oqkit.queue.part import (
    cancel,
    commit,
    reopen,
    settle,
)
from oqkit.queue.policy import Policy
from oqkit.queue.rows import Rows
from oqkit.queue.transition import Status, Verb
from tests.queue.faulty import NO_WAIT
from tests.queue.step import ALL, TTL, end, new, statuses, take

# --- time to live -------------------------------------------------------------------------------


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
