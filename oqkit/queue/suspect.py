"""How rows that may kill their worker are claimed: ever fewer at once, and for longer; a pure policy."""

from __future__ import annotations

from oqkit.queue.task_state import States, TaskState

FIRST_SHRINK = 2
LOST_SHRINK = 16
MOST_SHRINKS = 8
LONG_LEASE_S = 60.0
DOUBLINGS = 10


def most_rows(state: TaskState, n_rows: int) -> int:
    """Return how many rows a claim may have that has one in this state, in a part of `n_rows`."""
    if state.deaths:
        return 1
    if not state.lost:
        return n_rows
    return int(max(1, n_rows // (FIRST_SHRINK * LOST_SHRINK ** min(state.lost - 1, MOST_SHRINKS))))


def lease_s_for(states: States, lease_id: str, *, lease_s: float) -> float:
    """Return how long a lease lasts where `lease_s` is asked for: longer on rows on which leases ran out before.

    Their worker may have died, or it lives and did not get to extend the lease in time, because many others
    write to the part or the store is slow. Twice as long after each, up to `LONG_LEASE_S`, tells the two apart.
    """
    lost = max((state.lost for state in states if state.lease == lease_id), default=0)
    return max(lease_s, min(LONG_LEASE_S, lease_s * 2.0 ** min(lost, DOUBLINGS)))
