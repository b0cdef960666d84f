"""What goes in and comes out equals a call in this process, or is refused; what is not used is not looked at."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import dateutil.tz
import numpy as np
import pandas as pd
import polars as pl
import pytest

import oqkit as oq
from tests.local import WAIT_S

# --- what is submitted as values -------------------------------------------------------------------

INPUTS = [
    (1, 2), {1: "a", "1": "b"}, {(1, 2): [3]}, {"a": (1, {2})}, 10**400, float("nan"), float("inf"), -0.0, b"bytes",
    dt.datetime(2020, 10, 25, 2, 30, fold=1, tzinfo=dt.UTC), dt.time(1, 2), Decimal("1.50"), "\ud800", {"$oq": ["tuple", [1]]},
    [[[]]], None, True, {"x": {"y": [1, 2.0, "3", None]}}, np.int8(3),
]  # fmt: skip


@pytest.mark.parametrize("is_large", (False, True), ids=["in the job", "in a file"])
def test_map_gives_the_function_the_very_values(queue, start, is_large):
    start()
    inputs = [*INPUTS, "x" * 300_000] if is_large else INPUTS
    result = queue.map(lambda value: f"{type(value).__name__} {value!r}", [[one] for one in inputs]).result(WAIT_S)
    assert result["lambda_"].tolist() == [f"list {[one]!r}" for one in inputs]


def test_input_that_a_call_changed_is_what_it_was_for_the_next_attempt(queue, start):
    def take(items, ctx: oq.Context):
        items.append(3)
        if ctx.attempt < 3:
            raise ValueError
        return items

    start()
    assert queue.submit(take, {"items": [1, 2]}, retries=3, backoff=0.0).result(WAIT_S) == [1, 2, 3]


def test_map_gives_a_batch_function_values_and_not_their_texts(queue, start):
    @oq.task(batch=True)
    def kinds(frame):
        return [f"{type(value).__name__} {value!r}" for value in frame["value"]]

    start()
    inputs = [(1, 2), "a", {"b"}]
    assert queue.map(kinds, inputs).result(WAIT_S)["kinds"].tolist() == [
        f"{type(one).__name__} {one!r}" for one in inputs
    ]


# --- columns that are not used ---------------------------------------------------------------------

UNUSED = {
    "objects": [object(), object()],
    "a boto3 listing": [dt.datetime(2020, 1, 1, tzinfo=dateutil.tz.tzutc())] * 2,
    "a local zone": [dt.datetime(2020, 1, 1, tzinfo=dateutil.tz.gettz("Europe/Paris"))] * 2,
    "complex": [1j, 2j],
    "itself": [None, None],
}
LOOP: list = []
LOOP.append(LOOP)


@pytest.mark.parametrize("kind", UNUSED)
def test_columns_that_the_function_does_not_take_do_not_matter(queue, start, kind):
    start()
    df = pd.DataFrame({"x": [1, 2]})
    df[kind] = pd.Series([LOOP, 1] if kind == "itself" else UNUSED[kind], dtype=object if kind == "itself" else None)
    df["twice"] = 0
    df = pd.concat([df, df[["twice"]]], axis=1)
    assert queue.submit_frame(df, lambda x: -x).result(WAIT_S)["lambda_"].tolist() == [-1, -2]
    assert queue.submit_frame(df, lambda: 1, name="none").result(WAIT_S)["lambda_"].tolist() == [1, 1]


def test_columns_that_the_function_does_not_take_are_not_read(queue):
    class Loud:
        def __getattribute__(self, name):
            if name not in {"__class__", "__dict__"}:
                read.append(name)
            return object.__getattribute__(self, name)

    read: list[str] = []
    df = pd.DataFrame({"x": [1, 2]} | {f"c{n}": [Loud(), Loud()] for n in range(5)})
    read.clear()
    queue.submit_frame(df, lambda x: x)
    assert read == []


def test_polars_column_that_is_not_taken_does_not_matter(queue, start):
    start()
    df = pl.DataFrame({"o": pl.Series([object(), object()], dtype=pl.Object), "x": [1, 2]})
    assert queue.submit_frame(df, lambda x: -x).result(WAIT_S)["lambda_"].to_list() == [-1, -2]
    assert queue.submit_frame(df, lambda: 1, name="none").result(WAIT_S)["lambda_"].to_list() == [1, 1]


def test_time_of_a_boto3_listing_can_be_used(queue, start):
    start()
    moment = dt.datetime(2020, 1, 1, 5, tzinfo=dateutil.tz.tzutc())
    result = queue.submit_frame(pd.DataFrame({"when": [moment]}), lambda when: when).result(WAIT_S)
    assert result["lambda_"].iloc[0] == moment
    assert result["lambda_"].iloc[0].utcoffset() == dt.timedelta()


@pytest.mark.parametrize("name", ("\ud800", ("a", "\udfff")))
def test_name_that_is_no_text_is_refused_clearly(queue, name):
    df = pd.DataFrame([[1]], columns=pd.Index([name], dtype=object, tupleize_cols=False))
    with pytest.raises(oq.SchemaError, match="is no valid text; rename the column"):
        queue.submit_frame(df, oq.task(lambda frame: frame, name="same", batch=True))


# --- whose row is whose ----------------------------------------------------------------------------

ORDERS = {
    "reversed": lambda frame: frame[::-1],
    "sorted": lambda frame: frame.sort_values("x"),
    "sorted, a column": lambda frame: frame.sort_values("x")["x"],
    "dict of columns": lambda frame: {"x": frame.sort_values("x")["x"]},
    "new index": lambda frame: frame.reset_index(drop=True),
    "array": lambda frame: frame["x"].to_numpy(),
    "sorted in place": lambda frame: frame.sort_values("x", inplace=True) or frame,  # noqa: PD002
}


@pytest.mark.filterwarnings("ignore:The inplace keyword")
@pytest.mark.parametrize("executor", ("thread", "process"))
@pytest.mark.parametrize("order", ORDERS)
def test_batch_result_is_laid_down_by_its_index(queue, start, order, executor):
    start(executor=executor)
    df = pd.DataFrame({"x": [3, 1, 2, 5, 4]}, index=list("cabed"))
    result = queue.submit_frame(df, oq.task(ORDERS[order], name="x", batch=True), part_rows=5).result(WAIT_S)
    assert result["x"].tolist() == df["x"].tolist()
    assert result.index.equals(df.index)


@pytest.mark.parametrize(
    ("function", "told"),
    (
        (lambda frame: frame.set_index("x", drop=False), "are not the frame's; keep the frame's index"),
        (lambda frame: frame.groupby("x").sum(), "are not the frame's"),
        (lambda frame: frame.assign(x=0)[::-1], "in another order, and not unique"),
    ),
    ids=["other labels", "groups", "labels that occur twice"],
)
def test_batch_result_of_unclear_order_is_refused(queue, start, function, told):
    start()
    df = pd.DataFrame({"x": [3, 1, 2], "y": 1}, index=["a", "a", "b"] if "unique" in told else ["a", "b", "c"])
    job = queue.submit_frame(df, oq.task(function, name="off", batch=True), part_rows=3, retries=0)
    job.wait(WAIT_S)
    assert job.errors()["message"].str.contains(told).tolist() == [True] * 3


@pytest.mark.parametrize("executor", ("thread", "process"))
@pytest.mark.parametrize(
    "returned",
    (
        lambda frame: [object if x == 2 else x for x in frame["x"]],
        lambda frame: pd.DataFrame({"v": pd.Series([len if x == 2 else x for x in frame["x"]], dtype=object)}),
    ),
    ids=["list", "frame"],
)
def test_batch_value_that_cannot_be_stored_costs_its_row_alone(queue, start, executor, returned):
    start(executor=executor)
    job = queue.submit_frame(
        pd.DataFrame({"x": range(5)}), oq.task(returned, name="v", batch=True), part_rows=5, retries=0
    )
    result = job.result(WAIT_S, errors="coerce")
    assert result["v"].isna().tolist() == [False, False, True, False, False]
    assert job.errors()["row"].tolist() == [2]


# --- what functions raise --------------------------------------------------------------------------


class Mute(Exception):
    """An exception without a text."""

    def __str__(self):
        raise SystemExit("no")

    __repr__ = __str__

    def __reduce__(self):
        raise TypeError("no")


class Bad(oq.Reschedule):
    """A delay that is none."""

    def __init__(self):
        self.delay_s = "soon"


def nameless():
    """Return an exception whose class cannot be asked for its name."""

    class Odd(type):
        def __getattribute__(cls, name):
            if name in {"__module__", "__qualname__"}:
                raise ValueError(name)
            return super().__getattribute__(name)

    return Odd("Nameless", (Exception,), {})()


RAISED = {
    "mute": (Mute, "Mute", "<no text: __str__ raised SystemExit>"),
    "surrogate": (lambda: ValueError("\ud800"), "ValueError", r"\ud800"),
    "100 MB": (lambda: ValueError("é" * 10**8), "ValueError", "é\n...\né"),
    "delay": (Bad, "ValueError", "delay_s='soon' must be a number of seconds"),
    "nameless": (nameless, "Nameless", ""),
    "exit": (lambda: SystemExit(3), "SystemExit", "3"),
}


def trip(kind):
    """Raise one of them."""
    error = RAISED[kind][0]()
    raise error


@pytest.mark.parametrize("executor", ("thread", "process"))
def test_whatever_a_function_raises_fails_its_row_and_no_worker(queue, start, executor):
    start(executor=executor)
    job = queue.submit_frame(pd.DataFrame({"kind": list(RAISED)}), trip, retries=0)
    job.wait(WAIT_S)
    errors = job.errors()
    assert set(job.tasks()["attempt"]) == {1}
    for row, (_, kind, message) in enumerate(RAISED.values()):
        assert kind in errors["type"].iloc[row]
        assert message in errors["message"].iloc[row]
        assert len(errors["message"].iloc[row]) <= 2000
        assert len(errors["traceback"].iloc[row]) <= 8000
