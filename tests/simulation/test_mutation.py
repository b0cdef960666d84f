"""Mistakes that queues really make are planted, and every one is noticed within the seeds that a commit runs."""

from __future__ import annotations

import pytest

from oqkit.testing.simulation import run_seed
from tests.simulation.mutant import MUTANTS
from tests.simulation.seeds import SEEDS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # the rarest takes a minute of a processor that is not shared


@pytest.mark.parametrize("name", MUTANTS)
def test_planted_mistake_is_caught(name, monkeypatch, capsys):
    MUTANTS[name](monkeypatch)
    for seed in range(SEEDS):
        score = run_seed(seed)
        if score.violation:
            with capsys.disabled():
                print(f"\n{name}: caught in schedule {seed + 1}, {score.rule}")
            return
    pytest.fail(f"{name} survived {SEEDS} schedules")
