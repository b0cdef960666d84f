"""Orders over scattered rows, and texts of any length: what they cost in bytes and in steps, not in seconds."""

from __future__ import annotations

import sys

import numpy as np
import pytest

import oqkit as oq
from oqkit.errors import UsageError
from oqkit.queue import key as keys
from tests.local import names_below

MIB = 2**20


@oq.task(name="noop")
def noop(x: int) -> int:
    return x


def steps_of(call):
    """Count the Python function calls that `call` makes: no machine makes more of them when it is busy."""
    n = 0

    def count(frame, event, argument):
        nonlocal n
        n += event == "call"

    sys.setprofile(count)
    try:
        call()
    finally:
        sys.setprofile(None)
    return n


@pytest.fixture
def queue():
    queue = oq.connect("memory://scattered")
    yield queue
    store = queue.repository.store
    store.delete_many([key for key in names_below(store) if key != "queue.json"])


def frame(n):
    import pandas as pd

    return pd.DataFrame({"x": np.arange(n)})


@pytest.mark.parametrize(("n", "every"), ((200_000, 2), (1_000_000, 3)))
def test_cancel_of_scattered_rows_is_small_and_takes_a_few_steps_a_row(queue, n, every):
    job = queue.submit_frame(frame(n), noop, part_rows=10_000)
    mask = np.arange(n) % every == 0
    steps = steps_of(lambda: job.cancel(mask, reason="every so many"))
    assert job.counts()["cancelled"] == mask.sum()
    assert steps < 10 * mask.sum() + 2_000 * (n // 10_000), (
        "some for each scattered row, and none for each with each other"
    )
    stored = queue.repository.store.read(keys.job_key(job.id, 1)).data
    assert len(stored) < 64_000 < MIB
    assert len(queue.repository.read_job(job.id).doc.controls) == 1


@pytest.mark.parametrize("size", (20_000, 70_000_000))
def test_long_texts_are_refused_before_anything_is_written(queue, size):
    store = queue.repository.store
    before = store.requests.snapshot()
    with pytest.raises(UsageError, match=r"cannot be stored|would take"):
        queue.map(noop, range(3), tags={"team": "x" * size})
    assert (store.requests.snapshot() - before).get("put", 0) == 0
    job = queue.map(noop, range(3))
    for order in (lambda text: job.cancel(reason=text), lambda text: job.pause(reason=text)):
        with pytest.raises(UsageError, match="must be text of at most 4,000 characters"):
            order("x" * size)
    assert job.counts()["pending"] == 3, "and the job is as it was"
    assert queue.job(job.id).status == "pending"


def test_frame_with_tags_that_cannot_be_stored_uploads_nothing(queue):
    store = queue.repository.store
    before = store.requests.snapshot()
    with pytest.raises(UsageError, match="cannot be stored"):
        queue.submit_frame(frame(100), noop, tags={"team": "x" * 20_000})
    assert (store.requests.snapshot() - before).get("put", 0) == 0
