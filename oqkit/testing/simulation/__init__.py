"""The real queue, workers and handles in a simulated world: one seed, one schedule, replayed exactly.

``python -m oqkit.testing.simulation 0:2000`` runs two thousand schedules; what fails prints itself, the
command that replays it, and a smaller schedule that fails in the same way.
"""

from __future__ import annotations

from oqkit.testing.simulation.draw import make_plan
from oqkit.testing.simulation.plan import Plan
from oqkit.testing.simulation.schedule import run_plan, run_seed
from oqkit.testing.simulation.shrink import replay_line, shrink
from oqkit.testing.simulation.world import Score

__all__ = ["Plan", "Score", "make_plan", "replay_line", "run_plan", "run_seed", "shrink"]
