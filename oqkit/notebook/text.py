"""Snapshot to text: what a terminal, a log or a dead kernel shows."""

from __future__ import annotations

from oqkit.notebook.humanize import advice, facts, group_title, headline, legend, percent
from oqkit.notebook.snapshot import SEGMENTS, Snapshot
from oqkit.printable import printable

WIDTH = 60
MAX_GROUPS = 5
INK = {
    "completed": "█",
    "running": "▓",
    "retrying": "▒",
    "failed": "x",
    "cancelled": "-",
    "expired": "~",
    "pending": "·",
}


def to_text(snapshot: Snapshot) -> str:
    """Return the job in a few lines of plain text."""
    lines = [
        f"{printable(snapshot.label)}: {snapshot.status}, {printable(headline(snapshot))}",
        f"[{bar(snapshot)}] {percent(snapshot)}",
        " · ".join(text for _, _, text in legend(snapshot)),
        " · ".join(fact.text for fact in facts(snapshot)),
        *(printable(group_title(group)) for group in snapshot.groups[:MAX_GROUPS]),
        printable(advice(snapshot)),
    ]
    return "\n".join(line for line in lines if line)


def bar(snapshot: Snapshot, width: int = WIDTH) -> str:
    """Draw the bar; a segment that holds any task takes at least one place."""
    return "".join(INK[name] * n for name, n in zip(SEGMENTS, widths(snapshot, width), strict=True))


def widths(snapshot: Snapshot, width: int) -> list[int]:
    """Share `width` among the segments: whole numbers that sum to it, none of a filled segment 0."""
    counts = [snapshot.counts[name] for name in SEGMENTS]
    total = sum(counts)
    if not total:
        return [width, *[0] * (len(SEGMENTS) - 1)]
    out = [max(1, width * n // total) if n else 0 for n in counts]
    widest = max(range(len(out)), key=counts.__getitem__)
    out[widest] += width - sum(out)
    return out
