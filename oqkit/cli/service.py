"""What commands have in common that run until a signal comes."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from oqkit.printable import PlainFormatter


def log_to_terminal() -> None:
    """Show what is logged, each line with its time."""
    handler = logging.StreamHandler()
    handler.setFormatter(PlainFormatter("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])


@contextmanager
def stopped_by_signals(stop: Callable[[int], None]) -> Iterator[None]:
    """Let SIGTERM and SIGINT call `stop` with their number; after the block they do what they did before."""
    asked = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.signal(number, lambda number, _: stop(number)) for number in asked}
    try:
        yield
    finally:
        for number, handle in before.items():
            signal.signal(number, handle)
