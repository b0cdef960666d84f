"""When a display looks, paints and freezes: a value of closed phases, changed by pure functions of the time.

A display follows its job until that has ended. One that may still want a button, to retry what failed,
then keeps its widget for a while; then, or at once, it becomes static HTML for good. All times are
monotonic seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum, auto
from typing import assert_never

PAINT_S = 0.5
"""No two updates of one display are nearer than this."""
LONGEST_S = 5.0
GROWTH = 1.3
LINGER_S, IN_USE_S = 60.0, 600.0
"""How long an ended job keeps its buttons after their last use: without and with a panel open."""
HELLO_S = 60.0
GRACE_S = 20.0
"""How long a browser may take to draw the display of a job that had ended before."""
SILENT_S, SILENT_POLL_S = 120.0, 10.0
GONE_S, GONE_POLL_S = 900.0, 60.0


class Phase(StrEnum):
    """Where a display is."""

    CLOSED = auto()
    """Nothing of it is on the screen, or only static HTML."""
    FOLLOWING = auto()
    """The job may still change by itself."""
    LINGERING = auto()
    """The job has ended and its end is saved; the buttons still work."""


class Step(StrEnum):
    """What is to be done now."""

    NOTHING = auto()
    LOOK = auto()
    FREEZE = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifecycle:
    """One display's place between opened and frozen."""

    shortest_s: float
    """The shortest time between two looks."""
    is_part: bool = False
    """Whether it is a part of a board, which is never frozen by itself."""
    phase: Phase = Phase.CLOSED
    fronts: Mapping[str, bool] = field(default_factory=dict)
    """The places in browsers where the widget is drawn, and whether each is visible."""
    is_in_use: bool = False
    """Whether a panel of it is open."""
    had_ended: bool = False
    """Whether the job had ended when the display was opened, and was not put to work again since."""
    opened: float = 0.0
    heard: float = 0.0
    """When a front end last spoke."""
    used: float = 0.0
    """When a person last used it."""
    painted: float = float("-inf")
    due: float = 0.0
    """When to look next."""
    pause_s: float = 0.0

    # --- what happens to it ----------------------------------------------------------------------

    def open(self, now: float, *, has_ended: bool) -> Lifecycle:
        """Take in one more display, which looks at once."""
        new = replace(self, phase=Phase.FOLLOWING, opened=now, heard=now, used=now, due=now, had_ended=has_ended)
        return new.hurry(now)

    def hear(self, front: str, now: float, *, is_visible: bool | None, is_use: bool) -> Lifecycle:
        """Note that a front end spoke; `is_visible` None means that it closed."""
        others = {name: visible for name, visible in self.fronts.items() if name != front}
        fronts = others if is_visible is None else {**others, front: is_visible}
        new = replace(self, heard=now, used=now if is_use else self.used, fronts=fronts)
        return new.hurry(now) if new.is_watched(now) and not self.is_watched(now) else new

    def with_panel(self, *, is_open: bool) -> Lifecycle:
        """Note whether a panel of it is open."""
        return replace(self, is_in_use=is_open)

    def hurry(self, now: float) -> Lifecycle:
        """Look again as soon as the rate of updates allows."""
        phase = Phase.CLOSED if self.phase is Phase.CLOSED else Phase.FOLLOWING
        due = min(self.due, max(now, self.painted + PAINT_S))
        return replace(self, phase=phase, pause_s=self.shortest_s, due=due)

    def see(self, *, is_final: bool) -> Lifecycle:
        """Note whether the job had ended at the last look."""
        return replace(self, had_ended=self.had_ended and is_final)

    def rest(self, now: float, *, took_s: float) -> Lifecycle:
        """Note that a look, with what it painted, is over: the next comes the later the longer nothing changes."""
        wait_s = max(self.pause_s, 3 * took_s, self._silence_s(now))
        return replace(self, due=now + wait_s, pause_s=min(self.pause_s * GROWTH, LONGEST_S))

    def paint(self, now: float, *, has_news: bool) -> Lifecycle:
        """Note that a state was sent; `has_news` if it differs by more than the time."""
        return replace(self, painted=now, pause_s=self.shortest_s if has_news else self.pause_s)

    def linger(self) -> Lifecycle:
        """Note that the end of the job is saved, and that buttons stay."""
        return replace(self, phase=Phase.LINGERING)

    def close(self) -> Lifecycle:
        """Note that nothing of it is live any more."""
        return replace(self, phase=Phase.CLOSED, fronts={})

    # --- what follows from it --------------------------------------------------------------------

    def is_watched(self, now: float) -> bool:
        """Whether somebody may be looking: a visible front, or a display that has not had time to say hello."""
        if any(self.fronts.values()):
            return True
        return self.heard <= self.opened or (not self.fronts and now - self.opened < HELLO_S)

    def is_silent(self, now: float) -> bool:
        """Whether no front end has spoken for so long that it may be gone."""
        return self._silence_s(now) > 0

    def next_step(self, now: float) -> float | None:
        """Return when `step` next has something to do, or None while nobody looks or there is nothing to see."""
        match self.phase:
            case Phase.CLOSED:
                return None
            case Phase.FOLLOWING:
                return self.due if self.is_watched(now) else None
            case Phase.LINGERING:
                return None if self.is_part else self._end_of_buttons()
            case _:
                assert_never(self.phase)

    def step(self, now: float) -> Step:
        """Return what is to be done now."""
        match self.phase:
            case Phase.CLOSED:
                return Step.NOTHING
            case Phase.FOLLOWING:
                return Step.LOOK
            case Phase.LINGERING:
                is_over = not self.is_part and now >= self._end_of_buttons()
                return Step.FREEZE if is_over else Step.NOTHING
            case _:
                assert_never(self.phase)

    def freezes(self, now: float, *, is_complete: bool, has_model: bool) -> bool:
        """Whether a job that has ended is frozen at once: nobody can or wants to press a button any more."""
        if self.is_part:
            return False
        is_done_here = is_complete and not self.had_ended
        is_alone = not self.fronts and not (self.had_ended and now - self.opened < GRACE_S)
        return not has_model or is_alone or (is_done_here and not self.is_in_use)

    def _end_of_buttons(self) -> float:
        if not self.fronts:
            return self.opened + GRACE_S
        return self.used + (IN_USE_S if self.is_in_use else LINGER_S)

    def _silence_s(self, now: float) -> float:
        """Return how long to wait at least, when no front end has spoken for long: it may be gone for good."""
        silent_s = now - self.heard
        if silent_s > GONE_S:
            return GONE_POLL_S
        return SILENT_POLL_S if silent_s > SILENT_S else 0.0
