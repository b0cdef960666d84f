"""What may be submitted: every kind of callable, and how columns and values reach it."""

from __future__ import annotations

import asyncio
import functools
import math
import operator
import time

import pandas as pd
import pytest

import oqkit as oq
from oqkit.errors import UsageError
from tests.local import WAIT_S, until

FRAME = pd.DataFrame({"x": [1, 2, 3], "y": [10, 20, 30]})


def add(x, y):
    return x + y


class Scale:
    """Callable, and with methods."""

    def __init__(self, factor):
        self.factor = factor

    def __call__(self, x):
        return x * self.factor

    def method(self, y):
        return y * self.factor

    @staticmethod
    def static(x):
        return -x

    @classmethod
    def of_class(cls, x):
        return cls.__name__ * x


class AsyncScale(Scale):
    """An object that is a coroutine function."""

    async def __call__(self, x):
        await asyncio.sleep(0)
        return x * self.factor


async def later(x, *, wait_s=0.0):
    await asyncio.sleep(wait_s)
    return x


def _closure():
    seven = 7
    return lambda x: x + seven


FUNCTIONS = {
    "by name": (add, [11, 22, 33]),
    "lambda": (lambda y, x: y - x, [9, 18, 27]),
    "closure": (_closure(), [8, 9, 10]),
    "default for a missing column": (lambda x, z=5: x + z, [6, 7, 8]),
    "default beside a column": (lambda x, y=5: x + y, [11, 22, 33]),
    "default before a column": (lambda z=1, x=0: z + x, [2, 3, 4]),
    "keyword-only": (lambda x, *, y, z=100: x + y + z, [111, 122, 133]),
    "all columns by name": (lambda **row: sorted(row.items()), [[["x", x], ["y", y]] for x, y in FRAME.to_numpy()]),
    "the others by name": (lambda y, **rest: (y, list(rest)), [(y, ["x"]) for y in (10, 20, 30)]),
    "positional-only": (lambda x, /: x, [1, 2, 3]),
    "no parameters": (lambda: 1, [1, 1, 1]),
    "callable object": (Scale(3), [3, 6, 9]),
    "method": (Scale(3).method, [30, 60, 90]),
    "static method": (Scale.static, [-1, -2, -3]),
    "class method": (Scale.of_class, ["Scale", "ScaleScale", "ScaleScaleScale"]),
    "partial": (functools.partial(add, y=1), [2, 3, 4]),
    "coroutine function": (later, [1, 2, 3]),
    "coroutine method": (AsyncScale(2), [2, 4, 6]),
    "builtin": (math.sqrt, [1.0, math.sqrt(2), math.sqrt(3)]),
}


@pytest.mark.parametrize(("function", "expected"), FUNCTIONS.values(), ids=FUNCTIONS)
def test_row_function_may_be(queue, start, function, expected):
    start()
    job = queue.submit_frame(FRAME, function, retries=0)
    shown = [list(map(list, value)) if isinstance(value, list) else value for value in job.result(WAIT_S).iloc[:, 0]]
    assert shown == expected


def test_function_without_a_signature_is_called_with_the_value(queue, start):
    start()
    assert queue.map(math.hypot, [3.0, -4.0]).result(WAIT_S)["hypot"].tolist() == [3.0, 4.0]


def test_task_can_still_be_called():
    @oq.task(name="plus", retries=1)
    def add_up(x, y=1):
        """Add."""
        return x + y

    assert add_up(1) == 2
    assert (add_up.name, add_up.__name__, add_up.__doc__) == ("plus", "add_up", "Add.")


def test_task_takes_its_options_beside_the_function():
    task = oq.task(row_sums, name="sums", batch=True, retries=1)
    assert (task.name, task.batch, task.options.retries) == ("sums", True, 1)


def test_batch_function_that_is_a_coroutine_function_is_refused_where_it_is_made():
    async def slices(frame):
        return frame

    with pytest.raises(UsageError, match="batch function 'slices' is a coroutine function; use a plain def"):
        oq.task(batch=True)(slices)


@pytest.mark.parametrize("fn", (5, None, FRAME), ids=["int", "None", "frame"])
def test_submit_refuses_what_is_no_function(queue, fn):
    with pytest.raises(UsageError, match="is not a function, nor the name of a task type"):
        queue.submit_frame(FRAME, fn)


def test_plain_function_made_a_batch_task_by_hand_is_called_with_frames(queue, start):
    start()
    task = oq.task(name="sums", batch=True)(row_sums)
    assert queue.submit_frame(FRAME, task).result(WAIT_S)["sums"].tolist() == [11, 22, 33]


def row_sums(frame):
    return frame.sum(axis=1)


# --- values --------------------------------------------------------------------------------------


def test_submit_passes_a_dict_whose_keys_are_the_parameters_by_keyword(queue, start):
    start()
    assert queue.submit(add, {"x": 1, "y": 2}).result(WAIT_S) == 3


def test_submit_passes_any_other_value_as_the_only_argument(queue, start):
    start()
    assert queue.submit(len, [1, 2, 3]).result(WAIT_S) == 3
    assert queue.submit(lambda row: [*sorted(row)], {"b": 1, "a": 2}).result(WAIT_S) == ["a", "b"]
    assert queue.submit(repr).result(WAIT_S) == "None"


def test_map_takes_any_iterable(queue, start):
    start()
    job = queue.map(operator.neg, (n for n in range(100)))
    assert job.result(WAIT_S)["neg"].tolist() == [-n for n in range(100)]


@pytest.mark.parametrize(
    ("inputs", "told"),
    (
        ({"x": 1, "y": 2}, "a dict is not a list of inputs: map wants one for each task, submit takes a single one"),
        ("text", "a str is not a list of inputs"),
        (None, "a NoneType is not a list of inputs"),
        (FRAME, r"a DataFrame goes to submit_frame\(df, fn\)"),
    ),
    ids=["dict", "str", "None", "frame"],
)
def test_map_refuses_what_is_no_list_of_inputs(queue, inputs, told):
    with pytest.raises(UsageError, match=told):
        queue.map(add, inputs)


def test_map_stores_many_values_beside_the_job(queue, start):
    start()
    texts = [f"{n}" * 1000 for n in range(200)]
    assert queue.map(len, texts).result(WAIT_S)["len"].tolist() == [len(text) for text in texts]


def test_map_gives_a_batch_function_a_frame(queue, start):
    @oq.task(batch=True)
    def product(frame):
        return frame["a"] * frame["b"]

    start()
    assert queue.map(product, [{"a": 2, "b": 3}, {"a": 4, "b": 5}]).result(WAIT_S)["product"].tolist() == [6, 20]


def test_map_names_the_value_that_json_cannot_hold(queue):
    with pytest.raises(oq.SchemaError, match=r"input 1 .* cannot be stored: complex has no JSON form"):
        queue.map(add, [{"x": 1}, {"x": 1j}])


# --- context -------------------------------------------------------------------------------------


def test_context_tells_a_row_function_which_task_it_is(queue, start):
    def who(x, ctx: oq.Context):
        if ctx.attempt == 1 and x == 2:
            raise ValueError("once more")
        return {"task": ctx.task_id, "job": ctx.job_id, "attempt": ctx.attempt, "worker": ctx.worker, "x": x}

    worker = start()
    job = queue.submit_frame(FRAME, who, backoff=0.01)
    result = job.result(WAIT_S)
    assert result["task"].tolist() == [f"{job.id}.{row}" for row in range(3)]
    assert result["attempt"].tolist() == [1, 2, 1]
    assert set(result["worker"]) == {worker.name}
    assert result["x"].tolist() == [1, 2, 3]


def test_context_reaches_values_batches_and_coroutines(queue, start):
    async def wait(x, *, ctx: oq.Context):
        return ctx.task_id

    @oq.task(batch=True)
    def first(frame, ctx: oq.Context):
        return [ctx.task_id] * len(frame)

    start()
    waited = queue.submit_frame(FRAME, wait)
    assert waited.result(WAIT_S)["wait"].tolist() == [f"{waited.id}.{row}" for row in range(3)]
    batch = queue.submit_frame(FRAME, first, part_rows=2)
    assert batch.result(WAIT_S)["first"].tolist() == [f"{batch.id}.{row}" for row in (0, 0, 2)]


def test_context_says_when_the_result_is_not_wanted_any_more(queue, start):
    def patient(x, ctx: oq.Context):
        ENDED.append(False)
        end = time.monotonic() + WAIT_S
        while not ctx.cancelled and time.monotonic() < end:
            time.sleep(0.01)
        ENDED[:] = [ctx.cancelled]

    ENDED.clear()
    worker = start(oq.task(patient), trust_code=False)
    queue.submit_frame(FRAME[:1], "patient")
    until(lambda: ENDED)
    worker.stop()
    until(lambda: ENDED == [True])


ENDED: list[bool] = []
