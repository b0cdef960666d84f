"""The command line: commands are found by name, and their files imported only when they are asked for."""

from __future__ import annotations

import importlib
import io
import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import oqkit as oq
from oqkit.cli.answer import Said
from oqkit.cli.command_registry import COMMANDS, Command, Opens
from oqkit.cli.main import main
from oqkit.cli.parser import choices_of, subcommands, whole_command_line


@pytest.fixture
def family(monkeypatch):
    """``oq thing make NAME`` and ``oq thing list``: a command with sub-commands."""

    def arguments(parser):
        add = subcommands(parser)
        add("make", make, help="make one", opens=Opens.ANY).add_argument("name")
        add("list", lambda queue, options: Said(line=f"in {queue.url}", facts={"url": queue.url}), help="list them")

    def make(queue, options):
        return Said(line=f"made {options.name}", facts={"made": options.name}, code=5)

    monkeypatch.setitem(COMMANDS, "thing", Command(help="show things"))
    monkeypatch.setitem(sys.modules, "oqkit.cli.thing_command", SimpleNamespace(arguments=arguments))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_file_with_its_arguments_and_its_call(name):
    module = importlib.import_module(f"oqkit.cli.{name.replace('-', '_')}_command")
    assert callable(module.arguments)
    assert callable(getattr(module, "run", module.arguments))  # one with sub-commands has a call for each


def test_every_file_of_a_command_is_registered():
    there = {path.name for path in Path(importlib.import_module("oqkit.cli").__file__).parent.glob("*_command.py")}
    assert there == {f"{name.replace('-', '_')}_command.py" for name in COMMANDS}


def test_help_imports_no_command(monkeypatch, capsys):
    imported = []
    monkeypatch.setattr("oqkit.cli.parser.importlib.import_module", imported.append)
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    assert imported == []
    told = capsys.readouterr().out
    assert all(f"    {name}" in told for name in COMMANDS)


@pytest.mark.parametrize("name", [name for name, command in COMMANDS.items() if command.answers])
def test_every_command_that_answers_takes_json(name):
    parser = choices_of(whole_command_line())[name]
    leaves = list(choices_of(parser).values()) or [parser]
    assert all("--json" in each.format_help() for each in leaves)


def test_command_with_sub_commands_calls_the_one_that_is_named(family, url, run):
    assert run("thing", "make", "x", "--url", url) == (5, "made x\n", "")
    assert run("thing", "list", "--url", url) == (0, f"in {url}\n", "")
    code, out, _ = run("thing", "make", "x", "--url", url, "--json")
    assert (code, json.loads(out)) == (5, {"made": "x"})
    with pytest.raises(SystemExit):
        main(["thing"])


def test_command_that_reads_creates_no_queue(family, run, tmp_path):
    place = tmp_path / "typo"
    readers = [["jobs"], ["status", "x"], ["cancel", "x"], ["thing", "list"]]
    for arguments in readers:
        code, out, err = run(*arguments, "--url", str(place))
        assert (code, out) == (2, "")
        assert err.startswith(f"oq: there is no queue at {place.as_uri()}: ")
        assert not place.exists()
    assert run("thing", "make", "x", "--url", str(place))[0] == 5
    assert place.exists()


def test_connect_without_create_refuses_a_queue_that_is_not_there_and_writes_nothing(tmp_path):
    with pytest.raises(oq.UnknownQueue, match="there is no queue at file://"):
        oq.connect(tmp_path / "typo", create=False)
    assert not (tmp_path / "typo").exists()
    made = oq.connect(tmp_path / "typo")
    assert oq.connect(tmp_path / "typo", create=False).url == made.url


def test_terminal_that_lacks_a_character_gets_its_escape(url, queue, monkeypatch):
    queue.map("t", [1], name="fünf")
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))
    assert main(["status", "fünf", "--url", url]) == 0
    assert written.getvalue() == b"f\\xfcnf  t  pending\npending 1\n"


def test_reader_that_has_gone_is_no_error(url, queue, monkeypatch, capfd):
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as gone, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", gone)
        assert main(["jobs", "--url", url]) == 0
    assert capfd.readouterr().err == ""
