"""From `submit` to the start of the task, on one S3 server with S3-like latency: 30 ms a GET, 60 ms a PUT.

One worker of each kind polls as it comes. Tasks arrive at random: `often` after pauses of 3 s on average,
`rarely` after 7 to 10 s, `seldom` after 21 to 25 s, when oqkit's worker, which polls more slowly the longer
there was nothing to do, has come to its default. All contenders run side by side, as all of them mostly wait, each
behind a proxy of its own, which counts what an idle worker asks for in a minute.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import threading
import time
from collections.abc import Callable
from typing import Any

from stage import Stage, kinds, quantile, save, stage

from oqkit.store.price import dollars

MONTH_S = 30 * 86_400.0
SLOWEST = 1.5
"""How many times as long as its pauses a contender may take for a pace; then the rest of its tasks is left out."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--often", type=int, default=40)
    parser.add_argument("--rarely", type=int, default=20)
    parser.add_argument("--seldom", type=int, default=12)
    parser.add_argument("--idle", type=float, default=60.0)
    parser.add_argument("--only", nargs="*", default=["oqkit", "buquet", "jqueue", "pailq"])
    options = parser.parse_args()
    figures: dict[str, Any] = {}
    with stage() as here:
        threads = [
            threading.Thread(target=lambda name=name: figures.update({name: _measure(here, name, options)}))
            for name in options.only
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    save("latency", {name: figures[name] for name in options.only})


def _measure(here: Stage, name: str, options: argparse.Namespace) -> dict[str, Any]:
    chance = random.Random(1)  # the same moments for everybody who keeps up
    with contextlib.ExitStack() as stack:
        proxy = stack.enter_context(here.proxy(slow=True))
        submitter, worker = (stack.enter_context(here.client(name, name, endpoint=proxy.url)) for _ in range(2))
        worker.ask("start")
        submitter.ask("submit_one", tag="first")
        worker.ask("wait", n=1)
        time.sleep(75)  # by then the last report of work is made, too
        before = proxy.counts
        time.sleep(options.idle)
        idle = kinds(proxy.counts - before)
        paces: dict[str, tuple[int, float, Callable[[], float]]] = {
            "often": (options.often, 3.0, lambda: chance.expovariate(1 / 3)),
            "rarely": (options.rarely, 8.5, lambda: chance.uniform(7, 10)),
            "seldom": (options.seldom, 23.0, lambda: chance.uniform(21, 25)),
        }
        out: dict[str, Any] = {
            "idle_a_minute": {kind: n / options.idle * 60 for kind, n in idle.items()},
            "idle_dollars_a_month": dollars(idle) * MONTH_S / options.idle,
        }
        n_known = 1
        for pace, (n, mean_s, pause_s) in paces.items():
            spans, end = {}, time.monotonic() + n * mean_s * SLOWEST
            for i in range(n):
                time.sleep(pause_s())
                spans[f"{pace}-{i}"] = submitter.ask("submit_one", tag=f"{pace}-{i}")
                if time.monotonic() > end:
                    break
            n_known += len(spans)
            starts = worker.ask("wait", n=n_known)
            known = {tag: span for tag, span in spans.items() if tag in starts}
            out[pace] = {
                "from_call": _spread([starts[tag] - span[0] for tag, span in known.items()]),
                "from_return": _spread([starts[tag] - span[1] for tag, span in known.items()]),
            }
        print(name, out, flush=True)
        return out


def _spread(seconds: list[float]) -> dict[str, float] | None:
    if not seconds:
        return None
    return {
        "n": len(seconds), "p50": quantile(seconds, 0.5), "p90": quantile(seconds, 0.9), "p99": quantile(seconds, 0.99),
        "max": max(seconds),
    }  # fmt: skip


if __name__ == "__main__":
    main()
