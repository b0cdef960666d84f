"""The verb of `Queue` that says for how long a versioned bucket keeps what was."""

from __future__ import annotations

import pandas as pd

from oqkit.client.connection import Connection
from oqkit.client.option import whole
from oqkit.queue import key as keys
from oqkit.store.lifecycle import MAX_DAYS


class QueueRetention(Connection):
    """Reads and makes the lifecycle rules of the bucket."""

    def retention(self, days: int | None = None, *, dry_run: bool = False) -> pd.DataFrame:
        """Return for how many days the bucket keeps earlier versions of what the queue writes: a row for each prefix, ``<NA>`` is for ever.

        With `days` the bucket is told to forget those after so many days, and the marks of deleted objects with them; of what is
        only of use at the moment, such as the bell, after one. Nothing that is there now is ever touched, so a job or a result
        never goes, and neither do rules that others have made. `dry_run` only returns what it would be. `history` of a task goes back as far
        as that. Raise `Unsupported` where the store has no such rules, as a directory or Azure.

        S3 replaces all rules of a bucket at once: whoever changes others at the same moment may undo it, or it theirs.
        """
        store = self.repository.store
        wanted = None if days is None else whole(days, what="days", low=1, high=MAX_DAYS)
        there = store.lifecycle()
        if wanted is not None:
            kept = {prefix: 1 if prefix in keys.EPHEMERAL else wanted for prefix in keys.WRITTEN}
            if kept != there.days():
                there = there.keeping(kept)
                if not dry_run:
                    store.set_lifecycle(there)
        found = there.days()
        index = pd.Index(keys.WRITTEN, name="prefix", dtype=object)
        return pd.DataFrame({"days": pd.array([found.get(prefix) for prefix in keys.WRITTEN], "Int64")}, index=index)
