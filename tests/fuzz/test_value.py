"""Whatever a function returns comes back as it was, or its row fails and says so; no worker dies of it.

``OQ_FUZZ_VALUES=20000 pytest tests/fuzz`` is the long run.
"""

from __future__ import annotations

import os
import random

import numpy as np
import pandas as pd
import pytest

import oqkit as oq
from tests.fuzz import value as values
from tests.fuzz.agree import agrees
from tests.local import WAIT_S

N_VALUES = int(os.environ.get("OQ_FUZZ_VALUES", "1200"))
LONG_S = 20 * WAIT_S


def by_row(kind, seed):
    """Return a value."""
    return values.make(kind, seed)


async def as_coroutine(kind, seed):
    """Return a value, from a coroutine."""
    return values.make(kind, seed)


def by_batch(frame):
    """Return the values of all rows as a list."""
    return [values.make(kind, seed) for kind, seed in zip(frame["kind"], frame["seed"], strict=True)]


def by_column(frame):
    """Return the values as a column of objects, which keeps what stands for "missing"."""
    column = np.empty(len(frame), object)
    for place, (kind, seed) in enumerate(zip(frame["kind"], frame["seed"], strict=True)):
        column[place] = values.make(kind, seed)
    return pd.DataFrame({"column": pd.Series(column, index=frame.index, dtype=object)})


FUNCTIONS = {
    "row": oq.task(by_row),
    "coroutine": oq.task(as_coroutine),
    "list": oq.task(by_batch, batch=True),
    "column": oq.task(by_column, batch=True),
}


def jobs_of(seed: int, n_values: int, *, n_rows: int):
    """Yield frames of rows of one kind, or of mixed ones, which name the values to return."""
    rng = random.Random(seed)
    done = 0
    while done < n_values:
        kind = rng.choice([*values.NAMES, *["mixed"] * 5])
        n = min(n_rows, n_values - done)
        yield pd.DataFrame({"kind": [kind] * n, "seed": range(done, done + n)})
        done += n


@pytest.mark.parametrize("n_rows", (6, 120), ids=["few rows", "many rows"])
@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("executor", ("thread", "process"))
def test_what_a_function_returns_comes_back_or_fails_its_row(queue, start, executor, function, n_rows):
    start(executor=executor)
    task = FUNCTIONS[function]
    seed = NUMBERS[executor, function, n_rows]
    share = -(-N_VALUES // len(NUMBERS))
    jobs = [(frame, queue.submit_frame(frame, task, retries=0)) for frame in jobs_of(seed, share, n_rows=n_rows)]
    wrong = []
    for frame, job in jobs:
        result = job.result(LONG_S, errors="coerce")
        errors = job.errors().set_index("row")
        assert set(errors["type"]) <= {"SchemaError"}, errors.to_string()
        assert set(job.tasks()["attempt"]) == {1}, "a worker died"
        for row, (kind, number) in enumerate(zip(frame["kind"], frame["seed"], strict=True)):
            given = values.make(kind, number)
            if row in errors.index:
                message = errors["message"][row]
                is_due = kind not in values.STORED or (function == "column" and kind in values.OF_CLASSES)
                if not is_due or not ("stored" in message or "child process" in message):
                    wrong.append((kind, number, message))
            elif not came_back(result, row, given):
                wrong.append((kind, number, result.iloc[row].to_dict()))
    assert wrong == []


def came_back(result: pd.DataFrame, row: int, given) -> bool:
    """Whether a row of a result says what was returned: in one column, or with each field in its own."""
    fields = values_by_field(given)
    cells = {name: result[name].to_numpy(object)[row] for name in result}
    if len(cells) == 1 and is_value(next(iter(cells.values())), given, fields):
        return True
    if fields is None:
        return all(agrees(cell, None) for cell in cells.values()) and agrees(None, given)
    missing = (cell for name, cell in cells.items() if name not in fields)
    return all(name in cells and agrees(cells[name], value) for name, value in fields.items()) and all(
        agrees(cell, None) for cell in missing
    )


def is_value(cell, given, fields):
    """Whether a cell is what was returned; a row of fields that were all None, or lacked some, may have been columns."""
    if fields is None or agrees(cell, given):
        return agrees(cell, given)
    mine = {} if cell is None else cell
    return isinstance(mine, dict) and all(agrees(mine.get(name), fields.get(name)) for name in {**mine, **fields})


def values_by_field(given):
    """Return the fields of what makes columns, None of anything else."""
    if isinstance(given, values.Point):
        return vars(given)
    if isinstance(given, values.Pair):
        return given._asdict()
    if isinstance(given, values.Model):
        return given.model_dump()
    return dict(given) if isinstance(given, dict) else None


NUMBERS = {
    key: number
    for number, key in enumerate(
        (executor, function, n_rows)
        for executor in ("thread", "process")
        for function in FUNCTIONS
        for n_rows in (6, 120)
    )
}
"""A seed for each way of running."""
