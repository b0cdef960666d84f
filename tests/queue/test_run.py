from __future__ import annotations

from dataclasses import fields, replace
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from oqkit.queue.run import Run, changed, count, joined, merged, packed, ranges_of, rows_of, split
from oqkit.queue.transition import Status

N = 24
FACTS = [f.name for f in fields(Run) if f.name not in ("first", "stop")]

states = st.builds(
    Run,
    first=st.just(0),
    stop=st.just(1),
    status=st.sampled_from(Status),
    attempt=st.integers(0, 1),
    due=st.sampled_from([0.0, 5.0]),
    lease=st.sampled_from(["", "L"]),
)


def expand(runs):
    """The naive model: one state for each row."""
    return [replace(run, first=0, stop=1) for run in runs for _ in range(run.first, run.stop)]


def cut(rows):
    """One run for each row: the most finely cut way to write the model down."""
    return tuple(replace(state, first=n, stop=n + 1) for n, state in enumerate(rows))


def is_canonical(runs, n):
    gapless = [run.first for run in runs] == [0, *(run.stop for run in runs[:-1])] and (not runs or runs[-1].stop == n)
    different = all(any(getattr(a, fact) != getattr(b, fact) for fact in FACTS) for a, b in pairwise(runs))
    return gapless and different and all(run.first < run.stop for run in runs)


rows_lists = st.lists(states, min_size=1, max_size=N)
row_sets = st.sets(st.integers(0, N - 1))


@given(rows_lists)
def test_merged_keeps_every_row_and_is_as_short_as_can_be(rows):
    runs = merged(cut(rows))
    assert expand(runs) == rows
    assert is_canonical(runs, len(rows))
    assert merged(runs) == runs


@given(st.sampled_from(FACTS), states)
def test_merged_keeps_neighbours_apart_that_differ_in_one_fact(fact, state):
    other = {
        "status": Status.FAILED if state.status is not Status.FAILED else Status.PENDING,
        "attempt": 7,
        "spared": 7,
        "lost": 7,
        "reschedules": 7,
        "due": 7.0,
        "lease": "other",
        "output": "other",
    }
    value = other.get(fact, not getattr(state, fact))
    assert len(merged(cut([state, replace(state, **{fact: value})]))) == 2


@given(row_sets)
def test_ranges_of_and_rows_of_are_inverse(rows):
    ranges = ranges_of(rows)
    assert list(rows_of(ranges)) == sorted(rows)
    assert count(ranges) == len(rows)
    assert all(first < stop for first, stop in ranges)
    assert all(a[1] < b[0] for a, b in pairwise(ranges)), "touching ranges are joined"


@given(st.lists(st.integers(0, N)))
def test_ranges_of_takes_any_order_and_duplicates(rows):
    assert ranges_of(rows) == ranges_of(sorted(set(rows)))


@given(st.integers(-5, 5), st.integers(-5, 5), st.sampled_from([-3, -1, 1, 2]))
def test_ranges_of_takes_any_python_range(start, stop, step):
    assert ranges_of(range(start, stop, step)) == ranges_of(list(range(start, stop, step)))


@given(row_sets, st.randoms(use_true_random=False))
def test_joined_sorts_disjoint_ranges_and_joins_neighbours(rows, rng):
    single = [(row, row + 1) for row in rows]
    rng.shuffle(single)
    assert joined(single) == ranges_of(rows)


@given(rows_lists, row_sets)
def test_split_marks_exactly_the_rows_of_the_ranges(rows, chosen):
    pieces = list(split(merged(cut(rows)), ranges_of(chosen)))
    assert expand(piece for piece, _ in pieces) == rows
    inside = [row for piece, is_inside in pieces if is_inside for row in range(piece.first, piece.stop)]
    assert inside == sorted(row for row in chosen if row < len(rows))


@given(rows_lists, row_sets)
def test_split_takes_no_more_pieces_than_borders(rows, chosen):
    runs, ranges = merged(cut(rows)), ranges_of(chosen)
    assert len(list(split(runs, ranges))) <= len(runs) + 2 * len(ranges)


@given(rows_lists, row_sets, states)
def test_changed_changes_the_chosen_rows_and_no_others(rows, chosen, new):
    runs = changed(merged(cut(rows)), ranges_of(chosen), lambda run: replace(new, first=run.first, stop=run.stop))
    assert expand(runs) == [new if n in chosen else state for n, state in enumerate(rows)]
    assert is_canonical(runs, len(rows))


def test_ten_thousand_equal_rows_are_one_run_and_a_scattered_failure_costs_two_more():
    runs = (Run(first=0, stop=10_000, status=Status.COMPLETED),)
    runs = changed(runs, [(5000, 5001)], lambda run: replace(run, status=Status.FAILED))
    assert [(run.first, run.stop) for run in runs] == [(0, 5000), (5000, 5001), (5001, 10_000)]
    assert len(changed(runs, [(5000, 5001)], lambda run: replace(run, status=Status.COMPLETED))) == 1


@given(st.lists(st.integers(0, 9), unique=True, max_size=5) | st.integers(0, 5).map(lambda n: list(range(3, 3 + n))))
def test_packed_says_the_same_and_is_a_range_if_the_rows_follow_each_other(rows):
    found = packed(rows)
    assert list(found) == rows
    assert isinstance(found, range) == bool(rows and rows == list(range(rows[0], rows[0] + len(rows))))
    assert packed(found) is found
