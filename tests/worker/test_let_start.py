"""A call of a limited job starts once it is let, and what is not let goes back; a lease that has begun gets somewhere."""

from __future__ import annotations

import math
import threading
from dataclasses import replace

import pytest

from oqkit.claim.limiter import Limiter, Ticket, _Places, _Starts
from oqkit.queue.limit import Limit
from oqkit.queue.quota import Token
from oqkit.queue.repository import open_repository
from oqkit.queue.rows import Rows
from oqkit.store.memory import MemoryStore
from oqkit.task.request import StartCall
from oqkit.worker.buffer import ResultBuffer
from oqkit.worker.call import run
from tests.worker.execution import work_of

CALLED: list[object] = []


def note(x):
    CALLED.append(x)
    return x


async def note_async(x):
    CALLED.append(x)
    return x


def note_batch(frame):
    CALLED.append(list(frame))
    if 3 in list(frame):
        raise ValueError("three")
    return frame


@pytest.fixture(autouse=True)
def _fresh():
    CALLED.clear()


def limited(function, answers, *, n=6, **more):
    """Run `n` rows; each `StartCall` gets the next of `answers`. Return the buffer, and whether each insisted."""
    asked = []

    def ask(_rows, request):
        assert isinstance(request, StartCall)
        asked.append(request.insists)
        return answers.pop(0)

    work = replace(work_of(function, Rows.span(0, n), **more), is_limited=True, ask=ask)
    buffer = ResultBuffer(limit=n)
    run(work, buffer)
    return buffer, asked


@pytest.mark.parametrize("function", (note, note_async), ids=["rows", "coroutines"])
def test_rows_start_as_they_are_let_and_the_others_go_back(function):
    buffer, asked = limited(function, [0.1, 0, 0, 0.1, 0, None])
    assert CALLED == [0, 1, 2]
    assert buffer.drain().all_rows() == Rows.span(0, 3)
    assert buffer.taken == 3
    assert asked == [True, True, False, False, False, False]


def test_a_batch_call_is_one_start_and_the_rest_goes_back():
    buffer, asked = limited(note_batch, [0, None], n=3, batch=True, first_batch=2)
    assert CALLED == [[0, 1]]
    assert buffer.drain().all_rows() == Rows.span(0, 2)
    assert asked == [True, False]


def test_halves_of_a_call_that_failed_insist_for_else_they_would_never_be_tried():
    buffer, asked = limited(note_batch, [0, 0.1, 0, 0, 0, 0], n=4, batch=True, first_batch=4)
    assert CALLED == [[0, 1, 2, 3], [0, 1], [2, 3], [2], [3]]
    assert buffer.drain().all_rows() == Rows.span(0, 4)
    assert asked == [True, True, True, True, True, True]


def test_waiting_is_not_taken_for_the_time_of_a_call():
    marks = []

    def ask(_rows, _request):
        marks.append(buffer.mark())
        return 0 if len(marks) % 3 == 0 else 0.1

    buffer = ResultBuffer(limit=2)
    run(replace(work_of(note, Rows.span(0, 2)), is_limited=True, ask=ask), buffer)
    assert len(set(marks)) == 6


def test_nothing_starts_under_a_ticket_that_was_given_back():
    limiter = Limiter(open_repository(MemoryStore()), worker="w", lease_s=60.0)
    ticket = Ticket(limiter._lock, [], [])
    assert ticket.take(0.0) == 0.0
    limiter.release(ticket)
    assert ticket.take(0.0) is None


def test_a_start_is_used_in_its_time_and_once():
    hand = _Starts()
    ticket = Ticket(threading.Lock(), [(hand, [Token(due=1.0, until=2.0), Token(due=5.0, until=6.0)])], [])
    assert ticket.take(0.5) == 0.5
    assert ticket.take(3.0) == 2.0
    assert hand.n_lost == 1
    assert ticket.take(5.0) == 0.0
    assert ticket.take(5.0) == math.inf


def test_a_place_that_was_lost_starts_nothing():
    places = _Places(Limit(name="type/x", most=2), 0.0, n=2, until=10.0, in_use=2)
    ticket = Ticket(threading.Lock(), [], [(places, 1)])
    assert ticket.take(5.0) == 0.0
    places.n = 1
    assert ticket.take(5.0) is None
    places.n = 2
    assert ticket.take(10.0) is None
