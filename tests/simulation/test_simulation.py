"""Five hundred schedules of trouble on the real code; `make soak` runs forty times as many."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from oqkit.testing.simulation import make_plan, replay_line, run_plan, run_seed, shrink
from tests.simulation.mutant import MUTANTS
from tests.simulation.seeds import SCHEDULES

# a process that does nothing but compute, while those that wait for servers leave it room
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("simulation")]

CHUNK = 50


@pytest.mark.parametrize("first", range(0, SCHEDULES, CHUNK))
def test_schedules_break_no_rule(first):
    for seed in range(first, first + CHUNK):
        score = run_seed(seed)
        assert not score.violation, f"{replay_line(make_plan(seed))} --trace\n{score.violation}"


def test_schedule_replays_exactly_whatever_ran_before_and_in_any_process():
    program = "import sys; from oqkit.testing.simulation import run_seed; print(run_seed(int(sys.argv[1])).digest)"
    for seed in (3, 14, 15):
        here = run_seed(seed)
        assert run_seed(seed).digest == here.digest
        for hash_seed in ("1", "2"):
            told = subprocess.run(
                [sys.executable, "-c", program, str(seed)],
                env={**os.environ, "PYTHONHASHSEED": hash_seed},
                capture_output=True,
                text=True,
                check=True,
            )
            assert told.stdout.strip() == here.digest


def test_schedules_have_trouble_enough_to_tell_something():
    scores = [run_seed(seed) for seed in range(40)]
    assert sum(score.kills for score in scores) >= 3 * len(scores)
    assert sum(score.faults.total() for score in scores) >= 15 * len(scores)
    assert sum(score.takeovers for score in scores) >= len(scores)
    assert {kind for score in scores for kind in score.faults} == {"error", "timeout", "lost", "late", "twice"}
    assert {status for score in scores for status in score.statuses} == {"cancelled", "completed", "expired", "failed"}


def test_failing_schedule_shrinks_and_its_line_replays_it(monkeypatch):
    MUTANTS["one_read_decides"](monkeypatch)
    seed = next(seed for seed in range(500) if run_seed(seed).violation)
    rule = run_seed(seed).rule
    plan, score = shrink(seed, rule=rule)
    assert score.rule == rule
    assert len(list(plan.names())) < len(list(make_plan(seed).names())) / 2
    _, _, dropped = replay_line(plan).partition(" --without ")
    again = run_plan(make_plan(seed).without(frozenset(dropped.split(","))))
    assert (again.rule, again.digest) == (rule, score.digest)
