"""A clock for tests: time passes when somebody waits."""

from __future__ import annotations

EPOCH_S = 1_800_000_000.0


class FakeClock:
    """Moves only when it is told; `wall` is the time that a server would say."""

    def __init__(self, time_s: float = 1000.0) -> None:
        self.time_s = time_s

    def monotonic(self) -> float:
        return self.time_s

    def sleep(self, seconds: float) -> None:
        self.time_s += seconds

    def wall(self) -> float:
        return EPOCH_S + self.time_s
