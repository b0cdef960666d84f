"""Mistakes about what calls ask of their worker and tell it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from oqkit.claim import lease
from oqkit.errors import LeaseLost
from oqkit.queue import part
from oqkit.queue.rows import NONE
from oqkit.queue.task_state import changed
from oqkit.queue.transition import Status
from oqkit.worker.checkpoint import Checkpointer
from oqkit.worker.running import Running


def extension_may_shorten(patch: pytest.MonkeyPatch) -> None:
    """A row is held as long as was asked for last, by its call or a heartbeat, also if it was to be held longer already."""
    original = part.commit

    def commit(state, lease_id, given, *, now, lease_s, **more):
        new = original(state, lease_id, given, now=now, lease_s=lease_s, **more)
        rows = new.rows(lambda one: one.lease == lease_id and one.held_until > 0)
        return replace(new, states=changed(new.states, rows, held_until(now + (given.lease_s or lease_s))))

    patch.setattr(lease, "commit", commit)


def held_until(moment):
    return lambda one: replace(one, held_until=moment)


def extension_pins_all_rows_of_its_lease(patch: pytest.MonkeyPatch) -> None:
    """The whole lease gets longer when one of its calls asks for more time."""
    original = part.commit

    def commit(state, lease_id, given, **more):
        extended = state.held(lease_id) if given.extended else NONE
        return original(state, lease_id, replace(given, extended=extended), **more)

    patch.setattr(lease, "commit", commit)


def extended_rows_go_with_their_lease(patch: pytest.MonkeyPatch) -> None:
    """When a lease runs out, all its rows are taken over, also those that it asked more time for."""
    original = part._lost

    def lost(state, holder, *, now, **more):
        rows = state.held(holder.id)
        return original(replace(state, states=changed(state.states, rows, held_until(0.0))), holder, now=now, **more)

    patch.setattr(part, "_lost", lost)


def extension_is_not_fenced(patch: pytest.MonkeyPatch) -> None:
    """Who asks for more time with a lease that is over extends that of whoever has the rows now."""
    original = part.commit

    def commit(state, lease_id, given, *, now, **more):
        try:
            return original(state, lease_id, given, now=now, **more)
        except LeaseLost:
            if not given.lease_s or not state.leases:
                raise
            held = state.rows(lambda one: one.status is Status.RUNNING)
            return replace(state, states=changed(state.states, held, held_until(now + given.lease_s)))

    patch.setattr(lease, "commit", commit)


def extension_is_answered_before_it_is_stored(patch: pytest.MonkeyPatch) -> None:
    """The call is told that it has more time, and the next heartbeat is to see to it."""
    patch.setattr(Checkpointer, "extend", lambda _checkpointer, _rows, _seconds: None)


def time_out_does_not_hear_of_an_extension(patch: pytest.MonkeyPatch) -> None:
    """The lease is extended, but the call is cut by its time-out all the same."""
    patch.setattr(Running, "allow", lambda _running, _until: None)


def progress_is_written_under_every_lease(patch: pytest.MonkeyPatch) -> None:
    """What a call says of itself is noted with the part, for whoever holds rows of it."""
    original = part.commit

    def commit(state, lease_id, given, **more):
        new = original(state, lease_id, given, **more)
        return replace(new, leases=tuple(replace(one, progress=given.progress or ()) for one in new.leases))

    patch.setattr(lease, "commit", commit)


def progress_stays_when_its_call_has_ended(patch: pytest.MonkeyPatch) -> None:
    """What calls said is added to what was known, and nobody takes it away."""
    told = {}

    def progress(running, _unfinished):
        notes = told.setdefault(running, {})
        notes.update(running.buffer.drain_notes())
        return tuple(notes.values())

    real = part.commit

    def commit(state, lease_id, given, **more):
        new = real(state, lease_id, given, **more)
        leases = (
            replace(one, progress=tuple(given.progress or ())) if one.id == lease_id else one for one in new.leases
        )
        return replace(new, leases=tuple(leases))

    patch.setattr(Running, "progress", progress)
    patch.setattr(lease, "commit", commit)
