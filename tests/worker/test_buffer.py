"""The buffer: values that come in order find their rows, whatever is drained when."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oqkit.queue.transition import Verb
from oqkit.worker.buffer import CallError, ResultBuffer


@pytest.mark.parametrize("rows", (range(5, 5000), tuple(row for row in range(5000) if row % 7), (9, 3, 4, 1)))
def test_values_in_order_find_their_rows(rows):
    buffer = ResultBuffer(limit=len(rows))
    buffer.in_order(rows)
    found = {}
    for row in rows:
        buffer.values.append(f"value of {row}")
        if row % 11 == 0:
            load = buffer.drain()
            found.update(zip(load.rows, load.values, strict=True))
    load = buffer.drain()
    found.update(zip(load.rows, load.values, strict=True))
    assert found == {row: f"value of {row}" for row in rows}
    assert not buffer.drain()


def test_rows_in_order_and_without_a_call_error_take_no_memory():
    buffer = ResultBuffer(limit=100)
    buffer.in_order(range(100))
    buffer.values.extend(range(100))
    assert buffer.drain().rows == range(100)


@given(st.lists(st.sampled_from(["value", "call_error", "drain"]), max_size=40), st.integers())
def test_rows_with_a_call_error_have_no_value(steps, seed):
    rows = random.Random(seed).sample(range(1000), sum(step != "drain" for step in steps))
    buffer = ResultBuffer(limit=len(rows))
    buffer.in_order(rows)
    expected, values, errors, coming = {}, {}, {}, iter(rows)
    for step in [*steps, "drain"]:
        if step == "drain":
            load = buffer.drain()
            values.update(zip(load.rows, load.values, strict=True))
            errors.update(load.errors)
            continue
        row = next(coming)
        expected[row] = step
        if step == "value":
            buffer.values.append(-row)
        else:
            buffer.errors[row] = CallError(Verb.RETRY)
    assert values == {row: -row for row, step in expected.items() if step == "value"}
    assert list(errors) == [row for row, step in expected.items() if step == "call_error"]


def test_values_in_any_order_are_those_of_the_rows_told():
    buffer = ResultBuffer(limit=3)
    buffer.values.extend("abc")
    buffer.rows.extend([7, 5])
    load = buffer.drain()
    assert (list(load.rows), load.values) == ([7, 5], ["a", "b"])
    buffer.rows.append(6)
    assert list(buffer.drain().rows) == [6]
