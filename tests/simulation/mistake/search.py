"""Mistakes about jobs that nobody knows of, workers that are to stop, and documents of a newer version."""

from __future__ import annotations

import pytest

from oqkit.claim import claimer
from oqkit.errors import FormatError, Missing
from oqkit.queue import sweep
from oqkit.worker.worker import WorkerLoop

# --- nothing lost, nothing stuck -----------------------------------------------------------------


def _has_parts(repository, job):
    return bool(repository.store.list(repository.keys_of(job).parts, limit=1).entries)


def search_ignores_started_jobs(patch: pytest.MonkeyPatch) -> None:
    """The search for lost jobs takes one with parts for one that somebody works on."""
    original = sweep.is_done
    patch.setattr(sweep, "is_done", lambda repository, job: _has_parts(repository, job) or original(repository, job))


def search_forgets_open_jobs(patch: pytest.MonkeyPatch) -> None:
    """The search looks at a job once, when it is new: what loses its marker later is not missed."""
    original = sweep.Sweep._looked_at

    def looked_at(self, jobs, watched):
        original(self, jobs, watched)
        return {}

    patch.setattr(sweep.Sweep, "_looked_at", looked_at)


def empty_listing_means_gone(patch: pytest.MonkeyPatch) -> None:
    """A job that the bell told of is dropped when a listing does not show its marker, which is only on its way."""

    def miss(self, job_id, one, now):
        del self._cursors[job_id]

    patch.setattr(claimer.Claimer, "_miss", miss)


def stopping_waits_for_ever(patch: pytest.MonkeyPatch) -> None:
    """A worker that is told to stop waits for its threads, although the store never answers them."""
    original = WorkerLoop._join
    patch.setattr(WorkerLoop, "_join", lambda self, threads, patience_s: original(self, threads, 1e9))


# --- documents of a newer version ----------------------------------------------------------------


def _unless_gone(patch: pytest.MonkeyPatch, *, gone: tuple[type[Exception], ...]) -> None:
    """Replace what puts a job aside by something that knows only jobs that are gone."""

    def act(self, one, job_id, action):
        try:
            return action()
        except gone:
            self._take_down(one, job_id)
            return None

    patch.setattr(claimer.Claimer, "_unless_gone", act)


def unreadable_job_is_trouble(patch: pytest.MonkeyPatch) -> None:
    """A job that is not understood is taken for a store that does not work: the worker waits, and tries it again."""
    _unless_gone(patch, gone=(Missing,))


def unreadable_job_is_gone(patch: pytest.MonkeyPatch) -> None:
    """A job that is not understood is taken for one that was deleted: nobody is told of it any more."""
    _unless_gone(patch, gone=(Missing, FormatError))
