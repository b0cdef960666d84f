"""Snapshot to static HTML: what is saved in the notebook, and what GitHub, nbconvert and a dead kernel show.

Self-contained and without scripts. It reads as text where styles are stripped. Every text comes into a page
through `Markup.format`, which escapes it.
"""

from __future__ import annotations

import functools
from importlib import resources

from markupsafe import Markup

from oqkit.notebook.group import Group
from oqkit.notebook.humanize import advice, facts, group_title, headline, legend, moment, percent, plural, short, speed
from oqkit.notebook.snapshot import SEGMENTS, Snapshot
from oqkit.task.failure import cut

MAX_GROUPS = 8
MAX_TRACEBACK = 900
MAX_MESSAGE = 300


def to_html(snapshot: Snapshot, *, note: str = "") -> Markup:
    """Return the job as HTML; `note` is one line at its end, such as how to get the live display."""
    advised = Markup('<p class="oqkit-note">{}</p>').format(line) if (line := advice(snapshot)) else Markup()
    return _PAGE.format(
        css=Markup(base_css()),  # noqa: S704 - our own file
        label=f"Job {snapshot.label}",
        body=Markup().join(
            (
                head_html(snapshot),
                bar_html(snapshot),
                legend_html(snapshot),
                facts_html(snapshot),
                charts_html(snapshot),
                groups_html(snapshot),
                advised,
            )
        ),
        at=moment(snapshot.now),
        note=note,
    )


_PAGE = Markup(
    '<style>{css}</style><div class="oqkit oqkit-static" role="group" aria-label="{label}">'
    '{body}<p class="oqkit-foot">As of {at}. {note}</p></div>'
)


@functools.cache
def base_css() -> str:
    """Return the styles that static and live display share."""
    return read_front("base.css")


def read_front(name: str) -> str:
    """Return one of the files that the browser gets."""
    return resources.files("oqkit.notebook").joinpath("front", name).read_text(encoding="utf-8")


def head_html(snapshot: Snapshot) -> Markup:
    """Return the name, the status and what the job is."""
    return Markup(
        '<p class="oqkit-head"><b class="oqkit-name">{label}</b> '
        '<span class="oqkit-status oqkit-is-{status}">{status}</span> <span class="oqkit-what">{what}</span></p>'
    ).format(label=snapshot.label, status=snapshot.status, what=headline(snapshot))


def bar_html(snapshot: Snapshot) -> Markup:
    """Return the bar; it tells a screen reader what the legend tells the eye."""
    told = f"{percent(snapshot)} ended: {', '.join(text for _, _, text in legend(snapshot))}"
    total = max(snapshot.n_tasks, 1)
    piece = Markup('<span class="oqkit-seg oqkit-{}" style="flex-grow:{:.6f}"></span>')
    pieces = Markup().join(
        piece.format(name, snapshot.counts[name] / total) for name in SEGMENTS if snapshot.counts[name]
    )
    return Markup('<div class="oqkit-bar" role="img" aria-label="{}">{}</div>').format(told, pieces)


def legend_html(snapshot: Snapshot) -> Markup:
    """Return the counts in words, each with its colour."""
    item = Markup('<span class="oqkit-key"><span class="oqkit-dot oqkit-{}"></span>{}</span>')
    items = Markup(" · ").join(item.format(name, text) for name, _, text in legend(snapshot))
    return Markup('<p class="oqkit-legend"><b>{}</b> · {}</p>').format(percent(snapshot), items)


def facts_html(snapshot: Snapshot) -> Markup:
    """Return speed, time, attempts and cost."""
    item = Markup('<span title="{}">{}</span>')
    items = Markup(" · ").join(item.format(fact.hint, fact.text) for fact in facts(snapshot))
    return Markup('<p class="oqkit-facts">{}</p>').format(items)


def charts_html(snapshot: Snapshot) -> Markup:
    """Return the sparkline and the histogram, or nothing before there is anything to draw."""
    drawn = _spark(snapshot.speeds) + _histogram(snapshot.durations)
    return Markup('<div class="oqkit-charts">{}</div>').format(drawn) if drawn else Markup()


def _spark(speeds: tuple[float, ...]) -> Markup:
    top = max(speeds, default=0.0)
    if top <= 0:
        return Markup()
    step = 200 / max(len(speeds) - 1, 1)
    points = " ".join(f"{n * step:.0f},{34 - 32 * each / top:.1f}" for n, each in enumerate(speeds))
    shapes = Markup(
        '<polygon class="oqkit-area" points="0,36 {points} 200,36"/><polyline class="oqkit-line" points="{points}"/>'
    ).format(points=points)
    told = speed(top)
    return _figure(shapes, label=f"Throughput over time, at most {told}", caption=f"throughput, up to {told}")


def _histogram(durations: tuple[tuple[float, int], ...]) -> Markup:
    top = max((n for _, n in durations), default=0)
    if not top:
        return Markup()
    width = min(200 / len(durations), 40)
    bar = Markup('<rect class="oqkit-rect" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>')
    bars = Markup().join(
        bar.format(n * width + 1, 34 - 32 * count / top, width - 2, 32 * count / top + 2)
        for n, (_, count) in enumerate(durations)
    )
    told = "; ".join(f"up to {short(edge)}: {count:,}" for edge, count in durations)
    low, high = durations[0][0], durations[-1][0]
    span = f"up to {short(high)}" if len(durations) == 1 else f"{short(low)} to {short(high)}"
    return _figure(bars, label=f"Time a task: {told}", caption=f"time a task, {span}")


def _figure(shapes: Markup, *, label: str, caption: str) -> Markup:
    return Markup(
        '<figure class="oqkit-chart"><svg viewBox="0 0 200 36" preserveAspectRatio="none" role="img" '
        'aria-label="{}">{}</svg><figcaption>{}</figcaption></figure>'
    ).format(label, shapes, caption)


def groups_html(snapshot: Snapshot) -> Markup:
    """Return the groups of errors, each of which opens to a traceback."""
    if not snapshot.groups and not snapshot.n_unread:
        return Markup()
    shown = Markup().join(_group(group) for group in snapshot.groups[:MAX_GROUPS])
    left = len(snapshot.groups) - MAX_GROUPS
    more = [f"{plural(left, 'more kind')} of error"] if left > 0 else []
    more += [f"{plural(snapshot.n_unread, 'failed task')} not read"] if snapshot.n_unread else []
    told = Markup('<p class="oqkit-more">… {}: see job.errors()</p>').format(" and ".join(more)) if more else Markup()
    return Markup('<div class="oqkit-errors">{}{}</div>').format(shown, told)


def _group(group: Group) -> Markup:
    return Markup('<details class="oqkit-error"><summary>{}</summary><pre>{}</pre></details>').format(
        group_title(group), cut(group.traceback or group.message, MAX_TRACEBACK)
    )
