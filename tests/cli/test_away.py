"""A store that does not answer yet."""

from __future__ import annotations

import signal

import pytest

from oqkit.cli import opening, worker_command
from oqkit.client.connect import connect
from oqkit.errors import Unavailable


@pytest.fixture
def away(monkeypatch):
    """Return a list: for each entry one attempt to connect is refused."""
    refusals = []

    def late(*arguments, **options):
        if refusals:
            raise Unavailable(refusals.pop())
        return connect(*arguments, **options)

    monkeypatch.setattr(opening, "connect", late)
    monkeypatch.setattr(opening, "CONNECT_WAIT_S", 0.01)
    monkeypatch.setattr(signal, "signal", lambda *_: None)  # a worker's handlers are not for this process
    return refusals


def test_worker_may_be_started_before_its_store_is_up(url, run, away):
    away.extend(["nobody listens there"] * 3)
    code, _, told = run("worker", "--url", url, "--trust-code", "--until-idle")
    assert code == 0
    assert told.count("oq: nobody listens there; trying again\n") == 3
    assert not away


def test_worker_ends_if_its_store_stays_away(url, run, away, monkeypatch):
    monkeypatch.setattr(worker_command, "CONNECT_S", 0.05)
    away.extend(["nobody listens there"] * 1000)
    code, _, told = run("worker", "--url", url, "--trust-code", "--until-idle")
    assert code == 1
    assert told.endswith("oq: nobody listens there\n")


def test_other_commands_do_not_wait_for_a_store(url, run, away):
    away.append("nobody listens there")
    assert run("jobs", "--url", url) == (1, "", "oq: nobody listens there\n")
