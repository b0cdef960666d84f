"""Every verb of a queue also acts on the default queue."""

from __future__ import annotations

import inspect

import pytest

import oqkit as oq
from oqkit.client import shortcut

VERBS = [name for name, _ in inspect.getmembers(oq.Queue, inspect.isfunction) if not name.startswith("_")]


def test_queue_has_verbs_of_every_file_that_it_is_made_of():
    assert {"submit", "submit_frame", "job", "jobs", "history", "workers"} <= set(VERBS)


@pytest.mark.parametrize("name", VERBS)
def test_every_verb_of_a_queue_is_a_shortcut(name: str):
    assert hasattr(shortcut, name), f"add to client/shortcut.py: {name} = _on_default(lambda queue: queue.{name})"
    assert getattr(shortcut, name).__wrapped__ is getattr(oq.Queue, name)
    assert getattr(oq, name, None) is getattr(shortcut, name), f"import {name} in oqkit/api.py"
    assert name in oq.__all__, f"list {name} in __all__ of oqkit/api.py"


def test_a_shortcut_uses_the_queue_that_was_connected_last(queue: oq.Queue):
    task = oq.submit("anything", 1)
    assert queue.get(task.id).id == task.id
    assert oq.get(task.id).id == task.id
    assert list(oq.jobs().index) == list(queue.jobs().index) == [task.job.id]
