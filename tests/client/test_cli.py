"""The command ``oq``."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

import oqkit as oq
from oqkit import cli
from oqkit.cli import main
from oqkit.client.connect import connect
from oqkit.errors import Unavailable
from tests.local import WAIT_S, until

FRAME = pd.DataFrame({"x": [1, 0, 4]}, index=["a", "b", "c"])

MODULE = """
import time
from pathlib import Path
import oqkit as oq

@oq.task
def double(x):
    return 2 * x

@oq.task
def crawl(x, folder):
    Path(folder, f"{x}.started").touch()
    time.sleep(0.5)
    return x

def plain(x):
    return x
"""


@pytest.fixture
def url(queue) -> str:
    return queue.url


def divide(x):
    return 4 // x


def ran(capsys, *arguments):
    code = main(arguments)
    told = capsys.readouterr()
    return code, told.out, told.err


# --- looking and steering ------------------------------------------------------------------------


def test_jobs_lists_them(queue, start, url, capsys):
    assert ran(capsys, "jobs", "--url", url) == (0, "none\n", "")
    start()
    queue.submit_frame(FRAME, divide, name="nightly", retries=0).wait(WAIT_S)
    code, out, err = ran(capsys, "jobs", "--url", url)
    assert (code, err) == (0, "")
    header, row = out.splitlines()[0], out.splitlines()[-1]
    assert "name" in header
    assert "expired" not in header  # columns of zeros are left out
    assert "nightly divide failed" in " ".join(row.split())
    queue.submit("other", 1)
    assert len(ran(capsys, "jobs", "--url", url, "-n", "1")[1].splitlines()) == 3


def test_status_tells_how_far_a_job_is(queue, start, url, capsys):
    job = queue.submit_frame(FRAME, divide, name="nightly", retries=0)
    assert ran(capsys, "status", "nightly", "--url", url) == (0, "nightly  divide  pending\npending 3\n", "")
    start()
    job.wait(WAIT_S)
    assert ran(capsys, "status", job.id, "--url", url)[1] == "nightly  divide  failed\ncompleted 2  failed 1\n"


def test_errors_shows_what_failed(queue, start, url, capsys):
    start()
    job = queue.submit_frame(FRAME, divide, name="nightly", retries=0).wait(WAIT_S)
    code, out, _ = ran(capsys, "errors", "nightly", "--url", url)
    assert code == 0
    assert out.splitlines()[-1].split()[:3] == ["b", "1", "ZeroDivisionError"]
    job.cancel()
    assert ran(capsys, "errors", queue.submit_frame(FRAME[:1], divide).id, "--url", url)[1] == "none\n"


def test_cancel_and_retry_steer_a_job(queue, start, url, capsys):
    job = queue.submit_frame(FRAME, divide, name="nightly", retries=0)
    assert ran(capsys, "cancel", "nightly", "--url", url) == (0, "cancelled 3\n", "")
    assert job.status == "cancelled"
    assert ran(capsys, "retry", "nightly", "--url", url)[1] == "running 0 again\n"
    failing = queue.submit_frame(FRAME, divide, name="other", retries=0)
    start()
    failing.wait(WAIT_S)
    assert ran(capsys, "retry", "other", "--url", url)[1] == "running 1 again\n"


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
        (["jobs", "--url", "/proc/none/such"], 1, "oq: "),
    ),
)
def test_command_that_cannot_be_carried_out_says_why(capsys, monkeypatch, tmp_path, arguments, code, told):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    found, _, err = ran(capsys, *arguments)
    assert found == code
    assert err.startswith(told)
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("arguments", ([], ["dance"], ["worker", "-c", "many"]))
def test_command_line_that_does_not_parse_ends_with_2(capsys, arguments):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage: oq" in capsys.readouterr().err


# --- workers -------------------------------------------------------------------------------------


def run_oq(tmp_path, *arguments, **options):
    (tmp_path / "own_tasks.py").write_text(MODULE, encoding="utf-8")
    command = [sys.executable, "-m", "oqkit", *arguments]
    return subprocess.Popen(
        command, cwd=tmp_path, env={**os.environ, "OQ_URL": str(tmp_path / "queue"), "PYTHONPATH": str(Path.cwd())},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options,
    )  # fmt: skip


@pytest.mark.slow
def test_worker_runs_the_tasks_of_a_module_until_idle(folder_queue, tmp_path):
    double = folder_queue.map("double", [1, 2, 3])
    plain = folder_queue.map("plain", [1])
    worker = run_oq(tmp_path, "worker", "own_tasks", "--until-idle")
    _, err = worker.communicate(timeout=WAIT_S)
    assert worker.returncode == 0, err
    assert double.result(timeout=1)["double"].tolist() == [2, 4, 6]
    assert plain.status == "pending"  # it has no @oq.task: a module alone means all its tasks
    worker = run_oq(tmp_path, "worker", "own_tasks:plain", "--until-idle", "-c", "2")
    worker.communicate(timeout=WAIT_S)
    assert (worker.returncode, plain.status) == (0, "completed")


@pytest.fixture
def away(monkeypatch):
    """Return a list: for each entry one attempt to connect is refused."""
    refusals = []

    def late(*arguments, **options):
        if refusals:
            raise Unavailable(refusals.pop())
        return connect(*arguments, **options)

    monkeypatch.setattr(cli, "connect", late)
    monkeypatch.setattr(cli, "CONNECT_WAIT_S", 0.01)
    monkeypatch.setattr(signal, "signal", lambda *_: None)  # a worker's handlers are not for this process
    return refusals


def test_worker_may_be_started_before_its_store_is_up(url, capsys, away):
    away.extend(["nobody listens there"] * 3)
    code, _, told = ran(capsys, "worker", "--url", url, "--trust-code", "--until-idle")
    assert code == 0
    assert told.count("oq: nobody listens there; trying again\n") == 3
    assert not away


def test_worker_ends_if_its_store_stays_away(url, capsys, away, monkeypatch):
    monkeypatch.setattr(cli, "CONNECT_S", 0.05)
    away.extend(["nobody listens there"] * 1000)
    code, _, told = ran(capsys, "worker", "--url", url, "--trust-code", "--until-idle")
    assert code == 1
    assert told.endswith("oq: nobody listens there\n")


def test_other_commands_do_not_wait_for_a_store(url, capsys, away):
    away.append("nobody listens there")
    assert ran(capsys, "jobs", "--url", url) == (1, "", "oq: nobody listens there\n")


@pytest.mark.slow
@pytest.mark.parametrize("number", (signal.SIGTERM, signal.SIGINT))
def test_worker_hands_back_what_it_has_not_started_when_it_is_told_to_stop(folder_queue, tmp_path, number):
    job = folder_queue.map("crawl", [{"x": x, "folder": str(tmp_path)} for x in range(40)], part_rows=40)
    worker = run_oq(tmp_path, "worker", "own_tasks")
    until(lambda: list(tmp_path.glob("*.started")))
    worker.send_signal(number)
    _, err = worker.communicate(timeout=WAIT_S)
    assert worker.returncode == 0, err
    n_started = len(list(tmp_path.glob("*.started")))
    counts = job.counts()
    assert counts["running"] == 0
    assert counts["completed"] == n_started < 40  # what had begun came to its end
    assert counts["pending"] == 40 - n_started
    assert set(job.tasks("pending")["due"].dropna()) == set()  # others can take it at once


@pytest.mark.slow
def test_worker_stops_at_once_at_a_second_signal(folder_queue, tmp_path):
    folder_queue.map("crawl", [{"x": x, "folder": str(tmp_path)} for x in range(3)], part_rows=3)
    worker = run_oq(tmp_path, "worker", "own_tasks")
    until(lambda: list(tmp_path.glob("*.started")))
    worker.send_signal(signal.SIGTERM)
    time.sleep(0.1)
    worker.send_signal(signal.SIGTERM)
    worker.communicate(timeout=WAIT_S)
    assert worker.returncode in {-signal.SIGTERM, 0}


@pytest.mark.slow
def test_commands_work_on_a_directory(folder_queue, tmp_path):
    folder_queue.map("plain", [1, 2], name="both")
    run = run_oq(tmp_path, "status", "both")
    out, err = run.communicate(timeout=WAIT_S)
    assert (run.returncode, out, err) == (0, "both  plain  pending\npending 2\n", "")


# --- what a worker finds in its folder -----------------------------------------------------------

LATE = ("s3fs", "colorsys")
SHADOWS = (*LATE, "cloudpickle", "pandas", "json", "xml")


@pytest.mark.slow
@pytest.mark.parametrize("way", ("python -m oqkit", "oq", "local_workers"))
def test_folder_of_a_worker_shadows_no_module_and_its_own_are_found(folder_queue, tmp_path, monkeypatch, way):
    # Python itself looks there first for what `-m` names and for all that this imports at once.
    for name in LATE if way.startswith("python") else SHADOWS:
        (tmp_path / f"{name}.py").write_text("raise SystemExit('shadowed')", encoding="utf-8")
    source = "import cloudpickle, json, oqkit as oq\n@oq.task\ndef own(x):\n    return [x, cloudpickle.__name__]\n"
    (tmp_path / "own_tasks.py").write_text(source, encoding="utf-8")
    job = folder_queue.map("own", [1])
    if way == "local_workers":
        monkeypatch.chdir(tmp_path)
        monkeypatch.syspath_prepend(str(Path(__file__).parents[2]))
        monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
        with oq.local_workers(1, ["own_tasks"]):
            assert job.result(WAIT_S)["own"].tolist() == [[1, "cloudpickle"]]
        return
    program = [str(Path(sys.executable).with_name("oq"))] if way == "oq" else [sys.executable, "-m", "oqkit"]
    environment = {**os.environ, "OQ_URL": folder_queue.url}
    command = [*program, "worker", "own_tasks", "--until-idle", "--executor", "process"]
    ran = subprocess.run(
        command, check=False, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=4 * WAIT_S
    )
    assert ran.returncode == 0, ran.stderr
    assert job.result(WAIT_S)["own"].tolist() == [[1, "cloudpickle"]]
