"""A stored row is run here once more: the same call, with the same values, and what it raises is raised here."""

from __future__ import annotations

import asyncio
import traceback

import pandas as pd
import pytest

import oqkit
from oqkit.errors import JobFailed, SchemaError, UsageError
from tests.local import work_off

DAY = pd.Timestamp("2030-01-31 06:00", tz="Europe/Paris")
FRAME = pd.DataFrame(
    {"x": [1.5, 0.0, 3.0], "day": [DAY, DAY + pd.Timedelta("1D"), DAY], "kind": pd.Categorical(["a", "b", "a"])},
    index=["first", "second", "third"],
)


def frames_of(error):
    """Return the function names and variables of what was raised, the innermost last."""
    return [(frame.f_code.co_name, dict(frame.f_locals)) for frame, _ in traceback.walk_tb(error.__traceback__)]


def inverse(x, day, kind):
    told = f"{kind} on {day:%d.%m.}"
    return 1 / x, told


async def inverse_coroutine(x, day, kind):
    await asyncio.sleep(0)
    told = f"{kind} on {day:%d.%m.}"
    return 1 / x, told


@oqkit.task(batch=True)
def inverse_batch(frame):
    x = frame["x"].tolist()
    return pd.Series([1 / each for each in x])


def mended(x):
    return 1 / x if x else 0.0


@pytest.mark.parametrize("function", (inverse, inverse_coroutine))
def test_debug_raises_here_in_the_line_of_the_user_with_the_values_of_the_row(queue, function):
    job = queue.submit_frame(FRAME, function, retries=0)
    work_off(queue, function)
    (label,) = job.errors().index
    with pytest.raises(ZeroDivisionError) as caught:
        job.debug(label)
    name, variables = frames_of(caught.value)[-1]
    assert name == function.__name__
    assert variables == {"x": 0.0, "day": FRAME["day"].iloc[1], "kind": "b", "told": "b on 01.02."}
    assert job.debug("first") == (1 / 1.5, "a on 31.01.")
    assert job.debug("second", fn=mended) == 0.0
    assert job.debug("second", mended) == 0.0
    with pytest.raises(ZeroDivisionError):
        queue.get(f"{job.id}.1").debug(fn=function)
    assert job.counts()["failed"] == 1


def test_debug_of_a_batch_is_called_with_the_slice_of_the_row(queue):
    job = queue.submit_frame(FRAME, inverse_batch, retries=0)
    work_off(queue, inverse_batch)
    assert job.errors().index.tolist() == ["second"]
    with pytest.raises(ZeroDivisionError) as caught:
        job.debug("second")
    frames = frames_of(caught.value)
    (variables,) = [found for name, found in frames if name == "inverse_batch"]
    pd.testing.assert_frame_equal(variables["frame"], FRAME.iloc[[1]])


@oqkit.task(batch=True)
def too_few(frame):
    return pd.Series([1.0] * (len(frame) // 2))


def test_debug_of_a_batch_that_returned_something_else_has_all_of_its_rows(queue):
    job = queue.submit_frame(FRAME, too_few, retries=0, part_rows=3)
    work_off(queue, too_few)
    (message,) = set(job.errors()["message"])
    with pytest.raises(SchemaError) as caught:
        job.debug("third")
    assert str(caught.value) == message


@pytest.mark.parametrize("item", ({"x": 0}, 0, [0], 0.0))
def test_debug_of_items_and_single_tasks(queue, item):
    def divide(x):
        return 1 / (x[0] if isinstance(x, list) else x)

    job = queue.map(divide, [1, item], retries=0)
    task = queue.submit(divide, item, retries=0)
    work_off(queue)
    for debug in (lambda: job.debug(1), task.debug):
        with pytest.raises(ZeroDivisionError) as caught:
            debug()
        assert frames_of(caught.value)[-1] == ("divide", {"x": item["x"] if isinstance(item, dict) else item})
    with pytest.raises(JobFailed):
        task.result(1)


def test_debug_raises_for_what_cannot_be_stored(queue):
    job = queue.map(lambda x: object() if x else 1, [0, 1], retries=0)
    work_off(queue)
    (message,) = job.errors()["message"]
    with pytest.raises(SchemaError) as caught:
        job.debug(1)
    assert str(caught.value) == message
    assert job.debug(0) == 1


def asking(x, ctx: oqkit.Context):
    ctx.progress(1, 2)
    ctx.extend_lease("5m")
    spawned = ctx.spawn(mended, {"x": 1.0})
    answer = ctx.wait_for_signal("go")
    return [ctx.attempt, ctx.task_id, spawned, answer, ctx.effect_key("pay"), ctx.cancelled]


def test_debug_asks_no_worker_and_submits_nothing(queue):
    job = queue.map(asking, [7])
    with pytest.raises(UsageError, match="no such signal 'go'"):
        job.debug(0)
    n_jobs = len(queue.jobs())
    job.signal("go", [1, 2])
    attempt, task_id, spawned, answer, key, is_cancelled = job.debug(0)
    assert (attempt, task_id, answer, is_cancelled) == (1, f"{job.id}.0", [1, 2], False)
    assert len(queue.jobs()) == n_jobs
    work_off(queue, asking, mended)
    stored = queue.get(f"{job.id}.0").result(10)
    assert (stored[2], stored[4]) == (spawned, key)


def test_debug_takes_the_function_that_is_here_and_no_other(queue, monkeypatch):
    def shown(x):
        return x + 1

    job = queue.map(shown, [1], name="shown")
    assert job.debug(0) == 2
    attached = queue.job("shown")
    with pytest.raises(UsageError, match=r"is not in this process as it was submitted.*debug\(index, fn=...\)"):
        attached.debug(0)
    main = __import__("__main__")
    monkeypatch.setattr(main, "shown", lambda x: x + 2, raising=False)
    with pytest.raises(UsageError, match="is not in this process"):
        attached.debug(0)
    monkeypatch.setattr(main, "shown", shown)
    assert attached.debug(0) == 2
    monkeypatch.delattr(main, "shown")
    by_name = queue.job(queue.map(mended, [4.0], name="mended").id)
    assert by_name.debug(0) == 0.25


def test_debug_loads_code_from_the_queue_only_with_trust(queue, monkeypatch):
    queue.map(lambda x: x * 3, [1], name="shipped")
    with pytest.raises(UsageError, match="OQ_TRUST_CODE=1"):
        queue.job("shipped").debug(0)
    monkeypatch.setenv("OQ_TRUST_CODE", "1")
    assert oqkit.connect().job("shipped").debug(0) == 3


def test_debug_after_a_retry_takes_the_corrected_function(queue):
    job = queue.map(inverse_of_x, [0], retries=0)
    work_off(queue, inverse_of_x)
    job.retry(fn=mended)
    assert job.debug(0) == 0.0


def inverse_of_x(x):
    return 1 / x


def test_debug_refuses_labels_that_are_not_there_or_not_of_one_row(queue):
    job = queue.submit_frame(pd.DataFrame({"x": [1.0, 2.0, 3.0]}, index=["a", "b", "a"]), mended)
    with pytest.raises(UsageError, match="no row labelled 'z'"):
        job.debug("z")
    with pytest.raises(UsageError, match=rf"2 rows are labelled 'a': oq.get\('{job.id}.0'\)"):
        job.debug("a")
    assert queue.get(f"{job.id}.2").debug() == 1 / 3
