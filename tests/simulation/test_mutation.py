"""Mistakes that queues really make are planted, and every one is noticed within the seeds that a commit runs.

`make soak` plants all of them, a commit every sixth: that takes minutes as it is.
"""

from __future__ import annotations

import os

import pytest

from oqkit.testing.simulation import run_seed
from tests.simulation.mutant import MUTANTS
from tests.simulation.seeds import SEEDS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # the rarest takes a minute of a processor that is not shared


EVERY = int(os.environ.get("OQ_MUTANT_EVERY", "6"))


@pytest.mark.parametrize("name", list(MUTANTS)[::EVERY])
def test_planted_mistake_is_caught(name, monkeypatch, capsys):
    MUTANTS[name](monkeypatch)
    for seed in range(SEEDS):
        score = run_seed(seed)
        if score.violation:
            with capsys.disabled():
                print(f"\n{name}: caught in schedule {seed + 1}, {score.rule}")
            return
    pytest.fail(f"{name} survived {SEEDS} schedules")
