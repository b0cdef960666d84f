"""Functions by value and by name: who runs what, and what cannot be shipped."""

from __future__ import annotations

import copy
import functools
import importlib
import os
import pickle
import sys
import threading
import time

import numpy as np
import pandas as pd
import pytest

import oqkit as oq
from oqkit.config import Settings
from oqkit.errors import UsageError
from oqkit.task.code import pickled
from oqkit.task.fingerprint import fingerprint
from tests.local import WAIT_S, keys_in, until

FRAME = pd.DataFrame({"x": [1, 2, 3]})
LOCK = threading.Lock()
TABLE = np.zeros(300_000)


def by_name(x):
    return x + 1


class Evil:
    """Leaves a trace where it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


# --- trust ---------------------------------------------------------------------------------------


def test_worker_without_trust_never_loads_code(queue, start, tmp_path):
    trace = str(tmp_path / "trace")
    evil = Evil(trace)
    job = queue.submit_frame(FRAME, lambda x: evil and x)
    start(by_name, trust_code=False)
    assert queue.submit_frame(FRAME, by_name).result(WAIT_S)["by_name"].tolist() == [2, 3, 4]
    time.sleep(0.2)
    assert not os.path.exists(trace)  # noqa: PTH110
    assert job.status == "pending"
    start()  # one that trusts: it does run what is stored
    until(lambda: os.path.exists(trace))  # noqa: PTH110


def either(x):
    if x == 1:
        raise oq.PermanentError("not one")
    raise oq.Reschedule(60)


def test_worker_without_trust_stops_at_a_job_that_got_code_by_value(queue, start):
    start(oq.task(either), trust_code=False)
    job = queue.submit_frame(FRAME[:2], "either", part_rows=1)
    until(lambda: job.counts()["failed"] and job.tasks()["due"].notna().any())
    job.retry(fn=lambda x: x * 100)
    time.sleep(0.3)
    assert job.counts()["pending"] == 2
    start()
    until(lambda: job.counts()["completed"] == 1)
    assert job.partial()["either"].tolist() == [100]


def test_worker_with_trust_runs_functions_by_value(queue, start):
    start()
    offset = 40
    assert queue.submit_frame(FRAME, lambda x: x + offset).result(WAIT_S)["lambda_"].tolist() == [41, 42, 43]


def test_function_by_name_is_not_stored(queue):
    queue.submit_frame(FRAME, by_name)
    assert [key for key in keys_in(queue) if key.startswith("code/")] == []


def test_function_by_value_is_stored_once(queue):
    def function(x):
        return x

    before = queue.repository.store.requests.snapshot()
    queue.submit_frame(FRAME, function)
    first = queue.repository.store.requests.snapshot() - before
    queue.submit_frame(FRAME[:2], function)
    assert len([key for key in keys_in(queue) if key.startswith("code/")]) == 1
    assert first["put"] == 5  # code, input, job, marker, bell
    assert (queue.repository.store.requests.snapshot() - before)["put"] == 9


def test_worker_without_functions_or_trust_is_refused(queue):
    with pytest.raises(UsageError, match="a worker needs functions to run: pass tasks, or let it trust shipped code"):
        oq.Worker(queue)


def test_worker_refuses_two_tasks_of_one_name(queue):
    with pytest.raises(UsageError, match="two tasks are named 'by_name': give one of them another"):
        oq.Worker(queue, [by_name, oq.task(name="by_name")(lambda x: x)])


@pytest.mark.parametrize(
    ("options", "told"),
    (({"concurrency": 0}, "concurrency=0 must be 1 or more"), ({"executor": "gpu"}, "'thread' or 'process'")),
)
def test_worker_refuses(queue, options, told):
    with pytest.raises(UsageError, match=told):
        oq.Worker(queue, [by_name], **options)


def test_job_whose_code_cannot_be_loaded_is_left_to_other_workers(queue, start, caplog, tmp_path):
    trace = str(tmp_path / "trace")
    os.mkdir(trace)  # noqa: PTH102 - so that loading fails
    evil = Evil(trace)
    job = queue.submit_frame(FRAME, lambda x: evil and x)
    start()
    until(lambda: "is left to other workers" in caplog.text)
    assert "the function cannot be loaded here (FileExistsError" in caplog.text
    assert job.status == "pending"
    assert queue.submit_frame(FRAME, by_name).result(WAIT_S)["by_name"].tolist() == [2, 3, 4]


# --- what cannot be shipped ----------------------------------------------------------------------


def _closing_over(thing):
    return lambda x: (thing, x)


def _with_default(thing):
    return lambda x, thing=thing: x


def _method_of(thing):
    holder = type("Holder", (), {"go": lambda self, x: x})()
    holder.thing = thing
    return holder.go


@pytest.mark.parametrize(
    ("function", "what"),
    (
        (lambda x: (LOCK, x), "the global 'LOCK'"),
        (_closing_over(LOCK), "the variable 'thing'"),
        (_with_default(LOCK), "the default of 'thing'"),
        (_method_of(LOCK), "the attribute 'thing'"),
    ),
    ids=["global", "closure", "default", "method"],
)
def test_what_cannot_be_pickled_is_named(queue, function, what):
    before = keys_in(queue)
    with pytest.raises(UsageError) as caught:
        queue.submit_frame(FRAME, function)
    told = str(caught.value)
    assert (
        f"cannot be shipped to workers: {what} cannot be pickled: TypeError: cannot pickle '_thread.lock' object"
        in told
    )
    assert "Create connections, locks and files inside the function" in told
    assert keys_in(queue) == before


def test_environment_is_that_of_the_worker_and_is_not_stored(queue, start, monkeypatch):
    environment, variables = os.environ, os.environb
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a secret of this process")
    job = queue.submit_frame(FRAME, lambda x: (environment["OQ_TEST_PLACE"], variables[b"OQ_TEST_PLACE"].decode()))
    stored = [queue.repository.store.read(key).data for key in keys_in(queue)]
    assert not any(b"a secret of this process" in data for data in stored)
    monkeypatch.setenv("OQ_TEST_PLACE", "worker")
    start()
    assert job.result(WAIT_S).iloc[0, 0] == ("worker", "worker")


@pytest.mark.parametrize("secret", ({"signing_key": "k" * 40}, {"data_roots": {"s3://lab": {"secret": "k" * 40}}}))
def test_settings_with_secrets_are_not_stored(queue, secret):
    chosen = Settings(url="s3://bucket/queue", **secret)
    with pytest.raises(UsageError, match=r"the variable 'chosen' cannot be pickled.*stay in their process"):
        queue.submit_frame(FRAME, lambda x: chosen.url and x)
    assert not any(b"kkkk" in queue.repository.store.read(key).data for key in keys_in(queue))
    plain = Settings(url="s3://bucket/queue")
    queue.submit_frame(FRAME, lambda x: plain.url and x)
    assert copy.deepcopy(plain) == plain


@pytest.mark.parametrize(
    ("function", "what"),
    (
        (lambda x: (TABLE, x), "the global 'TABLE'"),
        (_closing_over(TABLE), "the variable 'thing'"),
        (_with_default(TABLE), "the default of 'thing'"),
    ),
    ids=["global", "closure", "default"],
)
def test_big_data_is_named_in_a_warning(queue, function, what):
    with pytest.warns(
        UserWarning, match=f"is 2.3 MiB with the data it refers to: most of it is {what}, 2.3 MiB"
    ) as seen:
        queue.submit_frame(FRAME, function)
    assert seen[0].filename == __file__  # it points to the caller's line


def test_too_big_data_is_refused(queue):
    function = _closing_over(np.zeros(3_000_000))
    before = keys_in(queue)
    with pytest.raises(UsageError, match=r"is 23 MiB .*at most 16.: most of it is the variable 'thing', 22.9 MiB"):
        queue.submit_frame(FRAME, function)
    assert keys_in(queue) == before


def test_too_big_attribute_of_a_callable_object_is_refused(queue):
    class Model:
        def __init__(self):
            self.weights = np.zeros(3_000_000)

        def __call__(self, x):
            return x

    with pytest.raises(UsageError, match="most of it is the attribute 'weights'"):
        queue.submit_frame(FRAME, Model())


def test_declared_function_of_a_library_travels_by_its_name(tmp_path, monkeypatch):
    """Its fingerprint is its name and the library's version, so a copy of it would be taken for another function."""
    folder = tmp_path / "site-packages"
    folder.mkdir()
    (folder / "oqkit_library.py").write_text("import oqkit\n\n@oqkit.task\ndef declared(x):\n    return x\n")
    monkeypatch.syspath_prepend(folder)
    library = importlib.import_module("oqkit_library")
    monkeypatch.setitem(sys.modules, "oqkit_library", library)
    held = functools.partial(library.declared, 1)
    found = pickle.loads(pickled(held))
    assert found.func.function is library.declared.function
    assert fingerprint(found) == fingerprint(held)
