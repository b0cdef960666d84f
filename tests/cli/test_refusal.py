"""What `oq` says of a command that cannot be carried out, and with which exit code."""

from __future__ import annotations

import pytest

import oqkit as oq
from oqkit.cli.main import main


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    (
        (["status", "nobody", "--url", "memory://cli"], 2, "oq: no job has the id or name 'nobody' in memory://cli"),
        (["jobs", "--url", "gs://x"], 2, "oq: 'gs://x' is not a queue"),
        (["jobs", "--url", "memory://cli", "-n", "0"], 2, "oq: limit=0 must be a whole number"),
        (["jobs", "--url", "memory://cli", "--profile", "none"], 2, "oq: profile 'none' is asked for"),
        (["worker", "--url", "memory://cli"], 2, "oq: a worker needs functions to run"),
        (["worker", "no_such_module", "--url", "memory://cli"], 2, "oq: 'no_such_module' cannot be imported here"),
        (["worker", "json:nope", "--url", "memory://cli"], 2, "oq: 'json:nope' cannot be imported here"),
        (["worker", "json", "--url", "memory://cli"], 2, "oq: module 'json' has no function with @oq.task"),
        (["worker", "json:dumps", "-c", "0", "--url", "memory://cli"], 2, "oq: concurrency=0 must be 1 or more"),
        (["jobs", "--url", "."], 1, "oq: settings 'queue.json'"),
        (["jobs", "--url", "memory://typo"], 2, "oq: there is no queue at memory://typo"),
    ),
)
def test_command_that_cannot_be_carried_out_says_why(run, monkeypatch, tmp_path, arguments, code, told):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "queue.json").write_text("{", encoding="utf-8")
    oq.connect("memory://cli")
    found, _, err = run(*arguments)
    assert found == code
    assert err.startswith(told)
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("arguments", ([], ["dance"], ["worker", "-c", "many"]))
def test_command_line_that_does_not_parse_ends_with_2(capsys, arguments):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage: oq" in capsys.readouterr().err
