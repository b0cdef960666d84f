"""What these tests share."""

from __future__ import annotations

from tests.local import queue

__all__ = ["queue"]
