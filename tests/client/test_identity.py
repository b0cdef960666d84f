"""When a submission attaches to a job that is there, and when it is a new one."""

from __future__ import annotations

import re
import threading
from concurrent.futures import ThreadPoolExecutor

import pandas as pd
import pytest

import oqkit as oq
from oqkit.errors import DuplicateJob
from tests.local import WAIT_S, keys_in

FRAME = pd.DataFrame({"x": [1, 2, 3], "unused": ["a", "b", "c"]})
RATE = 2


def scaled(x):
    return x * RATE


def other(x):
    return x * RATE + 1


def n_jobs(queue):
    return len(queue.jobs())


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
    monkeypatch.setattr(f"{__name__}.RATE", 3)
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


@pytest.mark.parametrize("name", ("a/b", "..", "naïve 名", "x" * 512, re.escape(".*"), "-", "0" * 18))
def test_any_text_can_be_a_name(queue, name):
    job = queue.submit_frame(FRAME, scaled, name=name)
    assert queue.job(name).id == job.id


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
    first = queue.submit(priced, {"amount": "a" * 100_000, "currency": "EUR"}, key="order 7")
    assert queue.submit(priced, {"currency": "EUR", "amount": "a" * 100_000}, key="order 7").id == first.id
    with pytest.raises(DuplicateJob, match="its input is another one"):
        queue.submit(priced, {"amount": "b" * 100_000, "currency": "EUR"}, key="order 7")
