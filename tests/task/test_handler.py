"""How a value becomes the arguments of a call, or is refused."""

from __future__ import annotations

import functools

import pytest

import oqkit as oq
from oqkit.errors import SchemaError
from oqkit.task.context import Context
from oqkit.task.function import as_task
from oqkit.task.handler import Handler


def price(amount, currency="EUR"):
    return amount, currency


def both(amount, currency):
    return amount, currency


def scalar(amount: float):
    return amount


def event(payload):
    return payload


def with_context(amount, ctx: Context):
    return amount, ctx


def nothing():
    return 0


def everything(**row):
    return row


def call(function, value):
    return Handler(as_task(function)).for_value().call(value)


@pytest.mark.parametrize(
    ("function", "value", "result"),
    (
        (price, {"amount": 3, "currency": "USD"}, (3, "USD")),
        (price, {"currency": "USD", "amount": 3}, (3, "USD")),
        (price, {"amount": 3}, (3, "EUR")),
        (price, 3, (3, "EUR")),
        (event, {"id": 7, "kind": "paid"}, {"id": 7, "kind": "paid"}),
        (event, {"payload": {"id": 7}}, {"id": 7}),
        (event, {}, {}),
        (event, None, None),
        (everything, {"any": 1, "thing": 2}, {"any": 1, "thing": 2}),
        (nothing, {}, 0),
        (functools.partial(both, currency="USD"), {"amount": 3}, (3, "USD")),
    ),
)
def test_value_is_passed(function, value, result):
    assert call(function, value) == result


@pytest.mark.parametrize(
    ("function", "value", "told"),
    (
        (price, {"amount": 3, "curency": "USD"}, "'curency' looks like 'currency'"),
        (price, {"amout": 3}, "'amout' looks like 'amount'"),
        (price, {"amount": 3, "x": 1}, "unexpected keyword argument 'x'"),
        (price, {"currency": "USD"}, "missing a required argument: 'amount'"),
        (both, {"amount": 3}, "missing a required argument: 'currency'"),
        (both, {"unlike": 3}, "missing a required argument"),
        (both, 3, "missing a required argument: 'currency'"),
        (scalar, {"other": 3}, "its parameter 'amount' is no dict"),
        (nothing, 3, "too many positional arguments"),
        (with_context, {"ctx": 1, "amount": 2}, "unexpected keyword argument 'ctx'"),
    ),
)
def test_value_that_does_not_fit_is_refused(function, value, told):
    with pytest.raises(SchemaError, match=r"cannot take .*Pass a dict whose keys are its parameters") as caught:
        Handler(as_task(function)).bind(value)
    assert told in str(caught.value)


# --- where it is found -----------------------------------------------------------------------------


@pytest.mark.parametrize("value", ({"amount": 3, "curency": "USD"}, {"currency": "USD"}))
def test_submit_refuses_an_input_that_does_not_fit_before_anything_is_written(queue, value):
    with pytest.raises(SchemaError, match="function 'price' cannot take"):
        queue.submit(price, value)
    with pytest.raises(SchemaError, match="input 1: function 'price' cannot take"):
        queue.map(price, [{"amount": 1}, value])
    assert len(queue.jobs()) == 0


def test_worker_fails_a_task_that_does_not_fit_at_its_first_attempt(queue, start):
    task = queue.submit("both", {"amount": 3}, retries=3)
    fine = queue.submit("both", {"amount": 3, "currency": "USD"})
    start(oq.task(both))
    assert fine.result(30) == (3, "USD")
    task.wait(30)
    assert (task.status, task.attempt) == ("failed", 1)
    failure = task.error()
    assert failure["type"] == "SchemaError"
    assert "missing a required argument: 'currency'" in failure["message"]
