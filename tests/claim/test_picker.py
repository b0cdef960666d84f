from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oqkit.claim.picker import PartPicker

NUMBERS = st.lists(st.integers(0, 60), unique=True).map(sorted)
STARTS = st.none() | st.floats(0, 1, exclude_max=True)


@given(NUMBERS, STARTS)
def test_every_number_is_taken_once(numbers, start):
    walk = PartPicker(numbers, start=start)
    assert sorted(walk.step() for _ in numbers) == numbers
    assert not walk


def test_it_goes_on_side_by_side_and_then_into_the_middle_of_the_longest_stretch():
    walk = PartPicker(range(12), start=0.75)
    assert [walk.step() for _ in range(3)] == [9, 10, 11]
    assert [walk.step() for _ in range(5)] == [4, 5, 6, 7, 8]
    assert [walk.step() for _ in range(4)] == [2, 3, 1, 0]


def test_it_begins_in_the_middle_of_the_longest_stretch_if_it_knows_of_others():
    assert PartPicker([0, 1, 2, 10, 11, 12, 13]).step() == 12


@pytest.mark.parametrize(("n_workers", "n_parts"), ((2, 32), (4, 256), (8, 64), (32, 1000)))
def test_workers_seldom_meet(n_workers, n_parts):
    """They take turns; who meets another looks at what is left. At random it would be half of all tries."""
    rng = random.Random(1)
    walks = [PartPicker(range(n_parts), start=rng.random()) for _ in range(n_workers)]
    left, n_met = set(range(n_parts)), 0
    while left:
        for place in range(n_workers):
            while left:
                walk = walks[place] = walks[place] or PartPicker(sorted(left))
                part = walk.step()
                if part in left:
                    left.remove(part)
                    break
                walks[place], n_met = PartPicker(sorted(left)), n_met + 1
    assert n_met <= 2 * n_workers + 6
