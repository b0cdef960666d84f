"""How rows that may kill their worker are claimed: ever fewer at once, and for longer; a pure policy."""

from __future__ import annotations

from oqkit.limits import QueueLimits
from oqkit.queue.task_state import States, TaskState


def most_rows(state: TaskState, n_rows: int, *, limits: QueueLimits) -> int:
    """Return how many rows a claim may have that has one in this state, in a part of `n_rows`."""
    if state.deaths:
        return 1
    if not state.lost:
        return n_rows
    shrink = limits.suspect_first_factor * limits.suspect_factor ** min(state.lost - 1, limits.suspect_shrinks)
    return int(max(1, n_rows // shrink))


def lease_s_for(states: States, lease_id: str, *, lease_s: float, limits: QueueLimits) -> float:
    """Return how long a lease lasts where `lease_s` is asked for: longer on rows on which leases ran out before.

    Their worker may have died, or it lives and did not get to extend the lease in time, because many others
    write to the part or the store is slow. Twice as long after each, up to `suspect_lease_s`, tells the two apart.
    """
    lost = max((state.lost for state in states if state.lease == lease_id), default=0)
    return max(lease_s, min(limits.suspect_lease_s, lease_s * 2.0 ** min(lost, limits.suspect_doublings)))
