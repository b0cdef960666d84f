"""What a page in a browser may ask, and what it is answered."""

from __future__ import annotations

import pytest

from oqkit.notebook.board import Jobs
from oqkit.notebook.html import to_html
from oqkit.notebook.message import MessageHandler
from oqkit.notebook.state import to_state
from oqkit.notebook.text import to_text
from tests.notebook.world import failures


@pytest.mark.parametrize(
    "question",
    (
        {"op": "page", "offset": "x"},
        {"op": "page", "status": "nonsense"},
        {"op": "task", "row": -1},
        {"op": "task"},
        {"op": "task", "row": 10**9},
        {"op": "task", "row": None},
        {"op": "group", "key": []},
        {"op": "group"},
        {"op": None},
        {"op": "__class__"},
        {},
        {"op": "page", "offset": -5, "query": {"a": 1}},
    ),
)
def test_desk_answers_anything_that_a_page_may_send(world, question):
    answer = MessageHandler(world.live(world.job(10)), wake=lambda: None).answer({**question, "id": 7})
    assert answer["id"] == 7
    assert answer.get("refused") or answer.get("rows") is not None


@pytest.mark.parametrize("n_tasks", (0, 1, 24, 25, 26, 1000))
@pytest.mark.parametrize("offset", (0, 25, 10**9))
def test_pages_hold_what_the_offset_says(world, n_tasks, offset):
    job = world.job(n_tasks, part_rows=7)
    page = MessageHandler(world.live(job), wake=lambda: None).answer({"op": "page", "offset": offset})
    first = min(offset, max(0, n_tasks - 1) // 25 * 25)
    assert page["offset"] == first
    assert [row[0] for row in page["rows"]] == list(range(first, min(first + 25, n_tasks)))


def test_search_finds_rows_workers_and_errors(world):
    job = world.job(40, part_rows=10)
    world.write(
        job, 1, [("failed", 2), ("pending", 8)], output="o", outputs={"o": failures((0, 1), message="no such city")}
    )
    world.write(job, 2, [("running", 10)], worker="Machine-7")
    handler = MessageHandler(world.live(job), wake=lambda: None)

    def found(query, **more):
        return [row[0] for row in handler.answer({"op": "page", "query": query, **more})["rows"]]

    assert found("12") == [12]
    assert found("SUCH city") == [10, 11]
    assert found("machine-7") == list(range(20, 30))
    assert found("machine-7", status="failed") == []
    assert found("nothing like it") == []


def test_cancel_and_retry_through_the_desk_change_the_job(world):
    job = world.job(20)
    world.write(job, 0, [("failed", 10)])
    handler = MessageHandler(world.live(job), wake=lambda: None)
    assert handler.answer({"op": "retry"})["text"] == "10 failed tasks will run again."
    assert handler.answer({"op": "cancel"})["text"] == "Cancelled 20 tasks."
    assert job.status == "cancelled"


def test_pause_and_resume_through_the_desk_change_the_job_and_every_form_of_it(world):
    job = world.job(20)
    live = world.live(job)
    handler = MessageHandler(live, wake=lambda: None)
    assert "Paused" in handler.answer({"op": "pause"})["text"]
    assert job.status == "paused"
    shown = live.watch.snapshot()
    assert to_state(shown)["status"] == "paused"
    for made in (to_state(shown)["advice"], to_text(shown), to_html(shown)):
        assert "paused in the notebook" in made
        assert "no task is started until it is resumed" in made
    assert Jobs(world.repository, limit=5).look().lines[0].status == "paused"
    assert handler.answer({"op": "resume"})["text"] == "Resumed."
    assert job.status == "pending"
    assert "aused" not in to_text(live.watch.snapshot())


def test_pause_of_a_job_that_has_ended_is_refused_in_words(world):
    job = world.job(20)
    world.finish(job)
    assert "nothing to pause" in MessageHandler(world.live(job), wake=lambda: None).answer({"op": "pause"})["refused"]


def test_paused_job_that_nobody_began_tells_no_time_since_its_first_claim(world):
    job = world.job(20)
    job.pause(resume_after=60)
    shown = world.live(job).watch.snapshot()
    assert shown.started is None
    assert "no task is started until 20" in to_text(shown)
