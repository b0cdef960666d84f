"""What the oracle knows of limits: what was taken by whom, and which call started with what."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass

from oqkit.queue import key as keys
from oqkit.queue.job import Job
from oqkit.queue.quota import QUOTA, Grant, Quota
from oqkit.testing.simulation.bucket import Bucket, Write

WINDOW_S, GRACE_S = 5.0, 1.0


@dataclass(slots=True)
class Start:
    """One start that was given: from when to when it may be used."""

    first_s: float
    last_s: float


class LimitFacts:
    """Every grant that was ever written; times in epoch seconds by the bucket's clock. Rates are of minutes, by the dozen."""

    def __init__(self, expect: Callable[[object, str, str], None], bucket: Bucket) -> None:
        self._expect = expect
        self._bucket = bucket
        self._quotas: dict[str, Quota] = {}
        self._given: defaultdict[tuple[str, float], Counter[str]] = defaultdict(Counter)
        """(limit, beginning of a window) to what was given of it, by grant."""
        self._starts: defaultdict[tuple[str, str], list[Start]] = defaultdict(list)
        """(limit, node) to the starts that it has and has not used."""
        self._places: dict[tuple[str, str], Grant] = {}
        """(limit, node) to what it was given last."""
        self.n_starts = 0

    def concerns(self, key: str) -> bool:
        """Whether a key is that of a limit."""
        return key.startswith(keys.LIMITS)

    def wrote(self, write: Write) -> None:
        """Judge the write of a limit, or that it is removed."""
        if write.data is None:
            self._removed(write)
            return
        new = QUOTA.load(write.data, write.key)
        old = self._quotas.get(write.key, Quota(name=new.name))
        self._quotas[write.key] = new
        self._expect(new.rev == old.rev + 1, "rev", write.key)
        known = {grant.id: grant for grant in old.grants}
        added = [grant for grant in new.grants if grant.id not in known]
        self._expect(
            all(known.get(grant.id, grant) == grant for grant in new.grants), "grant changed", f"{write.key} {new}"
        )
        self._expect(len(added) <= 1, "several grants", write.key)
        for grant in added:
            self._expect(grant.worker == write.node.name, "grant for another", f"{write.key} {grant}")
            if new.per_s:
                self._give(write, new, grant)
        if not new.per_s:
            self._place(write, old, new)

    def _removed(self, write: Write) -> None:
        """A limit of several jobs goes when nobody has had anything of it for a while; that of one goes with its job."""
        old = self._quotas.pop(write.key, None)
        if old is not None and not old.name.startswith("job/"):
            n_used = sum(grant.end > write.sent_s - write.doubt_s for grant in old.grants)
            self._expect(not n_used, "limit removed that is used", f"{write.key}: {n_used} grants")

    def _give(self, write: Write, quota: Quota, grant: Grant) -> None:
        """No window gives more than it has, whatever was dropped from the document since."""
        n_window = round(quota.most * WINDOW_S / quota.per_s)
        is_window = grant.end - grant.start == WINDOW_S and grant.start % WINDOW_S == 0
        self._expect(is_window, "no window", f"{write.key} {grant}")
        given = self._given[write.key, grant.start]
        given[grant.id] = grant.n
        told = f"{write.key}: {given.total()} of {n_window} at {grant.start:.0f}"
        self._expect(given.total() <= n_window, "more starts given than there are", told)
        self._starts[quota.name, write.node.name] += [Start(grant.start, grant.end + GRACE_S) for _ in range(grant.n)]

    def _place(self, write: Write, old: Quota, new: Quota) -> None:
        low = write.sent_s - write.doubt_s
        for grant in old.grants:
            is_taken = all(one.id != grant.id for one in new.grants) and grant.worker != write.node.name
            early_s = grant.end - write.sent_s - write.doubt_s
            self._expect(not is_taken or early_s <= 0, "place taken from its holder", f"{grant}, {early_s:.2f} s early")
            if grant.worker == write.node.name:
                self._places.pop((new.name, grant.worker), None)
        for grant in new.grants:
            if grant.worker == write.node.name:
                self._places[new.name, grant.worker] = grant
        n = sum(grant.n for grant in new.grants if grant.end > low)
        self._expect(n <= new.most, "more places given than there are", f"{write.key}: {n} of {new.most}")

    # --- calls -----------------------------------------------------------------------------------

    def started(self, node: str, job: Job, *, doubt_s: float, pause_s: float, n_running: int | None) -> None:
        """Judge that a call starts: `n_running` is how many of the job the node then runs (None: that is not known)."""
        now = self._bucket.now()
        for limit in job.limits:
            if limit.per_s:
                own = self._starts[limit.name, node]
                fits = [one for one in own if one.first_s - doubt_s <= now <= one.last_s + doubt_s + pause_s]
                self._expect(fits, "started without a start", f"{job.id} on {node} at {now:.2f}: {len(own)} others")
                if fits:
                    own.remove(min(fits, key=lambda one: one.last_s))
                self.n_starts += 1
            elif n_running is not None:
                place = self._places.get((limit.name, node))
                n, end = (0, -math.inf) if place is None else (place.n, place.end)
                told = f"{job.id} on {node}: {n_running} run, {n} places, until {end - now:.2f} s on"
                self._expect(n_running <= n and now <= end + doubt_s + pause_s, "more run than may", told)
