"""Observers: who is told what happens here, and how that changes nothing of the work.

An observer is a function that takes an `Event`, and passes over those that it does not know. It is called in a thread
of its own, one event after the other in the order in which they happened, so it may be slow and it may raise. It looks;
it cannot refuse or change anything.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, TypeVar
from weakref import WeakSet

from oqkit.clock import SystemClock
from oqkit.observe.event import Event

log = logging.getLogger(__name__)

Observer = Callable[[Event], None]
E = TypeVar("E", bound=Event)

MOST_WAITING = 10_000
"""How many events wait for a slow observer; of more, the newest are left out."""
EXIT_S = 2.0
"""How long the end of the process waits for observers."""


class Listener:
    """One observer, and the thread that calls it, which exists while there is something to tell."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._waiting: deque[Event] = deque()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._said: set[str] = set()
        _listeners.add(self)

    def hear(self, event: Event) -> None:
        """Let the observer be told, soon."""
        with self._lock:
            is_left_out = len(self._waiting) >= MOST_WAITING
            if not is_left_out:
                self._waiting.append(event)
            problem = self._begin()
        if is_left_out:
            self._say("slow", f"is too slow, more than {MOST_WAITING:,} events wait for it: others are left out")
        if problem is not None:
            self._say("thread", "cannot be told now, but with a later event: no thread can be started", problem)

    def flush(self, patience_s: float) -> bool:
        """Wait until the observer was told everything, but not for longer; return whether it was."""
        with self._lock:
            thread = self._thread
        if thread is None:
            return True
        if thread is not threading.current_thread():
            thread.join(patience_s)
        return not thread.is_alive()

    def forget(self) -> None:
        """Begin anew in a process that was forked: the parent tells what waits, in a thread that is not here."""
        self._waiting.clear()
        self._thread, self._lock = None, threading.Lock()

    def _begin(self) -> RuntimeError | None:
        """Have a thread that tells what waits, or return why there is none. The lock is held."""
        if self._thread is not None and self._thread.is_alive():
            return None
        thread = threading.Thread(target=self._tell, name="oqkit-observer", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # there are too many, or the process ends
            return error
        self._thread = thread
        return None

    def _tell(self) -> None:
        while (event := self._next()) is not None:
            try:
                self._observer(event)
            except BaseException as error:  # noqa: BLE001 - somebody's own function, in a thread of its own
                self._say("raised", "raised an error, and goes on to be told what happens", error)

    def _next(self) -> Event | None:
        with self._lock:
            if not self._waiting:
                self._thread = None
                return None
            return self._waiting.popleft()

    def _say(self, kind: str, what: str, error: BaseException | None = None) -> None:
        """Tell people, once for each kind of trouble."""
        with self._lock:
            is_new = kind not in self._said
            self._said.add(kind)
        if is_new:
            log.warning("observer %r %s", self._observer, what, exc_info=error)


class Observers:
    """Whom to tell what happens in one client or worker; mostly nobody, and then no event is made."""

    def __init__(self, listeners: Iterable[Listener] = ()) -> None:
        self.listeners = tuple(listeners)
        self._inside: dict[type, list[Callable[[Any], None]]] = {}

    def add(self, listener: Listener) -> None:
        """Tell one more from now on."""
        self.listeners = (*self.listeners, listener)

    def on(self, kind: type[E], call: Callable[[E], None]) -> None:
        """Have `call` told of one kind of event at once, in the thread where it happens: for what oqkit itself keeps."""
        self._inside.setdefault(kind, []).append(call)

    def tell(self, kind: type[E], make: Callable[[], E]) -> None:
        """Tell of an event of this kind, which is made only if somebody wants to know; returns at once."""
        calls = self._inside.get(kind, ())
        if not calls and not self.listeners:
            return
        event = make()
        for call in calls:
            call(event)
        for listener in self.listeners:
            listener.hear(event)

    def flush(self, patience_s: float) -> None:
        """Wait until all were told everything, but not for longer."""
        _flush(self.listeners, patience_s)


_listeners: WeakSet[Listener] = WeakSet()


def _flush(listeners: Iterable[Listener], patience_s: float) -> None:
    clock = SystemClock()
    end = clock.monotonic() + patience_s
    for listener in listeners:
        listener.flush(max(0.0, end - clock.monotonic()))


@atexit.register
def _flush_all() -> None:
    """Tell what waits before the process ends: the thread of a listener does not keep it."""
    _flush(list(_listeners), EXIT_S)


def _forget_all() -> None:
    for listener in list(_listeners):
        listener.forget()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_forget_all)
