"""``oq worker`` as a process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import oqkit as oq
from tests.local import WAIT_S, until

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


@pytest.mark.slow
@pytest.mark.parametrize("number", (signal.SIGTERM, signal.SIGINT))
def test_original_5_worker_hands_back_what_it_has_not_started_when_it_is_told_to_stop(folder_queue, tmp_path, number):
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
