"""How far running tasks are, by their own account: said by the function, carried by the heartbeat, seen everywhere."""

from __future__ import annotations

import asyncio
import io
import json
import time
from pathlib import Path

import pandas as pd
import pytest
from tqdm import tqdm

import oqkit
from oqkit.client.wait import TqdmBar
from oqkit.errors import UsageError
from oqkit.notebook.humanize import percent
from oqkit.notebook.page import row_of
from oqkit.notebook.progress import ProgressHistory
from oqkit.notebook.snapshot import snapshot_of
from tests.local import WAIT_S, until

QUICK = {"lease_s": 0.6}
"""So that heartbeats are frequent."""


def may_end(folder: str) -> bool:
    return Path(folder, "end").exists()


def count(x: int, folder: str, ctx: oqkit.Context) -> int:
    """Be at three of ten, until it may end."""
    ctx.progress(1, 10)
    ctx.progress(3, 10, "three")
    until(lambda: may_end(folder))
    ctx.progress(10, 10, "done")
    return x


async def count_coroutine(x: int, folder: str, ctx: oqkit.Context) -> int:
    """The same beside others."""
    ctx.progress(3, 10, "three")
    while not may_end(folder):  # noqa: ASYNC110 - another process may end it
        await asyncio.sleep(0.01)
    return x


@oqkit.task(batch=True)
def count_batch(frame: pd.DataFrame, ctx: oqkit.Context) -> pd.Series:
    """The same for many rows at once."""
    ctx.progress(3, 10, "three")
    until(lambda: may_end(frame["folder"].iloc[0]))
    return frame["x"]


WAYS = {
    "thread": ("thread", count),
    "process": ("process", count),
    "coroutine": ("thread", count_coroutine),
    "batch in a process": ("process", count_batch),
}


def frame_of(folder, n=2):
    return pd.DataFrame({"x": range(n), "folder": str(folder)})


def said(job, n=1):
    """Return the tasks that say how far they are, once so many do."""

    def found():
        tasks = job.tasks()
        return tasks[tasks["message"] != ""]

    until(lambda: len(found()) == n)
    return found()


@pytest.mark.parametrize("way", WAYS)
def test_original_8_progress_is_seen_while_a_task_runs_and_gone_when_it_has_ended(queue, start, tmp_path, way):
    executor, function = WAYS[way]
    start(function, executor=executor, **QUICK)
    job = queue.submit_frame(frame_of(tmp_path), function, part_rows=2)
    n_running = 1 if function is count else 2
    found = said(job, n_running)
    assert found[["status", "progress", "message"]].to_numpy().tolist() == [["running", 0.3, "three"]] * n_running
    progress = queue.get(f"{job.id}.0").progress
    assert (progress.current, progress.total, progress.message, progress.fraction) == (3, 10, "three", 0.3)
    (tmp_path / "end").touch()
    job.wait(WAIT_S)
    assert job.tasks()["progress"].isna().all()
    assert (job.tasks()["message"] == "").all()
    assert queue.get(f"{job.id}.0").progress is None


def test_status_command_and_displays_show_it(queue, oq, start, tmp_path):
    start(count, **QUICK)
    job = queue.submit_frame(frame_of(tmp_path), count, part_rows=2, name="nightly")
    said(job)
    assert "  row 0  30%  three\n" in oq("status", "nightly")
    assert json.loads(oq("status", "nightly", "--json"))["running"] == [{"row": 0, "progress": 0.3, "message": "three"}]
    assert json.loads(oq("get", f"{job.id}.0", "--json"))["progress"] == "3 of 10: three"
    state = job._view.refresh()
    snapshot = snapshot_of(state, trace=ProgressHistory(), n_uploads=0)
    assert percent(snapshot) == "15.0 %", "of two tasks, one is at three tenths"
    assert row_of(state, 0).progress == "3 of 10: three"
    bar, drawn = TqdmBar(job._view, job._workers), io.StringIO()
    bar._bar = tqdm(total=2, file=drawn, mininterval=0)
    bar.update()
    assert bar._bar.n == 0.3
    (tmp_path / "end").touch()
    job.wait(WAIT_S)
    bar.update()
    bar.close()
    assert "0.3/2" in drawn.getvalue()
    assert "2/2" in drawn.getvalue()


def told_often(x: int, ctx: oqkit.Context) -> int:
    for n in range(10_000):
        ctx.progress(n, 10_000, "on my way")
    return x


def silent(x: int) -> int:
    return x


def test_progress_costs_no_request(queue, start):
    start(told_often, silent)
    jobs = [queue.map(function, range(3), part_rows=3) for function in (told_often, silent)]
    assert [job.wait(WAIT_S).counts()["completed"] for job in jobs] == [3, 3]
    revs = [job._view.state.known[0].doc.rev for job in jobs]
    assert revs[0] == revs[1], "the claim and the last commit"


def fail_once(x: int, folder: str, ctx: oqkit.Context) -> int:
    if ctx.attempt == 1:
        ctx.progress(9, 10, "nearly")
        until(lambda: may_end(folder))
        raise ValueError("once more")
    Path(folder, "again").touch()
    until(lambda: Path(folder, "really").exists())
    return x


def test_progress_of_a_failed_attempt_is_not_that_of_the_next(queue, start, tmp_path):
    start(fail_once, **QUICK)
    job = queue.map(fail_once, [{"x": 1, "folder": str(tmp_path)}], backoff=0.01)
    said(job)
    (tmp_path / "end").touch()
    until((tmp_path / "again").exists)
    assert job.tasks()["status"].tolist() == ["running"]
    assert job.tasks()["message"].tolist() == [""]
    (tmp_path / "really").touch()
    assert job.wait(WAIT_S).counts()["completed"] == 1


def test_what_is_no_amount_fails_the_call_that_says_so(queue, start):
    def wrong(x, ctx: oqkit.Context):
        ctx.progress(x)

    start(wrong)
    job = queue.map(wrong, ["many"], retries=0)
    assert job.wait(WAIT_S).errors()["type"].tolist() == [UsageError.__name__]


def test_message_of_any_kind_is_stored_and_shown(queue, start, oq, tmp_path):
    def say(x, ctx: oqkit.Context):
        ctx.progress(1, message=f"\x1b[31m\ud800 <b>{'x' * 1000}")
        end = time.monotonic() + WAIT_S
        while not may_end(str(tmp_path)) and time.monotonic() < end:
            time.sleep(0.01)

    start(say, **QUICK)
    job = queue.map(say, [1])
    assert said(job)["message"].iloc[0].startswith(r"\x1b[31m\ud800 <b>xxx")
    assert len(queue.get(f"{job.id}.0").progress.message) == 200
    assert "\x1b" not in oq("status", job.id)
    (tmp_path / "end").touch()
    assert job.wait(WAIT_S).counts()["completed"] == 1
