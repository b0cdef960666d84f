"""pailq 0.1.1 as a contender: threads that enqueue, one that works."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from pail import Pail
from talk import serve, timed

THREADS = 8
started: dict[str, float] = {}
state: dict[str, Any] = {}


def open_queue(endpoint: str, bucket: str) -> None:
    state["connect"] = lambda: Pail.connect(bucket, endpoint_url=endpoint)
    state["queue"] = state["connect"]()


def submit(n: int) -> Any:
    def run() -> None:
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(lambda i: state["queue"].enqueue({"tag": str(i)}), range(n)))

    return timed(run)


def handle(payload: dict[str, str]) -> dict[str, int]:
    started[payload["tag"]] = time.monotonic()
    return {"i": 1}


def drain(n: int) -> Any:
    def run() -> None:
        queue = state["connect"]()
        while len(started) < n:
            queue.work_once(handle)

    return timed(run)


def start(concurrency: int = 1, poll_interval: float | None = None) -> None:
    options = {} if poll_interval is None else {"poll_interval": poll_interval}
    for _ in range(concurrency):
        queue = state["connect"]()
        threading.Thread(target=lambda queue=queue: queue.work(handle, **options), daemon=True).start()


def submit_one(tag: str) -> list[float]:
    before = time.monotonic()
    state["queue"].enqueue({"tag": tag})
    return [before, time.monotonic()]


def wait(n: int) -> dict[str, float]:
    while len(started) < n:
        time.sleep(0.005)
    return started


serve(open=open_queue, submit=submit, drain=drain, start=start, submit_one=submit_one, wait=wait)
