"""Mistakes about keys: where one counts, for how long, and who has it next; and about items, which are known by one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from oqkit.client import items, keyed
from oqkit.client.submit import Submitter
from oqkit.errors import Missing
from oqkit.queue import key as keys
from oqkit.queue.job import Job
from oqkit.queue.submission import Submitted


def key_is_let_go_too_early(patch: pytest.MonkeyPatch) -> None:
    """A submission that is a little before the end of a key's time makes a new task."""
    patch.setattr(Job, "holds_key", lambda self, now: self.key_until is None or now + 2.0 < self.key_until)


def scope_is_ignored(patch: pytest.MonkeyPatch) -> None:
    """One text is one key, whatever it is said to count for."""
    patch.setattr(keyed, "key_scope", lambda scope, task_type: "task")


def second_task_of_a_key_has_it_for_ever(patch: pytest.MonkeyPatch) -> None:
    """Whether its time is over is asked of the first task of a key alone."""

    def store_keyed(self, spec, wanted, key):
        scope = key.scope_of(wanted.type)
        stored = self._store(spec, replace(wanted, id=keys.keyed_job_id(scope, key.text, 1)))
        if stored.is_new or stored.job.holds_key(self._repository.now()):
            return stored
        return self._store(spec, replace(wanted, id=keys.keyed_job_id(scope, key.text, 2)))

    patch.setattr(Submitter, "_store_keyed", store_keyed)


def next_task_is_whose_came_first(patch: pytest.MonkeyPatch) -> None:
    """Once the time is over, whoever notices makes a task of his own: two at once make two."""

    def store_keyed(self, spec, wanted, key):
        scope = key.scope_of(wanted.type)
        stored = self._store(spec, replace(wanted, id=keys.keyed_job_id(scope, key.text, 1)))
        if stored.is_new or stored.job.holds_key(self._repository.now()):
            return stored
        return Submitted(job=self._store(spec, wanted).job, is_new=True)

    patch.setattr(Submitter, "_store_keyed", store_keyed)


def items_are_taken_after_their_job_is_stored(patch: pytest.MonkeyPatch) -> None:
    """Whoever finds that somebody else was first has stored his job already."""

    def submit_items(self, spec, job, *, places, claim):
        stored = self._store(spec, job)
        claim()
        return stored.job

    patch.setattr(Submitter, "submit_items", submit_items)


def job_that_is_missing_gives_its_items_up(patch: pytest.MonkeyPatch) -> None:
    """A job that took items and is not stored after a while is not stored later either, it is hoped."""
    original = items.settled

    def settled(repository, job_id, *, taken_s):
        try:
            return repository.read_job(job_id).doc.n_tasks > 0
        except Missing:
            is_late = taken_s is None or repository.now() - taken_s > 1.0
            return False if is_late else original(repository, job_id, taken_s=taken_s)

    patch.setattr(items, "settled", settled)


def who_takes_items_is_not_asked(patch: pytest.MonkeyPatch) -> None:
    """The next object of the index is written, or is there already: either way the items are taken for one's own."""
    original = items.IndexLog.add

    def add(self, taken, older):
        original(self, taken, older)
        return True

    patch.setattr(items.IndexLog, "add", add)
