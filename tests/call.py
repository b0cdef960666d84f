"""A function that notes its calls and waits at a gate; workers are threads of this process, and find it by its name."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pandas as pd
import pytest

from tests.local import WAIT_S

GATE = threading.Event()
STARTED: list[Any] = []
ENDED: list[Any] = []


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """Close the gate and forget all calls; who still waits when the test is over goes on."""
    GATE.clear()
    STARTED.clear()
    ENDED.clear()
    yield GATE
    GATE.set()


def gated(x: Any) -> Any:
    """Return ten times `x`, once the gate is open."""
    STARTED.append(x)
    assert GATE.wait(WAIT_S)
    ENDED.append(x)
    return x * 10


def frame(n: int) -> pd.DataFrame:
    """Return a frame of `n` numbered rows that have names."""
    return pd.DataFrame({"x": range(n)}, index=[f"r{row}" for row in range(n)])
