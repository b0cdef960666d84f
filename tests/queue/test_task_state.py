from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from oqkit.queue.rows import Rows
from oqkit.queue.task_state import TaskState, changed, grouped, stretches
from oqkit.queue.transition import Status

N = 24

states = st.builds(
    TaskState,
    status=st.sampled_from(Status),
    attempt=st.integers(0, 1),
    due=st.sampled_from([0.0, 5.0]),
    lease=st.sampled_from(["", "L"]),
)
rows_lists = st.lists(states, min_size=1, max_size=N)
row_sets = st.sets(st.integers(0, N - 1))


def of(rows):
    """Group rows that are given one by one: the naive model is the list of their states."""
    return grouped((state, Rows.span(n, n + 1)) for n, state in enumerate(rows))


def expand(found):
    return [one.state for one in stretches(found) for _ in range(one.n_rows)]


@given(rows_lists)
def test_grouped_keeps_every_row_and_has_each_state_once(rows):
    found = of(rows)
    assert expand(found) == rows
    assert set(found) == set(rows)
    assert all(found.values())


@given(rows_lists)
def test_stretches_are_in_order_and_as_few_as_can_be(rows):
    found = stretches(of(rows))
    assert [one.first for one in found] == [0, *(one.stop for one in found[:-1])]
    assert found[-1].stop == len(rows)
    assert all(a.state != b.state for a, b in pairwise(found))


@given(rows_lists, row_sets, states)
def test_changed_changes_the_chosen_rows_and_no_others(rows, chosen, new):
    found = changed(of(rows), Rows.of(chosen), lambda state: new)
    assert expand(found) == [new if n in chosen else state for n, state in enumerate(rows)]
    assert all(found.values())


@given(rows_lists, row_sets)
def test_changed_is_asked_once_for_each_state(rows, chosen):
    asked = []
    changed(of(rows), Rows.of(chosen), lambda state: asked.append(state) or replace(state, attempt=9))
    assert len(asked) == len(set(asked)) == len({rows[n] for n in chosen if n < len(rows)})


def test_ten_thousand_equal_rows_are_one_entry_and_a_scattered_failure_costs_one_more():
    found = grouped([(TaskState(status=Status.COMPLETED), Rows.span(0, 10_000))])
    found = changed(found, Rows.span(5000, 5001), lambda state: replace(state, status=Status.FAILED))
    assert [(one.first, one.stop) for one in stretches(found)] == [(0, 5000), (5000, 5001), (5001, 10_000)]
    assert len(changed(found, Rows.span(5000, 5001), lambda state: replace(state, status=Status.COMPLETED))) == 1
