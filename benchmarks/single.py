"""Tasks submitted one by one and each run, on one S3 server with S3-like latency: 30 ms a GET, 60 ms a PUT.

The worker is up. The time is that from the first call of `submit` to the start of the last task, for one
worker as it comes and for eight tasks at a time; requests are those of the submitter and the worker.
"""

from __future__ import annotations

import argparse
from statistics import median
from typing import Any

from stage import Stage, kinds, save, stage

from oqkit.store.price import dollars


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--tasks", type=int, default=200)
    parser.add_argument("--only", nargs="*", default=["oqkit", "buquet", "jqueue", "pailq"])
    options = parser.parse_args()
    tasks = {name: options.tasks if name in {"oqkit", "buquet"} else options.tasks // 4 for name in options.only}
    figures: dict[str, Any] = {name: {"n": tasks[name]} for name in options.only}
    with stage() as here:
        for concurrency in (1, 8):
            rounds: dict[str, list[Any]] = {name: [] for name in options.only}
            for number in range(options.rounds if concurrency == 1 else 1):
                for name in options.only:
                    if concurrency > 1 and name in {"jqueue", "pailq"}:
                        continue
                    one = _round(here, name, f"{name}-{concurrency}-{number}", n=tasks[name], concurrency=concurrency)
                    rounds[name].append(one)
                    print(concurrency, name, one, flush=True)
            for name, found in rounds.items():
                if found:
                    figures[name][f"at_{concurrency}"] = {"s": median([one["s"] for one in found]), "rounds": found}
    for name in options.only:
        requests = [one["requests"] for one in figures[name]["at_1"]["rounds"]]
        figures[name]["requests_a_task"] = median([sum(one.values()) for one in requests]) / tasks[name]
        figures[name]["dollars_a_million"] = median([dollars(one) for one in requests]) / tasks[name] * 1e6
        print(name, figures[name]["at_1"]["s"], figures[name]["requests_a_task"])
    save("single", figures)


def _round(here: Stage, name: str, bucket: str, *, n: int, concurrency: int) -> dict[str, Any]:
    with (
        here.proxy(slow=True) as proxy,
        here.client(name, bucket, endpoint=proxy.url) as submitter,
        here.client(name, bucket, endpoint=proxy.url) as worker,
    ):
        worker.ask("start", concurrency=concurrency)
        submitter.ask("submit_one", tag="first")  # connections are up and the worker is awake
        worker.ask("wait", n=1)
        before = proxy.counts
        spans = [submitter.ask("submit_one", tag=str(i)) for i in range(n)]
        starts = worker.ask("wait", n=n + 1)
        counts = kinds(proxy.counts - before)
    return {
        "lost": n + 1 - len(starts),
        "s": max(starts.values()) - spans[0][0],
        "submit_s": spans[-1][1] - spans[0][0],
        "requests": counts,
    }


if __name__ == "__main__":
    main()
