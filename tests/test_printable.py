"""Names and messages that others wrote, on their way to a terminal or a log."""

from __future__ import annotations

import io
import logging
import re
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

import oqkit as oq
from oqkit.cli.main import main
from oqkit.client import wait
from oqkit.printable import PlainFormatter, printable
from oqkit.queue.key import job_key
from tests.local import WAIT_S

#: Clears the screen, sets the window's title, goes back over the line, turns the text round, ends a string, breaks lines.
HOSTILE = "so so\x1b[2J\x1b]0;title\x07 a\rb \x9b31m \u202eabc\u2028 \x00\x7f\n2026-01-01 00:00:00,000 INFO all is well"


def fail(x):
    raise type(f"Evil{HOSTILE}".replace("\0", ""), (ValueError,), {})(f"message {HOSTILE}")


@pytest.fixture
def job(queue, start):
    """A job whose name and errors are hostile, and that has failed; somebody else named it."""
    start()
    made = queue.map(fail, [1, 2], name="mild", retries=0)
    made.wait(WAIT_S)
    key = job_key(made.id, 1)
    store = queue.repository.store
    document = store.read(key).data.replace(b'"mild"', repr_json(f"name {HOSTILE}"))
    store.overwrite(key, document)
    return queue.job(made.id)


def repr_json(text):
    return ('"' + "".join(f"\\u{ord(c):04x}" for c in text) + '"').encode()


def check(text, *, n_lines=None):
    assert all(line.isprintable() for line in text.split("\n")), text
    assert "so so\\x1b[2J" in text
    if n_lines is not None:
        assert len(text.rstrip("\n").split("\n")) == n_lines, text


@given(st.text())
def test_printable_text_is_seen_and_nothing_else(text):
    shown = printable(text)
    assert shown.isprintable()
    assert shown == text if text.isprintable() else "\\" in shown
    assert printable(text, keeps_lines=True).count("\n") == text.count("\n")


@pytest.mark.parametrize(("command", "n_lines"), (("jobs", 2), ("status", 2), ("errors", 3)))
def test_command_shows_hostile_text_and_does_nothing_by_it(queue, job, capsys, monkeypatch, command, n_lines):
    monkeypatch.setattr("oqkit.cli.opening.connected", lambda _: queue)
    assert main([command, *([] if command == "jobs" else [job.id])]) == 0
    check(capsys.readouterr().out, n_lines=n_lines)


def test_refusal_of_a_command_shows_hostile_text_and_does_nothing_by_it(queue, capsys, monkeypatch):
    monkeypatch.setattr("oqkit.cli.opening.connected", lambda _: queue)
    assert main(["status", f"no such {HOSTILE}"]) == 2
    check(capsys.readouterr().err)


def test_errors_that_are_raised_show_hostile_text_and_do_nothing_by_it(queue, job):
    with pytest.raises(oq.JobFailed) as caught:
        job.result()
    check(str(caught.value), n_lines=1)
    with pytest.raises(oq.JobFailed) as caught:
        queue.get(f"{job.id}.0").result()
    check(str(caught.value))
    check(job._watch().unfinished(1.0), n_lines=1)
    check(repr(job), n_lines=1)


def test_line_for_the_caller_is_one_line(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    wait.tell(HOSTILE)
    check(stream.getvalue(), n_lines=1)


def test_no_text_forges_a_line_of_the_log():
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(PlainFormatter("%(asctime)s %(levelname)s %(message)s"))
    log = logging.getLogger("tests.printable")
    log.propagate, log.handlers = False, [handler]
    log.warning("job %s is left alone", HOSTILE)
    try:
        fail(1)
    except ValueError:
        log.exception("a function failed")
    lines = stream.getvalue().rstrip("\n").split("\n")
    records = [line for line in lines if re.match(r"\d{4}-\d\d-\d\d ", line)]
    assert len(records) == 2, lines
    assert all(line.startswith("    ") for line in lines if line not in records)
    check(stream.getvalue())
