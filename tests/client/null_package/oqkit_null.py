"""A store for ``null://`` as a package of its own would bring it: it keeps nothing but what a process holds."""

from __future__ import annotations

from oqkit.config import Settings
from oqkit.store.memory import MemoryStore


class NullStore(MemoryStore):
    """A memory store that nobody else can open."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url


def open_null(settings: Settings) -> NullStore:
    """Return a new store for a URL such as ``null://anything``."""
    return NullStore(settings.url or "null://")
