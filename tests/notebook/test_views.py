"""Snapshots, and the pure views of them."""

from __future__ import annotations

import html.parser
import json
import subprocess
import sys

import nbformat
import pytest

import oqkit as oq
from oqkit.notebook.bar import HtmlBar
from oqkit.notebook.board import Jobs, board_html, board_state, board_text
from oqkit.notebook.html import to_html
from oqkit.notebook.humanize import duration, money, percent, short, speed
from oqkit.notebook.message import MessageHandler
from oqkit.notebook.progress import ProgressHistory, histogram, rate, speeds
from oqkit.notebook.snapshot import SEGMENTS
from oqkit.notebook.state import fitted, size_bytes, to_state
from oqkit.notebook.text import bar, to_text
from oqkit.task.failure import Failure
from tests.notebook.xss import CORPUS


def snapshot_of(live):
    live.watch.refresh()
    return live.watch.snapshot()


def failures(rows, *, kind="ValueError", message="bad", traceback="Traceback"):
    """Return an inline output: these rows failed."""
    failed = {
        row: {"type": kind, "message": message, "traceback": traceback, "attempt": 1, "worker": "w"} for row in rows
    }
    return {"rows": [], "values": [], "failures": failed}


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


# --- speed ---------------------------------------------------------------------------------------


def test_rate_is_of_the_last_half_minute():
    trace = ProgressHistory(points=((0.0, 0), (100.0, 1000), (110.0, 1100), (130.0, 1300)))
    assert rate(trace, now=130.0) == pytest.approx(10.0)
    assert rate(trace, now=200.0) is None


def test_speeds_hold_every_task_once():
    trace = ProgressHistory(points=((0.0, 0), (5.0, 50), (60.0, 100), (61.0, 400)))
    each = speeds(trace, now=100.0, bins=20)
    assert sum(each) * 100 / 20 == pytest.approx(400)
    assert all(value >= 0 for value in each)


def test_trace_stays_short_however_long_it_is_watched():
    trace = ProgressHistory()
    for number in range(10_000):
        trace = trace.seen(float(number), number)
    assert len(trace.points) <= 400
    assert trace.points[0] == (0.0, 0)
    assert trace.points[-1] == (9999.0, 9999)


def test_histogram_counts_every_task_and_has_few_bars():
    bars = histogram([(0.001, 5), (0.0011, 7), (0.3, 2), (900.0, 1)])
    assert sum(n for _, n in bars) == 15
    assert len(bars) <= 12
    assert histogram([]) == ()


def test_estimated_requests_are_near_what_was_sent(tmp_path):
    queue = oq.connect(tmp_path / "q")
    job = queue.map(abs, range(300), part_rows=30)
    worker = oq.Worker(queue, [oq.task(abs, name="abs")] if job.type == "abs" else [], trust_code=True)
    worker.run(until_idle=True)
    from oqkit.notebook.live import Live

    live = Live(job, screen=None)
    sent = sum(queue.repository.store.requests.snapshot().values())
    told = sum(snapshot_of(live).requests.values())
    print(f"sent {sent}, told {told}")
    assert job.status == "completed"
    assert sent / 3 <= told <= sent * 3


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


# --- questions from a browser ---------------------------------------------------------------------


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


# --- foreign text ---------------------------------------------------------------------------------


class Collected(html.parser.HTMLParser):
    """Which tags and attributes there are in some HTML, and its text."""

    def __init__(self, text):
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data):
        self.text += data


KNOWN_TAGS = {
    "style",
    "div",
    "p",
    "b",
    "span",
    "figure",
    "figcaption",
    "svg",
    "polygon",
    "polyline",
    "rect",
    "details",
    "summary",
    "pre",
    "table",
    "thead",
    "tbody",
    "tr",
    "th",
    "td",
}
KNOWN_ATTRIBUTES = {
    "class",
    "style",
    "role",
    "aria-label",
    "title",
    "viewbox",
    "preserveaspectratio",
    "points",
    "x",
    "y",
    "width",
    "height",
    "scope",
}


def hostile(world, text, number):
    """Return a job with a foreign text wherever one can be: name, worker, error and traceback."""
    job = world.job(10, name=f"{text} {number}"[:500], fn="work", tags={"tag": text})
    output = failures(range(2), kind=text, message=text, traceback=f"Traceback\n{text}")
    world.write(job, 0, [("failed", 2), ("running", 8)], output="o", outputs={"o": output}, worker=text)
    return job


def test_corpus_holds_fifty_different_attacks():
    assert len(set(CORPUS)) == len(CORPUS) == 50


@pytest.mark.parametrize("text", CORPUS)
def test_foreign_text_stays_text_in_static_html(world, text):
    live = world.live(hostile(world, text, 1))
    made = Collected(to_html(snapshot_of(live), note=text))
    assert made.tags <= KNOWN_TAGS
    assert made.attributes <= KNOWN_ATTRIBUTES
    board = Jobs(world.repository, limit=5).look()
    table = Collected(board_html(board, note=text))
    assert table.tags <= KNOWN_TAGS
    assert table.attributes <= KNOWN_ATTRIBUTES
    assert json.dumps(board_state(board))


@pytest.mark.parametrize("text", CORPUS)
def test_foreign_text_cannot_steer_a_terminal(world, text):
    plain = to_text(snapshot_of(world.live(hostile(world, text, 1))))
    assert all(letter.isprintable() or letter == "\n" for letter in plain)
    told = board_text(Jobs(world.repository, limit=5).look())
    assert all(letter.isprintable() or letter == "\n" for letter in told)


def test_foreign_text_goes_to_the_widget_as_it_is(world):
    live = world.live(hostile(world, CORPUS[0], 1))
    state = to_state(snapshot_of(live))
    assert CORPUS[0] in state["label"]
    assert "innerHTML" not in widget_source()
    assert "insertAdjacentHTML" not in widget_source()
    assert "outerHTML =" not in widget_source()


def widget_source():
    from oqkit.notebook.html import read_front

    return read_front("widget.js")


@pytest.mark.slow
def test_foreign_text_stays_text_in_what_nbconvert_makes(world, tmp_path):
    cells = []
    for number, text in enumerate(CORPUS):
        live = world.live(hostile(world, text, number))
        bundle = live.bundle(snapshot_of(live), note=text)
        output = nbformat.v4.new_output("display_data", data=bundle)
        cells.append(nbformat.v4.new_code_cell("job", outputs=[output]))
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "hostile.ipynb")
    command = [
        sys.executable,
        "-m",
        "nbconvert",
        "--to",
        "html",
        "--template",
        "basic",
        str(tmp_path / "hostile.ipynb"),
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=100)
    made = Collected((tmp_path / "hostile.html").read_text(encoding="utf-8"))
    assert made.text.count("2 failed") == 50
    assert not made.tags & {
        "script",
        "iframe",
        "img",
        "object",
        "embed",
        "form",
        "input",
        "base",
        "link",
        "meta",
        "video",
        "audio",
    }
    assert not {name for name in made.attributes if name.startswith("on") or name in {"src", "srcdoc", "formaction"}}


# --- the bar of a blocking wait -------------------------------------------------------------------


def test_html_bar_draws_at_most_twice_a_second_and_ends_in_the_last_state(world):
    job = world.job(20)
    drawn = []

    def begin(bundle):
        drawn.append((world.clock.now, bundle))
        return lambda later: drawn.append((world.clock.now, later))

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
    assert spent["get"] == 3, "the job objects, since any of them may have been put to work again"


def test_board_says_how_far_each_job_is(world):
    job = world.job(30, name="half", part_rows=10)
    world.write(job, 0, [("completed", 10)])
    text = board_text(Jobs(world.repository, limit=10).look())
    assert "half" in text
    assert "10 completed, 20 pending" in text


def test_segments_have_each_their_own_look():
    from oqkit.notebook.html import base_css

    assert all(f".oqkit-{name}{{background" in base_css() for name in SEGMENTS)


def test_failure_has_the_fields_that_are_shown():
    assert set(Failure.__dataclass_fields__) == {"type", "message", "traceback", "attempt", "worker"}
