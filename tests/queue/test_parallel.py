"""Many requests at once."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize("parallel", (1, 4))
def test_map_takes_no_more_items_at_a_time_than_it_has_use_for(world, parallel):
    """A job may have ten million parts: none of them is called for before there is a thread for it soon."""
    repository, taken, most = world.repository(), 0, 0
    repository.store.parallel = parallel

    def items():
        nonlocal taken
        while taken < 5_000:
            taken += 1
            yield taken

    def call(item):
        nonlocal most
        most = max(most, taken - item)
        return -item

    assert repository.map(call, items()) == [-item for item in range(1, 5_001)]
    assert most < 1_000
