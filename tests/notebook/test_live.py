from __future__ import annotations

import itertools
import time

import pytest

from oqkit.errors import Unavailable
from oqkit.notebook.display_manager import DisplayManager
from oqkit.notebook.lifecycle import LINGER_S, PAINT_S
from oqkit.notebook.live import Live
from oqkit.notebook.message import MessageHandler
from oqkit.notebook.state import size_bytes
from tests.notebook.world import Model


def spacing(times):
    return [round(b - a, 3) for a, b in itertools.pairwise(times)]


def test_display_looks_at_most_twice_a_second_however_much_happens(world):
    job = world.job(1000, part_rows=10)
    live = world.live(job)
    done = itertools.count()

    def work():
        index = next(done)
        if index < 100:
            world.write(job, index, [("completed", 10)])

    world.run(live, 10, each=work)
    painted = [at for at, _ in world.model.painted]
    assert len(painted) > 3
    assert min(spacing(painted)) >= PAINT_S - 0.001


def test_update_stays_small_on_a_million_tasks_in_a_hundred_parts(world):
    job = world.job(1_000_000, part_rows=10_000, name="n" * 200)
    start = time.perf_counter()
    live = world.live(job)
    for index in range(100):
        world.write(
            job,
            index,
            [("completed", 4_000), ("failed", 1_000), ("running", 3_000), ("retrying", 500), ("pending", 1_500)],
        )
        if index % 10 == 0:
            world.run(live, 1)
    assert max(size for _, size in world.model.painted) <= 10_000
    assert max(size for _, _, size in world.screen.updates or [(0, "", 0)]) <= 10_000
    print(f"painted {len(world.model.painted)} times, at most {max(s for _, s in world.model.painted)} bytes")
    assert time.perf_counter() - start < 60


def test_refresh_on_a_million_tasks_costs_one_listing_and_a_get_for_each_changed_part(world):
    job = world.job(1_000_000, part_rows=10_000)
    for index in range(100):
        world.write(job, index, [("completed", 5_000), ("pending", 5_000)])
    live = world.live(job)
    before = world.requests()
    for index in range(7):
        world.write(job, index, [("completed", 10_000)])
    wrote = world.requests() - before
    before = world.requests()
    world.clock.sleep(1)
    live.tick()
    spent = world.requests() - before
    assert dict(spent) == {"list": 1, "get": 7}, wrote


def test_first_snapshot_of_a_million_tasks_takes_less_than_a_second(world):
    job = world.job(1_000_000, part_rows=10_000)
    for index in range(100):
        world.write(job, index, [("completed", 5_000), ("failed", 10), ("pending", 4_990)])
    live = Live(job, screen=world.screen)
    start = time.process_time()  # a busy machine makes no difference
    live.watch.refresh()
    live.model = Model(world.clock)
    live.paint(live.watch.snapshot())
    live.bundle(live.watch.snapshot(), note="")
    took_s = time.process_time() - start
    print(f"first look and paint: {took_s:.3f} s")
    assert took_s < 1


@pytest.mark.slow
def test_page_of_a_million_tasks_is_sent_alone_and_small(world):
    job = world.job(1_000_000, part_rows=10_000)
    for index in range(100):
        world.write(job, index, [("completed", 10), ("failed", 10)] * 500)
    live = world.live(job)
    handler = MessageHandler(live, wake=lambda: None)
    start = time.perf_counter()
    page = handler.answer({"op": "page", "id": 1, "view": "v", "status": "failed", "offset": 499_990})
    took_s = time.perf_counter() - start
    print(f"a page among 100,000 runs: {took_s:.2f} s, {size_bytes(page)} bytes")
    assert page["found"] == 500_000
    assert [row[0] for row in page["rows"]][-1] == 999_999
    assert size_bytes(page) <= 10_000


def test_ten_displays_of_a_job_cost_no_more_requests_than_one(world):
    def cost(n_displays):
        job = world.job(100, part_rows=10, name=f"job{n_displays}")
        displays = DisplayManager(world.screen)
        displays.wake = lambda: None
        for _ in range(n_displays):
            live = displays.live(job)
            live.model = live.model or Model(world.clock)
            displays.open(live, f"d{next(world.serial)}")
        before = world.requests()
        end = world.clock.time_s + 30
        while world.clock.time_s < end:
            if displays.pause_s() == 0:
                displays.step()
            world.clock.sleep(0.05)
        return world.requests() - before

    one, ten = cost(1), cost(10)
    assert one == ten
    assert sum(one.values()) > 5


def test_displays_through_two_handles_of_a_job_share_its_poller(world):
    job = world.job(100, name="same")
    displays = DisplayManager(world.screen)
    displays.wake = lambda: None
    displays.open(displays.live(job), "d1")
    assert displays.live(world.queue.job("same")) is displays.live(job)


@pytest.mark.parametrize("how", ("hidden", "closed", "done"))
def test_poller_asks_nothing_more_when(world, how):
    job = world.job(100)
    live = world.live(job)
    world.run(live, 2)
    if how == "done":
        world.finish(job, "failed")
        world.run(live, 3)
    else:
        live.hear("front", is_visible=False if how == "hidden" else None)
        world.clock.sleep(61)
    before = world.requests()
    world.run(live, 120)
    assert world.requests() == before


def test_poller_goes_on_when_a_hidden_display_is_seen_again(world):
    job = world.job(100)
    live = world.live(job)
    live.hear("front", is_visible=False)
    world.clock.sleep(100)
    assert live.due() is None
    live.hear("front", is_visible=True)
    assert live.due() <= world.clock.time_s


def test_poller_slows_down_when_no_browser_has_spoken_for_long(world):
    job = world.job(100)
    live = world.live(job)
    world.run(live, 1000, step=0.5)
    before = world.requests()
    world.run(live, 600, step=0.5)
    assert sum((world.requests() - before).values()) <= 11


def test_quiet_job_is_asked_ever_more_rarely_up_to_five_seconds(world):
    job = world.job(100)
    live = world.live(job)
    world.run(live, 60)
    before = world.requests()
    world.run(live, 60, each=lambda: live.hear("front", is_visible=True))
    assert 10 <= sum((world.requests() - before).values()) <= 14


def test_completed_job_freezes_to_static_html(world):
    job = world.job(20)
    live = world.live(job)
    model = live.model
    world.run(live, 1)
    world.finish(job)
    world.run(live, 8)
    saved = world.screen.saved["d0"]
    assert sorted(saved) == ["text/html", "text/plain"]
    assert "20 completed" in saved["text/plain"]
    assert "20 completed" in saved["text/html"]
    assert model.is_closed
    assert model.state == {}
    assert live.due() is None


def test_failed_job_keeps_its_buttons_but_saves_the_final_state(world):
    job = world.job(20)
    live = world.live(job)
    world.run(live, 1)
    world.finish(job, "failed")
    world.run(live, 8)
    saved = world.screen.saved["d0"]
    assert "20 failed" in saved["text/html"]
    assert "application/vnd.jupyter.widget-view+json" in saved
    assert not world.model.is_closed


def test_failed_job_freezes_when_nobody_used_it_for_long(world):
    job = world.job(20)
    live = world.live(job)
    world.finish(job, "failed")
    world.run(live, 8)
    model = live.model
    world.run(live, LINGER_S + 10, step=1)
    assert model.is_closed
    assert sorted(world.screen.saved["d0"]) == ["text/html", "text/plain"]


def test_failed_job_freezes_at_once_where_no_browser_ever_spoke(world):
    job = world.job(20)
    live = world.live(job, front=False)
    world.finish(job, "failed")
    world.run(live, 8)
    assert sorted(world.screen.saved["d0"]) == ["text/html", "text/plain"]


def test_display_without_a_widget_follows_along_as_html(world):
    job = world.job(20)
    live = world.live(job, model=False, front=False)
    world.run(live, 2)
    world.write(job, 0, [("completed", 10)])
    world.run(live, 6)
    assert "10 completed" in world.screen.saved["d0"]["text/html"]
    assert min(spacing([at for at, _, _ in world.screen.updates])) >= PAINT_S - 0.001
    assert max(size for _, _, size in world.screen.updates) <= 10_000


def test_queue_that_does_not_answer_is_said_in_the_display_and_asked_again(world, monkeypatch):
    job = world.job(100)
    live = world.live(job)

    def fail(*_args, **_kwargs):
        raise Unavailable("no route")

    with monkeypatch.context() as patch:
        patch.setattr(world.store, "list", fail)
        world.run(live, 5)
    assert "no route" in world.model.state["advice"]
    world.run(live, 10)
    assert "no route" not in world.model.state["advice"]


def test_defect_in_a_display_is_shown_there_and_never_printed(world, monkeypatch, capfd):
    job = world.job(100)
    displays = DisplayManager(world.screen)
    live = world.live(job)

    def fail():
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr(live, "_look", fail)
    displays.tick(live)
    assert "a defect" in world.screen.saved["d0"]["text/plain"]
    assert capfd.readouterr() == ("", "")


def test_hub_thread_ends_when_nothing_is_left_to_look_at(world):
    world.clock.monotonic = time.monotonic
    job = world.job(20)
    world.finish(job)
    displays = DisplayManager(world.screen)
    displays.open(displays.live(job), "d1")
    thread = displays._thread
    if thread is not None:
        thread.join(10)
    assert displays._thread is None
    assert "20 completed" in world.screen.saved["d1"]["text/plain"]


def test_final_state_is_saved_once_however_often_somebody_looks(world):
    job = world.job(20)
    live = world.live(job)
    world.finish(job, "failed")
    world.run(live, 8)
    n_saved = len(world.screen.updates)
    handler = MessageHandler(live, wake=lambda: None)
    for name in ("a", "b", "c"):  # a front end that draws the output anew says bye and hello
        handler.hear({"op": "bye", "view": "front"})
        handler.hear({"op": "hello", "view": name})
        handler.hear({"op": "panels", "view": name, "tasks": True})
        handler.hear({"op": "panels", "view": name})
        world.run(live, 2)
    assert len(world.screen.updates) == n_saved == 1


@pytest.mark.parametrize("speaks", (True, False))
def test_display_of_a_job_that_had_ended_waits_for_its_browser_a_moment(world, speaks):
    job = world.job(20)
    world.finish(job, "failed")
    live = world.live(job, front=False)
    world.run(live, 2)
    assert not world.model.is_closed
    if speaks:
        live.hear("front", is_visible=True)
    world.run(live, 30)
    assert world.model.is_closed is not speaks
