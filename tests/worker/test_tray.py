"""The tray: values that come in order find their rows, whatever is drained when."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oqkit.queue.transition import Verb
from oqkit.worker.tray import Mishap, Tray


@pytest.mark.parametrize("rows", (range(5, 5000), tuple(row for row in range(5000) if row % 7), (9, 3, 4, 1)))
def test_values_in_order_find_their_rows(rows):
    tray = Tray(limit=len(rows))
    tray.in_order(rows)
    found = {}
    for row in rows:
        tray.values.append(f"value of {row}")
        if row % 11 == 0:
            load = tray.drain()
            found.update(zip(load.rows, load.values, strict=True))
    load = tray.drain()
    found.update(zip(load.rows, load.values, strict=True))
    assert found == {row: f"value of {row}" for row in rows}
    assert not tray.drain()


def test_rows_in_order_and_without_a_mishap_take_no_memory():
    tray = Tray(limit=100)
    tray.in_order(range(100))
    tray.values.extend(range(100))
    assert tray.drain().rows == range(100)


@given(st.lists(st.sampled_from(["value", "mishap", "drain"]), max_size=40), st.integers())
def test_rows_with_a_mishap_have_no_value(steps, seed):
    rows = random.Random(seed).sample(range(1000), sum(step != "drain" for step in steps))
    tray = Tray(limit=len(rows))
    tray.in_order(rows)
    expected, values, mishaps, coming = {}, {}, {}, iter(rows)
    for step in [*steps, "drain"]:
        if step == "drain":
            load = tray.drain()
            values.update(zip(load.rows, load.values, strict=True))
            mishaps.update(load.mishaps)
            continue
        row = next(coming)
        expected[row] = step
        if step == "value":
            tray.values.append(-row)
        else:
            tray.mishaps[row] = Mishap(Verb.RETRY)
    assert values == {row: -row for row, step in expected.items() if step == "value"}
    assert list(mishaps) == [row for row, step in expected.items() if step == "mishap"]


def test_values_in_any_order_are_those_of_the_rows_told():
    tray = Tray(limit=3)
    tray.values.extend("abc")
    tray.rows.extend([7, 5])
    load = tray.drain()
    assert (list(load.rows), load.values) == ([7, 5], ["a", "b"])
    tray.rows.append(6)
    assert list(tray.drain().rows) == [6]
