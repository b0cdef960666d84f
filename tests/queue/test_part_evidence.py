"""What a part remembers: outputs, evidence of commits, and its log."""

from __future__ import annotations

from oqkit.queue.part import (
    DONE_RING,
    cancel,
)
from oqkit.queue.part_log import LOG_RANGES, LOG_RING
from oqkit.queue.rows import NONE, Rows
from oqkit.queue.transition import Status, Verb
from tests.queue.step import end, new, take

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
