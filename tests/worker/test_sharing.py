"""How many rows a lease keeps, case by case."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oqkit.limits import Limits
from oqkit.worker.share import Outlook, first_outlook, share

TARGET_S, LEAST_S, WRONG_S = Limits().task.target_s, Limits().task.least_s, Limits().worker.wrong_s

SEEN = Outlook(at=0.0, n_ended=10, n_left=1000, patience_s=4.0, row_s=0.1)
UNSEEN = Outlook(at=0.0, n_ended=10, n_left=1000, patience_s=1.0)

CASES = {
    # outlook, seconds since, rows ended since, rows waiting: rows to keep
    "nothing has ended: all goes back": (UNSEEN, 1.0, 0, 100, 0),
    "first look: half goes back": (UNSEEN, 1.0, 5, 40, 20),
    "first look at quick rows: they are soon done": (UNSEEN, 1.0, 1000, 900, 900),
    "first look at slow rows: what is worth a lease stays": (UNSEEN, 1.0, 1, 100, int(TARGET_S)),
    "later look: what is too much goes back": (SEEN, 4.0, 4, 100, int(TARGET_S)),
    "later look: what fits stays": (SEEN, 4.0, 40, 60, 60),
    "nothing waits": (SEEN, 4.0, 0, 0, 0),
}


@pytest.mark.parametrize("case", CASES)
def test_lease_keeps_as_many_rows_as_the_table_says(case):
    outlook, seconds, n_new, n_waiting, keep = CASES[case]
    after, found = share(outlook, now=seconds, n_ended=outlook.n_ended + n_new, n_waiting=n_waiting, target_s=TARGET_S)
    assert found == keep
    assert (after.at, after.n_ended, after.n_left) == (seconds, outlook.n_ended + n_new, keep + 1)


@given(st.sampled_from([SEEN, UNSEEN]), st.floats(0.001, 1e4), st.integers(0, 10**6), st.integers(0, 10**6))
def test_lease_never_keeps_more_than_waits_nor_looks_more_often_than_before(outlook, seconds, n_new, n_waiting):
    after, keep = share(outlook, now=seconds, n_ended=outlook.n_ended + n_new, n_waiting=n_waiting, target_s=TARGET_S)
    assert 0 <= keep <= n_waiting
    assert min(outlook.patience_s, TARGET_S) <= after.patience_s <= max(2 * outlook.patience_s, TARGET_S)


def test_first_look_comes_when_the_lease_should_be_over():
    assert first_outlook(5.0, n_ended=0, n_rows=100, known_row_s=None, least_s=LEAST_S).patience_s == LEAST_S
    outlook = first_outlook(5.0, n_ended=0, n_rows=100, known_row_s=0.1, least_s=LEAST_S)
    assert not outlook.is_due(14.9)
    assert outlook.is_due(15.0)


def test_remaining_time_is_unknown_while_the_pace_is_and_when_it_was_wrong():
    outlook = first_outlook(0.0, n_ended=0, n_rows=10, known_row_s=None, least_s=LEAST_S)
    assert outlook.remaining_s(1.0, n_later=0, known_row_s=None, wrong_s=WRONG_S) == math.inf
    assert outlook.remaining_s(2.0, n_later=10, known_row_s=1.0, wrong_s=WRONG_S) == 18.0
    assert outlook.remaining_s(12.0, n_later=0, known_row_s=1.0, wrong_s=WRONG_S) == 0.0
    assert outlook.remaining_s(10.1 + WRONG_S, n_later=0, known_row_s=1.0, wrong_s=WRONG_S) == math.inf
