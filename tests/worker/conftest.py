"""What these tests share."""

from __future__ import annotations

from tests.call import gate
from tests.local import folder_queue, queue, start

__all__ = ["folder_queue", "gate", "queue", "start"]
