"""Write docs/benchmarks.md and its plots from the figures in build/bench."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from plot import chart
from stage import FIGURES
from target import SMALLEST, targets

DOCS = Path(__file__).parents[1] / "docs"
TEXT = Path(__file__).with_name("page.md")
VERSIONS = {"oqkit": "oqkit", "buquet": "buquet 0.1.0", "jqueue": "jqueue 1.0.0", "pailq": "pailq 0.1.1"}

Figures = dict[str, Any]


def write() -> None:
    """Write the page; a scenario that has not been run says so."""
    text = TEXT.read_text(encoding="utf-8")
    for name, render in (
        ("machine", _machine),
        ("throughput", _throughput),
        ("single", _single),
        ("latency", _latency),
        ("rows", _rows),
        ("frame", _frame),
        ("growth", _growth),
        ("memory", _memory),
        ("workers", _workers),
    ):
        figures = _read(name)
        shown = "Not measured yet.\n" if figures is None else render(figures)
        text = text.replace(f"<!-- {name} -->\n", shown)
    text = text.replace("<!-- targets -->\n", _targets())
    (DOCS / "benchmarks.md").write_text(text, encoding="utf-8")
    print(DOCS / "benchmarks.md")


def _read(name: str) -> Figures | None:
    path = FIGURES / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def _targets() -> str:
    rows = []
    for one in targets(_read):
        limit = f"{'at least' if one.is_at_least else 'at most'} {one.limit:g}{one.unit}"
        rows.append([one.what, f"{one.value:,.2f}{one.unit}", limit, "yes" if one.holds else "**no**"])
    return _table(["", "measured", "target", "holds"], rows)


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def _plot(name: str, svg: str, alt: str) -> str:
    (DOCS / "benchmarks").mkdir(exist_ok=True)
    (DOCS / "benchmarks" / f"{name}.svg").write_text(svg, encoding="utf-8")
    return f"\n![{alt}](benchmarks/{name}.svg)\n"


def _machine(figures: Figures) -> str:
    facts = next(iter(figures.values()))
    loads = ", ".join(f"{name} {found['load_after']}" for name, found in figures.items())
    return (
        f"{facts['processor']}, {facts['processors']} processors, {facts['memory_gib']} GiB, {facts['system']}, "
        f"Python {facts['python']}. Load average after each scenario: {loads}. A load above the number of processors "
        "means that other programs took part of the machine: then clock times are too long, for all contenders, and "
        "only ratios and counts are worth reading.\n"
        + "".join(f"\n{name}: {found['note']}\n" for name, found in figures.items() if "note" in found)
    )


def _throughput(figures: Figures) -> str:
    base = figures["oqkit"]

    def line(name: str, found: Figures) -> list[str]:
        first = found["rounds"][0]
        return [
            VERSIONS[name],
            f"{found['n']:,}",
            f"{found['submit_s_a_task'] * 1e6:,.0f}",
            f"{found['submit_s_a_task'] / base['submit_s_a_task']:,.1f}x",
            f"{found['drain_s_a_task'] * 1e6:,.0f}",
            f"{found['drain_s_a_task'] / base['drain_s_a_task']:,.1f}x",
            f"{found['requests_a_task']:.4f}",
            f"{found['dollars_a_million']:,.2f}",
            f"{first['submitter_mib']:.0f} / {first['worker_mib']:.0f}",
        ]

    return _table(
        ["", "tasks", "submit, µs a task", "against oqkit", "drain, µs a task", "against oqkit",
         "requests a task", "$ a million", "MiB submitter / worker"],
        [line(name, found) for name, found in figures.items()],
    )  # fmt: skip


def _single(figures: Figures) -> str:
    rows = []
    for name, found in figures.items():
        eight = f"{found['at_8']['s']:.1f}" if "at_8" in found else "-"
        one = found["at_1"]["s"]
        rows.append([VERSIONS[name], f"{found['n']}", f"{one:.1f}", f"{one / figures['oqkit']['at_1']['s']:.2f}x", eight,
                     f"{found['requests_a_task']:.2f}", f"{found['dollars_a_million']:.2f}"])  # fmt: skip
    return _table(
        ["", "tasks", "s, one at a time", "against oqkit", "s, eight at a time", "requests a task", "$ a million"], rows
    )


def _latency(figures: Figures) -> str:
    rows = []
    for name, found in figures.items():
        spreads = [found[pace]["from_call"] for pace in _PACES]
        cells = [f"{spread[part]:.2f}" if spread else "-" for spread in spreads for part in ("p50", "p99")]
        idle = found["idle_a_minute"]
        rows.append([VERSIONS[name], *cells, f"{sum(idle.values()):.0f}", f"{found['idle_dollars_a_month']:.2f}"])
    return _table(
        [
            "",
            *(f"{pace}: {part}" for pace in _PACES for part in ("p50", "p99")),
            "idle requests a minute",
            "idle, $ a month",
        ],
        rows,
    )


_PACES = ("often", "rarely", "seldom")


def _rows(figures: Figures) -> str:
    found = figures["contenders"]
    rows = [
        [name, f"{one['s']:.3f}", f"{one['s'] / figures['n'] * 1e6:.2f}", f"{one['s'] / found['oqkit']['s']:.2f}x"]
        for name, one in sorted(found.items(), key=lambda pair: pair[1]["s"])
    ]
    head = f"{figures['n']:,} rows, {figures['workers']} processes, median of {len(found['oqkit']['rounds'])}"
    return _table([head, "s", "µs a row", "against oqkit"], rows)


def _frame(figures: Figures) -> str:
    return _table(
        [f"{figures['n']:,} rows, median of {figures['rounds']}", "measured", "budget"],
        [
            ["a batch job, against to_parquet and read_parquet", f"{figures['parquet_ratio']:.1f}x", "15x"],
            ["a row job beyond the bare calls, a row", f"{figures['overhead_us']:.2f} µs", "5 µs"],
        ],
    )


def _growth(figures: Figures) -> str:
    sizes = figures["sizes"]

    def line(one: Figures) -> list[str]:
        n, floor = one["n"], one["floor"]
        return [
            f"{n:,}",
            f"{one['row']['s']:.2f}",
            f"{one['row']['us_a_row']:.2f}",
            f"{one['row']['cpu_us_a_row']:.2f}",
            f"{one['row']['first_cpu_us_a_row']:.2f}",
            f"{one['score']['cpu_us_a_row']:.2f}",
            f"{one['score']['times_bare']:.2f}x",
            f"{floor['bare']['cpu_s'] / n * 1e6:.2f}",
            f"{one['batch']['s']:.2f}",
            f"{one['batch']['cpu_us_a_row']:.2f}",
            f"{floor['parquet']['cpu_s'] / n * 1e6:.2f}",
            f"{one['submitter_mib']:,.0f}",
            f"{one['worker_mib']:,.0f}",
        ]

    table = _table(
        ["rows", "row calls, s", "µs a row", "CPU µs a row", "the first job, CPU µs a row", "calls of 10 µs, CPU µs a row", "against bare calls",
         "bare calls, CPU µs a row", "batch calls, s", "CPU µs a row", "Parquet there and back, CPU µs a row", "submitter MiB", "worker MiB"],
        [line(one) for one in sizes],
    )  # fmt: skip
    lines = {
        "row calls, first job": [(one["n"], one["row"]["first_cpu_us_a_row"]) for one in sizes],
        "calls of 10 µs": [(one["n"], one["score"]["cpu_us_a_row"]) for one in sizes],
        "row calls": [(one["n"], one["row"]["cpu_us_a_row"]) for one in sizes],
        "batch calls": [(one["n"], one["batch"]["cpu_us_a_row"]) for one in sizes],
        "bare calls": [(one["n"], one["floor"]["bare"]["cpu_s"] / one["n"] * 1e6) for one in sizes],
        "Parquet": [(one["n"], one["floor"]["parquet"]["cpu_s"] / one["n"] * 1e6) for one in sizes],
    }
    svg = chart("Processor time a row", lines, x="rows", y="µs a row")
    first, last = next((one for one in sizes if one["n"] >= SMALLEST), sizes[0]), sizes[-1]
    times = (first["floor"]["parquet"]["cpu_s"] / first["n"]) / (last["floor"]["parquet"]["cpu_s"] / last["n"])
    told = (
        f"\nNo job that goes through a file can be flat over this range: Parquet there and back alone costs {times:.0f} "
        f"times as much a row at {first['n']:,} rows as at {last['n']:,}.\n"
    )
    return table + told + _plot("growth", svg, "Processor time a row against the number of rows")


def _memory(figures: Figures) -> str:
    columns = {"submitter_before": "submitter before", "submitter_mib": "submitter at most",
               "worker_before": "worker before", "worker_mib": "worker at most"}  # fmt: skip
    rows = [[f"{one['n']:,}", *(f"{one[name]:.0f}" for name in columns)] for one in figures["sizes"]]
    return _table(["rows", *(f"{title}, MiB" for title in columns.values())], rows)


def _workers(figures: Figures) -> str:
    counts = figures["counts"]
    one_s = counts[0]["s"]
    rows = [
        [f"{one['workers']}", f"{one['s']:.2f}", f"{one['ideal_s']:.2f}", f"{one_s / one['s']:.2f}x"] for one in counts
    ]
    lines = {
        "measured": [(one["workers"], one["s"]) for one in counts],
        "ideal": [(one["workers"], one["ideal_s"]) for one in counts],
    }
    svg = chart("4,000 calls that wait 5 ms", lines, x="worker processes", y="s")
    table = _table(["workers", "s", "ideal s", "speed-up"], rows)
    return table + _plot("workers", svg, "Time against the number of worker processes")
