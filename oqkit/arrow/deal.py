"""In which order groups run: large ones first, and no part of a job much heavier than another."""

from __future__ import annotations

import numpy as np


def dealt(sizes: np.ndarray, part_rows: int) -> np.ndarray:
    """Return the numbers of the groups in the order of their tasks: dealt out to parts of `part_rows` tasks, the largest first.

    So the first tasks of all parts are the largest groups, each part begins with the largest of its own, and the parts
    follow each other by that. Groups of one size stay in their order. `sizes` and the result have the shape ``(n,)``.
    """
    n_groups = len(sizes)
    largest_first = np.argsort(-sizes, kind="stable")
    places = np.arange(-(-n_groups // part_rows) * part_rows).reshape(-1, part_rows).T.ravel()
    tasks = np.empty(n_groups, "int64")
    tasks[places[places < n_groups]] = largest_first
    return tasks
