"""A real Jupyter kernel, spoken to as a front end does."""

from __future__ import annotations

import json
import os
import queue
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from jupyter_client.manager import KernelManager

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 100
WIDGET = "application/vnd.jupyter.widget-view+json"
ATTEMPTS = 5
"""A machine that is busy with something else may be slow once; what is slow by itself is slow each time."""

# one kernel serves the whole file, so one process runs it; no test needs what another left behind
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300), pytest.mark.xdist_group("kernel")]


class Kernel:
    """A kernel, with everything it ever published."""

    def __init__(self, folder: Path) -> None:
        self.manager = KernelManager(kernel_name="python3")
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OQ_URL": str(folder / "queue"), "HOME": str(folder)}
        self.manager.start_kernel(cwd=str(folder), env=environment)
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=PATIENCE_S)
        self.messages: list[dict] = []

    def close(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)

    def start(self, code: str) -> str:
        return self.client.execute(code)

    def pump(self, timeout_s: float = 0.1) -> dict | None:
        """Take in one published message."""
        try:
            message = self.client.get_iopub_msg(timeout=timeout_s)
        except queue.Empty:
            return None
        self.messages.append(message)
        return message

    def until(self, condition, what: str):
        end = time.monotonic() + PATIENCE_S
        while not (found := condition()):
            assert time.monotonic() < end, what
            self.pump()
        return found

    def of(self, kind: str, *, parent: str | None = None) -> list[dict]:
        return [message["content"] for message in self.sent(kind, parent=parent)]

    def sent(self, kind: str, *, parent: str | None = None) -> list[dict]:
        return [
            message
            for message in self.messages
            if message["msg_type"] == kind and parent in {None, message["parent_header"].get("msg_id")}
        ]

    def finish(self, run: str) -> None:
        self.until(lambda: {"execution_state": "idle"} in self.of("status", parent=run), "the cell ends")

    def run(self, code: str) -> str:
        run = self.start(code)
        self.finish(run)
        assert [each["traceback"] for each in self.of("error", parent=run)] == []
        return run

    def displays(self, run: str) -> list[dict]:
        return [each["data"] for each in self.of("display_data", parent=run)]

    def say(self, data: dict, content: dict) -> None:
        """Send what the widget in a browser would."""
        body = {"comm_id": data[WIDGET]["model_id"], "data": {"method": "custom", "content": content}}
        self.client.shell_channel.send(self.client.session.msg("comm_msg", body))

    def answers(self, op: str) -> list[dict]:
        contents = [each["data"].get("content") or {} for each in self.of("comm_msg")]
        return [content for content in contents if content.get("op") == op]


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    started = Kernel(tmp_path_factory.mktemp("kernel"))
    started.run(
        """
import time, oqkit as oq, pandas as pd
def work(x):
    import time
    time.sleep(0.03)
    if x % 50 == 7:
        raise oq.PermanentError("seven")
    return x
def submit(n, name):
    return oq.submit_frame(pd.DataFrame({"x": range(n)}), work, name=name)
workers = oq.local_workers(2)
ended = submit(100, "ended")
while not ended.done():  # not wait(), whose first display is what a test looks at
    time.sleep(0.1)
"""
    )
    yield started
    started.client.execute("workers.stop()")
    started.close()


def sent_at(message) -> float:
    """Return when the kernel sent a message: how long it was under way says nothing about the kernel."""
    return message["header"]["date"].timestamp()


def submit_many(kernel, name, *, n_parts=100) -> None:
    """Submit ten thousand rows for each part, which takes a worker about a fifth of a second."""
    kernel.run(
        f"""
@oq.task(batch=True)
def batch(frame):
    import time
    time.sleep(0.2)
    return frame["x"]
big = oq.submit_frame(pd.DataFrame({{"x": range({n_parts} * 10_000)}}), batch, name={name!r}, part_rows=10_000)
"""
    )


def test_first_paint_of_a_million_tasks_comes_within_a_second_of_the_cell(kernel):
    took_s = []
    for attempt in range(ATTEMPTS):
        submit_many(kernel, f"first-{attempt}")
        start = datetime.now(UTC).timestamp()
        run = kernel.run("big")
        (shown,) = kernel.sent("display_data", parent=run)
        took_s.append(sent_at(shown) - start)
        assert sorted(shown["content"]["data"]) == [WIDGET, "text/html", "text/plain"]
        assert "1,000,000 tasks" in shown["content"]["data"]["text/plain"]
        kernel.run("big.cancel()")
        if took_s[-1] < 1:
            break
    print(f"first paint after {min(took_s):.2f} s")
    assert min(took_s) < 1


def test_buttons_work_during_await_and_between_cells(kernel):
    kernel.run("again = submit(600, 'await')")
    run = kernel.run("again")
    (data,) = kernel.displays(run)
    kernel.say(data, {"op": "hello", "view": "v", "visible": True})
    waiting = kernel.start("await again")
    kernel.say(data, {"op": "page", "view": "v", "id": 1, "status": ""})
    kernel.until(lambda: kernel.answers("page"), "a page while the cell waits")
    kernel.say(data, {"op": "cancel", "view": "v", "id": 2})
    kernel.until(lambda: kernel.answers("cancel"), "cancel while the cell waits")
    assert kernel.of("execute_reply", parent=waiting) == []
    kernel.finish(waiting)
    assert "Cancelled" in kernel.answers("cancel")[-1]["text"]
    kernel.say(data, {"op": "task", "view": "v", "id": 3, "row": 0})
    kernel.until(lambda: kernel.answers("task"), "an answer between cells")


def test_comm_carries_at_most_two_updates_a_second_of_at_most_ten_kilobytes(kernel):
    submit_many(kernel, "rate", n_parts=50)
    first = len(kernel.messages)
    run = kernel.run("big")
    (data,) = kernel.displays(run)
    kernel.say(data, {"op": "hello", "view": "v", "visible": True})
    kernel.run("await big")
    model = data[WIDGET]["model_id"]
    sent = [
        (sent_at(message), len(json.dumps(message["content"])))
        for message in kernel.messages[first:]
        if message["msg_type"] == "comm_msg" and message["content"]["comm_id"] == model
    ]
    most = max(sum(1 for at, _ in sent if start <= at < start + 1) for start, _ in sent)
    print(
        f"{len(sent)} messages in {sent[-1][0] - sent[0][0]:.1f} s, at most {most} in a second, {max(n for _, n in sent)} bytes"
    )
    assert len(sent) >= 5
    assert most <= 2
    assert max(size for _, size in sent) <= 10_000


def test_blocking_wait_draws_html_and_says_once_how_to_keep_the_buttons(kernel):
    kernel.run("import oqkit.notebook.display as shown\nshown._hinted.clear()\nslow = submit(150, 'blocking')")
    first = kernel.displays(kernel.run("slow.wait()\nNone"))
    kernel.run("other = submit(160, 'blocking-2')")
    second = kernel.displays(kernel.run("other.wait()\nNone"))
    assert [sorted(data) for data in first + second] == [["text/html", "text/plain"]] * 2
    assert "await job" in first[0]["text/html"]
    assert "await job" not in second[0]["text/html"]


@pytest.mark.parametrize(
    ("name", "wait"),
    (
        ("wait", "long.wait()"),
        ("await", "await long"),
        ("result", "long.result()"),
        ("completed", "for _ in long.as_completed(): pass"),
    ),
)
def test_interrupt_returns_in_half_a_second_and_says_how_to_come_back(kernel, name, wait):
    kernel.run(f"long = submit(3_000, 'long-{name}')")
    took_s = []
    while not took_s or (min(took_s) >= 0.5 and len(took_s) < ATTEMPTS):
        run = kernel.start(f"print('now', flush=True)\n{wait}")
        kernel.until(lambda run=run: kernel.of("stream", parent=run), "the cell runs")
        kernel.pump(1.0)
        start = datetime.now(UTC).timestamp()
        kernel.manager.interrupt_kernel()
        kernel.until(lambda run=run: kernel.of("error", parent=run), "the interrupt")
        (error,) = kernel.sent("error", parent=run)
        took_s.append(sent_at(error) - start)
        kernel.finish(run)
        assert error["content"]["traceback"] == [error["content"]["evalue"]]
        assert f"oq.job('long-{name}')" in error["content"]["evalue"]
    print(f"{wait}: {min(took_s):.2f} s")
    assert min(took_s) < 0.5
    kernel.run("long.cancel()")


def test_magics_answer(kernel):
    run = kernel.run("%load_ext oqkit\nframe = %oq jobs\nprint(frame['name'].tolist())")
    assert "'ended'" in kernel.of("stream", parent=run)[0]["text"]
    (data,) = kernel.displays(kernel.run("%oq status ended"))
    assert "ended" in data["text/plain"]
    run = kernel.run("errors = %oq errors ended\nprint(set(errors['type']))")
    assert "{'PermanentError'}" in kernel.of("stream", parent=run)[0]["text"]


def test_magics_pause_and_resume_a_job(kernel):
    kernel.run("%load_ext oqkit\nheld = submit(2_000, 'held')")
    (data,) = kernel.displays(kernel.run("%oq pause held"))
    assert "held: paused, 2,000 tasks" in data["text/plain"]
    assert "no task is started until it is resumed" in data["text/html"]
    kernel.run("%oq resume held")
    run = kernel.run("print(held.status)\nheld.cancel()\nNone")
    assert kernel.of("stream", parent=run)[0]["text"].split()[0] in {"pending", "running"}


def test_threads_print_nothing(kernel):
    kernel.run("1")
    texts = [each["text"] for each in kernel.of("stream")]
    assert [text for text in texts if "Traceback" in text or "Exception" in text] == []


def test_board_shows_the_jobs_in_every_form(kernel):
    run = kernel.run("oq.board()")
    (result,) = kernel.of("execute_result", parent=run)
    assert sorted(result["data"]) == [WIDGET, "text/html", "text/plain"]
    assert "ended" in result["data"]["text/plain"]


def test_environment_variable_leaves_the_widget_out(kernel):
    kernel.run("import os; os.environ['OQ_NOTEBOOK'] = 'static'; quiet = submit(100, 'quiet')")
    run = kernel.run("quiet")
    (data,) = kernel.displays(run)
    assert sorted(data) == ["text/html", "text/plain"]
    kernel.run("await quiet; del os.environ['OQ_NOTEBOOK']")

    def saved():
        display_id = next(
            message["content"]["transient"]["display_id"]
            for message in kernel.messages
            if message["msg_type"] == "display_data" and message["parent_header"].get("msg_id") == run
        )
        later = [each for each in kernel.of("update_display_data") if each["transient"]["display_id"] == display_id]
        return later and "100 %" in later[-1]["data"]["text/plain"]

    kernel.until(saved, "the display follows along")


def test_kernel_that_ends_leaves_static_html_behind(tmp_path):
    kernel = Kernel(tmp_path)
    try:
        run = kernel.run("import oqkit as oq; job = oq.map('nobody', range(5), name='left')\njob")
        kernel.client.shutdown(restart=False)
        kernel.until(lambda: kernel.of("update_display_data"), "a last update")
        data = kernel.of("update_display_data")[-1]["data"]
        assert kernel.displays(run)
        assert sorted(data) == ["text/html", "text/plain"]
        assert "oq.job(&#39;left&#39;)" in data["text/html"]
    finally:
        kernel.close()
