"""Mistakes that queues really make are planted, and every one is noticed.

`make soak` plants all of them; a run of the tests every sixth of those that are noticed soon.
"""

from __future__ import annotations

import pytest

from tests.simulation.mutant import MUTANTS
from tests.simulation.mutation import play

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900), pytest.mark.xdist_group("simulation")]

EVERY = 6
LATE = {
    "resume_tells_nobody",
    "job_read_again_is_not_asked",
    "followers_are_not_marked",
    "entries_are_deleted_first",
    "marker_goes_before_its_followers",
    "failure_is_lost_on_the_way",
    "deleted_parent_counts_as_completed",
    "signal_ends_a_back_off",
    "old_signal_answers_after_a_retry",
    "search_forgets_open_jobs",
    "resume_ends_any_pause",
    "tags_are_written_over",
    "entry_is_tried_once",
    "extension_is_not_fenced",
    "extended_rows_go_with_their_lease",
    "resume_leaves_out_what_was_due_after_the_pause",
}
"""They take more than fifty schedules to be noticed, some of them three hundred: minutes, which are for `make soak`."""
SOON = [name for name in MUTANTS if name not in LATE]


def test_mistakes_that_are_noticed_late_are_known():
    assert set(MUTANTS) >= LATE


@pytest.mark.parametrize("name", SOON[::EVERY])
def test_planted_mistake_is_caught(name, monkeypatch):
    trial = play(name, monkeypatch)
    assert trial.rule, f"{name} survived {trial.n_schedules} schedules"
