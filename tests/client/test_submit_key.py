"""`submit(key=)`: a key stands for one task and its input."""

from __future__ import annotations

import re

import pytest

import oqkit as oq
from oqkit.errors import DuplicateJob
from tests.client.sample import n_jobs, other, scaled
from tests.local import WAIT_S

# --- key= ----------------------------------------------------------------------------------------


def test_submit_with_a_key_submits_once(queue, start, capsys):
    first = queue.submit(scaled, {"x": 1}, key="order 7")
    assert queue.submit(scaled, {"x": 1}, key="order 7").id == first.id
    start()
    assert first.result(WAIT_S) == 2
    assert queue.submit(scaled, {"x": 1}, key="order 7").result(WAIT_S) == 2
    assert n_jobs(queue) == 1


def test_submit_refuses_a_key_of_another_input(queue):
    first = queue.submit(scaled, {"x": 1}, key="order 7")
    with pytest.raises(
        DuplicateJob,
        match=f"key 'order 7' was already used for another 'scaled' task, {first.id}: x is 1 there and 2 here",
    ):
        queue.submit(scaled, {"x": 2}, key="order 7")
    assert queue.submit(other, {"x": 2}, key="order 7").id != first.id  # keys are of a task type


def test_submit_without_a_key_submits_each_time(queue):
    assert queue.submit(scaled, {"x": 1}).id != queue.submit(scaled, {"x": 1}).id


@pytest.mark.parametrize("key", ("", 7, "k" * 513), ids=["empty", "int", "long"])
def test_submit_refuses_what_is_no_key(queue, key):
    with pytest.raises(oq.UsageError, match=r"key=.* must be text of 1 to 512 characters"):
        queue.submit(scaled, {"x": 1}, key=key)


# --- key= and inputs -----------------------------------------------------------------------------


def priced(amount, currency="EUR"):
    return f"{amount} {currency}"


def test_key_is_of_the_input_alone(queue):
    first = queue.submit(priced, {"amount": 3, "currency": "USD"}, key="order 7")

    def priced_otherwise(amount, currency="EUR"):
        return amount, currency

    redeployed = oq.task(name="priced", retries=7)(priced_otherwise)
    again = queue.submit(redeployed, {"currency": "USD", "amount": 3}, key="order 7", tags={"release": "2"})
    assert again.id == first.id
    assert n_jobs(queue) == 1


@pytest.mark.parametrize(
    ("changed", "told"),
    (
        ({"amount": 4, "currency": "USD"}, "amount is 3 there and 4 here"),
        ({"amount": 3}, "currency is 'USD' there and missing here"),
        ({"amount": "3", "currency": "USD"}, "amount is 3 there and '3' here"),
        ([3], "its input is {'amount': 3, 'currency': 'USD'} there and [3] here"),
    ),
)
def test_key_of_another_input_names_what_differs(queue, changed, told):
    queue.submit(priced, {"amount": 3, "currency": "USD"}, key="order 7")
    with pytest.raises(DuplicateJob, match=re.escape(told)):
        queue.submit(priced, changed, key="order 7")


def test_key_of_a_large_input_is_compared_too(queue):
    first = queue.submit(priced, {"amount": "a" * 300_000, "currency": "EUR"}, key="order 7")
    assert queue.submit(priced, {"currency": "EUR", "amount": "a" * 300_000}, key="order 7").id == first.id
    with pytest.raises(DuplicateJob, match="its input is another one"):
        queue.submit(priced, {"amount": "b" * 300_000, "currency": "EUR"}, key="order 7")
