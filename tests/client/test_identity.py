"""When a submission attaches to a job that is there, and when it is a new one."""

from __future__ import annotations

import threading

import pandas as pd
import pytest

import oqkit as oq
from oqkit.errors import DuplicateJob
from tests.client.sample import FRAME, n_jobs, other, scaled
from tests.local import WAIT_S

# --- attach --------------------------------------------------------------------------------------


def test_same_cell_twice_attaches_and_says_so_in_one_line(queue, start, capsys):
    start()
    first = queue.submit_frame(FRAME, scaled)
    second = queue.submit_frame(FRAME, scaled)
    assert second.id == first.id
    told = capsys.readouterr().err
    assert told == (f"Attached to job {first.name!r}, submitted just now; on_duplicate='rerun' would run it again.\n")
    assert second.result(WAIT_S)["scaled"].tolist() == [2, 4, 6]
    assert n_jobs(queue) == 1


def test_first_submission_says_nothing(queue, capsys):
    queue.submit_frame(FRAME, scaled)
    assert capsys.readouterr() == ("", "")


def test_attached_job_gives_its_result_at_once_when_it_has_ended(queue, start):
    start()
    queue.submit_frame(FRAME, scaled).wait(WAIT_S)
    assert queue.submit_frame(FRAME, scaled).status == "completed"


def test_map_attaches_too(queue):
    assert queue.map(scaled, [1, 2]).id == queue.map(scaled, iter([1, 2])).id
    assert queue.map(scaled, [1, 3]).id != queue.map(scaled, [1, 2]).id


def test_columns_that_the_function_does_not_take_do_not_count(queue):
    first = queue.submit_frame(FRAME, scaled)
    assert queue.submit_frame(FRAME.assign(unused="other"), scaled).id == first.id
    assert queue.submit_frame(FRAME.assign(x=[1, 2, 4]), scaled).id != first.id


@pytest.mark.parametrize(
    "change",
    (
        {"retries": 1},
        {"timeout": 60},
        {"priority": 1},
        {"tags": {"a": "b"}},
        {"backoff": 2},
        {"ttl": "1d"},
        {"max_reschedules": 1},
    ),
    ids=str,
)
def test_other_options_are_another_job(queue, change):
    assert queue.submit_frame(FRAME, scaled, **change).id != queue.submit_frame(FRAME, scaled).id


@pytest.mark.parametrize(
    "changed",
    (
        FRAME.assign(x=[1, 2, 4]),
        FRAME.assign(x=[1.0, 2.0, 3.0]),
        FRAME[:2],
        FRAME[::-1],
        FRAME.set_index(pd.Index([1, 2, 3])),
    ),
    ids=["value", "type", "fewer rows", "order", "index"],
)
def test_other_content_is_another_job(queue, changed):
    assert queue.submit_frame(changed, scaled).id != queue.submit_frame(FRAME, scaled).id


def test_other_function_is_another_job(queue):
    assert queue.submit_frame(FRAME, scaled).id != queue.submit_frame(FRAME, other).id


def test_changed_global_is_another_job(queue, monkeypatch):
    first = queue.submit_frame(FRAME, scaled)
    monkeypatch.setattr("tests.client.sample.RATE", 3)
    assert queue.submit_frame(FRAME, scaled).id != first.id
    monkeypatch.undo()
    assert queue.submit_frame(FRAME, scaled).id == first.id


def test_changed_closure_is_another_job(queue):
    def of(rate):
        return lambda x: x * rate

    assert queue.submit_frame(FRAME, of(2)).id != queue.submit_frame(FRAME, of(3)).id
    assert queue.submit_frame(FRAME, of(2)).id == queue.submit_frame(FRAME, of(2)).id


def test_batch_task_and_row_task_of_one_function_are_two_jobs(queue):
    by_row, by_batch = oq.task(name="same")(scaled), oq.task(name="same", batch=True)(scaled)
    one = queue.submit_frame(FRAME[["x"]], by_row)
    assert queue.submit_frame(FRAME[["x"]], by_batch).id != one.id


def test_bare_type_name_never_attaches(queue):
    assert queue.submit_frame(FRAME, "scaled").id != queue.submit_frame(FRAME, "scaled").id


def test_function_that_refers_to_something_unknown_never_attaches(queue):
    function = _holding(object())
    with pytest.raises(oq.UsageError):
        queue.submit_frame(FRAME, _holding(threading.Lock()))
    assert queue.submit_frame(FRAME, function).id != queue.submit_frame(FRAME, function).id


def _holding(thing):
    return lambda x: thing


# --- what a function cannot see does not count ---------------------------------------------------

WIDE = pd.DataFrame({"x": [1, 2], "y": [3, 4]})


def two(x, y):
    return x - y


def every(**row):
    return list(row)


@oq.task(batch=True)
def by_batch(frame):
    return [f"{frame.index.name}{list(frame)}"] * len(frame)


@pytest.mark.parametrize("changed", (WIDE[["y", "x"]], WIDE.rename_axis("n"), WIDE.rename_axis(columns="c")), ids=str)
def test_names_of_axes_and_order_of_columns_are_nothing_to_a_row_function(queue, start, changed):
    first = queue.submit_frame(WIDE, two)
    again = queue.submit_frame(changed, two)
    assert again.id == first.id
    start()
    assert again.result(WAIT_S)["two"].tolist() == [-2, -2]
    assert again.result().index.equals(changed.index)
    assert again.result().index.name == changed.index.name


@pytest.mark.parametrize("function", (every, by_batch), ids=["**row", "batch"])
def test_order_of_columns_counts_for_a_function_that_sees_it(queue, function):
    assert queue.submit_frame(WIDE[["y", "x"]], function).id != queue.submit_frame(WIDE, function).id


def test_index_name_counts_for_a_batch_function(queue):
    assert queue.submit_frame(WIDE.rename_axis("n"), by_batch).id != queue.submit_frame(WIDE, by_batch).id


@pytest.mark.parametrize(
    ("one", "other"),
    (({"timeout": "5m"}, {"timeout": 300}), ({"tags": {"a": "1", "b": "2"}}, {"tags": {"b": "2", "a": "1"}})),
    ids=["unit", "order of tags"],
)
def test_options_written_in_another_way_are_the_same(queue, one, other):
    assert queue.submit_frame(WIDE, two, **one).id == queue.submit_frame(WIDE, two, **other).id


# --- names and functions that cannot be compared -------------------------------------------------


def test_name_does_not_attach_to_a_function_that_cannot_be_compared(queue):
    function = _holding(object())
    first = queue.submit_frame(FRAME, function, name="scores")
    with pytest.raises(DuplicateJob) as caught:
        queue.submit_frame(FRAME, function, name="scores")
    assert str(caught.value) == (
        "job 'scores' exists already, with a function that cannot be compared: the variable 'thing' of '<lambda>' refers "
        "to an object: oq.job('scores') is it. Choose another name=, or pass on_duplicate='rerun' to run this as a new "
        "job of that name"
    )
    assert queue.submit_frame(FRAME, function, name="scores", on_duplicate="rerun").id != first.id


def test_submission_that_never_attaches_says_why_once(queue, capsys):
    for _ in range(2):
        queue.submit_frame(FRAME, _holding(object()))
    assert capsys.readouterr().err == (
        "Submitted as a new job, as it will be each time: the variable 'thing' of '<lambda>' refers to an object. "
        "See oq.content_of.\n"
    )


def test_name_does_not_attach_to_a_model_that_was_fitted_again(queue):
    class Model:
        def __init__(self, weight):
            self.weight = weight

    queue.submit_frame(FRAME, _holding(Model(1)), name="scores")
    assert queue.submit_frame(FRAME, _holding(Model(1)), name="scores").name == "scores"
    with pytest.raises(DuplicateJob, match="with another function: "):
        queue.submit_frame(FRAME, _holding(Model(2)), name="scores")


def test_registered_type_is_known_by_what_its_reader_returns(queue):
    class Session:
        def __init__(self, host):
            self.host, self.lock = host, object()

    oq.content_of.register(Session, lambda session: session.host)
    first = queue.submit_frame(FRAME, _holding(Session("a")))
    assert queue.submit_frame(FRAME, _holding(Session("a"))).id == first.id
    assert queue.submit_frame(FRAME, _holding(Session("b"))).id != first.id


def test_duplicate_names_everything_that_differs(queue):
    queue.submit_frame(FRAME, scaled, name="nightly")
    with pytest.raises(DuplicateJob, match="exists already, with other content and other options: "):
        queue.submit_frame(FRAME[:2], scaled, name="nightly", retries=1)


def test_type_given_by_name_attaches_under_a_name_alone(queue):
    first = queue.submit_frame(FRAME, "scaled", name="nightly")
    assert queue.submit_frame(FRAME, "scaled", name="nightly").id == first.id
    with pytest.raises(DuplicateJob, match="another task type"):
        queue.submit_frame(FRAME, "other", name="nightly")
