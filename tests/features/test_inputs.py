"""Whatever a table is of goes in, and the same kind comes out; and inputs of `map` that are instances of classes."""

from __future__ import annotations

import dataclasses

import pandas as pd
import polars as pl
import pyarrow as pa
import pydantic
import pytest

import oqkit
from oqkit.errors import SchemaError, UsageError
from tests.local import work_off

COLUMNS = {"name": ["a", "b", "c"], "x": [1, 2, 3], "unused": [0.5, None, 1.5]}


def double(x):
    return 2 * x


def fails_at_two(x):
    if x == 2:
        raise ValueError(x)
    return {"x": 2 * x}


class Relation:
    """What hands its rows out as a stream of Arrow, and once: as a relation of DuckDB does."""

    def __init__(self, table):
        self._reader = table.to_reader(max_chunksize=2)

    def __arrow_c_stream__(self, requested_schema=None):
        return self._reader.__arrow_c_stream__(requested_schema)


@pytest.mark.parametrize("kind", (pd.DataFrame, pl.DataFrame, pa.table))
def test_results_stand_beside_a_frame_of_any_kind_and_are_of_that_kind(queue, kind):
    frame = kind(COLUMNS)
    job = queue.submit_frame(frame, double)
    work_off(queue)
    joined, told = job.result(join=True), {"double": [2, 4, 6]}
    assert type(joined) is type(frame)
    assert pa.table(joined).to_pydict() == pa.table(kind(COLUMNS | told)).to_pydict()
    assert type(job.result()) is type(frame)
    assert pa.table(job.result()).to_pydict() == told


@pytest.mark.parametrize("kind", (pd.DataFrame, pl.DataFrame, pa.table))
def test_results_stand_beside_their_own_rows_where_others_failed(queue, kind):
    job = queue.submit_frame(kind(COLUMNS), fails_at_two, retries=0)
    work_off(queue)
    there = pa.table(job.result(errors="drop", join=True)).to_pydict()
    assert (there["name"], there["x"], there["x_result"]) == (["a", "c"], [1, 3], [2, 6])
    assert pa.table(job.result(errors="coerce", join=True))["x_result"].to_pylist() == [2, None, 6]


@pytest.mark.parametrize("kind", (pl.DataFrame, pa.table))
def test_frame_that_is_not_at_hand_is_read_back_or_passed(queue, kind):
    job = queue.submit_frame(kind(COLUMNS), double)
    whole = queue.submit_frame(kind(COLUMNS), double_batch)
    work_off(queue)
    again = queue.job(whole.id).result(join=True)
    assert type(again) is type(kind(COLUMNS))
    assert pa.table(again).column_names == ["name", "x", "unused", "double_batch"]
    with pytest.raises(UsageError, match="2 columns of the submitted frame are not stored"):
        queue.job(job.id).result(join=True)
    assert pa.table(queue.job(job.id).result(join=kind(COLUMNS))).column_names == ["name", "x", "unused", "double"]
    with pytest.raises(UsageError, match="not the frame that was submitted"):
        queue.job(job.id).result(join=kind(COLUMNS | {"x": [1, 2, 4]}))


@oqkit.task(batch=True)
def double_batch(frame):
    if isinstance(frame, pl.DataFrame):
        return frame["x"] * 2
    return pa.compute.multiply(frame["x"], 2)


@pytest.mark.parametrize("stream", (Relation, pa.Table.to_reader))
def test_stream_is_read_once_and_a_table_of_arrow_comes_out(queue, stream):
    job = queue.submit_frame(stream(pa.table(COLUMNS)), double)
    work_off(queue)
    assert job.result().equals(pa.table({"double": [2, 4, 6]}))
    assert queue.submit_frame(pa.table(COLUMNS), double).id == job.id


def test_lazy_frame_is_refused_with_what_to_do(queue):
    with pytest.raises(
        SchemaError, match=r"a polars LazyFrame is not a frame; call .collect\(\) first; files go to submit_dataset"
    ):
        queue.submit_frame(pl.LazyFrame(COLUMNS), double)


# --- instances of classes ------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Place:
    city: str


@dataclasses.dataclass(frozen=True)
class Order:
    number: int
    amount: float
    place: Place = Place("Aachen")

    def total(self):
        return self.amount * 2


class Model(pydantic.BaseModel):
    number: int
    amount: float
    place: Place = Place("Aachen")

    def total(self):
        return self.amount * 2


def total(order: Order):
    return order.total(), order.place.city


def total_of_model(order: Model):
    return order.total(), order.place.city


def fields_alone(number, amount, place):
    return number * amount


def anything(order):
    return order


@pytest.mark.parametrize(("function", "kind"), ((total, Order), (total_of_model, Model)))
def test_function_that_is_annotated_with_a_class_gets_an_instance(queue, function, kind):
    orders = [kind(number=1, amount=2.5), kind(number=2, amount=4.0, place=Place("Bonn")), {"number": 3, "amount": 1.0}]
    job, task = queue.map(function, orders), queue.submit(function, orders[1])
    work_off(queue)
    assert job.result()[function.__name__].tolist() == [(5.0, "Aachen"), (8.0, "Bonn"), (2.0, "Aachen")]
    assert task.result() == (8.0, "Bonn")
    assert task.input == {"number": 2, "amount": 4.0, "place": {"city": "Bonn"}}


@pytest.mark.parametrize(("function", "kind"), ((total, Order), (total_of_model, Model)))
def test_what_makes_no_instance_is_refused_before_anything_is_written(queue, function, kind):
    for bad in (
        {"number": 1},
        {"number": 1, "amount": 2.0, "place": 3, "more": 1} if kind is Order else {"number": "one", "amount": 2},
        7,
    ):
        with pytest.raises(SchemaError, match=f"input 1: function '{function.__name__}' wants a {kind.__name__}"):
            queue.map(function, [kind(number=1, amount=2.5), bad])
    assert len(queue.jobs()) == 0


def test_function_whose_parameters_are_the_fields_gets_these(queue):
    job = queue.map(fields_alone, [Order(2, 1.5), Order(3, 1.5)])
    work_off(queue)
    assert job.result()["fields_alone"].tolist() == [3.0, 4.5]


def test_instance_that_would_come_as_a_dict_is_refused(queue):
    with pytest.raises(SchemaError, match="would get a dict in place of a Order: annotate its only parameter"):
        queue.submit(anything, Order(1, 2.0))


def test_instance_that_does_not_come_back_equal_is_refused(queue):
    @dataclasses.dataclass
    class Counted:
        n: int

        def __post_init__(self):
            self.n += 1

    def count(one: Counted):
        return one.n

    count.__annotations__["one"] = Counted
    with pytest.raises(SchemaError, match="made of the fields of this one is not equal to it"):
        queue.submit(count, Counted(1))


def test_items_that_are_instances_are_known_by_a_field(queue):
    first = queue.map(total, [Order(1, 2.5), Order(2, 4.0)], key="number")
    again = queue.map(total, [Order(2, 4.0), Order(3, 1.0)], key="number")
    work_off(queue)
    assert (len(first), len(again.result())) == (2, 2)
    assert sum(map(len, map(queue.job, queue.jobs().index))) == 3


def test_other_class_of_the_same_function_is_another_function(queue):
    def told(factor):
        @dataclasses.dataclass(frozen=True)
        class Amount:
            n: int

            def times(self):
                return self.n * FACTORS[factor]

        def times(amount: Amount):
            return amount.times()

        times.__annotations__["amount"] = Amount
        return times, Amount

    jobs = [queue.map(function, [kind(1)]) for function, kind in map(told, ("one", "two", "one"))]
    assert jobs[0] == jobs[2] != jobs[1]


FACTORS = {"one": 1, "two": 2}
