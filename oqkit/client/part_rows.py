"""How many tasks of a job share a state object."""

from __future__ import annotations

import math

from oqkit.client.spec import Function
from oqkit.errors import UsageError
from oqkit.limits import Limits
from oqkit.plain import plain
from oqkit.task.function import is_async
from oqkit.task.timer import RowTimer


def part_rows_of(
    part_rows: int | str, n_tasks: int, function: Function, timer: RowTimer, *, n_bytes: int, limits: Limits
) -> int:
    """Choose how many tasks share a state object: few enough that 100 workers can share a frame, eight to a part.

    Of a function that is known to be quick a part has as many as take a quarter of a second: sharing
    less than that costs more than it gains. Coroutines only wait: of them each worker is given as
    many as it runs at the same time. A worker holds a part in memory, so none has more than `part_bytes`
    of the `n_bytes` (0: unknown).
    """
    client = limits.client
    if part_rows == "auto":
        row_s = timer.row_s(function)
        quick = 1 if row_s is None else min(client.max_part_rows, int(client.part_s / max(row_s, 1e-9)))
        least = limits.worker.coroutines if function.task is not None and is_async(function.task.function) else 1
        n_rows = max(min(n_tasks, max(least, quick)), min(client.part_rows, math.ceil(n_tasks / client.least_parts)))
        return max(1, min(n_rows, client.part_bytes * n_tasks // max(n_bytes, 1)))
    part_rows = plain(part_rows)
    if isinstance(part_rows, bool) or not isinstance(part_rows, int) or not 1 <= part_rows <= client.max_part_rows:
        raise UsageError(f"part_rows={part_rows!r} must be 'auto' or a number from 1 to {client.max_part_rows:,}")
    return part_rows
