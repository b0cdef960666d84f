"""What an answer looks like: text within a terminal's width, whole text elsewhere, JSON."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from oqkit.cli.answer import Facts, Table
from oqkit.cli.text_table import text_table, text_width

NOW = 1_780_000_000.0
FRAME = pd.DataFrame(
    {
        "name": ["nightly", "a name of several words " * 5],
        "tasks": [3, 12_000],
        "rate": [0.5, float("nan")],
        "n": pd.array([1, None], dtype="Int64"),
        "stopped": [True, False],
        "tags": [{"team": "a"}, {}],
        "created": pd.to_datetime([NOW - 125, NOW + 3_600], unit="s", utc=True),
    },
    index=pd.Index(["j1", "j2"], name="job"),
)


def table(frame=FRAME):
    return Table(frame=frame, now=NOW)


def test_table_has_columns_of_one_width_and_numbers_to_the_right():
    header, first, second = table().text(None).splitlines()
    assert header.split() == ["job", "name", "tasks", "rate", "n", "stopped", "tags", "created"]
    at = header.index("tasks") + len("tasks")
    assert first[:at].endswith("    3")
    assert second[:at].endswith("12000")
    assert first.split() == ["j1", "nightly", "3", "0.5", "1", "yes", "team=a", "2026-05-28", "20:24:35+00:00"]


def test_table_that_goes_elsewhere_is_whole():
    assert "a name of several words " * 5 in table().text(None)


@pytest.mark.parametrize("width", (40, 60, 80, 120, 400))
def test_table_keeps_to_the_width_of_the_terminal(width):
    lines = table().text(width).splitlines()
    assert max(map(text_width, lines[:3])) <= width
    assert [line.split()[0] for line in lines[1:3]] == ["j1", "j2"]
    assert len(lines) == (4 if width == 40 else 3)


def test_table_says_which_columns_a_narrow_terminal_has_no_room_for():
    *_, last = table().text(40).splitlines()
    assert last == "(and tags, created: --json shows all)"


def test_table_for_people_has_ages_and_cuts_long_texts():
    shown = table().text(100)
    assert "2 min ago" in shown
    assert "in 1 h" in shown
    assert "a name of several" in shown
    assert "…" in shown
    assert "2026" not in shown


def test_empty_table_is_none():
    assert table(FRAME[:0]).text(80) == table(FRAME[:0]).text(None) == "none\n"
    assert table(FRAME[:0]).data() == []


def test_table_as_data_has_the_index_and_values_of_json():
    first, second = json.loads(json.dumps(table().data(), allow_nan=False))
    assert first == {
        "job": "j1", "name": "nightly", "tasks": 3, "rate": 0.5, "n": 1, "stopped": True, "tags": {"team": "a"},
        "created": "2026-05-28T20:24:35+00:00",
    }  # fmt: skip
    assert (second["rate"], second["n"], second["tags"]) == (None, None, {})


@pytest.mark.parametrize(
    ("value", "expected"),
    (
        (np.int64(3), 3), (np.array([1, 2]), [1, 2]), (float("inf"), "inf"), (pd.NaT, None), (b"x", "b'x'"),
        ({1: {"a": np.float32(0.5)}}, {"1": {"a": 0.5}}), ((1, np.array([True])), [1, [True]]),
    ),
)  # fmt: skip
def test_any_value_has_a_form_in_json(value, expected):
    found = Facts(facts={"value": value}, now=NOW).data()
    assert json.loads(json.dumps(found, allow_nan=False)) == {"value": expected}


@pytest.mark.parametrize("index", (pd.Index([5, 7]), pd.MultiIndex.from_tuples([(1, "a"), (2, "b")])))
def test_rows_are_known_by_any_index(index):
    frame = pd.DataFrame({"x": [1.0, 2.0]}, index=index)
    assert [list(row.values())[:-1] for row in table(frame).data()] == [
        list(each) if isinstance(each, tuple) else [each] for each in index
    ]


def test_index_that_is_a_column_too_is_shown_once():
    frame = pd.DataFrame({"row": [5, 7]}, index=pd.Index([5, 7], name="row"))
    assert table(frame).data() == [{"row": 5}, {"row": 7}]


def test_facts_are_a_line_each():
    facts = Facts(facts={"id": "j1", "created": FRAME["created"].iloc[0], "error": None}, now=NOW)
    assert facts.text(80) == "id       j1\ncreated  2 min ago\nerror    -\n"


def test_wide_characters_take_two_columns():
    assert [text_width(text) for text in ("abc", "日本", "e\u0301")] == [3, 4, 1]
    lines = text_table(["a", "b"], [["日本語日本語日本語", "1"], ["x", "2"]], are_numbers=[True, True], width=None)
    assert {text_width(line) for line in lines.splitlines()} == {21}
    cut = text_table(["a", "b"], [["x", "日本語" * 20]], are_numbers=[False, False], width=20).splitlines()
    assert text_width(cut[1]) <= 20
