"""`job.debug` in a real kernel: the debugger stops in the line that was typed into a cell, with the values of the row."""

from __future__ import annotations

import queue

import pytest

from tests.notebook.test_kernel import PATIENCE_S, Kernel

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300), pytest.mark.xdist_group("kernel")]

CELL = """
import oqkit as oq, pandas as pd

def share(total, n):
    rest = total - 1
    return rest / n   # the line

async def share_soon(total, n):
    rest = total - 1
    return rest / n   # the line

@oq.task(batch=True)
def share_batch(frame):
    rest, n = int(frame["total"].iloc[0]) - 1, frame["n"].iloc[0].item()
    return [rest] if n else [rest // n]   # the line

df = pd.DataFrame({"total": [5, 7, 9], "n": [1, 0, 2]}, index=["a", "b", "c"])
jobs = {}
for fn in (share, share_soon, share_batch):
    jobs[fn.__name__] = oq.submit_frame(df, fn, retries=0)
oq.Worker(None, [], trust_code=True).run(until_idle=True)
for job in jobs.values():
    errors = job.errors()
    print(errors.index.tolist(), set(errors["line"]))
"""


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    started = Kernel(tmp_path_factory.mktemp("kernel"))
    yield started
    started.close()


def said(kernel, run):
    return "".join(each["text"] for each in kernel.of("stream", parent=run))


def debugged(kernel, commands):
    """Run ``%debug`` and answer it with commands, as somebody at the keyboard does; return all that it wrote."""
    run = kernel.start("%debug")
    left = [*commands, "q"]

    def answered():
        try:
            message = kernel.client.get_stdin_msg(timeout=0.1)
        except queue.Empty:
            return {"execution_state": "idle"} in kernel.of("status", parent=run)
        assert message["msg_type"] == "input_request"
        kernel.client.input(left.pop(0))
        return False

    kernel.until(answered, f"the debugger ends within {PATIENCE_S} s")
    return said(kernel, run)


def test_debug_stops_in_the_line_of_the_cell_with_the_values_of_the_row(kernel):
    told = said(kernel, kernel.run(CELL))
    assert told.count("['b'] {'<cell>:") == 3
    for name in ("share", "share_soon", "share_batch"):
        run = kernel.start(f"jobs['{name}'].debug('b')")
        kernel.finish(run)
        (error,) = kernel.of("error", parent=run)
        assert error["ename"] == "ZeroDivisionError"
        told = debugged(kernel, ["p 'rest', int(rest), 'n', n"])
        assert "# the line" in told, name
        assert "('rest', 6, 'n', 0)" in told, name


def test_debug_attaches_in_a_kernel_that_was_started_again_when_the_cell_is_run(kernel):
    kernel.run(CELL)
    told = said(
        kernel,
        kernel.run("print(oq.job(jobs['share'].id).debug('a'))\nprint(jobs['share'].debug('b', lambda n: n + 1))"),
    )
    assert told.splitlines()[-2:] == ["4.0", "1"]
