"""`on_duplicate=`, names that are taken, and what becomes of a name after `retry(fn=)`."""

from __future__ import annotations

import re
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

import oqkit as oq
from oqkit.errors import DuplicateJob
from tests.client.sample import FRAME, n_jobs, other, scaled
from tests.local import WAIT_S, keys_in

# --- rerun and raise -----------------------------------------------------------------------------


def test_rerun_makes_a_new_job_of_the_same_name(queue, start, capsys):
    start()
    first = queue.submit_frame(FRAME, scaled, name="nightly")
    second = queue.submit_frame(FRAME, scaled, name="nightly", on_duplicate="rerun")
    assert (second.name, second.id != first.id) == ("nightly", True)
    assert queue.job("nightly").id == second.id
    assert second.result(WAIT_S)["scaled"].tolist() == [2, 4, 6]
    third = queue.submit_frame(FRAME, other, name="nightly", on_duplicate="rerun")  # other content is fine here
    assert queue.job("nightly").id == third.id
    assert capsys.readouterr().err == ""


def test_rerun_of_what_is_new_just_runs(queue):
    assert queue.submit_frame(FRAME, scaled, on_duplicate="rerun").status == "pending"


def test_raise_refuses_a_second_submission(queue):
    queue.submit_frame(FRAME, scaled, on_duplicate="raise")
    with pytest.raises(DuplicateJob, match=r"exists already, with this same work: oq.job"):
        queue.submit_frame(FRAME, scaled, on_duplicate="raise")
    assert n_jobs(queue) == 1


@pytest.mark.parametrize("on_duplicate", ("attach", "raise"))
def test_name_that_is_taken_by_other_content_is_an_error(queue, on_duplicate):
    queue.submit_frame(FRAME, scaled, name="nightly")
    with pytest.raises(DuplicateJob) as caught:
        queue.submit_frame(FRAME, other, name="nightly", on_duplicate=on_duplicate)
    assert str(caught.value) == (
        "job 'nightly' exists already, with another task type and another function: oq.job('nightly') is it. "
        "Choose another name=, or pass on_duplicate='rerun' to run this as a new job of that name"
    )
    assert n_jobs(queue) == 1


def test_refused_submission_leaves_no_input_behind(queue):
    queue.submit_frame(FRAME, scaled, name="nightly")
    before = keys_in(queue)
    with pytest.raises(DuplicateJob):
        oq.connect(queue.url).submit_frame(FRAME, other, name="nightly")
    assert [key for key in keys_in(queue) if "in-" in key and key not in before] == []


def test_two_threads_that_submit_one_named_frame_make_one_job(queue, start):
    n = 8
    barrier = threading.Barrier(n)

    def submit(_):
        mine = oq.Queue(queue.repository, queue.settings)
        barrier.wait()
        return mine.submit_frame(FRAME, scaled, name="one")

    with ThreadPoolExecutor(n) as pool:
        jobs = list(pool.map(submit, range(n)))
    assert len({job.id for job in jobs}) == 1
    start()
    assert [job.result(WAIT_S)["scaled"].tolist() for job in jobs] == [[2, 4, 6]] * n
    assert n_jobs(queue) == 1


@pytest.mark.parametrize("name", ("a/b", "..", "naïve 名", "x" * 512, re.escape(".*"), "-", "0" * 18))
def test_any_text_can_be_a_name(queue, name):
    job = queue.submit_frame(FRAME, scaled, name=name)
    assert queue.job(name).id == job.id


# --- retry(fn=...) --------------------------------------------------------------------------------


def broken(x):
    raise ValueError(x)


def fixed(x):
    return x + 1


@pytest.mark.parametrize("name", (None, "nightly"))
def test_same_cell_attaches_to_the_job_that_was_repaired_and_the_old_function_does_not(queue, start, name):
    start()
    first = queue.submit_frame(FRAME, broken, name=name, retries=0)
    first.wait(WAIT_S)
    first.retry(fn=fixed)
    assert first.result(WAIT_S).iloc[:, 0].tolist() == [2, 3, 4]
    again = oq.Queue(queue.repository, queue.settings).submit_frame(FRAME, fixed, name=name, retries=0)
    assert again.id == first.id
    if name is None:
        assert queue.submit_frame(FRAME, broken, retries=0).id != first.id
        assert queue.submit_frame(FRAME, fixed, retries=0).id == first.id
    else:
        with pytest.raises(DuplicateJob, match="another function"):
            queue.submit_frame(FRAME, broken, name=name, retries=0)


def test_job_that_was_repaired_twice_is_that_of_its_last_function(queue):
    first = queue.submit_frame(FRAME, broken)
    first.retry("all", fn=other)
    first.retry("all", fn=fixed)
    assert queue.submit_frame(FRAME, fixed).id == first.id
    assert queue.submit_frame(FRAME, other).id != first.id
