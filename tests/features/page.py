"""What the pages of docs/reference name, and whether it exists."""

from __future__ import annotations

import argparse
import importlib
import inspect
import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import oqkit
from oqkit.cli.parser import choices_of, whole_command_line

ROOT = Path(__file__).resolve().parents[2]
HERE = "tests/features"
FEATURES = (ROOT / "docs/reference/features.md").read_text(encoding="utf-8")
NAMES = (ROOT / "docs/reference/names.md").read_text(encoding="utf-8")
NOT_YET = "not yet"
OBJECTS = {
    "oq": oqkit, "q": oqkit.Queue, "job": oqkit.Job, "task": oqkit.Task, "ctx": oqkit.Context, "w": oqkit.Worker,
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A feature: its calls, commands and tests; and those that are not there yet."""

    feature: str
    calls: list[str]
    later_calls: list[str]
    commands: list[str]
    later_commands: list[str]
    tests: list[str]

    @property
    def is_there(self) -> bool:
        return bool(self.calls or self.commands)


def cells(page: str, *, n: int) -> list[list[str]]:
    """Return the rows of those tables of a page that have `n` columns, without their heads."""
    lines = page.splitlines()
    heads = {number for number, line in enumerate(lines[1:]) if line.startswith("|---")}
    found = [
        [cell.strip() for cell in line[1:-1].split("|")]
        for number, line in enumerate(lines)
        if line.startswith("|") and not line.startswith("|---") and number not in heads
    ]
    return [row for row in found if len(row) == n]


def quoted(text: str) -> list[str]:
    """Return what stands between backquotes."""
    return re.findall(r"`([^`]+)`", text)


def rows() -> list[Row]:
    """Return the features."""
    found = []
    for feature, calls, commands, tests in cells(FEATURES, n=4):
        (now, later), (commands_now, commands_later) = _split(calls), _split(commands)
        found.append(
            Row(
                feature=feature, calls=now, later_calls=later, commands=commands_now, later_commands=commands_later,
                tests=quoted(tests),
            )
        )  # fmt: skip
    return found


def _split(cell: str) -> tuple[list[str], list[str]]:
    now, _, later = cell.partition(NOT_YET)
    return quoted(now), quoted(later)


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
