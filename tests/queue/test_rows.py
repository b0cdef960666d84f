"""`Rows` beside plain sets of numbers."""

from __future__ import annotations

import base64
import pickle
import zlib
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oqkit.queue.rows import MAX_ROW, NONE, READABLE, Rows, union

N = 24
sets = st.sets(st.integers(0, N - 1))
borders = st.integers(-2, N + 2)
large = st.sets(st.integers(0, 5 * READABLE)) | st.sets(st.integers(0, MAX_ROW - 1), max_size=200)


def is_canonical(rows):
    return all(a < b for a, b in pairwise(rows.borders)) and len(rows.borders) % 2 == 0


@given(sets, sets)
def test_combinations_are_those_of_sets(one, two):
    for found, wanted in (
        (Rows.of(one) & Rows.of(two), one & two),
        (Rows.of(one) | Rows.of(two), one | two),
        (Rows.of(one) - Rows.of(two), one - two),
        (union([Rows.of(one), Rows.of(two), NONE]), one | two),
    ):
        assert set(found) == wanted
        assert is_canonical(found)


@given(sets, borders, borders, st.integers(0, N))
def test_cuts_are_those_of_a_sorted_list(numbers, first, stop, n):
    rows = Rows.of(numbers)
    assert list(rows.clip(first, stop)) == [row for row in sorted(numbers) if first <= row < stop]
    assert is_canonical(rows.clip(first, stop))
    assert list(rows.head(n)) == sorted(numbers)[:n]
    assert list(rows.shift(7)) == [row + 7 for row in sorted(numbers)]
    assert list(rows[first:stop]) == sorted(numbers)[first:stop]
    assert is_canonical(rows[first:stop])


@given(sets)
def test_what_is_in_it(numbers):
    rows = Rows.of(numbers)
    assert (len(rows), bool(rows)) == (len(numbers), bool(numbers))
    assert {row for row in range(N) if row in rows} == numbers
    assert [row for first, stop in rows.ranges for row in range(first, stop)] == sorted(numbers)
    if numbers:
        assert (rows.first, rows.last) == (min(numbers), max(numbers))


@given(st.lists(st.integers(0, N)))
def test_order_and_duplicates_make_no_difference(numbers):
    assert Rows.of(numbers) == Rows.of(sorted(set(numbers)))
    assert hash(Rows.of(numbers)) == hash(Rows.of(reversed(numbers)))


@given(st.integers(-5, 5), st.integers(-5, 5), st.sampled_from([-3, -1, 1, 2]))
def test_any_python_range_will_do(start, stop, step):
    assert Rows.of(range(start, stop, step)) == Rows.of(list(range(start, stop, step)))


@given(st.lists(st.tuples(st.integers(0, N), st.integers(0, N))))
def test_ranges_may_touch_overlap_and_be_empty(ranges):
    assert set(Rows.ranged(ranges)) == {row for first, stop in ranges for row in range(first, stop)}
    assert is_canonical(Rows.ranged(ranges))


@given(sets, sets)
def test_places_are_those_in_the_list_of_all(numbers, chosen):
    chosen &= numbers
    every = sorted(numbers)
    found = [row for place, n in Rows.of(numbers).places(Rows.of(chosen)) for row in every[place : place + n]]
    assert found == sorted(chosen)


def test_place_of_a_row_that_is_not_there_is_an_error():
    for other in (Rows.span(3, 6), Rows.span(9, 12), Rows.span(0, 1)):
        with pytest.raises(IndexError):
            list(Rows.ranged([(1, 5), (8, 10)]).places(other))


@given(large)
def test_json_brings_back_the_same(numbers):
    rows = Rows.of(numbers)
    doc = rows.to_json()
    assert isinstance(doc, str) == (len(rows.ranges) > READABLE)
    assert Rows.from_json(doc) == rows
    assert pickle.loads(pickle.dumps(rows)) == rows


def test_json_of_scattered_rows_is_small():
    assert len(Rows.of(range(0, 1_000_000, 3)).to_json()) < 2_000
    assert len(Rows.of(range(0, 6_000_000, 2)).to_json()) < 20_000


def test_a_billion_rows_cost_no_more_than_one():
    rows = Rows.span(0, 10**9) - Rows.span(5, 6)
    assert len(rows) == 10**9 - 1
    assert rows.borders == (0, 5, 6, 10**9)


def text_of(data, *, more=b""):
    return base64.b64encode(zlib.compress(data) + more).decode()


@pytest.mark.parametrize(
    "doc",
    (
        None,
        5,
        True,
        {"a": 1},
        [[0]],
        [[0, 1, 2]],
        [[0, "1"]],
        [[0, 1.0]],
        [[0, True]],
        [[-1, 3]],
        [[3, 3]],
        [[5, 3]],
        [[0, 10**400]],
        "",
        "not base64!",
        "AAAA",
        text_of(b"\x01\x02\x03"),
        text_of(b"\x01\x00"),
        text_of(b"\x01\x80"),
        text_of(b"\x01\x01", more=b"x"),
        text_of(b"\xff" * 12 + b"\x01\x01"),
        text_of(bytes(100_000_000)),
        base64.b64encode(zlib.compress(b"\x01" * 400)[:-5]).decode(),
    ),
    ids=lambda doc: str(doc)[:30],
)
def test_what_is_no_set_of_rows_is_refused(doc):
    with pytest.raises((ValueError, TypeError)):
        Rows.from_json(doc)
