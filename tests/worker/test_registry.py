"""What a worker says of the jobs that it leaves alone."""

from __future__ import annotations

import itertools
import sys
import threading

import pytest

import oqkit as oq
from oqkit.queue.eligibility import Hurdle, Refusal
from oqkit.queue.worker_record import MAX_REFUSALS
from oqkit.worker.registry import HandlerRegistry

_numbers = itertools.count()


@pytest.fixture
def registry():
    queue = oq.connect(f"memory://registry-{next(_numbers)}")
    return HandlerRegistry(queue.repository, [], trusts_code=True)


def refusal(detail):
    return Refusal(hurdle=Hurdle.INPUTS, detail=detail)


def said(registry):
    return [(one.subject, one.detail) for one in registry.noted()]


def test_newest_refusals_are_kept_the_newest_last(registry):
    for number in range(MAX_REFUSALS):
        registry.note(f"job {number}", refusal("first"))
    registry.note("job 0", refusal("again"))
    registry.note("one more", refusal("first"))
    expected = [*range(2, MAX_REFUSALS)]
    assert said(registry) == [*((f"job {n}", "first") for n in expected), ("job 0", "again"), ("one more", "first")]


def test_same_refusal_again_and_one_that_was_not_noted_are_no_news(registry):
    registry.note("job", refusal("why"))
    registry.note("job", refusal("  why\n"))
    registry.forget("another")
    assert registry.n_changes == 1
    registry.forget("job")
    assert (registry.n_changes, said(registry)) == (2, [])


@pytest.fixture
def hasty():
    """Let threads take turns after every few steps."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("hasty")
def test_refusals_are_told_while_other_threads_note_some(registry):
    """A report is written beside the slots that work."""
    is_over = threading.Event()
    for number in range(MAX_REFUSALS):
        registry.note(f"old {number}", refusal("why"))

    def note():
        for number in itertools.count():
            registry.note(f"job {number}", refusal("why"))
            registry.forget(f"job {number - 1}")
            if is_over.is_set():
                return

    threads = [threading.Thread(target=note) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(2_000):
            assert len(registry.noted()) <= MAX_REFUSALS
    finally:
        is_over.set()
        for thread in threads:
            thread.join()
