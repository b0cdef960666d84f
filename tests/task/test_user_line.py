"""Which line of a traceback is the user's."""

from __future__ import annotations

import json
import traceback

import pytest

from oqkit.task.user_line import user_line

LIBRARY = (
    '  File "/opt/env/lib/python3.12/site-packages/pandas/core/frame.py", line 4102, in __getitem__\n    indexer = 1\n'
)


def told(*frames, error="KeyError: 'x'"):
    return "".join(["Traceback (most recent call last):\n", *frames, f"{error}\n"])


def own(file="/home/ana/score.py", line=12, text="return frame['x']"):
    shown = f"    {text}\n           ~~~~~^^^^^\n" if text else ""
    return f'  File "{file}", line {line}, in score\n{shown}'


@pytest.mark.parametrize(
    ("trace", "line"),
    (
        (told(own()), "score.py:12: return frame['x']"),
        (told(own(), LIBRARY, LIBRARY), "score.py:12: return frame['x']"),
        (told(own(line=3), own(line=7), LIBRARY), "score.py:7: return frame['x']"),
        (told(LIBRARY), "frame.py:4102: indexer = 1"),
        (told(own(text="")), "score.py:12"),
        (told(own("/tmp/ipykernel_71/1234567.py")), "<cell>:12: return frame['x']"),
        (told(own("<ipython-input-5-0a1b>")), "<cell>:12: return frame['x']"),
        (told(own(r"C:\ana\score.py")), "score.py:12: return frame['x']"),
        (told(own(), '  File "/src/oqkit/task/context.py", line 9, in progress\n    x\n'), "score.py:12: return frame['x']"),
        (told(own(), '  File "/usr/lib/python3.13/json/decoder.py", line 9, in f\n    x\n'), "score.py:12: return frame['x']"),
        (told(own(line=1)) + "\nThe above exception was the direct cause of the following exception:\n\n" + told(own(line=2)),
         "score.py:2: return frame['x']"),
        (told(own(), error="  [Previous line repeated 960 more times]\nRecursionError: x"), "score.py:12: return frame['x']"),
        (told(own()[:-3]), "score.py:12: return frame['x']"),
        ("", "None"),
        ("KeyError: 'x'\n", "None"),
    ),
)  # fmt: skip
def test_user_line_is_the_last_one_of_no_library(trace, line):
    assert str(user_line(trace)) == line


def test_traceback_in_a_message_is_none_of_the_error():
    message = f"it failed there:\n{told(own(line=99))}"
    assert user_line(told(own(), error=f"ValueError: {message}"), message=message).line == 12


def raise_group():
    errors = []
    for one in (b"{", b"["):
        try:
            json.loads(one)
        except ValueError as error:
            errors.append(error)
    raise ExceptionGroup("two", errors)


def test_line_of_a_group_is_where_the_group_was_raised():
    try:
        raise_group()
    except ExceptionGroup as error:
        found = user_line("".join(traceback.format_exception(error)), message=str(error))
    assert (found.function, found.text) == ("raise_group", 'raise ExceptionGroup("two", errors)')
