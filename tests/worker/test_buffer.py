"""The buffer: values that come in order find their rows, whatever is drained when."""

from __future__ import annotations

import random
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oqkit.queue.commit import Outcome
from oqkit.queue.rows import Rows
from oqkit.queue.transition import Verb
from oqkit.task.failure import Failure
from oqkit.worker.buffer import ResultBuffer, Results


def failed(*rows, verb=Verb.RETRY):
    """What is laid for rows whose call raised."""

    def describe(row):
        return Failure(type="ValueError", message=f"row {row}", traceback="…", attempt=1, worker="w")

    return Results.failed(Rows.of(rows), verb, describe)


def rows_of(outcomes):
    return [row for outcome in outcomes for row in outcome.rows]


@pytest.mark.parametrize(
    "rows", (Rows.span(5, 5000), Rows.of(row for row in range(5000) if row % 7), Rows.of((1, 3, 4, 9)))
)
def test_values_in_order_find_their_rows(rows):
    buffer = ResultBuffer(limit=len(rows))
    buffer.in_order(rows)
    found = {}
    for row in rows:
        buffer.log.append(f"value of {row}")
        if row % 11 == 0:
            results = buffer.drain()
            found.update(zip(results.rows, results.values, strict=True))
    results = buffer.drain()
    found.update(zip(results.rows, results.values, strict=True))
    assert found == {row: f"value of {row}" for row in rows}
    assert not buffer.drain()


def test_rows_in_order_and_without_an_error_take_no_memory():
    buffer = ResultBuffer(limit=100)
    buffer.in_order(Rows.span(0, 100))
    buffer.log.extend(range(100))
    assert buffer.drain().rows.numbers() == range(100)


class Unhashable(type):
    __hash__ = None


def test_value_of_a_class_that_is_not_hashable_is_one_like_any_other():
    value = Unhashable("Odd", (), {})()
    with pytest.raises(TypeError):
        hash(type(value))
    buffer = ResultBuffer(limit=3)
    buffer.in_order(Rows.span(0, 3))
    buffer.log.extend([1, value, 3])
    assert buffer.drain().values == [1, value, 3]


@given(st.lists(st.sampled_from(["value", "error", "drain"]), max_size=40), st.integers())
def test_rows_with_an_error_have_no_value(steps, seed):
    rows = Rows.of(random.Random(seed).sample(range(1000), sum(step != "drain" for step in steps)))
    buffer = ResultBuffer(limit=len(rows))
    buffer.in_order(rows)
    expected, values, errors, failures, coming = {}, {}, [], {}, iter(rows)
    for step in [*steps, "drain"]:
        if step == "drain":
            results = buffer.drain()
            values.update(zip(results.rows, results.values, strict=True))
            errors += rows_of(results.outcomes)
            failures.update(results.failures)
            continue
        row = next(coming)
        expected[row] = step
        if step == "value":
            buffer.log.append(-row)
        else:
            buffer.log.append(failed(row))
    assert values == {row: -row for row, step in expected.items() if step == "value"}
    assert errors == list(failures) == [row for row, step in expected.items() if step == "error"]


def test_outcomes_in_any_order_are_those_of_the_rows_told():
    buffer = ResultBuffer(limit=3)
    buffer.lay(Results(rows=Rows.of([5, 7]), values="ba"))
    own = Outcome(verb=Verb.FAIL, rows=Rows.of([9]))
    buffer.lay(
        Results(rows=Rows.of([6]), values="c", tables=[(Rows.span(0, 2), "table")], outcomes=[own], failures={9: "why"})
    )
    assert buffer.n_outcomes == 6
    results = buffer.drain()
    assert (list(results.rows), results.values) == ([5, 6, 7], ["b", "c", "a"])
    assert results.tables == [(Rows.span(0, 2), "table")]
    assert (results.outcomes, results.failures) == ([own], {9: "why"})
    assert list(results.all_rows()) == [0, 1, 5, 6, 7, 9]
    assert not buffer.drain()


def test_outcomes_laid_between_rows_in_order_do_not_move_them():
    buffer = ResultBuffer(limit=3)
    buffer.in_order(Rows.span(4, 7))
    buffer.log.append("four")
    buffer.lay(failed(6))
    buffer.log.append("five")
    results = buffer.drain()
    assert dict(zip(results.rows, results.values, strict=True)) == {4: "four", 5: "five"}
    assert rows_of(results.outcomes) == [6]


def test_drains_beside_a_thread_that_lays_miss_nothing_and_mix_nothing_up():
    n = 50_000
    buffer, found = ResultBuffer(limit=n), {}
    buffer.in_order(Rows.span(0, n))

    def lay():
        for row in range(n):
            buffer.log.append(failed(row) if row % 97 == 0 else -row)

    thread = threading.Thread(target=lay)
    thread.start()
    while thread.is_alive() or buffer.log:
        results = buffer.drain()
        found.update(zip(results.rows, results.values, strict=True))
        found.update(dict.fromkeys(rows_of(results.outcomes), "error"))
    assert found == {row: "error" if row % 97 == 0 else -row for row in range(n)}
