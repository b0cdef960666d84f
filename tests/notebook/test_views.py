"""Snapshots, and the pure views of them."""

from __future__ import annotations

import pytest

from oqkit.notebook.bar import HtmlBar
from oqkit.notebook.board import Jobs, board_text
from oqkit.notebook.html import to_html
from oqkit.notebook.humanize import duration, money, percent, short, speed
from oqkit.notebook.message import MessageHandler
from oqkit.notebook.snapshot import SEGMENTS, segment
from oqkit.notebook.state import fitted, size_bytes, to_state
from oqkit.notebook.text import INK, bar, to_text
from oqkit.queue.task_state import TaskState
from oqkit.queue.transition import Status
from oqkit.task.failure import Failure
from tests.notebook.world import failures, snapshot_of

# --- what is said --------------------------------------------------------------------------------


def test_snapshot_tells_retrying_from_pending_and_sums_to_all(world):
    job = world.job(100, part_rows=50)
    world.write(job, 0, [("completed", 10), ("running", 5), ("retrying", 3), ("failed", 2), ("pending", 30)])
    snapshot = snapshot_of(world.live(job))
    counts = {name: n for name, n in snapshot.counts.items() if n}
    assert counts == {"completed": 10, "running": 5, "retrying": 3, "failed": 2, "pending": 80}
    assert sum(snapshot.counts.values()) == 100
    assert (snapshot.status, snapshot.workers, snapshot.n_open) == ("running", ("w1",), 88)


def test_text_says_all_that_counts(world):
    job = world.job(100, name="scores", part_rows=50, fn="score")
    world.write(job, 0, [("completed", 30), ("failed", 20)], output="o", outputs={"o": failures(range(30, 50))})
    text = to_text(snapshot_of(world.live(job)))
    assert "scores: running, 100 tasks of score" in text
    assert "50.0 %" in text
    assert "30 completed · 0 running · 20 failed · 50 pending" in text
    assert "20 × ValueError: bad" in text  # noqa: RUF001 - times


def test_pending_job_says_how_to_start_workers(world):
    live = world.live(world.job(10))
    assert "oq.local_workers(2)" not in to_text(snapshot_of(live)), "at first they may just be starting"
    world.clock.sleep(10)
    assert "oq.local_workers(2)" in to_text(snapshot_of(live))


def test_empty_job_is_complete(world):
    snapshot = snapshot_of(world.live(world.job(0)))
    assert (snapshot.status, percent(snapshot)) == ("completed", "100 %")
    assert to_html(snapshot)
    assert to_state(snapshot)["isFinal"]


def test_bar_of_text_shows_every_segment_that_holds_a_task(world):
    job = world.job(10_000, part_rows=10_000)
    world.write(job, 0, [("completed", 9_996), ("running", 1), ("retrying", 1), ("failed", 1), ("pending", 1)])
    drawn = bar(snapshot_of(world.live(job)), width=40)
    assert len(drawn) == 40
    assert set(drawn) == set("█▓▒x·")


def test_percent_is_a_hundred_only_when_all_has_ended(world):
    job = world.job(10_000, part_rows=10_000)
    world.write(job, 0, [("completed", 9_999), ("pending", 1)])
    assert percent(snapshot_of(world.live(job))) == "99.9 %"


def test_errors_from_one_place_are_one_group(world):
    job = world.job(30, part_rows=10)
    for index in range(3):
        trace = f'Traceback\n  File "a.py", line 3, in f\n    g({index})\nKeyError: {index}'
        output = failures(range(10), kind="KeyError", message=f"{index}", traceback=trace)
        world.write(job, index, [("failed", 10)], output="o", outputs={"o": output})
    (group,) = snapshot_of(world.live(job)).groups
    assert (group.n_tasks, group.message, group.place) == (30, "0", "a.py:3, in f")
    assert group.has_more_texts


def test_tasks_whose_worker_vanished_are_a_group_of_their_own(world):
    job = world.job(10)
    world.write(job, 0, [("failed", 10)])
    snapshot = snapshot_of(world.live(job))
    assert [group.type for group in snapshot.groups] == ["Reschedule"]
    assert snapshot.n_unread == 0


@pytest.mark.parametrize(
    ("seconds", "told"),
    (
        (0.0005, "500 µs"),
        (0.05, "50 ms"),
        (1, "1 s"),
        (59.6, "1 min"),
        (61, "1 min 1 s"),
        (3600, "1 h"),
        (90_000, "1 d 1 h"),
    ),
)
def test_duration_is_told_in_at_most_two_units(seconds, told):
    assert duration(seconds) == told


def test_numbers_are_told_in_units_that_fit():
    assert [speed(each) for each in (1204.4, 2.345, 0.5, 0.001)] == [
        "1,204 tasks/s",
        "2.3 tasks/s",
        "30.0 tasks/min",
        "3.6 tasks/h",
    ]
    assert [money(each) for each in (12.345, 0.0021, 1e-6)] == ["$12.35", "$0.0021", "under $0.0001"]
    assert [short(each) for each in (2e-6, 0.005, 2, 120)] == ["2 µs", "5 ms", "2 s", "2 min"]


# --- size ----------------------------------------------------------------------------------------


def test_state_stays_small_with_the_longest_texts_there_can_be(world):
    job = world.job(1_000, part_rows=10, name="ж" * 512, fn="t" * 64)
    for index in range(100):
        output = failures(
            range(10), kind="E" * 500 + str(index), message="é" * 2_000, traceback="\n".join(["語" * 79] * 100)
        )
        world.write(job, index, [("failed", 10)], output="o", outputs={"o": output}, worker="w" * 100)
    live = world.live(job)
    snapshot = snapshot_of(live)
    assert size_bytes(to_state(snapshot)) <= 10_000
    handler = MessageHandler(live, wake=lambda: None)
    for question in ({"op": "page"}, {"op": "group", "key": snapshot.groups[0].key}, {"op": "task", "row": 5}):
        answer = handler.answer({**question, "id": 1, "view": "v"})
        assert "refused" not in answer
        assert size_bytes(answer) <= 10_000


def test_fitted_shortens_only_what_is_too_long():
    value = {"a": "x" * 100, "b": ["y" * 50_000]}
    short_value = fitted(value, 9_000)
    assert short_value["a"] == value["a"]
    assert size_bytes(short_value) <= 9_000


# --- the bar of a blocking wait -------------------------------------------------------------------


def test_html_bar_draws_at_most_twice_a_second_and_ends_in_the_last_state(world):
    job = world.job(20)
    drawn = []

    def begin(bundle):
        drawn.append((world.clock.time_s, bundle))
        return lambda later: drawn.append((world.clock.time_s, later))

    shown = HtmlBar(job._view, begin=begin, note="a hint")
    for _ in range(100):
        shown.update()
        world.clock.sleep(0.05)
    assert len(drawn) <= 11
    assert "a hint" in drawn[0][1]["text/html"]
    world.finish(job)
    job._view.refresh()
    shown.update()
    shown.close()
    assert "20 completed" in drawn[-1][1]["text/html"]


def test_html_bar_of_a_job_that_is_over_draws_nothing(world):
    job = world.job(20)
    world.finish(job)
    job._view.refresh()
    shown = HtmlBar(job._view, begin=pytest.fail, note="")
    shown.update()
    shown.close()


# --- the board -----------------------------------------------------------------------------------


def test_board_reads_nothing_twice_of_jobs_that_ended(world):
    for number in range(3):
        world.finish(world.job(30, name=f"job{number}"))
    jobs = Jobs(world.repository, limit=10)
    first = jobs.look()
    before = world.requests()
    second = jobs.look()
    spent = world.requests() - before
    assert [line.label for line in first.lines] == [line.label for line in second.lines]
    assert spent["list"] <= 3
    assert spent["get"] == 3 + 1, "the job objects, since any of them may have been put to work again, and the bell"


def test_board_says_how_far_each_job_is(world):
    job = world.job(30, name="half", part_rows=10)
    world.write(job, 0, [("completed", 10)])
    text = board_text(Jobs(world.repository, limit=10).look())
    assert "half" in text
    assert "10 completed, 20 pending" in text


def test_segments_have_each_their_own_look():
    from oqkit.notebook.html import base_css

    assert all(f".oqkit-{name}{{background" in base_css() for name in SEGMENTS)
    assert len(set(INK.values())) == len(INK)
    assert set(INK) == set(SEGMENTS)


def test_every_status_of_a_task_has_its_place_in_the_bar():
    assert set(SEGMENTS) == {status.value for status in Status} | {"retrying"}
    assert {segment(TaskState(status=status)) for status in Status} == {status.value for status in Status}
    assert segment(TaskState(attempt=1)) == "retrying"


def test_failure_has_the_fields_that_are_shown():
    assert set(Failure.__dataclass_fields__) == {"type", "message", "traceback", "attempt", "worker"}
