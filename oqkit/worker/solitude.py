"""How a worker runs a row that may kill it: alone, so that nothing else of it is lost with it."""

from __future__ import annotations

from oqkit.worker.thread import Threads


class Solitude:
    """Counts what is at stake in a worker, and lets one of its slots wait until nothing but its own lease is."""

    def __init__(self, threads: Threads) -> None:
        self._lock = threads.lock()
        self._n_at_stake = 0
        self._owner: object | None = None
        self._isolated: object | None = None

    @property
    def is_asked_for(self) -> bool:
        """Whether somebody is alone, or wants to be: no lease may be taken, and those that run come to an end."""
        return self._owner is not None

    def is_asked_for_by_another(self, who: object) -> bool:
        """Whether somebody else than `who` is alone, or wants to be."""
        return self._owner is not None and self._owner is not who

    def enter(self) -> bool:
        """Put one more lease at stake, before it is claimed; return False if that may not be now."""
        with self._lock:
            if self._owner is None:
                self._n_at_stake += 1
            return self._owner is None

    def leave(self, who: object | None = None) -> None:
        """Note that a lease is no longer at stake: its last outcome is stored, or there was none to claim."""
        with self._lock:
            self._n_at_stake -= 1
            if who is not None and self._owner is who:
                self._owner = None
            if who is not None and self._isolated is who:
                self._isolated = None

    def ask(self, who: object) -> bool:
        """Ask for `who`, a lease at stake, to be alone; return False if somebody else asked before."""
        with self._lock:
            if self._owner is None:
                self._owner = who
            return self._owner is who

    def isolate(self, who: object) -> bool:
        """Let `who` be the one that runs in a process of its own, beside others; return False while another does.

        A child process may need as much memory as the worker itself: one more fits more surely than one a slot.
        """
        with self._lock:
            if self._isolated is None:
                self._isolated = who
            return self._isolated is who

    def is_granted(self, who: object) -> bool:
        """Whether `who` is alone now, and stays so until it leaves."""
        with self._lock:
            return self._owner is who and self._n_at_stake == 1
