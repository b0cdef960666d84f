"""Snapshot to the JSON that the live display draws: a few kilobytes, whatever the job's size."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TypeVar, cast

from oqkit.notebook.humanize import (
    advice,
    facts,
    first_line,
    group_title,
    headline,
    legend,
    moment,
    percent,
    short,
    speed,
)
from oqkit.notebook.snapshot import SEGMENTS, Snapshot

MAX_BYTES = 9_000
MAX_GROUPS = 12
MARK = "…"

V = TypeVar("V")


def to_state(snapshot: Snapshot) -> dict[str, object]:
    """Return what the display draws; at most `MAX_BYTES` as JSON."""
    total = max(snapshot.n_tasks, 1)
    top_speed = max(snapshot.speeds, default=0.0)
    state: dict[str, object] = {
        "id": snapshot.id,
        "label": first_line(snapshot.label, 200),
        "status": snapshot.status.value,
        "isFinal": snapshot.is_final,
        "what": first_line(headline(snapshot), 120),
        "percent": percent(snapshot),
        "segments": [[name, round(snapshot.counts[name] / total, 6)] for name in SEGMENTS if snapshot.counts[name]],
        "legend": [[name, n, text] for name, n, text in legend(snapshot)],
        "facts": [[fact.key, fact.text, fact.hint] for fact in facts(snapshot)],
        "advice": first_line(advice(snapshot), 800),
        "isTroubled": bool(snapshot.trouble),
        "speeds": [round(each / top_speed, 3) for each in snapshot.speeds] if top_speed else [],
        "topSpeed": speed(top_speed) if top_speed else "",
        "durations": [[short(edge), n] for edge, n in snapshot.durations],
        "nTasks": snapshot.n_tasks,
        "nFailed": snapshot.counts["failed"],
        "nOpen": snapshot.n_open,
        "groups": [[group.key, group_title(group)] for group in snapshot.groups[:MAX_GROUPS]],
        "nGroups": len(snapshot.groups),
        "nUnread": snapshot.n_unread,
        "asOf": moment(snapshot.now),
    }
    return fitted(state, MAX_BYTES)


def fitted(value: V, limit_bytes: int) -> V:
    """Return a JSON value with its longest texts shortened until it takes at most `limit_bytes`."""
    longest = 4_000
    while size_bytes(value) > limit_bytes and longest >= 8:  # noqa: PLR2004 - shorter texts say nothing
        longest //= 2
        value = cast("V", _shortened(value, longest))
    return value


def size_bytes(value: object) -> int:
    """Return how long a value is as JSON."""
    return len(json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass"))


def _shortened(value: object, longest: int) -> object:
    if isinstance(value, str):
        return value if len(value) <= longest else value[: longest - 1] + MARK
    if isinstance(value, Mapping):
        return {key: _shortened(each, longest) for key, each in value.items()}
    if isinstance(value, Sequence):
        return [_shortened(each, longest) for each in value]
    return value
