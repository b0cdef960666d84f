"""Many calls at once, of several task types: tasks in the order of the input."""

from __future__ import annotations

import io
import json
import pickle
import re
import threading

import pytest

import oqkit
from oqkit.client import dependency
from oqkit.errors import Denied, PartlySubmitted
from tests.local import WAIT_S, keys_in, work_off


@oqkit.task
def half(x):
    return x / 2


@oqkit.task(name="greeting", retries=2)
def greet(name: str) -> str:
    return f"hello {name}"


def priced(amount, currency):
    return f"{amount} {currency}"


def test_mixed_types_give_tasks_in_the_order_of_the_input(queue):
    tasks = queue.submit_many(
        [(half, {"x": 3}), ("greeting", {"name": "Ann"}), (greet, {"name": "Bob"}), ("half", 5)],
        priority=7,
        tags={"team": "risk"},
    )
    assert [task.job.type for task in tasks] == ["half", "greeting", "greeting", "half"]
    assert [task.input for task in tasks] == [{"x": 3}, {"name": "Ann"}, {"name": "Bob"}, 5]
    assert {(task.options.priority, task.tags["team"]) for task in tasks} == {(7, "risk")}
    assert [task.options.retries for task in tasks] == [3, 3, 2, 3]
    work_off(queue, half, greet)
    assert [task.result(WAIT_S) for task in tasks] == [1.5, "hello Ann", "hello Bob", 2.5]


def test_original_1_13_generators_and_lists_of_pairs_are_welcome(queue):
    """[V] the original took a list of 2-tuples, and nothing else."""
    assert [task.input for task in queue.submit_many((half, x) for x in range(20))] == list(range(20))
    assert [task.input for task in queue.submit_many([["half", 1], ["half", 2]])] == [1, 2]
    assert queue.submit_many([]) == []


def test_original_1_13_which_tasks_were_stored_is_known_when_one_fails_half_way(queue, monkeypatch):
    """[V] the original raised, and lost the ids of the tasks that it had created."""
    create, lock, n_jobs = queue.storage.create, threading.Lock(), 0

    def fail_at_the_seventh(key, data):
        nonlocal n_jobs
        if key.startswith("jobs/"):
            with lock:
                n_jobs += 1
                if n_jobs == 7:
                    raise Denied("not this one")
        return create(key, data)

    monkeypatch.setattr(queue.storage, "create", fail_at_the_seventh)
    with pytest.raises(PartlySubmitted, match="tasks were stored; not so call") as caught:
        queue.submit_many(("half", x) for x in range(200))
    monkeypatch.undo()
    error = pickle.loads(pickle.dumps(caught.value))
    stored = {task.id: number for number, task in enumerate(error.tasks) if task is not None}
    assert len(error.tasks) == 200
    assert {number for number in range(200) if error.tasks[number] is None} == set(error.failures)
    assert 6 <= len(stored) < 199, "it stops soon"
    assert {
        f"{key.rpartition('/')[2].removesuffix('.json')}.0" for key in keys_in(queue) if key.startswith("jobs/")
    } == set(stored)
    assert all(queue.get(task_id).input == number for task_id, number in stored.items())
    assert "not this one" in str(error)


@pytest.mark.parametrize(
    ("bad", "told"),
    (
        ((priced, {"amount": 3}), "call 2: .*currency"),
        ((half, object()), "call 2: input 0 .* cannot be stored"),
        (("no type", 1), "call 2: 'no type' cannot be a task type"),
        ((half,), r"call 2 is .* must be a pair of a function"),
        ("half", "call 2 is 'half'; it must be a pair"),
    ),
    ids=["binding", "value", "type", "single", "text"],
)
def test_everything_is_checked_before_anything_is_written(queue, bad, told):
    before = keys_in(queue)
    with pytest.raises(oqkit.UsageError, match=told):
        queue.submit_many([("half", 1), (half, {"x": 1}), bad])
    assert keys_in(queue) == before


@pytest.mark.parametrize("calls", ("half", half, {"half": 1}, 7), ids=["text", "function", "dict", "number"])
def test_what_is_no_list_of_pairs_is_refused(queue, calls):
    with pytest.raises(oqkit.UsageError, match="submit_many wants pairs of a function"):
        queue.submit_many(calls)


def test_options_are_those_of_all_and_an_unknown_one_is_refused(queue):
    with pytest.raises(oqkit.UsageError, match="name= is no option"):
        queue.submit_many([("half", 1)], name="nightly")


def test_all_depend_on_the_same_jobs_which_are_looked_up_once(queue, monkeypatch):
    parents, looked_up, find_job = [queue.submit(half, x) for x in (1, 2)], [], dependency.find_job
    monkeypatch.setattr(dependency, "find_job", lambda where, text: looked_up.append(text) or find_job(where, text))
    tasks = queue.submit_many([(half, x) for x in range(5)], depends_on=(parent for parent in parents))
    assert sorted(looked_up) == sorted(parent.id for parent in parents)
    assert [task.options.depends_on for task in tasks] == [[parent.job.id for parent in parents]] * 5
    work_off(queue, half)
    assert [task.result(WAIT_S) for task in tasks] == [x / 2 for x in range(5)]


def test_command_line_takes_a_call_a_line(queue, oq, tmp_path, monkeypatch):
    file = tmp_path / "calls.jsonl"
    file.write_text('["half", 3]\n\n["greeting", {"name": "Ann"}]\n', encoding="utf-8")
    ids = oq("submit-many", file, "--tag", "team=risk").split()
    assert [(queue.get(one).job.type, queue.get(one).input, queue.get(one).tags) for one in ids] == [
        ("half", 3, {"team": "risk"}),
        ("greeting", {"name": "Ann"}, {"team": "risk"}),
    ]
    monkeypatch.setattr("sys.stdin", io.StringIO('["half", 5]'))
    (task_id,) = json.loads(oq("submit-many", "--json"))["tasks"]
    assert queue.get(task_id).input == 5


@pytest.mark.parametrize(
    ("text", "told"),
    (
        ('["half", 3]\n["half", 4', "line 2, .* is no JSON"),
        ('["half", 3]\n["half"]', "call 1 is .* must be a pair"),
        ('["half", 3]\n["no type", 3]', "call 1: 'no type' cannot be a task type"),
        (None, "cannot be read"),
    ),
    ids=["json", "pair", "type", "file"],
)
def test_command_line_refuses_before_anything_is_written(queue, oq, tmp_path, text, told):
    before, file = keys_in(queue), tmp_path / "calls.jsonl"
    if text is not None:
        file.write_text(text, encoding="utf-8")
    assert re.search(told, oq("submit-many", file, code=2))
    assert keys_in(queue) == before


def test_command_line_says_which_were_stored_where_it_fails_half_way(queue, oq, tmp_path, monkeypatch):
    create, file = queue.storage.create, tmp_path / "calls.jsonl"
    file.write_text('["half", 1]\n["half", 2]\n', encoding="utf-8")

    def fail_at_the_second(self, key, data):
        if '"input": {"kind":"values","values":[2]}' in data.decode():
            raise Denied("not this one")
        return create(key, data)

    monkeypatch.setattr(type(queue.storage), "create", fail_at_the_second)
    said = oq("submit-many", file, code=1).splitlines()
    assert said[1] == "-"
    assert queue.get(said[0]).input == 1
    assert "not this one" in "".join(said[2:])


def test_a_function_of_a_notebook_is_stored_once(queue):
    def local(x):
        return x + 1

    before = queue.storage.requests.snapshot()
    tasks = queue.submit_many((local, x) for x in range(30))
    requests = queue.storage.requests.snapshot() - before
    rings = requests["put"] - 2 * 30 - 1
    assert set(requests) <= {"put", "list"}  # a store that has said no date yet is listed once
    assert 1 <= rings <= 31
    assert len([key for key in keys_in(queue) if key.startswith("code/")]) == 1
    work_off(queue)
    assert [task.result(WAIT_S) for task in tasks] == list(range(1, 31))
