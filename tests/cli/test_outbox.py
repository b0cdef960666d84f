"""``oq outbox relay`` as a service: it ends at a signal, and says what it lacks."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys

import pytest

import oqkit as oq
from oqkit.cli.main import main
from tests.local import until


@pytest.mark.slow
@pytest.mark.parametrize("number", (signal.SIGTERM, signal.SIGINT))
def test_relay_delivers_until_it_is_told_to_stop(tmp_path, number):
    queue, url = oq.connect(tmp_path / "queue"), f"sqlite:///{tmp_path / 'shop.db'}"
    connection = sqlite3.connect(tmp_path / "shop.db")
    queue.outbox_setup(connection)
    connection.commit()
    command = [sys.executable, "-m", "oqkit", "outbox", "relay", "--url", queue.url, "--database", url]
    relay = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        with queue.outbox(connection) as box:
            box.submit("score", 1)
        connection.commit()
        until(lambda: len(queue.jobs()) == 1)
    finally:
        relay.send_signal(number)
        said = relay.communicate(timeout=60)[1]
        connection.close()
    assert relay.returncode == 0, said
    assert f"relay of outbox oq_outbox to {queue.url}" in said


@pytest.mark.parametrize(
    ("arguments", "told"),
    (
        ((), "which database? Give --database URL, or set OQ_OUTBOX_DATABASE"),
        (("--database", "nonsense"), "database: "),
        (("--database", "sqlite://"), "oq outbox setup"),
        (("--database", "sqlite://", "--table", "a b"), "must be a name"),
        (("--database", "sqlite://", "--keep", "long"), "keep='long' is not a duration"),
    ),
    ids=["none", "nonsense", "no table", "table", "keep"],
)
def test_relay_says_what_is_wrong(tmp_path, capsys, monkeypatch, arguments, told):
    monkeypatch.delenv("OQ_OUTBOX_DATABASE", raising=False)
    assert main(["outbox", "relay", "--once", "--url", str(tmp_path / "queue"), *arguments]) == 2
    assert told in capsys.readouterr().err


def test_database_may_be_in_the_environment(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("OQ_OUTBOX_DATABASE", f"sqlite:///{tmp_path / 'shop.db'}")
    oq.connect(tmp_path / "queue")
    assert main(["outbox", "setup", "--url", str(tmp_path / "queue")]) == 0
    assert main(["outbox", "relay", "--once", "--url", str(tmp_path / "queue")]) == 0
    assert capsys.readouterr().out == "oq_outbox is there\n0 delivered\n"
