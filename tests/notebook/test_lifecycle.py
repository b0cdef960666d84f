"""When a display looks, paints and freezes: the pure part of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from oqkit.notebook.lifecycle import (
    GONE_POLL_S,
    GONE_S,
    GRACE_S,
    HELLO_S,
    IN_USE_S,
    LINGER_S,
    LONGEST_S,
    PAINT_S,
    Lifecycle,
    Phase,
    Step,
)

NEW = Lifecycle(shortest_s=0.7)
OPEN = NEW.open(100.0, has_ended=False)
SEEN = OPEN.hear("a", 101.0, is_visible=True, is_use=True)


@pytest.mark.parametrize(
    ("life", "now", "step", "due"),
    (
        (NEW, 100.0, Step.NOTHING, None),
        (OPEN, 100.0, Step.LOOK, 100.0),
        (replace(OPEN, heard=101.0), 100.0 + HELLO_S, Step.LOOK, None),
        (SEEN, 500.0, Step.LOOK, 100.0),
        (SEEN.hear("a", 102.0, is_visible=False, is_use=False), 500.0, Step.LOOK, None),
        (SEEN.linger(), 101.0 + LINGER_S - 1, Step.NOTHING, 101.0 + LINGER_S),
        (SEEN.linger(), 101.0 + LINGER_S, Step.FREEZE, 101.0 + LINGER_S),
        (SEEN.with_panel(is_open=True).linger(), 101.0 + LINGER_S, Step.NOTHING, 101.0 + IN_USE_S),
        (OPEN.linger(), 100.0 + GRACE_S, Step.FREEZE, 100.0 + GRACE_S),
        (replace(SEEN, is_part=True).linger(), 10_000.0, Step.NOTHING, None),
        (SEEN.close(), 101.0, Step.NOTHING, None),
    ),
)
def test_step_and_its_time_follow_from_the_phase(life, now, step, due):
    assert (life.step(now), life.next_step(now)) == (step, due)


@pytest.mark.parametrize(
    ("life", "is_complete", "has_model", "freezes"),
    (
        (SEEN, True, True, True),
        (SEEN, False, True, False),
        (SEEN, False, False, True),
        (SEEN.with_panel(is_open=True), True, True, False),
        (replace(SEEN, had_ended=True), True, True, False),
        (replace(SEEN, fronts={}), False, True, True),
        (replace(SEEN, fronts={}, had_ended=True), False, True, False),
        (replace(SEEN, is_part=True), True, False, False),
    ),
)
def test_ended_job_is_frozen_when_nobody_can_or_wants_to_press_a_button(life, is_complete, has_model, freezes):
    assert life.freezes(102.0, is_complete=is_complete, has_model=has_model) is freezes


def test_hurry_brings_the_next_look_forward_but_not_within_the_rate_of_updates():
    resting = SEEN.paint(200.0, has_news=False).rest(200.0, took_s=2.0)
    assert resting.due == 206.0
    assert resting.hurry(200.1).due == 200.0 + PAINT_S
    assert resting.hurry(203.0).due == 203.0
    assert SEEN.linger().hurry(203.0).phase is Phase.FOLLOWING
    assert NEW.hurry(203.0).phase is Phase.CLOSED


def test_pause_grows_while_nothing_changes_and_is_short_again_after_news():
    life = SEEN
    for _ in range(20):
        life = life.rest(102.0, took_s=0.0)
    assert life.pause_s == LONGEST_S
    assert life.paint(103.0, has_news=False).pause_s == LONGEST_S
    assert life.paint(103.0, has_news=True).pause_s == 0.7


def test_front_ends_that_are_silent_for_long_are_asked_for_rarely():
    now = 102.0 + GONE_S
    assert SEEN.rest(now, took_s=0.0).due == now + GONE_POLL_S
