"""Verbs can be called as the contract writes them: what stands there without a name needs none."""

from __future__ import annotations

import inspect

import pytest

import oqkit as oq
from oqkit.client.queue import Queue

CALLS = {
    (Queue, "submit"): ("score", {"x": 1}),
    (Queue, "map"): ("score", []),
    (Queue, "submit_frame"): ("frame", "score"),
    (Queue, "reprioritize"): ("job", 200),
    (Queue, "pause"): ("why",),
    (Queue, "cancel"): ("job",),
    (Queue, "retry"): ("job", "failed"),
    (Queue, "jobs"): ("pending",),
    (Queue, "history"): ("id",),
    (Queue, "schedule"): ("name", "score", {"x": 1}),
    (Queue, "trigger"): ("name",),
    (Queue, "publish_schema"): ("score", {}),
    (oq.Job, "wait"): (5,),
    (oq.Job, "result"): (5,),
    (oq.Job, "tasks"): ("failed",),
    (oq.Job, "cancel"): ("all", "why"),
    (oq.Job, "retry"): ("failed", print),
    (oq.Job, "pause"): ("why",),
    (oq.Job, "reprioritize"): (5,),
    (oq.Job, "signal"): ("name", "value"),
    (oq.Task, "cancel"): ("why",),
    (oq.Task, "result"): (5,),
    (oq.Task, "signal"): ("name", "value"),
    (oq.Context, "progress"): (3, 10, "three"),
    (oq.Context, "extend_lease"): (60,),
    (oq.Context, "spawn"): (print, {"x": 1}),
    (oq.Context, "wait_for_signal"): ("name",),
    (oq.Context, "effect_key"): ("name",),
}


@pytest.mark.parametrize(("kind", "verb"), CALLS, ids=lambda one: getattr(one, "__name__", one))
def test_verb_is_called_as_the_contract_writes_it(kind, verb):
    inspect.signature(getattr(kind, verb)).bind(None, *CALLS[kind, verb])


def test_reason_of_a_pause_needs_no_name(queue):
    job = queue.map("work", [1, 2])
    job.pause("maintenance")
    assert "maintenance" in job.why()
    with pytest.raises(oq.errors.UsageError, match="reason=5"):
        job.pause(5)
