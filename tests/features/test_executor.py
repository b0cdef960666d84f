"""A queue behind the interface of concurrent.futures: what its users expect of an executor, and what survives besides."""

from __future__ import annotations

import asyncio
import concurrent.futures as cf
import functools
import math
import operator
import pickle
import threading
from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import oqkit
from oqkit.door.remote_error import RemoteTraceback
from tests.local import WAIT_S, until, work_off


@pytest.fixture
def executor(queue):
    """An executor of `queue`, whose results this process trusts: the test is the worker, too."""
    with oqkit.Executor(queue) as executor:
        yield executor
        executor.shutdown(wait=False, cancel_futures=True)


@dataclass
class Model:
    weights: np.ndarray
    name: str = "model"

    def predict(self, x):
        return float(self.weights @ x)


def add(x, y=1, /, *more, scale=1):
    return (x + y + sum(more)) * scale


def same(value):
    return value


@oqkit.task(retries=1, backoff=0.01)
def declared(x):
    return x, oqkit.__name__


def refuse(x):
    raise ValueError(f"not {x}")


def count(folder, x):
    with Path(folder, "calls").open("a") as file:
        file.write(f"{x}\n")
    return x


def wait_for(folder, x=0):
    Path(folder, "begun").touch()
    until(Path(folder, "end").exists)
    return x


# --- as in the standard library ----------------------------------------------------------------------


def test_submit_takes_any_arguments_and_gives_a_future(executor, start):
    start()
    futures = [
        executor.submit(add, 1),
        executor.submit(add, 1, 2, 3, scale=10),
        executor.submit(math.sqrt, 2),
        executor.submit(operator.itemgetter("a"), {"a": 5}),
        executor.submit(lambda x: x * 2, "ab"),
        executor.submit(functools.partial(add, 1), 5),
        executor.submit(declared, 3),
        executor.submit(Model(np.array([1.0, 2.0])).predict, np.array([3.0, 4.0])),
    ]
    assert all(isinstance(future, cf.Future) for future in futures)
    assert [future.result(WAIT_S) for future in futures] == [2, 60, math.sqrt(2), 5, "abab", 6, (3, "oqkit"), 11.0]


VALUES = [
    None, True, 1, 2**70, 1.5, float("inf"), -0.0, "text", b"bytes", (1, 2), [1, (2.0, None)], {"a": 1}, {(1, 2): {3}}, frozenset({1}),
    Decimal("1.10"), np.float64(1.5), np.int8(3), np.str_("x"), pd.Timestamp("2024-03-01", tz="Europe/Berlin"), pd.NaT, pd.NA,
    Counter("abca"), Model(np.arange(3.0)), 1 + 2j, range(3), ValueError("a value"), len, Model,
]  # fmt: skip


def test_arguments_and_results_are_the_very_same_values(executor, start):
    start()
    futures = [executor.submit(same, value) for value in VALUES]
    for value, future in zip(VALUES, futures, strict=True):
        found = future.result(WAIT_S)
        assert type(found) is type(value)
        assert repr(found) == repr(value)


@pytest.mark.parametrize("array", (np.arange(6.0).reshape(2, 3), np.arange(5000), np.array([None, "a"], object)))
def test_arrays_and_frames_come_back(executor, start, array):
    start()
    frame = pd.DataFrame({"a": list(array.ravel())}, index=pd.date_range("2024", periods=array.size, freq="h"))
    found, table = executor.submit(same, (array, frame)).result(WAIT_S)
    assert (found.dtype, found.shape) == (array.dtype, array.shape)
    assert (found == array).all()
    pd.testing.assert_frame_equal(table, frame)


def test_map_gives_results_in_order_whatever_the_chunks(executor, start):
    start()
    for chunksize in (1, 3, 100):
        assert list(executor.map(add, range(10), range(10, 20), chunksize=chunksize)) == [10 + 2 * n for n in range(10)]
    assert list(executor.map(add, [])) == []


def test_map_is_one_job(executor, queue):
    results = executor.map(same, range(1000))
    executor._watch.flush()
    assert queue.jobs()["tasks"].tolist() == [1000]
    work_off(queue)
    assert list(results) == list(range(1000))


def test_calls_that_come_together_are_one_job(executor, queue):
    futures = [executor.submit(same, x) for x in range(200)]
    executor._watch.flush()
    assert queue.jobs()["tasks"].sum() == 200
    assert len(queue.jobs()) < 20
    work_off(queue)
    assert [future.result(WAIT_S) for future in futures] == list(range(200))
    assert len({future.task.id for future in futures}) == 200


class OwnError(Exception):
    pass


class AskingError(Exception):
    """Cannot be made of its text."""

    def __init__(self, code):
        super().__init__(code)
        self.code = code

    def __str__(self):
        return f"code {self.code}"


def raising(name):
    return {
        "key": KeyError("k"),
        "own": OwnError("mine"),
        "permanent": oqkit.PermanentError("never"),
        "asking": AskingError(3),
    }[name]


def throw(name):
    raise raising(name)


@pytest.mark.parametrize("name", ("key", "own", "permanent"))
def test_exception_is_raised_as_what_it_was(executor, start, name):
    start()
    future = executor.submit(throw, name)
    found, was = future.exception(WAIT_S), raising(name)
    assert (type(found), found.args, str(found)) == (type(was), was.args, str(was))
    assert isinstance(found.__cause__, RemoteTraceback)
    assert "raise raising(name)" in str(found.__cause__)
    assert future.task.attempt == 1, "an exception is an answer"


def test_exception_that_cannot_be_made_again_is_told(executor, start):
    start()
    found = executor.submit(throw, "asking").exception(WAIT_S)
    assert isinstance(found, oqkit.JobFailed)
    assert "AskingError: code 3" in str(found)


def test_map_raises_where_the_result_would_be(executor, start):
    start()
    results = executor.map(lambda x: 1 / x, [1, 2, 0, 4])
    assert [next(results), next(results)] == [1.0, 0.5]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_retries_are_those_of_the_options(queue, start, tmp_path):
    start()
    with oqkit.Executor(queue, retries=2, backoff=0.01) as executor:
        future = executor.submit(refuse, 3)
        assert isinstance(future.exception(WAIT_S), ValueError)
    assert future.task.attempt == 3


def test_wait_and_as_completed_take_its_futures(executor, start, tmp_path):
    start(concurrency=2)
    slow, quick = executor.submit(wait_for, str(tmp_path), "slow"), executor.submit(same, "quick")
    assert next(cf.as_completed([slow, quick], timeout=WAIT_S)) is quick
    done, left = cf.wait([slow, quick], timeout=0)
    assert (done, left) == ({quick}, {slow})
    until(slow.running)
    (tmp_path / "end").touch()
    assert cf.wait([slow, quick], timeout=WAIT_S).not_done == set()


def test_time_out_ends_the_waiting_and_not_the_work(executor, start):
    future, results = executor.submit(same, 1), executor.map(same, [2], timeout=0)
    with pytest.raises(TimeoutError):
        future.result(0)
    with pytest.raises(TimeoutError):
        next(results)
    start()
    assert future.result(WAIT_S) == 1


def test_callback_may_submit_more(executor, start):
    start()
    more = []
    executor.submit(same, 1).add_done_callback(lambda done: more.append(executor.submit(same, done.result() + 1)))
    until(lambda: more)
    assert more[0].result(WAIT_S) == 2


def test_coroutines_wait_for_it(executor, start):
    start()

    async def main():
        loop = asyncio.get_running_loop()
        return await asyncio.gather(*(loop.run_in_executor(executor, add, n, 1) for n in range(3)))

    assert asyncio.run(main()) == [1, 2, 3]


# --- cancelling, ending ------------------------------------------------------------------------------


def test_future_that_is_cancelled_is_a_cancelled_task(executor, queue):
    future = executor.submit(same, 1)
    task = future.task
    assert future.pending()
    assert future.cancel()
    assert (future.cancelled(), task.status) == (True, "cancelled")
    assert cf.wait([future], timeout=WAIT_S).done == {future}
    with pytest.raises(cf.CancelledError):
        future.result(WAIT_S)


def test_task_that_somebody_else_cancelled_cancels_its_future(executor, queue):
    future = executor.submit(same, 1)
    queue.get(future.task.id).cancel()
    assert cf.wait([future], timeout=WAIT_S).done == {future}
    assert future.cancelled()


def test_what_has_ended_cannot_be_cancelled(executor, start):
    start()
    future = executor.submit(same, 1)
    assert future.result(WAIT_S) == 1
    assert not future.cancel()
    assert future.result() == 1


def test_shutdown_waits_or_cancels(queue, start, tmp_path):
    executor = oqkit.Executor(queue)
    running = executor.submit(wait_for, str(tmp_path), "ran")
    start()
    until((tmp_path / "begun").exists)
    until(running.running)
    pending = [executor.submit(same, x) for x in range(3)]
    executor.shutdown(wait=False, cancel_futures=True)
    assert cf.wait(pending, timeout=WAIT_S).not_done == set()
    assert all(future.cancelled() for future in pending)
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.submit(same, 1)
    (tmp_path / "end").touch()
    executor.shutdown()
    assert running.result(0) == "ran"


def test_block_that_ends_by_an_exception_does_not_wait(queue):
    executor = oqkit.Executor(queue)
    future = executor.submit(same, 1)
    executor.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert future.task.status == "pending", "it is stored, and goes on"
    assert future.cancel()


# --- found again -------------------------------------------------------------------------------------


def test_future_is_found_again_by_the_id_of_its_task(queue, start):
    first = oqkit.Executor(queue)
    ids = [first.submit(add, n, 2).task.id for n in range(3)]
    first.shutdown(wait=False)
    start()
    with oqkit.Executor(queue) as second:
        futures = [second.future(each) for each in ids]
        assert [future.result(WAIT_S) for future in futures] == [2, 3, 4]
        assert second.future(pickle.loads(pickle.dumps(futures[0].task))).result(WAIT_S) == 2
        with pytest.raises(oqkit.UsageError, match="is no call of an executor"):
            second.future(queue.submit(same, 1))


def test_named_executor_finds_its_calls_again(queue, start, tmp_path):
    start()
    for _ in range(2):  # as a notebook that runs again from the top, with new objects each time
        with oqkit.Executor(queue, name="nightly") as executor:
            futures = [executor.submit(count, str(tmp_path), x) for x in (1, 1, 2)]
            mapped = executor.map(count, [str(tmp_path)] * 3, np.arange(3) + 10, chunksize=2)
            assert [future.result(WAIT_S) for future in futures] == [1, 1, 2]
            assert list(mapped) == [10, 11, 12]
    with oqkit.Executor(queue, name="weekly") as executor:
        executor.submit(count, str(tmp_path), 7).result(WAIT_S)
        executor.submit(functools.partial(count, str(tmp_path)), x=7).result(WAIT_S)
    assert Counter((tmp_path / "calls").read_text().split()) == {"1": 2, "2": 1, "10": 1, "11": 1, "12": 1, "7": 2}


def test_other_arguments_or_another_function_are_another_call(queue, start):
    start()
    with oqkit.Executor(queue, name="nightly") as executor:
        assert executor.submit(lambda x: x + 1, 1).result(WAIT_S) == 2
    with oqkit.Executor(queue, name="nightly") as executor:
        assert executor.submit(lambda x: x + 2, 1).result(WAIT_S) == 3
        assert executor.submit(lambda x: x + 1, 2).result(WAIT_S) == 3


def test_equal_arguments_are_the_same_call_however_they_are_pickled(queue, start):
    start()
    one, other = str(b"ab", "ascii"), str(b"ab", "ascii")
    first, second = [one, one], [one, other]
    assert pickle.dumps(first) != pickle.dumps(second)
    ids = []
    for argument in (first, second):
        with oqkit.Executor(queue, name="nightly") as executor:
            future = executor.submit(same, argument)
            assert future.result(WAIT_S) == ["ab", "ab"]
            ids.append(future.task.id)
    assert ids[0] == ids[1]


def test_map_is_no_call_of_the_function_with_the_same_values(queue, start):
    start()
    with oqkit.Executor(queue, name="nightly") as executor:
        assert list(executor.map(lambda *x: x, [1, 2], [3, 4])) == [(1, 3), (2, 4)]
    with oqkit.Executor(queue, name="nightly") as executor:
        assert executor.submit(lambda *x: x, ((1, 3),), ((2, 4),)).result(WAIT_S) == (((1, 3),), ((2, 4),))


def test_call_that_cannot_be_compared_runs_each_time(queue, start, tmp_path, capsys):
    start()
    for _ in range(2):
        with oqkit.Executor(queue, name="nightly") as executor:
            executor.submit(count, str(tmp_path), iter([1])).result(WAIT_S)
    assert len((tmp_path / "calls").read_text().splitlines()) == 2
    assert "will run again each time" in capsys.readouterr().err


# --- trust -------------------------------------------------------------------------------------------


def test_worker_that_trusts_no_code_leaves_it_alone(executor, queue):
    future = executor.submit(same, 1)
    work_off(queue, same, trust_code=False)
    assert future.task.status == "pending"
    assert future.cancel()


def test_what_cannot_be_pickled_is_refused_at_once(executor):
    with pytest.raises(oqkit.UsageError, match=r"arguments of call\.same cannot be shipped"):
        executor.submit(same, threading.Lock())


async def coroutine(x):
    return x


def test_coroutine_functions_are_sent_elsewhere(executor):
    with pytest.raises(oqkit.UsageError, match=r"oq\.submit"):
        executor.submit(coroutine, 1)
