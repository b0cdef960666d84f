"""A job that nobody runs says why: in `job.why`, `wait`, the displays and `oq status`, all in the same words."""

from __future__ import annotations

import functools
import logging
import os
import subprocess
import sys
import textwrap
import time
from dataclasses import replace

import pandas as pd
import pytest

from oqkit.cli.main import main
from oqkit.client import diagnosis
from oqkit.client.diagnosis import Diagnosis, Group, diagnose, explain, is_there
from oqkit.errors import WaitTimeout
from oqkit.limits import ClientLimits
from oqkit.notebook.job_watch import JobWatch
from oqkit.notebook.text import to_text
from oqkit.queue import gate
from oqkit.queue.eligibility import Hurdle, Refusal
from oqkit.queue.key import code_key
from oqkit.queue.worker_record import workers
from oqkit.worker import registry
from tests.local import WAIT_S, refusal, until

pytestmark = pytest.mark.usefixtures("quick_news")
LIMITS = ClientLimits()
FRAME = pd.DataFrame({"x": [1, 2, 3]})


def twice(x):
    return 2 * x


class Trap:
    """Leaves a trace where it is unpickled; cannot be unpickled twice."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def code_of(job):
    return job._view.state.job.code


# --- what a worker finds before it loads anything ------------------------------------------------


def test_function_of_another_python_is_never_loaded_and_the_reason_is_shown(queue, start, monkeypatch, tmp_path):
    trap = Trap(str(tmp_path / "trace"))
    job = queue.submit_frame(FRAME, lambda x: trap and x)
    with monkeypatch.context() as other:
        other.setattr(registry, "MAGIC", "ffff0d0a")  # of no Python
        other.setattr(registry, "PYTHON", "3.99")
        start()
    here = f"{sys.version_info[0]}.{sys.version_info[1]}"
    told = until(lambda: (why := job.why()) and "saw it" in why and why)
    assert f"1 worker saw it and cannot run it: it runs 3.99, this needs {here}." in told
    assert f"python{here} -m oqkit worker --url {queue.url} --trust-code" in told
    assert not (tmp_path / "trace").exists()
    assert job.status == "pending"
    start()  # others may run it
    until((tmp_path / "trace").exists)


def test_missing_function_is_named_and_comes_back_with_retry(queue, start):
    offset = 40
    function = lambda x: x + offset  # noqa: E731 - by value
    job = queue.submit_frame(FRAME, function)
    queue.repository.store.delete(code_key(code_of(job).digest))
    start()
    assert f"is missing in the queue, there is no object '{code_key(code_of(job).digest)}'" in refusal(job)
    job.retry(fn=function)
    assert job.result(WAIT_S)["lambda_"].tolist() == [41, 42, 43]


def test_damaged_function_is_never_loaded_and_mended_with_retry(queue, start, tmp_path):
    offset = 40
    function = lambda x: x + offset  # noqa: E731 - by value
    job = queue.submit_frame(FRAME, function)
    trap = Trap(str(tmp_path / "trace"))
    other = queue.submit_frame(FRAME, lambda x: trap and x, delay=1000)
    key = code_key(code_of(job).digest)
    queue.repository.store.overwrite(key, queue.repository.store.read(code_key(code_of(other).digest)).data)
    start()
    assert "is damaged in the queue" in refusal(job)
    assert not (tmp_path / "trace").exists()
    job.retry(fn=function)
    assert job.result(WAIT_S)["lambda_"].tolist() == [41, 42, 43]
    assert "cannot run it" not in repr(job)


def test_function_that_cannot_be_loaded_is_named(queue, start, tmp_path):
    (tmp_path / "trace").mkdir()
    trap = Trap(str(tmp_path / "trace"))
    job = queue.submit_frame(FRAME, lambda x: trap and x)
    start()
    assert "it says that the function cannot be loaded here (FileExistsError" in refusal(job)


def test_module_that_breaks_when_it_is_imported_stops_no_worker(queue, start, tmp_path, monkeypatch):
    (tmp_path / "breaks.py").write_text("def f(x):\n    return x\n")
    monkeypatch.syspath_prepend(tmp_path)
    import breaks

    job = queue.submit_frame(FRAME, breaks.f)
    (tmp_path / "breaks.py").write_text("import sys\nsys.exit('no such luck')\n")
    monkeypatch.delitem(sys.modules, "breaks")
    start()
    assert "SystemExit: no such luck" in refusal(job)
    assert queue.submit_frame(FRAME, twice).result(WAIT_S)["twice"].tolist() == [2, 4, 6]


def test_cached_function_of_a_notebook_travels_by_value(queue, start):
    @functools.lru_cache(maxsize=7)
    def fib(x):
        return x if x < 2 else fib(x - 1) + fib(x - 2)

    start()
    assert queue.submit_frame(FRAME, fib).result(WAIT_S)["fib"].tolist() == [1, 1, 2]
    assert queue.submit_frame(FRAME, lambda x: fib(x) * 10).result(WAIT_S)["lambda_"].tolist() == [10, 10, 20]


# --- trust ---------------------------------------------------------------------------------------


def test_worker_without_trust_is_named_with_a_command_that_can_be_copied(queue, start):
    start(twice, trust_code=False)
    until(lambda: workers(queue.repository))
    job = queue.submit_frame(FRAME, lambda x: x)
    told = refusal(job)
    assert told.startswith("1 worker cannot run it: it was not started with the function 'lambda_'")
    assert f"oq worker --url {queue.url} --trust-code" in told
    assert "No worker" not in told


def test_worker_without_trust_runs_by_value_the_very_function_that_it_was_given(queue, start):
    def account(x):
        return x * 100

    start(account, trust_code=False)
    assert queue.submit(account, {"x": 3}).result(WAIT_S) == 300


def test_worker_without_trust_leaves_another_function_of_that_name_alone(queue, start):
    def account(x):
        return x * 100

    mine = account

    def account(x):
        return x * 101

    start(mine, trust_code=False)
    job = queue.submit_frame(FRAME, account)
    assert "what it has loaded as the function 'account' is not the function that was submitted" in refusal(job)
    assert queue.submit_frame(FRAME, mine).result(WAIT_S)["account"].tolist() == [100, 200, 300]


MAIN = """
import threading
import oqkit as oq

def account(x):
    return x * 100

if __name__ == "__main__":
    queue = oq.connect("memory://main")
    worker = oq.Worker(queue, [account])
    threading.Thread(target=worker.run, daemon=True).start()
    print(queue.submit(account, {"x": 3}).result(60))
    worker.stop()
"""


@pytest.mark.slow
def test_worker_without_trust_runs_a_function_of_the_main_script(tmp_path):
    (tmp_path / "script.py").write_text(textwrap.dedent(MAIN))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    run = subprocess.run(
        [sys.executable, str(tmp_path / "script.py")],
        check=False,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert run.stdout == "300\n", run.stderr


# --- where it is shown ---------------------------------------------------------------------------


@pytest.fixture
def refused_job(queue, start):
    """A job that one worker saw and cannot run, for its code is missing."""
    job = queue.submit_frame(FRAME, lambda x: x, name="nightly")
    queue.repository.store.delete(code_key(code_of(job).digest))
    start()
    refusal(job)
    return job


def test_wait_display_repr_and_status_all_say_the_same(refused_job, queue, caplog, capsys):
    told = refused_job.why()
    with caplog.at_level(logging.WARNING, "oqkit.client"), pytest.raises(WaitTimeout) as caught:
        refused_job.wait(0.3)
    assert told in str(caught.value)
    assert [one.getMessage() for one in caplog.records if "waits" in one.getMessage()] == [f"job nightly waits: {told}"]
    assert told in repr(refused_job)
    watch = JobWatch(refused_job)
    watch.refresh()
    assert told in to_text(watch.snapshot())
    assert main(["status", "nightly", "--url", queue.url]) == 0
    assert told in capsys.readouterr().out


def test_worker_that_has_ended_is_not_spoken_of(refused_job, start, queue):
    start.stop()
    until(lambda: all(record.is_stopped for record in workers(queue.repository)))
    assert refused_job.why().startswith("No worker has taken any of it yet: start some with oq.local_workers(2)")


def test_reason_of_a_function_that_was_replaced_is_not_shown(refused_job):
    refused_job.retry(fn=twice)
    refused_job.result(WAIT_S)
    assert refused_job.why() == ""


def test_nobody_asks_for_workers_while_tasks_run(queue, start):
    asked = []
    store = queue.repository.store
    listed = store.list_all
    store.list_all = lambda prefix, **options: asked.append(prefix) or listed(prefix, **options)
    start()
    job = queue.submit_frame(FRAME, lambda x: time.sleep(0.2) or x, part_rows=3)
    until(lambda: job.counts()["running"])
    asked.clear()
    assert job.why() == ""
    assert "workers/" not in asked
    job.wait(WAIT_S)
    assert job.why() == ""
    assert "workers/" not in asked


def test_job_that_is_not_due_yet_says_so_and_calls_for_no_worker(queue):
    job = queue.submit_frame(FRAME, twice, delay="1h")
    watch = JobWatch(job)
    watch.refresh()
    told = to_text(watch.snapshot())
    assert "It is not to start before" in told
    assert "No worker" not in told
    assert job.why() == ""


def test_gate_says_why_a_job_waits_but_not_while_tasks_of_it_run(queue, start, monkeypatch):
    waiting = queue.submit_frame(FRAME, "nobody_has_this")
    start()
    running = queue.submit_frame(FRAME, lambda x: time.sleep(0.2) or x, part_rows=3)
    until(lambda: running.counts()["running"])
    monkeypatch.setattr(gate, "GATES", (lambda job, now: gate.Hold(until=now + 1000.0, why="It is\x1b too early."),))
    assert running.why() == ""
    assert waiting.why() == r"It is\x1b too early."
    assert waiting.why() in repr(waiting)
    running.wait(WAIT_S)
    assert running.why() == ""


# --- who is there --------------------------------------------------------------------------------


def some_record(queue, start):
    start(twice, trust_code=False)
    (record,) = until(lambda: workers(queue.repository))
    return record


def test_worker_of_this_machine_that_was_killed_is_gone_at_once(queue, start):
    record = some_record(queue, start)
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert is_there(record)
    assert not is_there(replace(record, pid=ended.pid))
    assert is_there(replace(record, pid=ended.pid, host="elsewhere")), "only time can tell"


def test_worker_that_is_silent_for_longer_than_it_said_is_gone(queue, start):
    record = replace(some_record(queue, start), host="elsewhere", every_s=60.0)
    job = queue.submit_frame(FRAME, lambda x: x)._view.state.job
    for silent_s, n in ((50.0, 1), (80.0, 1), (100.0, 0)):
        found = diagnose(job, [record], now=record.seen + silent_s, late_s=LIMITS.late_s, is_there=lambda _: True)
        assert sum(group.n for group in found.groups) == n


def test_age_of_a_report_is_told_once_it_matters(queue, start):
    job = queue.submit_frame(FRAME, lambda x: x)._view.state.job
    group = Group(refusal=Refusal(hurdle=Hurdle.TRUST), n=3, has_seen=False, seen=1000.0)
    told = [
        explain(
            Diagnosis(groups=(group,), now=now),
            job,
            is_started=False,
            recent_s=LIMITS.recent_s,
            address={"url": "s3://b/a b"},
        )
        for now in (1010.0, 1000.0 + 8 * 60)
    ]
    assert told[0].startswith("3 workers cannot run it, each for this reason: it was not started with")
    assert told[1].startswith("3 workers, last heard of 8 min ago, cannot run it")
    assert "--url 's3://b/a b' --trust-code" in told[0]


@pytest.mark.parametrize("hurdle", Hurdle)
def test_every_hurdle_has_a_remedy(queue, hurdle):
    job = queue.submit_frame(FRAME, lambda x: x)._view.state.job
    assert diagnosis.remedy(Refusal(hurdle=hurdle), job, address={"url": "memory://x"})


def test_worker_that_may_run_it_is_no_reason_to_start_another(queue, start):
    job = queue.submit_frame(FRAME, "nobody_has_this")
    start()
    until(lambda: workers(queue.repository))
    assert "it has no function for tasks named 'nobody_has_this'" in refusal(job)
    able = Group(refusal=None, n=1, has_seen=False, seen=0.0)
    found = Diagnosis(groups=(able,), now=1.0)
    told = explain(found, job._view.state.job, is_started=False, recent_s=LIMITS.recent_s, address={})
    assert told == "1 worker may run it and has not come to it yet."
