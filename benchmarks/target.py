"""What oqkit set out to show, and what the figures say of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

Figures = dict[str, Any]
SMALLEST = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A measured value and its limit."""

    what: str
    value: float
    limit: float
    unit: str
    is_at_least: bool = False

    @property
    def holds(self) -> bool:
        return self.value >= self.limit if self.is_at_least else self.value <= self.limit


def targets(read: Callable[[str], Figures | None]) -> Iterator[Target]:
    """Judge the scenarios that were run."""
    for name, judge in (
        ("throughput", _throughput),
        ("single", _single),
        ("rows", _rows),
        ("growth", _growth),
        ("memory", _memory),
        ("latency", _latency),
    ):
        figures = read(name)
        if figures is not None:
            yield from judge(figures)


def _throughput(figures: Figures) -> Iterator[Target]:
    ours, theirs = figures["oqkit"], figures["buquet"]
    for verb, limit in (("submit", 300), ("drain", 100)):
        ratio = theirs[f"{verb}_s_a_task"] / ours[f"{verb}_s_a_task"]
        yield Target(
            what=f"10,000 tasks as a frame: {verb}, buquet against oqkit", value=ratio, limit=limit, unit="x",
            is_at_least=True,
        )  # fmt: skip
    ratio = theirs["requests_a_task"] / ours["requests_a_task"]
    yield Target(what="the same: requests a task", value=ratio, limit=500, unit="x", is_at_least=True)


def _single(figures: Figures) -> Iterator[Target]:
    ours, theirs = figures["oqkit"], figures["buquet"]
    ratio = theirs["at_1"]["s"] / ours["at_1"]["s"]
    yield Target(what="tasks one by one, buquet against oqkit", value=ratio, limit=1.5, unit="x", is_at_least=True)
    ratio = theirs["requests_a_task"] / ours["requests_a_task"]
    yield Target(what="the same: requests a task", value=ratio, limit=1.8, unit="x", is_at_least=True)


def _rows(figures: Figures) -> Iterator[Target]:
    seconds = {name: one["s"] for name, one in figures["contenders"].items()}
    dask = min(seconds["Dask map_partitions"], seconds["Dask client.map"])
    yield Target(what="100,000 row calls, oqkit against Dask", value=seconds["oqkit"] / dask, limit=1.0, unit="x")
    ratio = seconds["oqkit"] / seconds["joblib"]
    yield Target(what="the same, against joblib", value=ratio, limit=1.5, unit="x")


def _growth(figures: Figures) -> Iterator[Target]:
    sizes = sorted((one for one in figures["sizes"] if one["n"] >= SMALLEST), key=lambda one: int(one["n"]))
    if len(sizes) < 2:
        return
    least, most = sizes[0]["n"], sizes[-1]["n"]
    for kind, cost, told in (
        ("score", "times_bare", "calls of 10 µs, against bare calls"),
        ("row", "cpu_us_a_row", "calls that do next to nothing"),
    ):
        costs = [one[kind][cost] for one in sizes]
        what = f"processor time a row, {told}, {most:,} rows against {least:,}"
        yield Target(what=what, value=costs[-1] / costs[0], limit=1.3, unit="x")
        what = f"the same, the dearest size from {least:,} to {most:,} against the cheapest"
        yield Target(what=what, value=max(costs) / min(costs), limit=1.3, unit="x")


def _memory(figures: Figures) -> Iterator[Target]:
    small, large = figures["sizes"][0], figures["sizes"][-1]
    for who in ("submitter", "worker"):
        what = f"memory of the {who}, a dataset of {large['n']:,} rows against {small['n']:,}"
        yield Target(what=what, value=large[f"{who}_mib"] / small[f"{who}_mib"], limit=1.3, unit="x")


def _latency(figures: Figures) -> Iterator[Target]:
    for pace, told in (("rarely", "a task every 8 s"), ("seldom", "a task every 23 s")):
        for part, limit in (("p50", 0.6), ("p99", 3.0)):
            what = f"from the call of submit to the start, {told}: {part}"
            yield Target(what=what, value=figures["oqkit"][pace]["from_call"][part], limit=limit, unit=" s")
    yield Target(
        what="an idle worker, a month", value=figures["oqkit"]["idle_dollars_a_month"], limit=2.0, unit=" dollars"
    )
