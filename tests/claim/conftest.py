"""What these tests share."""

from __future__ import annotations

from tests.queue.conftest import world

__all__ = ["world"]
