"""A pause of the queue or of a type in words, for whoever waits."""

from __future__ import annotations

from oqkit.queue.pause import PauseSign

_UNITS = ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min"))


def pause_note(sign: PauseSign, *, now: float) -> str:
    """Say what is paused, by whom, since when, for how long, why, and what ends it; `now` in epoch seconds."""
    what = f"Tasks of type {sign.type!r} are paused" if sign.type else "The queue is paused"
    call = f"oq.resume(type={sign.type!r})" if sign.type else "oq.resume()"
    return f"{what}{pause_facts(sign, now=now)}. {call} ends it."


def pause_facts(sign: PauseSign, *, now: float) -> str:
    """Say by whom, since when, for how long and why something is paused, to be written behind what it is."""
    by = f" by {sign.by}" if sign.by else ""
    since = f" {_span(now - sign.at)} ago" if sign.at else ""
    more = f", for another {_span(sign.until - now)}" if sign.until is not None else ""
    why = f": {sign.reason}" if sign.reason else ""
    return f"{',' if by or since else ''}{by}{since}{more}{why}"


def _span(seconds: float) -> str:
    for unit_s, name in _UNITS:
        if seconds >= unit_s:
            return f"{seconds / unit_s:.0f} {name}"
    return f"{max(0.0, seconds):.0f} s"
