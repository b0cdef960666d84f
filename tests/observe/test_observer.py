"""Who is told what happens, and that it changes nothing of the work."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading

import pytest

from oqkit.observe import observer
from oqkit.observe.event import WorkerStarted, WorkerStopped
from oqkit.observe.observer import Listener, Observers
from tests.local import WAIT_S


def stopped(n):
    return WorkerStopped(at=float(n), worker=f"w{n}")


def tell(observers, *numbers):
    for n in numbers:
        observers.tell(WorkerStopped, lambda n=n: stopped(n))


def test_no_event_is_made_where_nobody_wants_it():
    observers = Observers()
    observers.on(WorkerStarted, lambda event: None)
    observers.tell(WorkerStopped, lambda: pytest.fail("made for nobody"))


def test_observer_is_told_in_order_and_in_another_thread():
    told = []
    observers = Observers([Listener(lambda event: told.append((event, threading.current_thread())))])
    tell(observers, *range(500))
    observers.flush(WAIT_S)
    assert [event for event, _ in told] == [stopped(n) for n in range(500)]
    assert threading.main_thread() not in {thread for _, thread in told}
    tell(observers, 500)  # its thread has ended meanwhile
    observers.flush(WAIT_S)
    assert told[-1][0] == stopped(500)


def test_what_oqkit_keeps_itself_is_told_of_its_kind_at_once():
    told = []
    observers = Observers()
    observers.on(WorkerStopped, told.append)
    observers.on(WorkerStarted, told.append)
    tell(observers, 1)
    assert told == [stopped(1)]


def test_observer_that_raises_is_told_more_and_that_is_said_once(caplog):
    told = []

    def fail(event):
        told.append(event)
        raise ValueError("not today")

    observers = Observers([Listener(fail), Listener(told.append)])
    with caplog.at_level(logging.WARNING, "oqkit"):
        tell(observers, 1, 2, 3)
        observers.flush(WAIT_S)
    assert len(told) == 6
    (record,) = caplog.records
    assert "fail" in record.getMessage()
    assert record.exc_info[0] is ValueError


def test_observer_that_ends_its_thread_is_told_more_and_that_is_said_once(caplog):
    told = []

    def leave(event):
        told.append(event)
        sys.exit(3)

    observers = Observers([Listener(leave)])
    tell(observers, 1, 2, 3)
    observers.flush(WAIT_S)
    assert told == [stopped(n) for n in (1, 2, 3)]
    assert len(caplog.records) == 1


def test_work_goes_on_where_no_thread_can_be_started_and_the_event_is_told_with_the_next(caplog, monkeypatch):
    told = []
    observers = Observers([Listener(told.append)])

    def refuse(thread):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as context:
        context.setattr(threading.Thread, "start", refuse)
        tell(observers, 1, 2)
        observers.flush(WAIT_S)
    assert told == []
    assert [record.getMessage().partition("cannot")[2] for record in caplog.records] == [
        " be told now, but with a later event: no thread can be started"
    ]
    tell(observers, 3)
    observers.flush(WAIT_S)
    assert told == [stopped(n) for n in (1, 2, 3)]


def test_events_are_told_and_waited_for_by_many_threads_at_once():
    told, problems = [], []
    observers = Observers([Listener(told.append)])

    def wait():
        try:
            while len(told) < 2_000:
                observers.flush(WAIT_S)
        except RuntimeError as error:
            problems.append(error)

    waiting = [threading.Thread(target=wait) for _ in range(2)]
    for thread in waiting:
        thread.start()
    tell(observers, *range(2_000))
    for thread in waiting:
        thread.join(WAIT_S)
    assert (problems, len(told)) == ([], 2_000)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks on Windows")
def test_fork_does_not_tell_what_its_parent_tells():
    run = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True, timeout=WAIT_S, check=True)
    assert sorted(run.stdout.split()) == ["child:w9", "parent:w0", "parent:w1", "parent:w2"], run.stderr


FORK = """
import os, time
from oqkit.observe.event import WorkerStopped
from oqkit.observe.observer import Listener, Observers

def late(event):
    time.sleep(0.1)
    os.write(1, f"{'parent' if os.getpid() == parent else 'child'}:{event.worker}\\n".encode())

parent = os.getpid()
observers = Observers([Listener(late)])
for n in range(3):
    observers.tell(WorkerStopped, lambda: WorkerStopped(at=0.0, worker=f"w{n}"))
child = os.fork()
if not child:
    observers.tell(WorkerStopped, lambda: WorkerStopped(at=0.0, worker="w9"))
    observers.flush(60)
    os._exit(0)
os.waitpid(child, 0)
"""


def test_slow_observer_keeps_neither_the_work_nor_others_waiting():
    go_on, told = threading.Event(), []
    observers = Observers([Listener(lambda event: go_on.wait(WAIT_S)), slow := Listener(told.append)])
    tell(observers, *range(10))
    slow.flush(WAIT_S)
    assert len(told) == 10
    observers.flush(0.01)  # in vain, but not for long
    go_on.set()
    observers.flush(WAIT_S)


def test_observer_that_is_too_slow_misses_the_newest_events_and_that_is_said_once(caplog, monkeypatch):
    monkeypatch.setattr(observer, "MOST_WAITING", 5)
    started, go_on, told = threading.Event(), threading.Event(), []

    def crawl(event):
        started.set()
        go_on.wait(WAIT_S)
        told.append(event)

    observers = Observers([Listener(crawl)])
    with caplog.at_level(logging.WARNING, "oqkit"):
        tell(observers, 0)
        assert started.wait(WAIT_S)
        tell(observers, *range(1, 10))
        go_on.set()
        observers.flush(WAIT_S)
    assert told == [stopped(n) for n in range(6)]
    assert [record.getMessage().partition(" is too slow, more than 5 events")[1] for record in caplog.records] == [
        " is too slow, more than 5 events"
    ]


def test_observer_may_submit_and_flush_itself():
    """It runs in the thread that a flush waits for."""
    told = []

    def look(event):
        observers.flush(WAIT_S)
        told.append(event)

    observers = Observers([Listener(look)])
    tell(observers, 1)
    observers.flush(WAIT_S)
    assert told == [stopped(1)]


SCRIPT = """
import time
from oqkit.observe.event import WorkerStopped
from oqkit.observe.observer import Listener, Observers

def late(event):
    time.sleep(0.2)
    print(event.worker, flush=True)

observers = Observers([Listener(late)])
for n in range(3):
    observers.tell(WorkerStopped, lambda: WorkerStopped(at=0.0, worker=f"w{n}"))
"""


def test_end_of_a_process_tells_what_waits():
    run = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=WAIT_S, check=True)
    assert (run.stdout, run.stderr) == ("w0\nw1\nw2\n", "")
