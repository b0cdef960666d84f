"""What these tests share."""

from __future__ import annotations

from tests.local import folder_queue, queue, quick_news, start

__all__ = ["folder_queue", "queue", "quick_news", "start"]
