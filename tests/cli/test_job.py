"""Commands that look at jobs, and steer them."""

from __future__ import annotations

import pandas as pd

from tests.local import WAIT_S

FRAME = pd.DataFrame({"x": [1, 0, 4]}, index=["a", "b", "c"])


def divide(x):
    return 4 // x


def test_jobs_lists_them(queue, start, url, run):
    assert run("jobs", "--url", url) == (0, "none\n", "")
    start()
    queue.submit_frame(FRAME, divide, name="nightly", retries=0).wait(WAIT_S)
    code, out, err = run("jobs", "--url", url)
    assert (code, err) == (0, "")
    header, row = out.splitlines()[0], out.splitlines()[-1]
    assert "name" in header
    assert "expired" not in header  # columns of zeros are left out
    assert "nightly divide failed" in " ".join(row.split())
    queue.submit("other", 1)
    assert len(run("jobs", "--url", url, "-n", "1")[1].splitlines()) == 2


def test_status_tells_how_far_a_job_is(queue, start, url, run):
    job = queue.submit_frame(FRAME, divide, name="nightly", retries=0)
    assert run("status", "nightly", "--url", url) == (0, "nightly  divide  pending\npending 3\n", "")
    start()
    job.wait(WAIT_S)
    assert run("status", job.id, "--url", url)[1] == "nightly  divide  failed\ncompleted 2  failed 1\n"


def test_errors_shows_what_failed(queue, start, url, run):
    start()
    job = queue.submit_frame(FRAME, divide, name="nightly", retries=0).wait(WAIT_S)
    code, out, _ = run("errors", "nightly", "--url", url)
    assert code == 0
    assert out.splitlines()[-1].split()[:3] == ["b", "1", "ZeroDivisionError"]
    job.cancel()
    assert run("errors", queue.submit_frame(FRAME[:1], divide).id, "--url", url)[1] == "none\n"


def test_cancel_and_retry_steer_a_job(queue, start, url, run):
    job = queue.submit_frame(FRAME, divide, name="nightly", retries=0)
    assert run("cancel", "nightly", "--url", url) == (0, "cancelled 3\n", "")
    assert job.status == "cancelled"
    assert run("retry", "nightly", "--url", url)[1] == "running 0 again\n"
    failing = queue.submit_frame(FRAME, divide, name="other", retries=0)
    start()
    failing.wait(WAIT_S)
    assert run("retry", "other", "--url", url)[1] == "running 1 again\n"
