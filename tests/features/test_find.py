"""Finding jobs, tasks and workers, and what is known of them."""

from __future__ import annotations

import json

import pandas as pd
import pytest

import oqkit
from tests.local import WAIT_S, keys_in, work_off


@oqkit.task(retries=0)
def inverse(x):
    return 1 / x


@pytest.fixture
def job(queue):
    """Three rows, of which the middle one has failed."""
    made = queue.submit_frame(pd.DataFrame({"x": [1, 0, 4]}, index=["a", "b", "c"]), inverse, name="nightly")
    work_off(queue, inverse)
    return made


def test_task_is_found_by_its_id(queue, job, oq):
    assert (queue.get(f"{job.id}.1").status, queue.get(f"{job.id}.2").result(WAIT_S)) == ("failed", 0.25)
    told = json.loads(oq("get", f"{job.id}.1", "--json"))
    assert {name: told[name] for name in ("id", "job", "row", "type", "status", "attempt", "error")} == {
        "id": f"{job.id}.1", "job": "nightly", "row": 1, "type": "inverse", "status": "failed", "attempt": 1,
        "error": "ZeroDivisionError: division by zero",
    }  # fmt: skip
    assert "1 / x" in told["traceback"]
    shown = oq("get", f"{job.id}.1").splitlines()
    assert "error ZeroDivisionError: division by zero" in [" ".join(line.split()) for line in shown]
    assert "    ZeroDivisionError: division by zero" in shown  # the traceback has lines of its own
    assert "no task has the id" in oq("get", f"{job.id[:-1]}0.1", code=2)
    assert "error -" in " ".join(oq("get", f"{job.id}.0").split())


def test_history_says_what_happened_to_a_task(queue, job, oq):
    steps = queue.history(f"{job.id}.1")
    assert steps["status"].tolist()[-1] == "failed"
    told = json.loads(oq("history", f"{job.id}.1", "--json"))
    assert [step["status"] for step in told] == steps["status"].tolist()
    assert "ZeroDivisionError" in told[-1]["note"]
    assert len(oq("history", f"{job.id}.1").splitlines()) == 1 + len(told)


def test_jobs_are_found_by_type_status_and_tags(queue, job, oq):
    other = queue.map("other", [1], tags={"team": "a"})
    rows = json.loads(oq("list", "--json"))
    assert [row["job"] for row in rows] == [other.id, job.id]
    for arguments, expected in (
        (["--type", "other"], [other.id]),
        (["--status", "failed"], [job.id]),
        (["--tag", "team=a"], [other.id]),
        (["--since", "1h"], [other.id, job.id]),
        (["--since", "2100-01-01T00:00+00:00"], []),
        (["--type", "inverse", "--status", "pending"], []),
        (["-n", "1"], [other.id]),
    ):
        assert [row["job"] for row in json.loads(oq("list", *arguments, "--json"))] == expected, arguments
    assert queue.jobs(type="other").index.tolist() == queue.jobs(tags={"team": "a"}).index.tolist() == [other.id]
    assert queue.jobs("failed").index.tolist() == [job.id]
    assert "status='no' must be" in oq("list", "--status", "no", code=2)  # never taken for "all"
    assert "write NAME=VALUE" in oq("list", "--tag", "team", code=2)
    assert "with its time zone" in oq("list", "--since", "2030-01-01T00:00", code=2)


def test_original_1_10_newest_jobs_are_listed_by_what_they_have_in_common(queue, job, oq):
    """[V] the original's limit counted before the filter: a match behind others was missed."""
    for number in range(12):
        queue.submit("other", number, tags={"number": str(number % 2)})
    assert queue.jobs(type="inverse", limit=5).index.tolist() == [job.id]
    for arguments in (["--type", "inverse"], ["--status", "failed"]):
        assert [row["job"] for row in json.loads(oq("jobs", *arguments, "-n", "5", "--json"))] == [job.id]
    assert len(json.loads(oq("jobs", "--tag", "number=1", "--since", "1h", "--json"))) == 6
    assert queue.jobs("running", limit=1).empty
    assert "a larger --limit than 1 looks further" in oq("jobs", "--status", "running", "-n", "1", errors=True)


def test_tags_are_found_by_their_index(queue, oq):
    task = queue.submit("other", 1, tags={"cost centre": "7/b", "team": "é" * 256})
    job = task.job
    for number in range(5):
        queue.submit("other", number)
    for tags in ({"cost centre": "7/b"}, {"team": "é" * 256}, job.tags):
        assert queue.jobs(tags=tags, limit=1).index.tolist() == [job.id]
    job.tag({"cost centre": "8", "team": None})
    assert queue.jobs(tags={"cost centre": "7/b"}).empty
    assert queue.jobs(tags={"cost centre": "8"}).index.tolist() == [job.id]
    assert oq("untag", job.id, "cost centre") == "no tags\n"
    assert queue.jobs(tags={"cost centre": "8"}).empty
    assert not [key for key in keys_in(queue) if key.startswith("tags/")]


@pytest.mark.parametrize("tags", ({"": "x"}, {"n" * 65: "x"}, {"n": "x" * 257}, {"n": "a\nb"}, {"n\t": "a"}))
def test_tags_have_bounds(queue, tags):
    with pytest.raises(
        oqkit.UsageError, match="cannot be stored: a name has 1 to 64 characters and a value at most 256"
    ):
        queue.submit("other", 1, tags=tags)
    assert queue.jobs().empty


def test_tasks_of_a_job_are_listed(job, oq):
    rows = json.loads(oq("list", "nightly", "--json"))
    assert [(row["task"], row["row"], row["status"]) for row in rows] == [
        (f"{job.id}.0", 0, "completed"), (f"{job.id}.1", 1, "failed"), (f"{job.id}.2", 2, "completed"),
    ]  # fmt: skip
    assert [row["row"] for row in json.loads(oq("list", "nightly", "-s", "failed", "--json"))] == [1]
    assert len(oq("list", "nightly", "-n", "2").splitlines()) == 3
    assert "choose among jobs" in oq("list", "nightly", "--type", "inverse", code=2)


def test_workers_are_listed(queue, job, oq):
    (name,) = queue.workers().index
    (told,) = json.loads(oq("workers", "--json"))
    assert (told["name"], told["types"], told["rows"], told["stopped"]) == (name, ["inverse"], 3, True)
    assert name in oq("workers")


def test_status_says_why_nothing_happens(quick_news, queue, oq):
    job = queue.map("nobody_has_it", [1], name="stuck")
    told = json.loads(oq("status", "stuck", "--json"))
    assert "No worker has taken any of it yet" in told["why"]
    assert told["why"] == job.why()
    assert told["counts"]["pending"] == told["tasks"] == 1


def test_board_shows_the_newest_jobs(job):
    assert "nightly" in repr(oqkit.board())


@pytest.mark.parametrize("suffix", ("parquet", "csv"))
def test_results_are_written_to_a_file(job, oq, tmp_path, suffix):
    file = tmp_path / f"out.{suffix}"
    assert "job.retry" in oq("result", "nightly", "--to", file, code=1)  # one failed: refused, as in Python
    assert not file.exists()
    assert oq("result", "nightly", "--to", file, "--errors", "drop") == f"2 rows in {file}\n"
    read = pd.read_parquet(file) if suffix == "parquet" else pd.read_csv(file, index_col=0)
    assert read["inverse"].to_dict() == {"a": 1.0, "c": 0.25}
    assert [path.name for path in tmp_path.iterdir()] == [file.name]
    told = json.loads(oq("result", "nightly", "--errors", "coerce", "--join", "--json"))
    assert told[1] == {"index": "b", "x": 0, "inverse": None}
    assert "ends in .parquet or .csv" in oq("result", "nightly", "--to", tmp_path / "out.xlsx", code=2)
    assert "cannot be written" in oq(
        "result", "nightly", "--to", tmp_path / "no" / file.name, "--errors", "drop", code=1
    )


def test_result_waits_no_longer_than_it_is_told_to(queue, oq):
    queue.map("nobody_has_it", [1], name="stuck")
    assert "not" in oq("result", "stuck", "--timeout", "0", code=1)
    assert oq("result", "stuck", "--partial") == "none\n"


def test_call_is_submitted_from_the_command_line(queue, oq):
    submit = ("submit", "inverse", '{"x": 4}', "--key", "k", "--tag", "team=a", "--priority", "200", "--retries", "1")
    task_id = oq(*submit, "--delay", "0.01", "--ttl", "1h", "--timeout", "5m").strip()
    assert oq(*submit, "--delay", "0.01", "--ttl", "1h", "--timeout", "5m").strip() == task_id
    assert json.loads(oq(*submit, "--json"))["task"] == task_id
    assert queue.jobs(tags={"team": "a"}).index.tolist() == [queue.get(task_id).job.id]
    work_off(queue, inverse)
    assert queue.get(task_id).result(WAIT_S) == 0.25
    assert "is no JSON" in oq("submit", "inverse", "{x: 4}", code=2)
    assert "with its time zone" in oq("submit", "inverse", "--at", "noon", code=2)


def test_tables_fit_a_terminal_and_are_whole_elsewhere(queue, job, oq, monkeypatch):
    queue.map(
        inverse, [0] * 3, name="a name that is longer than what a terminal has room for, by far, whatever it is for"
    )
    work_off(queue, inverse)
    tables = (["jobs"], ["list"], ["list", "nightly"], ["errors", "nightly"], ["history", f"{job.id}.1"], ["workers"])
    whole = [oq(*arguments) for arguments in tables]
    assert "whatever it is for" in whole[0]
    assert "20" in whole[0].splitlines()[1].split()[-2]  # the year
    monkeypatch.setattr("oqkit.cli.main.width", lambda: 80)
    for arguments, text in zip(tables, whole, strict=True):
        lines = [line for line in oq(*arguments).splitlines() if not line.startswith("(and ")]
        assert max(map(len, lines)) <= 80
        assert [line.split()[:1] for line in lines] == [
            line.split()[:1] for line in text.splitlines()
        ] or "history" in arguments
    assert oq("jobs").splitlines()[1].endswith(" ago")
