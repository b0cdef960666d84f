"""Failures as data: the user's line, what failed in groups, some of it run again."""

from __future__ import annotations

import json
import linecache

import pandas as pd
import pytest

from tests.local import work_off

CELL = """\
def ratio(x):
    if x == 3:
        raise ValueError("three \\x1b[31m")
    return 1 / (x % 2)   # of the odd ones


def mended(x):
    return 1 / (x % 2 or 1)
"""


@pytest.fixture
def cell(monkeypatch):
    """Functions that were typed into a cell of a notebook: no file has their lines."""
    name = "/tmp/ipykernel_71/1234567.py"
    monkeypatch.setattr(linecache, "cache", dict(linecache.cache))
    linecache.cache[name] = (len(CELL), None, [f"{line}\n" for line in CELL.splitlines()], name)
    found = {"__name__": "__main__"}
    exec(compile(CELL, name, "exec"), found)
    return found


def frame(n=6):
    return pd.DataFrame({"x": range(n)}, index=[f"r{row}" for row in range(n)])


@pytest.mark.parametrize("executor", ("thread", "process"))
def test_errors_tell_the_line_of_a_function_by_value(queue, cell, executor):
    job = queue.submit_frame(frame(), cell["ratio"], retries=0)
    del linecache.cache["/tmp/ipykernel_71/1234567.py"]  # as on another machine
    work_off(queue, executor=executor)
    errors = job.errors()
    assert errors["line"].tolist() == [
        "<cell>:4: return 1 / (x % 2)   # of the odd ones",
        "<cell>:4: return 1 / (x % 2)   # of the odd ones",
        '<cell>:3: raise ValueError("three \\x1b[31m")',
        "<cell>:4: return 1 / (x % 2)   # of the odd ones",
    ]
    first = errors["traceback"].iloc[0]
    assert 'File "<cell 1234567>", line 4, in ratio\n    return 1 / (x % 2)   # of the odd ones\n' in first
    assert queue.get(f"{job.id}.0").error()["line"] == errors["line"].iloc[0]


def test_errors_in_groups_of_type_and_line(queue, cell, oq):
    job = queue.submit_frame(frame(), cell["ratio"], retries=0, name="ratios")
    assert job.errors(grouped=True).empty
    work_off(queue)
    groups = job.errors(grouped=True)
    assert groups.index.tolist() == ["r0", "r3"]
    assert groups.columns.tolist() == ["row", "type", "line", "tasks", "message"]
    assert groups[["row", "type", "tasks", "message"]].to_numpy().tolist() == [
        [0, "ZeroDivisionError", 3, "division by zero"],
        [3, "ValueError", 1, "three \x1b[31m"],
    ]
    told = oq("errors", "ratios", "--grouped")
    assert "<cell>:4: return 1 / (x % 2)" in told
    assert "three \\x1b[31m" in told
    assert "\x1b" not in told + oq("errors", "ratios")
    assert [each["tasks"] for each in json.loads(oq("errors", "ratios", "--grouped", "--json"))] == [3, 1]


def by_name(x):
    return 1 / x


def test_errors_tell_the_line_of_a_function_by_name(queue):
    job = queue.submit_frame(frame(1), by_name, retries=0)
    work_off(queue, by_name)
    line = by_name.__code__.co_firstlineno + 1
    assert job.errors()["line"].tolist() == [f"test_failures.py:{line}: return 1 / x"]


def test_some_of_what_failed_runs_again_with_a_corrected_function_and_its_cell_attaches(queue, cell):
    job = queue.submit_frame(frame(), cell["ratio"], retries=0)
    work_off(queue)
    errors = job.errors()
    assert job.retry(where=errors.index[:1], fn=cell["mended"]) == 1
    assert job.retry(where=errors[errors["type"] == "ValueError"]) == 1
    assert job.retry(where=["r2", "r5"]) == 1, "the other has completed"
    work_off(queue)
    assert job.errors().index.tolist() == ["r4"]
    again = queue.submit_frame(frame(), cell["mended"], retries=0)
    assert again.id == job.id
    mask = pd.Series(data=True, index=frame().index)
    assert again.retry(where=mask[::-1]) == 1
    work_off(queue)
    assert again.result(1)["ratio"].tolist() == [1.0] * 6
