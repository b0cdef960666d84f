"""The poison matrix in virtual time; ``OQ_POISON_EVERY=1`` plays all 144 cases of it rather than a part."""

from __future__ import annotations

import itertools
import os

import pytest

from tests.poison.virtual import check, virtual_cases
from tests.simulation.mutant import MUTANTS

EVERY = int(os.environ.get("OQ_POISON_EVERY", "11"))
CASES = list(itertools.islice(virtual_cases(), 0, None, EVERY))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_rows_that_kill_their_worker_fail_alone_and_are_all_that_is_called_often(case):
    check(case)


@pytest.mark.parametrize("name", ("lost_leases_use_up_attempts", "every_row_of_a_lost_lease_is_charged"))
def test_matrix_notices_when_the_innocent_are_charged(name, monkeypatch):
    MUTANTS[name](monkeypatch)
    with pytest.raises(AssertionError):
        check(next(virtual_cases()))
