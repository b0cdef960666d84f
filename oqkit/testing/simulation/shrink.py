"""Make a failing schedule small: leave pieces out as long as the same rule is broken."""

from __future__ import annotations

from collections.abc import Callable

from oqkit.testing.simulation.draw import make_plan
from oqkit.testing.simulation.plan import Plan
from oqkit.testing.simulation.schedule import run_plan
from oqkit.testing.simulation.world import Score

#: How many schedules one shrinking may run.
MOST_RUNS = 400


def shrink(seed: int, *, rule: str, run: Callable[[Plan], Score] = run_plan) -> tuple[Plan, Score]:
    """Return the smallest plan found that still breaks `rule`, and its score. Large pieces are tried first."""
    plan = make_plan(seed)
    score, n_runs, is_smaller = run(plan), 1, True
    while is_smaller and n_runs < MOST_RUNS:
        is_smaller = False
        for name in list(plan.names()):
            if name not in set(plan.names()) - plan.dropped or n_runs >= MOST_RUNS:
                continue
            smaller = plan.without(frozenset({name}))
            n_runs += 1
            if (found := run(smaller)).rule == rule:
                plan, score, is_smaller = smaller, found, True
    return plan, score


def replay_line(plan: Plan) -> str:
    """Return the command that runs this schedule again."""
    dropped = f" --without {','.join(sorted(_outermost(plan)))}" if plan.dropped else ""
    return f"python -m oqkit.testing.simulation {plan.seed}{dropped}"


def _outermost(plan: Plan) -> set[str]:
    """Leave out names that went with a larger piece."""
    return {name for name in plan.dropped if name.rpartition(".")[0] not in plan.dropped}
