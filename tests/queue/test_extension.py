"""A lease that is extended, and what it says of the progress of its calls."""

from __future__ import annotations

import json

import pytest

from oqkit.errors import LeaseLost, UsageError
from oqkit.queue.commit import Commit
from oqkit.queue.document import dump_part, load_part
from oqkit.queue.part import cancel, commit, settle
from oqkit.queue.progress import MAX_MESSAGE, Progress, said
from oqkit.queue.rows import Rows
from oqkit.queue.transition import Status, Verb
from tests.queue.faulty import NO_WAIT
from tests.queue.step import ALL, end, new, take


def beat(part, lease="a", *, now, extended=None, **given):
    """Commit nothing but that the lease goes on, for 60 seconds; `lease_s` is for these rows (None: all of them)."""
    given["extended"] = part.held(lease) if extended is None else Rows.of(extended)
    return commit(part, lease, Commit(**given), now=now, policy=NO_WAIT, chance=0.5, lease_s=60.0)


def halfway(*rows):
    return Progress(rows=Rows.of(rows), current=5, total=10, message="half")


def test_extension_lets_a_lease_last_so_long_from_now():
    assert beat(take(new()), now=10.0, lease_s=600.0).leases[0].expires == 610.0


def test_extension_never_shortens_a_lease():
    part = beat(take(new()), now=10.0, lease_s=600.0)
    assert beat(part, now=20.0, lease_s=5.0).leases[0].expires == 610.0
    assert beat(part, now=20.0).leases[0].expires == 610.0, "nor does a heartbeat"
    assert beat(part, now=551.0).leases[0].expires == 611.0


def test_extension_shorter_than_a_lease_is_a_heartbeat():
    assert beat(take(new()), now=10.0, lease_s=1.0).leases[0].expires == 70.0


def test_extension_of_one_row_leaves_the_others_to_whoever_comes_when_the_lease_is_over():
    part = beat(take(new(4), max_rows=4), now=10.0, extended=[1], lease_s=600.0)
    assert part.leases[0].expires == 70.0
    part = settle(part, now=70.0, policy=NO_WAIT, chance=0.5)
    assert part.held("a") == Rows.of([1])
    part = take(part, "b", now=70.0, worker="other", max_rows=4)
    assert part.held("b") == Rows.of([0, 2]), "suspects are claimed in ever smaller numbers"
    assert {lease.id: lease.expires for lease in part.leases} == {"a": 610.0, "b": 130.0}


def test_extended_row_is_still_its_holders_and_the_others_are_not_any_more():
    part = settle(
        beat(take(new(4), max_rows=4), now=10.0, extended=[1], lease_s=600.0), now=70.0, policy=NO_WAIT, chance=0.5
    )
    part = take(part, "b", now=70.0, worker="other", max_rows=4)
    part = end(part, "a", Verb.COMPLETE, Rows.span(0, 4), now=90.0)
    assert part.state_at(1).status is Status.COMPLETED
    assert part.held("b") == Rows.of([0, 2]), "suspects are claimed in ever smaller numbers"
    assert part.has_commit("a", 2)


def test_extended_row_goes_to_others_when_its_time_is_over():
    part = beat(take(new(4), max_rows=4), now=10.0, extended=[1], lease_s=600.0)
    part = beat(part, now=20.0, extended=[2], lease_s=900.0)
    for now, held in ((80.0, [1, 2]), (609.0, [1, 2]), (610.0, [2]), (920.0, [])):
        part = settle(part, now=now, policy=NO_WAIT, chance=0.5)
        assert part.held("a") == Rows.of(held)
    assert part.leases == ()
    assert {state.held_until for state in part.states} == {0.0}


@pytest.mark.parametrize("verb", (Verb.COMPLETE, Verb.FAIL, Verb.RETRY, Verb.RESCHEDULE, Verb.LOSE))
def test_nothing_of_an_extension_stays_when_the_call_has_ended(verb):
    part = beat(take(new(4), max_rows=4), now=10.0, extended=[1], lease_s=600.0)
    assert end(part, "a", verb, Rows.of([1]), now=11.0, lease_s=60.0).state_at(1).held_until == 0.0
    assert cancel(part, Rows.of([1]), now=11.0, statuses=ALL).state_at(1).held_until == 0.0
    assert beat(part, now=11.0, release=Rows.of([1])).state_at(1).held_until == 0.0


def test_hold_is_read_as_it_was_written_and_takes_no_byte_where_there_is_none():
    part = take(new(4), max_rows=4)
    assert b"held_until" not in dump_part(part)
    part = beat(part, now=10.0, extended=[1], lease_s=600.0)
    assert load_part(dump_part(part), key="k") == part


def test_original_1_2_b_extension_under_a_lease_that_is_over_changes_no_lease_of_another_worker():
    """There, whoever read the task again extended the lease of whoever had it by then."""
    part = settle(take(new()), now=60.0, policy=NO_WAIT, chance=0.5)
    part = take(part, "b", now=60.0, worker="other")
    with pytest.raises(LeaseLost):
        beat(part, "a", now=61.0, lease_s=600.0, progress=(halfway(0),))
    assert [lease.worker for lease in part.leases] == ["other"]


def test_progress_is_what_was_said_last_and_goes_with_its_rows():
    part = beat(take(new(4), max_rows=4), now=1.0, progress=(halfway(0), halfway(1)))
    assert part.leases[0].progress == (halfway(0), halfway(1))
    assert beat(part, now=2.0).leases[0].progress == (halfway(0), halfway(1)), "an extension leaves it"
    assert beat(part, now=2.0, progress=(halfway(1),)).leases[0].progress == (halfway(1),)
    part = end(part, "a", Verb.COMPLETE, Rows.of([0]), now=3.0, lease_s=60.0)
    assert part.leases[0].progress == (halfway(1),)


def test_progress_of_a_row_that_was_cancelled_is_gone_with_the_next_heartbeat():
    part = beat(take(new(4), max_rows=4), now=1.0, progress=(halfway(0), halfway(1, 2)))
    part = cancel(part, Rows.of([0, 1]), now=2.0, statuses=ALL)
    assert part.state_at(0).status is Status.CANCELLED
    assert beat(part, now=3.0).leases[0].progress == (halfway(1, 2),)


def test_progress_is_read_as_it_was_written_and_takes_no_byte_where_there_is_none():
    part = take(new())
    assert b"progress" not in dump_part(part)
    part = beat(part, now=1.0, progress=(halfway(0), said(Rows.of([1]), 3, None, "")))
    assert load_part(dump_part(part), key="k") == part
    assert json.loads(dump_part(part))["leases"][0]["progress"] == [
        {"rows": [[0, 1]], "current": 5, "total": 10, "message": "half"},
        {"rows": [[1, 2]], "current": 3.0},
    ]


def test_fraction_is_known_with_a_total_only_and_is_one_at_most():
    rows = Rows.of([0])
    assert [said(rows, n, total, "").fraction for n, total in ((5, 10), (11, 10), (5, None), (0, 0))] == [
        0.5,
        1,
        None,
        None,
    ]


def test_long_message_is_cut():
    assert len(said(Rows.of([0]), 1, 2, "x" * 10_000).message) == MAX_MESSAGE


@pytest.mark.parametrize("value", (-1, float("nan"), float("inf"), "many", None, 10**400))
def test_what_is_no_amount_is_refused(value):
    with pytest.raises(UsageError, match="current"):
        said(Rows.of([0]), value, None, "")
