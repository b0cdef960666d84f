"""The tables of docs/reference/features.md, compared with the code: what they name exists, and what is not there yet is not."""

from __future__ import annotations

import inspect
import re

import pytest

import oqkit
from oqkit.cli.parser import choices_of, whole_command_line
from tests.features.page import (
    FEATURES,
    HERE,
    ROOT,
    cells,
    missing_of_call,
    missing_of_command,
    parts_of,
    quoted,
    rows,
)

ROWS = rows()
STORES = {"memory", "seaweedfs"}
ELSEWHERE = {"On Azure Blob Storage"}
"""What is tried on another store than these two, since that is what it is about."""
LATER = {
    "`oq submit-frame`", "`q.submit_frame(key=, max_cost=)`", "`q.plan`", "`oq.plan`", "`q.run_local`", "`oq.run_local`",
    "`job.dataset`", "`job.extend`", "`job.logs`", "`oq logs`", "`oq tail`", "`oq.work`", "`oq.workers_on`",
    "`oq.manifest`", "`oq.Executor`", "`q.wanted(max=)`", "`oq.wanted`", "`oq wanted`", "`oq manifest`", "`oq config`", "`q.doctor`",
    "`oq.doctor`", "`oq doctor`", "`oq.metrics`", "`oq metrics`", "`oq dashboard`",
    "`oq reshard`",
}  # fmt: skip
"""All that may still be *not yet*: what is about frames, the notebook, and running it. The last line is being built."""


@pytest.fixture(scope="module")
def stores_of(request) -> dict[str, set[str]]:
    """Return on which stores the tests of the features and of the budgets run, as pytest finds them."""
    here = request.node.parent
    found: dict[str, set[str]] = {}
    for folder in (here, *(each for each in here.parent.collect() if each.path.name == "budget")):
        for item in request.session.genitems(folder):
            ways = getattr(item, "callspec", None)
            path = item.path.relative_to(ROOT)
            found.setdefault(f"{path}::{item.originalname}", set()).update(
                () if ways is None else STORES.intersection(map(str, ways.params.values()))
            )
    return found


def place_of(named: str) -> str:
    """Return a named test with its folder."""
    return named if "/" in named else f"{HERE}/{named}"


def test_table_has_rows():
    assert len(ROWS) > 60
    assert len({row.feature for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.feature)
def test_named_calls_exist(row):
    assert [each for call in row.calls for each in missing_of_call(call)] == []


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.feature)
def test_named_commands_exist(row):
    assert [each for command in row.commands for each in missing_of_command(command)] == []


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.feature)
def test_what_is_there_has_a_test(row):
    if row.is_there:
        assert row.tests, "name its test in tests/features"
    for named in row.tests:
        path, _, name = place_of(named).partition("::")
        assert (ROOT / path).is_file(), named
        assert f"def {name}(" in (ROOT / path).read_text(encoding="utf-8") if name else True, named


@pytest.mark.parametrize("row", [row for row in ROWS if row.feature not in ELSEWHERE], ids=lambda row: row.feature)
def test_what_is_there_is_tried_in_memory_and_on_a_real_server(row, stores_of):
    tried = [stores_of.get(place_of(named), set()) for named in row.tests]
    assert not row.is_there or STORES in tried, "name a test that uses the fixture `queue` of tests/features"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.feature)
def test_what_is_not_there_yet_is_not_there(row):
    there = [one for call in row.later_calls for one in parts_of(call) if not missing_of_call(one)]
    there += [command for command in row.later_commands if not missing_of_command(command)]
    assert there == [], "it is there now: move it before 'not yet', and name its test"


def test_only_frames_the_notebook_and_running_it_have_what_is_not_there_yet():
    later = {f"`{name}`" for row in ROWS for name in (*row.later_calls, *row.later_commands)}
    assert later - LATER == set()
    unnamed = [row.feature for row in ROWS if not row.is_there and not (row.later_calls or row.later_commands)]
    assert unnamed == ["Pipelines: outputs are the next inputs", "Direct dispatch to one worker"]


def test_names_of_the_api_are_all_in_the_table():
    named = " ".join(call for row in ROWS for call in (*row.calls, *row.later_calls))
    for root, thing in (("q", oqkit.Queue), ("job", oqkit.Job), ("task", oqkit.Task), ("ctx", oqkit.Context)):
        public = [name for name, verb in inspect.getmembers(thing, inspect.isfunction) if not name.startswith("_")]
        assert [f"{root}.{name}" for name in public if not re.search(rf"\b{root}\.{name}\b", named)] == []


def test_every_command_is_in_the_table():
    named = {command.split()[1] for row in ROWS for command in row.commands}
    assert set(choices_of(whole_command_line())) - named == set()


# --- the roadmap of the original -----------------------------------------------------------------

ROADMAP = cells(FEATURES, n=3)


def test_roadmap_of_the_original_is_whole():
    assert [number for number, _, _ in ROADMAP] == [f"1.{n}" for n in range(1, 37)]  # as in the study of it


@pytest.mark.parametrize(("there", "here"), [row[1:] for row in ROADMAP], ids=[row[0] for row in ROADMAP])
def test_feature_of_the_original_has_a_row(there, here):
    assert set(quoted(here)) - {row.feature for row in ROWS} == set(), there
    assert quoted(here)
