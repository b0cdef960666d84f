"""No-op tasks on one S3 server: how long to submit them, to work them off, and what requests that takes.

Rounds are interleaved; one takes six minutes, nearly all of them buquet's. Requests are counted apart, by a proxy, as a proxy would slow the clock's rounds.
"""

from __future__ import annotations

import argparse
from statistics import median
from typing import Any

from stage import Stage, kinds, save, stage

from oqkit.store.price import dollars

TASKS = {"oqkit": 10_000, "buquet": 10_000, "jqueue": 10_000, "pailq": 500}
COUNTED = {"oqkit": 10_000, "buquet": 500, "jqueue": 10_000, "pailq": 200}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--only", nargs="*", default=list(TASKS))
    options = parser.parse_args()
    figures: dict[str, Any] = {name: {"n": TASKS[name], "rounds": []} for name in options.only}
    with stage() as here:
        for number in range(options.rounds):
            for name in options.only:
                round_ = _round(here, name, f"{name}-{number}", TASKS[name])
                figures[name]["rounds"].append(round_)
                print(name, round_, flush=True)
        for name in options.only:
            figures[name] |= _count(here, name, COUNTED[name])
            for verb in ("submit", "drain"):
                seconds = [round_[verb]["s"] for round_ in figures[name]["rounds"]]
                figures[name][f"{verb}_s_a_task"] = median(seconds) / TASKS[name]
            print(name, {key: value for key, value in figures[name].items() if key != "rounds"}, flush=True)
    save("throughput", figures)


def _round(here: Stage, name: str, bucket: str, n: int) -> dict[str, Any]:
    with here.client(name, bucket) as submitter, here.client(name, bucket) as worker:
        submitted = submitter.ask("submit", n=n)
        drained = worker.ask("drain", n=n)
        collected = submitter.ask("collect", n=n) if name == "oqkit" else None
        return {
            "submit": submitted,
            "drain": drained,
            "collect": collected,
            "submitter_mib": submitter.ask("peak_mib"),
            "worker_mib": worker.ask("peak_mib"),
        }


def _count(here: Stage, name: str, n: int) -> dict[str, Any]:
    with here.proxy(slow=False) as proxy:
        bucket, counts = f"{name}-counted", {}
        with (
            here.client(name, bucket, endpoint=proxy.url) as submitter,
            here.client(name, bucket, endpoint=proxy.url) as worker,
        ):
            for verb, client in (("submit", submitter), ("drain", worker)):
                before = proxy.counts
                client.ask(verb, n=n)
                counts[verb] = kinds(proxy.counts - before)
    together = {kind: sum(one.get(kind, 0) for one in counts.values()) for kind in ("put", "get", "list", "delete")}
    return {
        "counted": n,
        "requests": counts,
        "requests_a_task": sum(together.values()) / n,
        "dollars_a_million": dollars(together) / n * 1e6,
    }


if __name__ == "__main__":
    main()
