"""What failed, in groups: errors of one type that come from one line of the user's code are one, however many tasks they hit."""

from __future__ import annotations

import pandas as pd

_KINDS = ["type", "line"]


def grouped_errors(errors: pd.DataFrame) -> pd.DataFrame:
    """Return one row a group of a frame of `Job.errors`, the largest first, by the index of its first task.

    Columns: row, type, line, tasks, message; row and message are those of the first task.
    """
    n_tasks = errors.groupby(_KINDS, sort=False)["row"].transform("size")
    first = errors.assign(tasks=n_tasks.to_numpy("int64"))[~errors.duplicated(_KINDS).to_numpy()]
    return first.sort_values("tasks", ascending=False, kind="stable")[["row", *_KINDS, "tasks", "message"]]
