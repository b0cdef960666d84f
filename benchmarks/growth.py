"""How the cost of a row grows with the number of rows, what it takes beside the floor, and with how much memory.

Each size runs in processes of its own: a submitter, and one worker that is up. `cpu` is the processor time of
both for submit, run and result, which other load on the machine hardly moves; `s` is the clock. The first job of a
function is cut for many workers and counted apart; later ones are cut by what it showed. Row calls add two
numbers (`row`), where all is overhead, or take some 10 µs (`score`); right before and after a job the bare function is
timed, as machines that are shared are now faster, now slower (`times_bare`). The floor is `to_parquet` and
`read_parquet` of the same frame, and the bare calls.
"""

from __future__ import annotations

import argparse
import tempfile
from statistics import mean, median
from typing import Any

from stage import save
from talk import Client

BARE_CALLS = 10_000
KINDS = {"row": "plus", "score": "score", "batch": "add_column"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="*", default=[10**3, 10**4, 10**5, 10**6, 10**7])
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    figures: list[dict[str, Any]] = []
    for n in options.sizes:
        with tempfile.TemporaryDirectory(prefix="oqkit-bench-") as folder:
            figures.append(_measure(n, folder, rounds=_rounds(n, options.rounds)))
        print(figures[-1], flush=True)
    save("growth", {"sizes": figures})


def _rounds(n: int, rounds: int) -> int:
    """Return how often a size is measured: small ones, which a moment of noise would spoil, more often."""
    return max(1, rounds * 3 if n <= 10**4 else rounds if n <= 10**5 else 2 if n <= 10**6 else 1)


def _measure(n: int, folder: str, *, rounds: int) -> dict[str, Any]:
    with Client("local") as submitter, Client("local") as worker:
        for client in (submitter, worker):
            client.ask("open", folder=folder)
        submitter.ask("make", n=n)
        worker.ask("start")
        submitter.ask("job", function="plus", n=10)  # both are warm
        out: dict[str, Any] = {"n": n, "floor": submitter.ask("floor", rounds=rounds)}
        for kind, function in KINDS.items():
            first, *found = [_round(submitter, worker, n, function) for _ in range(rounds + 1)]
            out[kind] = {name: median([one[name] for one in found]) for name in found[0]}
            out[kind]["first_cpu_us_a_row"] = first["cpu_us_a_row"]
        out |= {"submitter_mib": submitter.ask("peak_mib"), "worker_mib": worker.ask("peak_mib")}
        return out


def _round(submitter: Client, worker: Client, n: int, function: str) -> dict[str, float]:
    is_row = function != KINDS["batch"]
    bare_us = [submitter.ask("bare_call_us", function=function, n=BARE_CALLS)] if is_row else []
    before = worker.ask("cpu_s")
    took = submitter.ask("job", function=function, n=n)
    worker_s = worker.ask("cpu_s") - before
    out = {"s": took["s"], "submitter_cpu_s": took["cpu_s"], "worker_cpu_s": worker_s, "us_a_row": took["s"] / n * 1e6,
           "cpu_us_a_row": (took["cpu_s"] + worker_s) / n * 1e6}  # fmt: skip
    if is_row:
        bare_us.append(submitter.ask("bare_call_us", function=function, n=BARE_CALLS))
        out["times_bare"] = out["cpu_us_a_row"] / mean(bare_us)
    return out


if __name__ == "__main__":
    main()
