"""Steps of a part: claim and commit, with as few words as can be."""

from __future__ import annotations

from oqkit.limits import QueueLimits
from oqkit.queue.commit import Commit, Outcome
from oqkit.queue.part import Lease, claim, commit, fresh
from oqkit.queue.policy import Policy
from oqkit.queue.transition import Status
from tests.queue.faulty import NO_WAIT

LIMITS = QueueLimits()
ALL = frozenset(Status)
TTL = Policy(expires_at=100.0, backoff=NO_WAIT.backoff)


def new(n_rows=10):
    return fresh("job", 0, n_rows=n_rows, gen=1)


def take(part, lease="a", *, max_rows=1000, now=0.0, policy=NO_WAIT, lease_s=60.0, worker="w"):
    one = Lease(id=lease, worker=worker, expires=now + lease_s)
    return claim(part, one, max_rows=max_rows, now=now, policy=policy, chance=0.5, limits=LIMITS)


def end(part, lease, verb, rows=None, *, now=0.0, policy=NO_WAIT, chance=0.5, lease_s=None, **more):
    fields = {name: more.pop(name) for name in ("delay_s", "note") if name in more}
    outcome = Outcome(verb=verb, rows=part.held(lease) if rows is None else rows, **fields)
    given = Commit(outcomes=[outcome], is_last=lease_s is None, **more)
    return commit(part, lease, given, now=now, policy=policy, chance=chance, lease_s=lease_s or 0.0)


def statuses(part):
    return [str(part.state_at(row).status) for row in range(part.n_rows)]
