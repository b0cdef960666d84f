"""A module that is edited while workers run: nobody computes with the old version what was asked of the new one."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys

import pandas as pd
import psutil
import pytest

import oqkit as oq
from oqkit.task.modules import LoadedModules
from tests.local import WAIT_S, refusal

FRAME = pd.DataFrame({"x": [1, 2, 3]})
FIRST = "FACTOR = 10\n\n\ndef scaled(x):\n    return x * FACTOR\n"
HELPER = "def helped(x):\n    return x + 100\n"


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write a module beside the tests, and (re)load it; each version has a size and a time of its own."""
    folder = tmp_path / "modules"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    names = []

    def write(name, text):
        path = folder / f"{name}.py"
        before = path.stat().st_mtime if path.exists() else 0.0
        path.write_text(text)
        if before:
            os.utime(path, (before + 10, before + 10))  # Python compares times by the second
        importlib.invalidate_caches()
        names.append(name)
        module = sys.modules.get(name)
        return importlib.reload(module) if module is not None else importlib.import_module(name)

    yield write
    for name in names:
        sys.modules.pop(name, None)


@pytest.mark.slow
def test_local_workers_run_the_new_version_of_a_module_that_was_edited(folder_queue, write):
    with oq.local_workers(1) as workers:
        module = write("edited_scale", FIRST)
        assert oq.submit_frame(FRAME, module.scaled).result(WAIT_S)["scaled"].tolist() == [10, 20, 30]
        (pid,) = workers.pids
        module = write("edited_scale", FIRST.replace("FACTOR = 10", "FACTOR = 1000"))
        assert oq.submit_frame(FRAME, module.scaled).result(WAIT_S)["scaled"].tolist() == [1000, 2000, 3000]
        assert workers.pids != [pid]
        # the same of what a function by value takes from a module, and of a function that is new in one
        helper = write("edited_helper", HELPER)
        assert oq.submit_frame(FRAME, lambda x: -helper.helped(x)).result(WAIT_S)["lambda_"].tolist() == [
            -101,
            -102,
            -103,
        ]
        helper = write("edited_helper", HELPER.replace("100", "20000") + "\n\ndef added(x):\n    return -x\n")
        by_value = oq.submit_frame(FRAME, lambda x: -helper.helped(x))
        assert by_value.result(WAIT_S)["lambda_"].tolist() == [-20001, -20002, -20003]
        assert oq.submit_frame(FRAME, helper.added).result(WAIT_S)["added"].tolist() == [-1, -2, -3]


@pytest.mark.slow
def test_worker_that_nobody_starts_anew_leaves_the_new_version_alone_and_says_so(quick_news, folder_queue, write):
    module = write("edited_alone", FIRST)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}  # noqa: PTH109
    command = [sys.executable, "-m", "oqkit", "worker", "edited_alone:scaled", "--url", folder_queue.url]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE) as worker:
        try:
            assert oq.submit_frame(FRAME, module.scaled).result(WAIT_S)["scaled"].tolist() == [10, 20, 30]
            module = write("edited_alone", FIRST.replace("FACTOR = 10", "FACTOR = 1000"))
            job = oq.submit_frame(FRAME, module.scaled)
            told = refusal(job)
            assert "1 worker saw it and cannot run it: what it has loaded as edited_alone:scaled is not" in told
            assert "Start it anew with the code that was submitted" in told
            assert job.status == "pending"
            assert worker.poll() is None
        finally:
            worker.terminate()
            worker.communicate()


def test_changed_modules_are_those_whose_files_differ_from_when_they_were_seen(write, tmp_path):
    write("seen_first", FIRST)
    seen = LoadedModules()
    assert "seen_first" not in seen.changed()
    write("seen_later", HELPER)
    seen.note()
    write("seen_first", FIRST + "# more\n")
    assert seen.changed() == ["seen_first"]
    (tmp_path / "modules" / "seen_later.py").unlink()
    assert seen.changed() == ["seen_first", "seen_later"]


def test_child_process_that_starts_after_an_edit_runs_what_its_worker_has_loaded(queue, start, write, tmp_path):
    module = write("edited_child", FIRST)
    start(module.scaled, executor="process", trust_code=False)
    job = queue.submit_frame(FRAME, module.scaled)
    assert job.result(WAIT_S)["scaled"].tolist() == [10, 20, 30]
    (tmp_path / "modules" / "edited_child.py").write_text(FIRST.replace("FACTOR = 10", "FACTOR = 1000"))
    (child,) = [one for one in psutil.Process().children() if "oqkit.worker.child" in " ".join(one.cmdline())]
    child.kill()
    child.wait()
    again = queue.submit_frame(FRAME, module.scaled, on_duplicate="rerun")
    assert again.result(WAIT_S)["scaled"].tolist() == [10, 20, 30], "what was submitted, and not what the file says now"


LOCKED = "import threading\n\nLOCK, FACTOR = threading.Lock(), 10\n\n\ndef locked(x):\n    with LOCK:\n        return x * FACTOR\n"


def test_function_that_cannot_be_compared_is_left_alone_once_its_file_has_changed(quick_news, queue, start, write):
    module = write("edited_locked", LOCKED)
    worker = start(module.locked)
    first = queue.submit_frame(FRAME, module.locked)
    assert first._view.state.job.code.fingerprint == "", "a lock has no content that could be compared"
    assert first.result(WAIT_S)["locked"].tolist() == [10, 20, 30]
    write("edited_locked", LOCKED.replace("10", "1000"))
    job = queue.submit_frame(FRAME, sys.modules["edited_locked"].locked)
    told = refusal(job)
    assert "what it has loaded as edited_locked:locked is not the function that was submitted" in told
    assert worker.is_outdated
