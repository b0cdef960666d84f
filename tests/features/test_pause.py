"""Pause and resume of the queue, of a task type and of a job; the status of a queue."""

from __future__ import annotations

import json
import re
import threading

import pytest

import oqkit
from oqkit.clock import user_at_host
from tests.local import WAIT_S, until, work_off

RAN: list[str] = []


@oqkit.task
def score(x):
    RAN.append(x)
    return x


@oqkit.task
def embed(x):
    RAN.append(x)
    return x


@pytest.fixture(autouse=True)
def _nothing_ran():
    RAN.clear()


def is_paused_for(queue, worker, name):
    """Whether a worker knows that a type is paused."""
    return until(lambda: worker._source._claimer.discovery.pauses.sign(name) is not None)


def test_paused_queue_starts_nothing_until_it_is_resumed(queue, start):
    queue.pause("prices are wrong", by="ana@lab")
    worker = start(score)
    task = queue.submit(score, {"x": "a"})
    assert is_paused_for(queue, worker, "score")
    assert RAN == []
    assert queue.resume()
    assert task.result(WAIT_S) == "a"


def test_why_a_job_waits_says_who_paused_the_queue_and_why(queue):
    task = queue.submit(score, {"x": "a"})
    queue.pause("prices are wrong", resume_after="1h", by="ana@lab")
    why = until(lambda: "paused" in (said := task.job.why()) and said)
    assert re.fullmatch(
        r"The queue is paused, by ana@lab \d+ s ago, for another (1 h|60 min|59 min): prices are wrong\. oq\.resume\(\) ends it\.",
        why,
    )
    with pytest.raises(oqkit.WaitTimeout, match="prices are wrong"):
        task.job.wait(timeout=0.0)


def test_why_a_paused_job_waits_says_who_paused_it_and_why(queue):
    job = queue.map(score, [{"x": "a"}])
    job.pause(reason="look first", by="ana@lab", resume_after="2d")
    assert re.fullmatch(
        r"The job is paused, by ana@lab \d+ s ago, for another 2 d: look first\. job\.resume\(\) ends it\.", job.why()
    )
    job.resume()
    assert "paused" not in job.why()


def test_paused_type_waits_while_others_run(queue):
    task = queue.submit(score, {"x": "a"})
    queue.pause("the model is being replaced", type="score")
    queue.submit(embed, {"x": "b"})
    worker = oqkit.Worker(queue, [score, embed])
    thread = threading.Thread(target=lambda: worker.run(until_idle=True))
    thread.start()
    until(lambda: RAN)
    assert "Tasks of type 'score' are paused" in until(task.job.why)
    assert (RAN, thread.is_alive()) == (["b"], True), (
        "a worker that is to run until it is idle waits for what is paused"
    )
    assert queue.resume(type="score")
    thread.join(WAIT_S)
    assert RAN == ["b", "a"]


def test_pause_is_over_by_itself(queue, start):
    queue.pause(resume_after=1)
    start(score)
    assert queue.submit(score, {"x": "a"}).result(WAIT_S) == "a"


def test_the_queue_is_paused_and_resumed_from_the_command_line(queue, oq):
    assert oq("pause", "--reason", "look first", "--for", "2h", "--by", "ana@lab") == "paused; `oq resume` goes on\n"
    assert oq("pause", "--type", "score") == "paused; `oq resume --type score` goes on\n"
    (all_of_it, one) = queue.status().paused
    assert (all_of_it.type, all_of_it.reason, all_of_it.by) == (None, "look first", "ana@lab")
    assert abs((all_of_it.until - all_of_it.at).total_seconds() - 7200) < 1
    assert (one.type, one.reason, one.by, one.until) == ("score", "", user_at_host(), None)
    assert oq("resume") == oq("resume", "--type", "score") == "resumed\n"
    assert queue.status().paused == ()
    assert oq("resume") == "resumed\n"  # there is nothing to resume


def test_a_job_is_paused_and_resumed_from_the_command_line(queue, oq):
    job = queue.map(score, [{"x": "a"}], name="one")
    oq("pause", "one", "--reason", "look first", "--by", "ana@lab")
    assert job.status == "paused"
    assert queue.status().paused == ()
    oq("resume", "one", "--by", "ben@lab")
    assert queue.history(f"{job.id}.0")[["note", "by"]].to_numpy().tolist()[1:] == [
        ["paused: look first", "ana@lab"],
        ["resumed", "ben@lab"],
    ]
    work_off(queue, score)
    assert RAN == ["a"]


def test_a_job_and_a_type_cannot_be_paused_in_one(oq):
    with pytest.raises(SystemExit):
        oq("pause", "one", "--type", "score")


@pytest.mark.parametrize(
    "given",
    (
        {"resume_after": -1},
        {"resume_after": "soon"},
        {"resume_after": 1e300},
        {"type": "a/b"},
        {"by": ""},
        {"reason": 5},
    ),
    ids=str,
)
def test_pause_that_cannot_be_is_refused_before_anything_is_written(queue, given):
    with pytest.raises(oqkit.UsageError):
        queue.pause(**given)
    assert queue.status().paused == ()


# --- the status of a queue -----------------------------------------------------------------------


def test_status_says_what_is_open_what_is_paused_and_who_works(queue, oq, start):
    assert re.fullmatch(r"\S+\nopen +no job\nworkers +0", oq("status").strip())
    for x in "ab":
        queue.submit(score, {"x": x}, delay=1000)
    queue.submit(embed, {"x": "c"})
    worker = start(score, trust_code=False)
    until(lambda: queue.status().workers == 1)
    queue.pause("é\x1b[31m", by="ana@lab")
    status = queue.status()
    assert (status.open_jobs, status.later, status.is_complete) == ({"score": 2, "embed": 1}, 2, True)
    assert (status.workers, status.unserved) == (1, ("embed",))
    shown = oq("status")
    assert re.search(r"(?m)^paused +the whole queue, by ana@lab \d+ s ago: é\S+$", shown)
    assert re.search(r"(?m)^open +3 jobs: score 2, embed 1; 2 not due yet$", shown)
    assert re.search(r"(?m)^workers +1; none for embed$", shown)
    assert "\x1b" not in shown
    assert str(status).splitlines()[0] == repr(status).splitlines()[0] == queue.url
    told = json.loads(oq("status", "--json"))
    assert (told["open_jobs"], told["paused"][0]["by"]) == ({"score": 2, "embed": 1}, "ana@lab")
    worker.stop()
    until(lambda: queue.status().workers == 0)


def test_status_costs_a_bounded_number_of_requests(queue):
    for n in range(30):
        queue.submit(score, {"x": n})
        queue.pause(type=f"type{n}")
    before = queue.storage.requests.snapshot()
    queue.status()
    cost = queue.storage.requests.snapshot() - before
    assert (cost["list"], cost["get"], cost["put"]) == (3, 30, 0)


def test_sign_that_cannot_be_understood_is_shown_and_holds_nobody_up(queue, oq):
    queue.storage.create("open/-paused/queue.json", b'{"format": 1, "requires": ["flying"]}')
    queue.submit(score, {"x": "a"})
    work_off(queue, score)
    assert RAN == ["a"]
    assert "'open/-paused/queue.json' was written by a newer oqkit" in oq("status")
    assert "newer oqkit" in queue.status().unreadable[0]


# --- what was wrong in the original --------------------------------------------------------------


def test_original_1_26_newer_pause_is_not_lifted_by_the_end_of_an_older_one(queue):
    """`global-pause.md`: the first poller after `resume_at` deletes the sign, whoever has put it there meanwhile."""
    task = queue.submit(score, {"x": "a"})
    queue.pause("old", resume_after=0.2)
    until(lambda: not queue.status().paused)
    queue.pause("new")
    worker = oqkit.Worker(queue, [score])
    thread = threading.Thread(target=worker.run)
    thread.start()
    assert is_paused_for(queue, worker, "score")
    assert [one.reason for one in queue.status().paused] == ["new"]
    assert task.status == "pending"
    worker.stop()
    thread.join(WAIT_S)


def test_original_1_22_c_cancelling_twice_is_fine(queue):
    """`[V]` of cancellation: twice is an error there, and is fine here."""
    task = queue.submit(score, {"x": "a"})
    task.cancel(reason="first", by="ana@lab")
    task.cancel(reason="second", by="ben@lab")
    history = queue.history(task.id)
    assert history[["status", "note", "by"]].iloc[-1].tolist() == ["cancelled", "first", "ana@lab"]
