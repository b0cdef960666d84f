"""Mistakes about what is deleted, and what is garbage."""

from __future__ import annotations

import pytest

from oqkit.queue.deletion import delete_job
from oqkit.queue.garbage import Collector
from oqkit.queue.repository import Repository
from oqkit.queue.tidy import Tidier
from oqkit.queue.tombstone import tombstone


def delete_has_no_condition(patch: pytest.MonkeyPatch) -> None:
    """A tombstone is put in the place of a job whatever orders it was given since its tasks were seen to have ended."""

    def bury_job(repository, seen, outcome, by=""):
        held = repository.read_job(seen.id)
        return repository.update_job(
            seen.id,
            lambda job: tombstone(job, now=repository.now(), outcome=outcome, by=by),
            applied=lambda job: job.deleted is not None,
            held=held,
        ).doc

    patch.setattr(Repository, "bury_job", bury_job)


def age_is_asked_for_once(patch: pytest.MonkeyPatch) -> None:
    """The collector deletes a job that it saw to be old, although it was retried, and has ended again, just now."""
    patch.setattr(Collector, "_delete", lambda collector, job: delete_job(collector._repository, job.id))
    ages = {}

    def is_old(collector, job):
        return ages.setdefault(job.id, original(collector, job)) or original(collector, job)

    original = Collector._is_old
    patch.setattr(Collector, "_is_old", is_old)


def part_is_not_read_again(patch: pytest.MonkeyPatch) -> None:
    """The collector judges outputs by the part as it saw it first."""
    known = {}

    def unnamed(collector, job, index, named):
        part = known.setdefault((id(collector), job.id, index), collector._repository.read_part(job, index).doc)
        leases = {lease.id for lease in part.leases}
        return [
            one for name, one in named.items() if name not in part.outputs and name.rpartition(".")[0] not in leases
        ]

    patch.setattr(Collector, "_unnamed", unnamed)


def duty_takes_inputs_for_orphans(patch: pytest.MonkeyPatch) -> None:
    """What a duty of workers finds in the folder of a job that has ended is garbage if no part names it, inputs too."""
    original = Collector._fenced

    def fenced(collector, job, folder, listed):
        entries = list(listed)
        return [*original(collector, job, folder, entries), *(one for one in entries if "/in-" in one.key)]

    _only_in_the_duty(patch, "_fenced", fenced)


def duty_takes_outputs_of_live_leases(patch: pytest.MonkeyPatch) -> None:
    """A duty of workers removes outputs that no part names yet, also of a lease that may still commit them, or did since."""
    known = {}

    def unnamed(collector, job, index, named):
        part = known.setdefault((job.id, index), collector._repository.read_part(job, index).doc)
        return [one for name, one in named.items() if name not in part.outputs]

    _only_in_the_duty(patch, "_unnamed", unnamed)


def _only_in_the_duty(patch: pytest.MonkeyPatch, name: str, mistaken: object) -> None:
    """Replace a method of the collector for as long as a duty of workers uses it: ``oq gc`` is as it was."""
    real = Tidier.step

    def step(tidier, progress):
        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(Collector, name, mistaken)
            return real(tidier, progress)

    patch.setattr(Tidier, "step", step)
