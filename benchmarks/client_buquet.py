"""buquet 0.1.0 as a contender: `submit_many` in slices, and eight workers that share the shards."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from typing import Any

import buquet
from talk import serve, timed

SHARDS = "0123456789abcdef"
SLICE = 500
started: dict[str, float] = {}
state: dict[str, Any] = {}
loop = asyncio.new_event_loop()


def open_queue(endpoint: str, bucket: str) -> None:
    async def connect() -> Any:
        return await buquet.connect(endpoint=endpoint, bucket=bucket, region=os.environ["AWS_DEFAULT_REGION"])

    state.update(connect=connect, queue=loop.run_until_complete(connect()))


def submit(n: int) -> Any:
    async def run() -> None:
        for first in range(0, n, SLICE):
            many = [("noop", {"tag": str(i)}) for i in range(first, min(n, first + SLICE))]
            await state["queue"].submit_many(many)

    return timed(lambda: loop.run_until_complete(run()))


def start(concurrency: int = 1, poll_ms: int | None = None) -> None:
    threading.Thread(target=lambda: asyncio.run(_work(concurrency, poll_ms)), daemon=True).start()


async def _work(concurrency: int, poll_ms: int | None) -> None:
    queue, workers = await state["connect"](), []
    options = buquet.WorkerRunOptions(
        with_monitor=False,  # its requests are no part of working
        polling=buquet.PollingStrategy.adaptive(min_interval_ms=100, max_interval_ms=5000)
        if poll_ms is None
        else buquet.PollingStrategy.fixed(poll_ms),
    )
    for place in range(concurrency):
        worker = buquet.Worker(queue, f"worker-{place}", list(SHARDS[place::concurrency]))

        @worker.task("noop")
        async def noop(value: dict[str, str]) -> dict[str, int]:
            started[value["tag"]] = time.monotonic()
            return {"i": 1}

        workers.append(worker.run(options))
    await asyncio.gather(*workers)


def drain(n: int, concurrency: int = 8) -> Any:
    def run() -> None:
        start(concurrency)
        wait(n)

    return timed(run)


def submit_one(tag: str) -> list[float]:
    async def run() -> list[float]:
        before = time.monotonic()
        await state["queue"].submit("noop", {"tag": tag})
        return [before, time.monotonic()]

    return loop.run_until_complete(run())


def wait(n: int) -> dict[str, float]:
    while len(started) < n:
        time.sleep(0.005)
    return started


serve(open=open_queue, submit=submit, drain=drain, start=start, submit_one=submit_one, wait=wait)
