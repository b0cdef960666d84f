"""A pause in words, for whoever waits."""

from __future__ import annotations

from oqkit.queue.job import Control
from oqkit.queue.pause import PauseSign

_UNITS = ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min"))


def pause_note(sign: PauseSign, *, now: float) -> str:
    """Say what is paused, by whom, since when, for how long, why, and what ends it; `now` in epoch seconds."""
    what = f"Tasks of type {sign.type!r} are paused" if sign.type else "The queue is paused"
    call = f"oq.resume(type={sign.type!r})" if sign.type else "oq.resume()"
    return f"{what}{pause_facts(sign, now=now)}. {call} ends it."


def job_pause_note(order: Control, *, now: float) -> str:
    """Say of the pause of a single job what `pause_note` says."""
    return f"The job is paused{pause_facts(order, now=now)}. job.resume() ends it."


def pause_facts(pause: PauseSign | Control, *, now: float) -> str:
    """Say by whom, since when, for how long and why something is paused, to be written behind what it is."""
    by = f" by {pause.by}" if pause.by else ""
    since = f" {_span(now - pause.at)} ago" if pause.at else ""
    more = f", for another {_span(pause.until - now)}" if pause.until is not None else ""
    why = f": {pause.reason}" if pause.reason else ""
    return f"{',' if by or since else ''}{by}{since}{more}{why}"


def _span(seconds: float) -> str:
    for unit_s, name in _UNITS:
        if seconds >= unit_s:
            return f"{seconds / unit_s:.0f} {name}"
    return f"{max(0.0, seconds):.0f} s"
