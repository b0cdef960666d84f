"""The seam to places where workers run: this machine, or an engine that runs programs on others.

A launcher starts workers and says what became of them; a `oqkit.launch.supervisor.Supervisor` decides what to do about it.
Every place needs the same four things of a worker, so a new one is one file: see `oqkit.launch.local`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from oqkit.launch.command import WorkerCommand

EXIT_OUTDATED = 4
"""What a worker exits with that has loaded a module whose source has changed since: it is to be started anew."""


class StartedWorker(Protocol):
    """A worker that was started, whatever that is at its place: a process, or a job of an engine."""

    def exit_code(self) -> int | None:
        """Return what it ended with, below 0 if by force; None while it runs, or may still begin to. Asks quickly."""

    def stop(self) -> None:
        """Ask it to end once it has handed back what it has not started; returns at once. Ended: nothing happens."""

    def wait(self, timeout_s: float) -> bool:
        """Wait until it has ended, but not for longer; return whether it has."""

    def kill(self) -> None:
        """End it by force, and wait until it has ended."""


W_co = TypeVar("W_co", bound=StartedWorker, covariant=True)


class Launcher(Protocol[W_co]):
    """A place where workers run."""

    @property
    def name(self) -> str:
        """Return what its workers are called where people are told of them, such as ``Local workers``."""

    @property
    def log(self) -> str:
        """Return where it can be read what they say."""

    def start(self, command: WorkerCommand, n: int) -> Sequence[W_co]:
        """Start `n` workers, in one go if the place can; returns before they work."""

    def last_words(self) -> str:
        """Return the last line that one of them wrote; empty if none is known."""

    def close(self) -> None:
        """Free what it holds; all its workers have ended."""
