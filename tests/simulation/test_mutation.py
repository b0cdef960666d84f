"""Mistakes that queues really make are planted, and every one is noticed within the seeds that a commit runs.

`make soak` plants all of them, a commit every sixth: that takes minutes as it is.
"""

from __future__ import annotations

import pytest

from tests.simulation.mutant import MUTANTS
from tests.simulation.mutation import play

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # the rarest takes a minute of a processor that is not shared

EVERY = 6


@pytest.mark.parametrize("name", list(MUTANTS)[::EVERY])
def test_planted_mistake_is_caught(name, monkeypatch):
    trial = play(name, monkeypatch)
    assert trial.rule, f"{name} survived {trial.n_schedules} schedules"
