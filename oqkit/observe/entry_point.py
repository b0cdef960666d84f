"""Observers of installed packages, each only where this machine's own configuration names it.

A package adds one by an entry point of the group ``oqkit.observers``: under its name lies an `ObserverFactory`. It runs
in this process, so nothing that the queue holds can choose it: ``OQ_OBSERVERS``, or ``observers`` in your own oq.toml.
"""

from __future__ import annotations

from collections.abc import Callable

from oqkit.config import Settings
from oqkit.errors import UsageError
from oqkit.observe.observer import Observer
from oqkit.plugin import load_entry_point

GROUP = "oqkit.observers"

ObserverFactory = Callable[[Settings], Observer]
"""Makes an observer for one client or worker of the queue that the settings name; raises `UsageError` if it cannot."""


def installed_observers(chosen: Settings) -> list[Observer]:
    """Return the observers that the settings name, or raise `UsageError` if one is not installed."""
    names = [name for part in (chosen.observers or "").split(",") if (name := part.strip())]
    return [_factory(name)(chosen) for name in names]


def _factory(name: str) -> ObserverFactory:
    factory: ObserverFactory | None
    factory, others = load_entry_point(GROUP, name)
    if factory is None:
        raise UsageError(
            f"observer {name!r}, which OQ_OBSERVERS or your oq.toml names, is not installed here"
            + (f"; installed packages bring {', '.join(others)}" if others else "")
        )
    return factory
