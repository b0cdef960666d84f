"""Numbers and facts in words, the same in every view."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from oqkit.notebook.group import Group
from oqkit.notebook.snapshot import SEGMENTS, Snapshot
from oqkit.queue.job import Control

MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86400


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing worth knowing: `text` says it, `hint` says what it means."""

    key: str
    text: str
    hint: str = ""


def facts(snapshot: Snapshot) -> list[Fact]:
    """Return what is known besides the counts, most wanted first."""
    found = [_speed(snapshot), _time(snapshot), _workers(snapshot), _attempts(snapshot), _cost(snapshot)]
    return [fact for fact in found if fact is not None]


def _speed(snapshot: Snapshot) -> Fact | None:
    if snapshot.rate is None:
        return None
    hint = "on average" if snapshot.is_final else "over the last 30 seconds"
    return Fact("rate", speed(snapshot.rate), f"tasks that completed or failed, {hint}")


def _time(snapshot: Snapshot) -> Fact | None:
    if snapshot.ended is not None:
        began = snapshot.started if snapshot.started is not None else snapshot.created
        return Fact("time", f"took {duration(snapshot.ended - began)}", "from the first claim to the last outcome")
    if snapshot.eta_s is not None:
        left = f"about {duration(snapshot.eta_s)}" if snapshot.eta_s >= 1 else "less than 1 s"
        return Fact("time", f"{left} left", "at the present speed")
    if snapshot.started is not None:
        return Fact("time", f"for {duration(snapshot.now - snapshot.started)}", "since the first claim")
    return None


def _workers(snapshot: Snapshot) -> Fact | None:
    if snapshot.is_final or not snapshot.is_started:
        return None
    n = len(snapshot.workers)
    names = ", ".join(snapshot.workers[:8]) + (", …" if n > 8 else "")  # noqa: PLR2004 - as many as a hint holds
    return Fact("workers", plural(n, "worker") + " at it", names or "nobody holds a task of it now")


def _attempts(snapshot: Snapshot) -> Fact | None:
    if not snapshot.n_claims:
        return None
    claimed = snapshot.n_tasks - snapshot.counts["pending"]
    mean = snapshot.n_claims / max(claimed, 1)
    text = "1 attempt a task" if snapshot.most_attempts <= 1 else f"{mean:.2f} attempts a task"
    return Fact("attempts", text, f"the most of one task: {snapshot.most_attempts}")


def _cost(snapshot: Snapshot) -> Fact:
    total = sum(snapshot.requests.values())
    kinds = ", ".join(f"{n:,} {kind.upper()}" for kind, n in snapshot.requests.items() if n)
    return Fact(
        "cost",
        f"≈ {plural(total, 'request')}, {money(snapshot.dollars)}",
        f"estimated from what the parts record ({kinds}), at AWS prices; watching took {snapshot.n_watching:,} more",
    )


def headline(snapshot: Snapshot) -> str:
    """Say what the job is: how many tasks of which type."""
    return f"{plural(snapshot.n_tasks, 'task')} of {snapshot.type}"


def advice(snapshot: Snapshot) -> str:
    """Say what may be missing, or nothing."""
    if snapshot.trouble:
        return snapshot.trouble
    if snapshot.pause is not None:
        return _paused(snapshot.pause)
    if snapshot.why or snapshot.is_final or snapshot.due <= snapshot.now:
        return snapshot.why
    return f"It is not to start before {moment(snapshot.due)}."


def _paused(order: Control) -> str:
    """Say since when nothing is started, why, and until when."""
    why = f" ({first_line(order.reason, 120)})" if order.reason else ""
    until = "it is resumed" if order.until is None else moment(order.until)
    return f"Paused at {moment(order.at)}{why}: no task is started until {until}."


def legend(snapshot: Snapshot) -> list[tuple[str, int, str]]:
    """Return (segment, count, text) of what the bar holds; the main three also when empty."""
    always = {"completed"} if snapshot.is_final else {"completed", "running", "pending"}
    return [
        (name, snapshot.counts[name], f"{snapshot.counts[name]:,} {name}")
        for name in SEGMENTS
        if snapshot.counts[name] or name in always
    ]


def group_title(group: Group) -> str:
    """Say how many tasks met which error, on one line."""
    text = first_line(group.message)
    more = " (and other texts)" if group.has_more_texts else ""
    return f"{group.n_tasks:,} × {group.type}{': ' if text else ''}{text}{more}"  # noqa: RUF001 - times


def percent(snapshot: Snapshot) -> str:
    """Say how much is done, of running tasks as they say themselves; 100 % only when all have ended."""
    if not snapshot.n_tasks:
        return "100 %"
    share = 100 * (snapshot.n_ended + snapshot.n_under_way) / snapshot.n_tasks
    return "100 %" if snapshot.n_open == 0 else f"{min(share, 99.9):.1f} %" if share >= 10 else f"{share:.2f} %"  # noqa: PLR2004


def first_line(text: str, limit: int = 160) -> str:
    """Return the first line of a text, shortened at its end."""
    line = text.strip().split("\n", 1)[0].strip()
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def plural(n: int, noun: str) -> str:
    """Count something: ``1 task``, ``2,000 tasks``."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def speed(per_s: float) -> str:
    """Say how fast, in the unit that gives a number worth reading."""
    if per_s >= 10:  # noqa: PLR2004 - two digits at least
        return f"{per_s:,.0f} tasks/s"
    if per_s >= 1:
        return f"{per_s:.1f} tasks/s"
    return f"{per_s * MINUTE_S:.1f} tasks/min" if per_s * MINUTE_S >= 1 else f"{per_s * HOUR_S:.1f} tasks/h"


def duration(seconds: float) -> str:
    """Say how long, in at most two units."""
    seconds = max(seconds, 0.0)
    if seconds < 1:
        return short(seconds)
    whole = round(seconds)
    for size, unit, below, rest in (
        (DAY_S, "d", HOUR_S, "h"),
        (HOUR_S, "h", MINUTE_S, "min"),
        (MINUTE_S, "min", 1, "s"),
    ):
        if whole >= size:
            left = whole % size // below
            return f"{whole // size} {unit}" + (f" {left} {rest}" if left else "")
    return f"{whole} s"


def short(seconds: float) -> str:
    """Say how long, in one unit: for the edge of a histogram."""
    for size, unit in ((HOUR_S, "h"), (MINUTE_S, "min"), (1.0, "s"), (1e-3, "ms")):
        if seconds >= size * (1 - 1e-9):
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e6:.3g} µs"


def money(dollars: float) -> str:
    """Say what it costs, with two digits that mean something."""
    if dollars >= 1:
        return f"${dollars:,.2f}"
    return "under $0.0001" if dollars < 1e-4 else f"${dollars:.4f}"  # noqa: PLR2004 - a hundredth of a cent


def moment(at: float) -> str:
    """Say when, in UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
