"""The verb of `Queue` that gives it another number of shards."""

from __future__ import annotations

import pandas as pd

from oqkit.client.connection import Connection
from oqkit.queue.layout import check_shards, resharded


class QueueResharding(Connection):
    """Spreads what is to come over more shards, or fewer."""

    def reshard(self, shards: int, *, dry_run: bool = False) -> pd.DataFrame:
        """Spread the jobs that are submitted from now on over so many shards (1 to 4,096).

        Return the numbers of shards that the queue has had, a row each, in their order; the index is the number, and the column is_current
        says which one is that of new jobs. Jobs that are there stay where they are, and are run and steered as before. It is one write, so it
        is done or not, and to repeat it does no harm. `dry_run` returns what would be. Raise `UsageError` for an eleventh number.

        Processes that are connected learn of it from what they meet, or by asking every ten minutes; until then they submit as before.
        """
        check_shards(shards)
        layouts = self.repository.layouts
        layouts.learn()
        planned = resharded(layouts.settings, shards)
        if not dry_run:
            planned = layouts.reshard(self.repository.loop, shards)
        index = pd.Index(planned.counts, name="shards", dtype=int)
        return pd.DataFrame({"is_current": [n == planned.current for n in range(len(index))]}, index=index)
