"""`oq.local_workers`, and the people who wait for them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import psutil
import pytest

import oqkit as oq
from oqkit.errors import UsageError
from oqkit.limits import LaunchLimits, Limits
from tests.local import WAIT_S, connect_with, until

FRAME = pd.DataFrame({"x": range(40)})


def rendezvous(folder, n):
    """Return a function that returns its process id once `n` processes are calling it."""

    def where(x):
        (folder / str(os.getpid())).touch()
        while len(list(folder.iterdir())) < n:
            time.sleep(0.01)
        return os.getpid()

    return where


def crawl(x):
    time.sleep(1.0)
    return x


def gone(pids):
    return not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie" for pid in pids)


# --- refused -------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", (0, -1, 1.5, True))
def test_local_workers_refuses_a_number(folder_queue, n):
    with pytest.raises(UsageError, match="must be the number of processes, 1 or more"):
        oq.local_workers(n)


def test_local_workers_refuses_a_queue_of_this_process_alone(queue):
    with pytest.raises(
        UsageError, match=r"a memory:// queue exists in this process alone; use a directory, or run oq.Worker"
    ):
        oq.local_workers(1)


# --- work ----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_local_workers_run_what_is_defined_here_and_end_with_the_block(folder_queue, tmp_path):
    offset, meeting = 5, tmp_path / "meeting"
    meeting.mkdir()
    with oq.local_workers(2) as workers:
        pids = workers.pids
        assert len(pids) == len(workers) == 2
        assert repr(workers) == f"<2 oqkit worker processes, log in {workers.log_path}>"
        assert oq.submit_frame(FRAME, lambda x: x + offset).result(WAIT_S)["lambda_"].tolist() == list(range(5, 45))
        seen = oq.submit_frame(FRAME, rendezvous(meeting, 2), part_rows=1).result(WAIT_S)["where"]
        assert set(seen) == set(pids)
    assert gone(pids)
    assert workers.pids == []
    assert not workers.log_path.exists()
    assert folder_queue.workers()["stopped"].tolist() == [True, True]
    workers.stop()  # twice is fine


@pytest.mark.slow
def test_local_workers_replaces_a_process_that_was_killed(folder_queue):
    with oq.local_workers(1, lease_s=2) as workers:
        (pid,) = workers.pids
        job = oq.submit_frame(FRAME[:3], crawl, part_rows=3)
        until(lambda: job.counts()["running"])
        os.kill(pid, signal.SIGKILL)
        assert job.result(WAIT_S)["crawl"].tolist() == [0, 1, 2]
        assert workers.pids not in ([], [pid])


@pytest.fixture
def many_looks_between_two_deaths(monkeypatch):
    connect_with(Limits(launch=LaunchLimits(restart_every_s=0.05)), monkeypatch)


@pytest.mark.slow
@pytest.mark.usefixtures("many_looks_between_two_deaths", "folder_queue")
def test_local_workers_tells_why_they_cannot_start_when_that_takes_long(capsys):
    with oq.local_workers(1, ["no_such_module"]):
        assert until(lambda: capsys.readouterr().err).startswith("Local workers cannot start")


@pytest.mark.slow
def test_local_workers_tells_why_they_cannot_start(folder_queue, capsys):
    with oq.local_workers(1, ["no_such_module"]) as workers:
        told = until(lambda: capsys.readouterr().err)
        assert told.startswith("Local workers cannot start: oq: 'no_such_module' cannot be imported here: ")
        assert f"see {workers.log_path}; they are tried again every 30 s" in told


SCRIPT = """
import sys, time
import oqkit as oq
import pandas as pd
from beside import shout

oq.connect(sys.argv[1])
workers = oq.local_workers(2)
print(*workers.pids, flush=True)
job = oq.submit_frame(pd.DataFrame({"text": ["a", "b"]}), shout, name="shouting")
print(*job.result(60)["shout"], flush=True)
if sys.argv[2:] == ["stay"]:
    time.sleep(60)
"""


def run_script(tmp_path, text, *arguments):
    folder = tmp_path / "scripts"
    folder.mkdir()
    (folder / "beside.py").write_text("def shout(text):\n    return text.upper()\n", encoding="utf-8")
    (folder / "script.py").write_text(text, encoding="utf-8")
    return subprocess.Popen(
        [sys.executable, str(folder / "script.py"), str(tmp_path / "queue"), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
    )


@pytest.mark.slow
def test_function_of_a_module_beside_the_script_runs_by_name(tmp_path):
    script = run_script(tmp_path, SCRIPT)
    out, err = script.communicate(timeout=WAIT_S)
    pids, shouted = out.splitlines()
    assert (script.returncode, shouted, err) == (0, "A B", "")
    assert gone(map(int, pids.split()))  # although nobody called stop()
    assert not list((tmp_path / "queue").glob("code/*"))


@pytest.mark.slow
def test_local_workers_die_with_their_parent(tmp_path):
    script = run_script(tmp_path, SCRIPT, "stay")
    pids = [int(pid) for pid in script.stdout.readline().split()]
    assert script.stdout.readline() == "A B\n"
    assert not gone(pids)
    script.kill()
    script.communicate()
    until(lambda: gone(pids))


@pytest.mark.slow
def test_local_workers_die_with_a_parent_that_dies_while_they_start(tmp_path):
    script = run_script(tmp_path, SCRIPT.replace("job =", "import os; os.kill(os.getpid(), 9)\njob ="))
    pids = [int(pid) for pid in script.stdout.readline().split()]
    script.communicate(timeout=WAIT_S)
    until(lambda: gone(pids))


# --- Ctrl-C --------------------------------------------------------------------------------------

WAITING = """
import sys
import oqkit as oq
import pandas as pd
from oqkit.client.pace import Pace

def for_long(pace, seconds, sleep=Pace.sleep):
    print("waiting", flush=True)
    sleep(pace, 1000.0)

Pace.sleep = for_long
queue = oq.connect(sys.argv[1])
job = oq.submit_frame(pd.DataFrame({"x": range(3)}), "later", name="tuesday")
try:
    HOW
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", ("job.result()", "list(job.as_completed())", "queue.get(job.id + '.0').wait()"))
def test_interrupt_stops_the_waiting_and_not_the_work(folder_queue, tmp_path, how):
    script = run_script(tmp_path, WAITING.replace("HOW", how))
    assert script.stdout.readline() == "waiting\n"
    script.send_signal(signal.SIGINT)  # in a pause that would be a long one
    assert script.stdout.readline() == "interrupted\n"
    _, err = script.communicate(timeout=WAIT_S)
    assert err == (
        "Stopped waiting; the job goes on. Come back with oq.job('tuesday'), "
        "stop the work with oq.job('tuesday').cancel().\n"
    )
    assert folder_queue.job("tuesday").counts()["pending"] == 3
