"""jqueue 1.0.0 as a contender: `BrokerQueue`, whose group commit stores many operations at once. It keeps no results."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from typing import Any

from jqueue import BrokerQueue
from jqueue.adapters.storage.s3 import S3Storage
from talk import serve, timed

BATCH = 1000
PATIENCE_S = 60.0
started: dict[str, float] = {}
state: dict[str, Any] = {}
loop = asyncio.new_event_loop()


def open_queue(endpoint: str, bucket: str) -> None:
    region = os.environ["AWS_DEFAULT_REGION"]

    def connect() -> BrokerQueue:
        return BrokerQueue(S3Storage(bucket=bucket, key="queue.json", endpoint_url=endpoint, region_name=region))

    state["connect"] = connect


def submit(n: int) -> Any:
    async def run() -> None:
        async with state["connect"]() as queue:
            for first in range(0, n, BATCH):
                many = range(first, min(n, first + BATCH))
                await asyncio.gather(*(queue.enqueue("noop", str(i).encode()) for i in many))

    return timed(lambda: loop.run_until_complete(run()))


async def _work(n: float, batch_size: int, poll_s: float) -> None:
    async with state["connect"]() as queue:
        while len(started) < n:
            jobs = await queue.dequeue("noop", batch_size=batch_size)
            for job in jobs:
                started[job.payload.decode()] = time.monotonic()
            await asyncio.gather(*(queue.ack(job.id) for job in jobs))
            if not jobs:
                await asyncio.sleep(poll_s)


def drain(n: int) -> Any:
    return timed(lambda: loop.run_until_complete(_work(n, BATCH, 1.0)))


def start(concurrency: int = 1) -> None:
    """Poll every second, as its documentation does."""
    threading.Thread(target=lambda: asyncio.run(_work(float("inf"), concurrency, 1.0)), daemon=True).start()


def submit_one(tag: str) -> list[float]:
    async def run() -> list[float]:
        if "queue" not in state:
            state["queue"] = await state["connect"]().__aenter__()
        before = time.monotonic()
        await state["queue"].enqueue("noop", tag.encode())
        return [before, time.monotonic()]

    return loop.run_until_complete(run())


def wait(n: int) -> dict[str, float]:
    """Return what was started, also if that is less than `n` and nothing more has started for a minute."""
    known, since = 0, time.monotonic()
    while len(started) < n and time.monotonic() - since < PATIENCE_S:
        if len(started) > known:
            known, since = len(started), time.monotonic()
        time.sleep(0.005)
    return started


serve(open=open_queue, submit=submit, drain=drain, start=start, submit_one=submit_one, wait=wait)
