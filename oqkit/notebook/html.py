"""Snapshot to static HTML: what is saved in the notebook, and what GitHub, nbconvert and a dead kernel show.

Self-contained and without scripts. It reads as text where styles are stripped.
"""

from __future__ import annotations

import functools
from html import escape
from importlib import resources

from oqkit.notebook.group import Group
from oqkit.notebook.humanize import advice, facts, group_title, headline, legend, moment, percent, plural, short, speed
from oqkit.notebook.snapshot import SEGMENTS, Snapshot
from oqkit.task.failure import cut

MAX_GROUPS = 8
MAX_TRACEBACK = 900
MAX_MESSAGE = 300


def to_html(snapshot: Snapshot, *, note: str = "") -> str:
    """Return the job as HTML; `note` is one line at its end, such as how to get the live display."""
    pieces = [
        f"<style>{base_css()}</style>",
        f'<div class="oqkit oqkit-static" role="group" aria-label="{escape(f"Job {snapshot.label}")}">',
        head_html(snapshot),
        bar_html(snapshot),
        legend_html(snapshot),
        facts_html(snapshot),
        charts_html(snapshot),
        groups_html(snapshot),
        f'<p class="oqkit-note">{escape(line)}</p>' if (line := advice(snapshot)) else "",
        f'<p class="oqkit-foot">As of {escape(moment(snapshot.now))}. {escape(note)}</p>',
        "</div>",
    ]
    return "".join(pieces)


@functools.cache
def base_css() -> str:
    """Return the styles that static and live display share."""
    return read_front("base.css")


def read_front(name: str) -> str:
    """Return one of the files that the browser gets."""
    return resources.files("oqkit.notebook").joinpath("front", name).read_text(encoding="utf-8")


def head_html(snapshot: Snapshot) -> str:
    """Return the name, the status and what the job is."""
    return (
        f'<p class="oqkit-head"><b class="oqkit-name">{escape(snapshot.label)}</b> '
        f'<span class="oqkit-status oqkit-is-{escape(snapshot.status)}">{escape(snapshot.status)}</span> '
        f'<span class="oqkit-what">{escape(headline(snapshot))}</span></p>'
    )


def bar_html(snapshot: Snapshot) -> str:
    """Return the bar; it tells a screen reader what the legend tells the eye."""
    told = f"{percent(snapshot)} ended: {', '.join(text for _, _, text in legend(snapshot))}"
    total = max(snapshot.n_tasks, 1)
    pieces = "".join(
        f'<span class="oqkit-seg oqkit-{name}" style="flex-grow:{snapshot.counts[name] / total:.6f}"></span>'
        for name in SEGMENTS
        if snapshot.counts[name]
    )
    return f'<div class="oqkit-bar" role="img" aria-label="{escape(told)}">{pieces}</div>'


def legend_html(snapshot: Snapshot) -> str:
    """Return the counts in words, each with its colour."""
    items = " · ".join(
        f'<span class="oqkit-key"><span class="oqkit-dot oqkit-{name}"></span>{escape(text)}</span>'
        for name, _, text in legend(snapshot)
    )
    return f'<p class="oqkit-legend"><b>{escape(percent(snapshot))}</b> · {items}</p>'


def facts_html(snapshot: Snapshot) -> str:
    """Return speed, time, attempts and cost."""
    items = " · ".join(f'<span title="{escape(fact.hint)}">{escape(fact.text)}</span>' for fact in facts(snapshot))
    return f'<p class="oqkit-facts">{items}</p>'


def charts_html(snapshot: Snapshot) -> str:
    """Return the sparkline and the histogram, or nothing before there is anything to draw."""
    drawn = [_spark(snapshot.speeds), _histogram(snapshot.durations)]
    return f'<div class="oqkit-charts">{"".join(drawn)}</div>' if any(drawn) else ""


def _spark(speeds: tuple[float, ...]) -> str:
    top = max(speeds, default=0.0)
    if top <= 0:
        return ""
    step = 200 / max(len(speeds) - 1, 1)
    points = " ".join(f"{n * step:.0f},{34 - 32 * each / top:.1f}" for n, each in enumerate(speeds))
    label = f"Throughput over time, at most {speed(top)}"
    return _figure(
        f'<svg viewBox="0 0 200 36" preserveAspectRatio="none" role="img" aria-label="{label}">'
        f'<polygon class="oqkit-area" points="0,36 {points} 200,36"/>'
        f'<polyline class="oqkit-line" points="{points}"/></svg>',
        f"throughput, up to {speed(top)}",
    )


def _histogram(durations: tuple[tuple[float, int], ...]) -> str:
    top = max((n for _, n in durations), default=0)
    if not top:
        return ""
    width = min(200 / len(durations), 40)
    bars = "".join(
        f'<rect class="oqkit-rect" x="{n * width + 1:.1f}" y="{34 - 32 * count / top:.1f}" '
        f'width="{width - 2:.1f}" height="{32 * count / top + 2:.1f}"/>'
        for n, (_, count) in enumerate(durations)
    )
    told = "; ".join(f"up to {short(edge)}: {count:,}" for edge, count in durations)
    low, high = durations[0][0], durations[-1][0]
    span = f"up to {short(high)}" if len(durations) == 1 else f"{short(low)} to {short(high)}"
    return _figure(
        f'<svg viewBox="0 0 200 36" preserveAspectRatio="none" role="img" aria-label="Time a task: {told}">{bars}</svg>',
        f"time a task, {span}",
    )


def _figure(svg: str, caption: str) -> str:
    return f'<figure class="oqkit-chart">{svg}<figcaption>{escape(caption)}</figcaption></figure>'


def groups_html(snapshot: Snapshot) -> str:
    """Return the groups of errors, each of which opens to a traceback."""
    if not snapshot.groups and not snapshot.n_unread:
        return ""
    shown = "".join(_group(group) for group in snapshot.groups[:MAX_GROUPS])
    left = len(snapshot.groups) - MAX_GROUPS
    more = [f"{plural(left, 'more kind')} of error"] if left > 0 else []
    more += [f"{plural(snapshot.n_unread, 'failed task')} not read"] if snapshot.n_unread else []
    told = f'<p class="oqkit-more">… {escape(" and ".join(more))}: see job.errors()</p>' if more else ""
    return f'<div class="oqkit-errors">{shown}{told}</div>'


def _group(group: Group) -> str:
    return (
        f'<details class="oqkit-error"><summary>{escape(group_title(group))}</summary>'
        f"<pre>{escape(cut(group.traceback or group.message, MAX_TRACEBACK))}</pre></details>"
    )
