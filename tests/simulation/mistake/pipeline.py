"""Mistakes about jobs that depend on others."""

from __future__ import annotations

from dataclasses import replace

import pytest

from oqkit.claim import claimer
from oqkit.claim.claimer import Claimer
from oqkit.queue import gate, release
from oqkit.queue import job as job_module
from oqkit.queue import key as keys
from oqkit.queue.ending import ends
from oqkit.queue.job import Job
from oqkit.queue.repository import Repository
from oqkit.queue.task_state import changed


def nobody_asks_whether_a_job_waits(patch: pytest.MonkeyPatch) -> None:
    """Workers start a job although those that it depends on have not ended."""
    patch.setattr(gate, "GATES", tuple(one for one in gate.GATES if one is not gate.waiting))


def one_parent_is_enough(patch: pytest.MonkeyPatch) -> None:
    """Whoever sees the end of one parent releases the child without a look at the others."""
    original = release._next_open

    def next_open(repository, job, since, known):
        found = original(repository, job, since, known)
        return replace(found, parent=None) if known else found

    patch.setattr(release, "_next_open", next_open)


def entry_comes_last(patch: pytest.MonkeyPatch) -> None:
    """A child looks whether its parent has ended, and then says that it waits for it."""
    put_once = []

    def has_ended(repository, parent, rows):
        is_over = original(repository, parent, rows)
        if not is_over:
            for put, key in put_once:
                put(key, b"")
        put_once.clear()
        return is_over

    def advance(repository, held, found, *, known):
        put = repository.loop.put_once

        def later(key, data):
            return put_once.append((put, key)) if key.startswith(keys.WAITING) else put(key, data)

        repository.loop.put_once = later
        try:
            return original_advance(repository, held, found, known=known)
        finally:
            repository.loop.put_once = put

    original, original_advance = release._has_ended, release._advance
    patch.setattr(release, "_has_ended", has_ended)
    patch.setattr(release, "_advance", advance)


def followers_are_not_marked(patch: pytest.MonkeyPatch) -> None:
    """The order that tells a parent of its child puts up no marker: who read the parent before takes down the only one."""

    def has_ended(repository, parent, rows):
        announce, repository.announce = repository.announce, lambda marker, job=None: None
        try:
            return original(repository, parent, rows)
        finally:
            repository.announce = announce

    original = release._has_ended
    patch.setattr(release, "_has_ended", has_ended)


def entries_are_deleted_first(patch: pytest.MonkeyPatch) -> None:
    """Entries are deleted before their jobs are told: who dies in between leaves jobs that nobody tells."""
    original = release._tell

    def tell(repository, parent, entry, seen):
        repository.delete_quietly(entry)
        return original(repository, parent, entry, seen)

    patch.setattr(release, "_tell", tell)


def marker_goes_before_its_followers(patch: pytest.MonkeyPatch) -> None:
    """A worker takes down the marker of a job that is done, and then tells those that wait for it."""

    def finish(self, one):
        if one.is_finished and one.job.has_followers:
            self._repository.delete_quietly(*one.markers)
        return original(self, one)

    original = Claimer._finish
    patch.setattr(Claimer, "_finish", finish)


def nobody_tells_followers(patch: pytest.MonkeyPatch) -> None:
    """The worker that ends a job forgets that others wait for it."""
    patch.setattr(claimer, "release_followers", lambda repository, parent: [])


def failed_parent_counts_as_completed(patch: pytest.MonkeyPatch) -> None:
    """Whoever releases a child looks only whether its parents have ended, not how."""

    def of(cls, repository, job, *, rows=None):
        return cls(job, ends(repository, job.doc) is not None)

    patch.setattr(release._Look, "of", classmethod(of))


def failure_is_lost_on_the_way(patch: pytest.MonkeyPatch) -> None:
    """The next entry of a child does not say that a parent before did not complete."""
    original = keys.waiting_key
    patch.setattr(keys, "waiting_key", lambda parent, job, *, failed: original(parent, job, failed=None))


def deleted_parent_counts_as_completed(patch: pytest.MonkeyPatch) -> None:
    """Of a parent that was deleted only that is known."""

    def of_deleted(cls, grave):
        return cls(has_ended=True)

    patch.setattr(release._Look, "of_deleted", classmethod(of_deleted))


def tombstone_does_not_say_how_a_job_ended(patch: pytest.MonkeyPatch) -> None:
    """Nothing stays of how a job ended that was deleted."""
    original = Repository.bury_job
    patch.setattr(Repository, "bury_job", lambda self, seen, outcome, **more: original(self, seen, (), **more))


def each_who_looks_releases(patch: pytest.MonkeyPatch) -> None:
    """A release is not looked for in the job before it is ordered."""
    original = release._order_once

    def order_once(repository, held, verb, *, applied, reason=""):
        n = len(held.doc.controls)
        return original(repository, held, verb, applied=lambda doc: len(doc.controls) > n, reason=reason)

    patch.setattr(release, "_order_once", order_once)


def released_job_is_not_announced(patch: pytest.MonkeyPatch) -> None:
    """A job is released in its object, and nobody is told."""

    def announce(repository, job):
        put, repository.announce = repository.announce, lambda marker, job=None: None
        try:
            return original(repository, job)
        finally:
            repository.announce = put

    original = release._announce
    patch.setattr(release, "_announce", announce)
    patch.setattr(Claimer, "_hear", lambda self, told: None)


def rejected_tasks_wait_for_a_worker(patch: pytest.MonkeyPatch) -> None:
    """Tasks that are not to be run any more are not written as ended, and nobody claims them either."""
    original = Repository.marker

    def marker(self, job, *, due):
        found = original(self, job, due=due)
        is_let_down = job.release is not None and job.release.reason and job.on_failure != "run"
        return replace(found, due=9e9, is_later=True) if is_let_down else found

    patch.setattr(release, "bring_up", lambda repository, job, order: None)
    patch.setattr(Repository, "marker", marker)


def signal_wakes_nobody(patch: pytest.MonkeyPatch) -> None:
    """A signal is kept for those who ask for it, and those who wait are left as they are."""
    patch.setattr(job_module, "woken", lambda states, rows, *, signal: states)


def signal_ends_a_back_off(patch: pytest.MonkeyPatch) -> None:
    """A signal makes each task due that has waited for one of its name, also one that waits for its retry."""

    def woken(states, rows, *, signal):
        def wake(state):
            is_meant = state.status == "pending" and bool(state.waits) and state.waits[-1].name == signal
            return replace(state, due=0.0) if is_meant else state

        return changed(states, rows, wake)

    patch.setattr(job_module, "woken", woken)


def old_signal_answers_after_a_retry(patch: pytest.MonkeyPatch) -> None:
    """A task that was put back by hand is answered with what it was sent before."""
    original = Job.signals

    def signals(self, name, row, *, since=0):
        return original(self, name, row, since=0)

    patch.setattr(Job, "signals", signals)
