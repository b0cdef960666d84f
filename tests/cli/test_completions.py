"""What ``oq completions`` prints."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from oqkit.cli.command_registry import COMMANDS

pytest.importorskip("shtab")


def test_completion_needs_no_queue_and_knows_every_command(run, monkeypatch):
    monkeypatch.setattr("oqkit.cli.opening.connected", None)
    code, out, err = run("completions", "zsh")
    assert (code, err) == (0, "")
    assert all(name in out for name in (*COMMANDS, "--trust-code", "--json"))


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs a bash")
def test_bash_completes_commands_and_their_options(run):
    script = run("completions", "bash")[1]
    ask = 'COMP_CWORD=$1; shift; COMP_WORDS=("$@"); _shtab_oq; printf "%s\\n" "${COMPREPLY[@]}"'

    def completed(*words):
        command = ["bash", "-c", f"{script}\n{ask}", "bash", str(len(words) - 1), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()

    assert completed("oq", "sta") == ["status"]
    assert completed("oq", "list", "--sta") == ["--status"]
