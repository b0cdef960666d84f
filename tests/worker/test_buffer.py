"""The buffer: values that come in order find their rows, whatever is drained when."""

from __future__ import annotations

import random
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oqkit.queue.rows import Rows
from oqkit.queue.transition import Verb
from oqkit.worker.buffer import CallError, ResultBuffer


@pytest.mark.parametrize("rows", (range(5, 5000), tuple(row for row in range(5000) if row % 7), (9, 3, 4, 1)))
def test_values_in_order_find_their_rows(rows):
    buffer = ResultBuffer(limit=len(rows))
    buffer.in_order(rows)
    found = {}
    for row in rows:
        buffer.log.append(f"value of {row}")
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
    buffer.log.extend(range(100))
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
            buffer.log.append(-row)
        else:
            buffer.log.append(CallError(Verb.RETRY))
    assert values == {row: -row for row, step in expected.items() if step == "value"}
    assert list(errors) == [row for row, step in expected.items() if step == "call_error"]


def test_outcomes_in_any_order_are_those_of_the_rows_told():
    buffer = ResultBuffer(limit=3)
    buffer.lay([7, 5], "ab")
    buffer.lay([6], "c", tables=[(Rows.span(0, 2), "table")], errors={9: CallError(Verb.FAIL)})
    assert buffer.n_outcomes == 6
    load = buffer.drain()
    assert (list(load.rows), load.values) == ([7, 5, 6], ["a", "b", "c"])
    assert load.tables == [(Rows.span(0, 2), "table")]
    assert load.errors == {9: CallError(Verb.FAIL)}
    assert sorted(load.all_rows()) == [0, 1, 5, 6, 7, 9]
    assert not buffer.drain()


def test_outcomes_laid_between_rows_in_order_do_not_move_them():
    buffer = ResultBuffer(limit=3)
    buffer.in_order((4, 5, 6))
    buffer.log.append("four")
    buffer.lay(errors={6: CallError(Verb.FAIL)})
    buffer.log.append("five")
    load = buffer.drain()
    assert dict(zip(load.rows, load.values, strict=True)) == {4: "four", 5: "five"}
    assert list(load.errors) == [6]


def test_drains_beside_a_thread_that_lays_miss_nothing_and_mix_nothing_up():
    n = 50_000
    buffer, found = ResultBuffer(limit=n), {}
    buffer.in_order(range(n))

    def lay():
        for row in range(n):
            buffer.log.append(CallError(Verb.RETRY) if row % 97 == 0 else -row)

    thread = threading.Thread(target=lay)
    thread.start()
    while thread.is_alive() or buffer.log:
        load = buffer.drain()
        found.update(zip(load.rows, load.values, strict=True))
        found.update(dict.fromkeys(load.errors, "error"))
    assert found == {row: "error" if row % 97 == 0 else -row for row in range(n)}
