"""Why an order is given, and by whom: one rule for every verb that takes it, checked before anything is read or written."""

from __future__ import annotations

import inspect
from functools import partial

import pytest

import oqkit as oq
from oqkit.queue.bound import MAX_REASON

LONG = "é" * MAX_REASON
"""The longest reason."""
REFUSED = ("x" * (MAX_REASON + 1), 5, b"why", ["why"])
NEEDED = {
    "reprioritize": {"priority": 5},
    "tag": {"team": "a"},
    "signal": {"name": "n"},
    "pause_schedule": {"name": "s"},
    "publish_schema": {"type": "work", "schema": {"input": {"type": "object"}}},
}
"""What a verb has to be given besides."""
ABOUT_JOBS = ({"type": "work"}, {"tags": {"team": "a"}}, {"job": "work"}, {"type": "work", "dry_run": True})


def verbs(word):
    """Return (kind, verb) of everything that takes an order's `word`; a frame is cut ``by=`` a column, which is another thing."""
    kinds = {"queue": oq.Queue, "job": oq.Job, "task": oq.Task}
    return [
        (kind, name)
        for kind, one in kinds.items()
        for name, verb in inspect.getmembers(one, callable)
        if not name.startswith("_")
        and name not in {"submit_frame", "plan"}
        and word in inspect.signature(verb).parameters
    ]


@pytest.fixture
def things(queue):
    """A queue, a job of two tasks, and a single task."""
    queue.schedule("s", "work", {"x": 1}, every="1h")
    job = queue.map("work", [1, 2], name="work", tags={"team": "a"})
    return {"queue": queue, "job": job, "task": queue.submit("work", 3)}


def ways(things, kind, name):
    """Return how a verb is called, in each way that there is, but for the order's texts."""
    needed = dict(NEEDED.get(name, {}))
    if kind == "queue" and name == "reprioritize":
        needed["job"] = things["job"]
    is_about_jobs = kind == "queue" and name in {"cancel", "retry"}
    return [partial(getattr(things[kind], name), **about) for about in (ABOUT_JOBS if is_about_jobs else [needed])]


def test_verbs_that_take_a_reason_are_these():
    assert verbs("reason") == [
        ("queue", "cancel"), ("queue", "pause"), ("queue", "pause_schedule"), ("job", "cancel"), ("job", "pause"),
        ("task", "cancel"), ("task", "pause"),
    ]  # fmt: skip


def refused_everywhere(things, kind, name, *, told, **given):
    """Call a verb in each way, see that it is refused in these words and writes nothing, and return what it said last."""
    before = things["queue"].repository.store.requests.snapshot()
    for way in ways(things, kind, name):
        with pytest.raises(oq.UsageError, match=told) as refused:
            way(**given)
    assert (things["queue"].repository.store.requests.snapshot() - before).get("put", 0) == 0
    return str(refused.value)


@pytest.mark.parametrize("reason", REFUSED, ids=lambda one: f"{type(one).__name__} of {len(repr(one))}")
@pytest.mark.parametrize(("kind", "name"), verbs("reason"))
def test_reason_that_is_no_text_or_too_long_is_refused_before_anything_is_written(things, kind, name, reason):
    told = r"^reason=.* must be text of at most 4,000 characters"
    said = refused_everywhere(things, kind, name, told=told, reason=reason)
    assert not isinstance(reason, str) or f"this has {len(reason):,}" in said


@pytest.mark.parametrize("reason", (LONG, "", None, "two\nlines"), ids=lambda one: repr(one)[:20])
@pytest.mark.parametrize(("kind", "name"), verbs("reason"))
def test_longest_reason_and_none_at_all_are_taken(things, kind, name, reason):
    ways(things, kind, name)[0](reason=reason)


def test_longest_reason_of_a_cancel_is_kept_whole(things):
    things["job"].cancel(reason=LONG)
    history = things["queue"].history(f"{things['job'].id}.0")
    assert history["note"].tolist()[-1] == LONG


@pytest.mark.parametrize("by", ("", 5, "x" * 513), ids=lambda one: f"{type(one).__name__} of {len(repr(one))}")
@pytest.mark.parametrize(("kind", "name"), verbs("by"))
def test_who_gives_an_order_is_text_of_1_to_512_characters(things, kind, name, by):
    refused_everywhere(things, kind, name, told=r"^by=.* must be text of 1 to 512 characters", by=by)
