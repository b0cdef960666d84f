"""The tables of docs/reference/features.md, compared with the code: what they name exists, and what is not there yet is not."""

from __future__ import annotations

import argparse
import importlib
import inspect
import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pytest

import oqkit
from oqkit.cli.parser import choices_of, whole_command_line

ROOT = Path(__file__).resolve().parents[2]
HERE = "tests/features"
PAGE = ROOT / "docs/reference/features.md"
NOT_YET = "not yet"
OBJECTS = {
    "oq": oqkit, "q": oqkit.Queue, "job": oqkit.Job, "task": oqkit.Task, "ctx": oqkit.Context, "w": oqkit.Worker,
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    feature: str
    calls: list[str]
    later_calls: list[str]
    commands: list[str]
    later_commands: list[str]
    tests: list[str]


def rows() -> list[Row]:
    found = []
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if not line.startswith("|") or line.startswith(("|---", "| feature |")):
            continue
        feature, calls, commands, tests = (cell.strip() for cell in line.strip("|").split("|"))
        (now, later), (commands_now, commands_later) = _split(calls), _split(commands)
        found.append(
            Row(
                feature=feature, calls=now, later_calls=later, commands=commands_now, later_commands=commands_later,
                tests=re.findall(r"`([^`]+)`", tests),
            )
        )  # fmt: skip
    return found


def _split(cell: str) -> tuple[list[str], list[str]]:
    now, _, later = cell.partition(NOT_YET)
    return re.findall(r"`([^`]+)`", now), re.findall(r"`([^`]+)`", later)


ROWS = rows()


def missing_of_call(call: str) -> list[str]:
    """Return what a call such as ``q.submit(key=, ttl=)`` names that does not exist: itself, or arguments."""
    path, arguments = re.fullmatch(r"@?([\w.]+)(?:\((.*)\))?", call).groups()
    root, *names = path.split(".")
    found: Any = OBJECTS.get(root) or _module(path)
    for name in names if root in OBJECTS else names[-1:]:
        if not hasattr(found, name):
            return [path]
        found = getattr(found, name)
    wanted = re.findall(r"(\w+)=", arguments or "")
    if not wanted:
        return []
    parameters = inspect.signature(found).parameters
    known = {*parameters}
    if any(each.kind is each.VAR_KEYWORD for each in parameters.values()):
        known |= {field.name for field in fields(oqkit.Options)}
    return [f"{path}({name}=)" for name in wanted if name not in known]


def _module(path: str) -> Any:
    return importlib.import_module(path.rpartition(".")[0])


def missing_of_command(command: str) -> list[str]:
    """Return what a command such as ``oq list --type`` names that does not exist."""
    words = command.split()
    parser: argparse.ArgumentParser = whole_command_line()
    for word in (word for word in words[1:] if not word.startswith("-")):
        choices = choices_of(parser)
        if word not in choices:
            return [command]
        parser = choices[word]
    known = parser._option_string_actions
    return [f"{command}: {word}" for word in words if word.startswith("-") and word not in known]


def parts_of(call: str) -> list[str]:
    """Return a call once for each argument that it names."""
    path, _, arguments = call.partition("(")
    names = re.findall(r"\w+=", arguments)
    return [f"{path}({name})" for name in names] if names else [call]


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
    if row.calls or row.commands:
        assert row.tests, "name its test in tests/features"
    for named in row.tests:
        path, _, name = named.partition("::")
        file = ROOT / (path if "/" in path else f"{HERE}/{path}")
        assert file.is_file(), named
        assert f"def {name}(" in file.read_text(encoding="utf-8") if name else True, named


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.feature)
def test_what_is_not_there_yet_is_not_there(row):
    there = [one for call in row.later_calls for one in parts_of(call) if not missing_of_call(one)]
    there += [command for command in row.later_commands if not missing_of_command(command)]
    assert there == [], "it is there now: move it before 'not yet', and name its test"


def test_names_of_the_api_are_all_in_the_table():
    named = " ".join(call for row in ROWS for call in (*row.calls, *row.later_calls))
    for root, thing in (("q", oqkit.Queue), ("job", oqkit.Job), ("task", oqkit.Task), ("ctx", oqkit.Context)):
        public = [name for name, verb in inspect.getmembers(thing, inspect.isfunction) if not name.startswith("_")]
        assert [f"{root}.{name}" for name in public if not re.search(rf"\b{root}\.{name}\b", named)] == []


def test_every_command_is_in_the_table():
    named = {command.split()[1] for row in ROWS for command in row.commands}
    assert set(choices_of(whole_command_line())) - named == set()
