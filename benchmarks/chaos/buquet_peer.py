"""buquet under attack: ``submit N`` prints what became of each submission, ``work NAME`` is one worker. Its own Python runs it."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import uuid
from pathlib import Path

import buquet

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchmarks.chaos.record import note

N_TRIES = 10
AT_ONCE = 16


async def connect() -> buquet.Queue:
    for n in range(N_TRIES):
        try:
            return await buquet.connect()
        except Exception:  # whatever it raises: a supervisor would start it again
            await asyncio.sleep(0.2 * (n + 1))
    return await buquet.connect()


async def submit(n_tasks: int, wait_s: float, lease_s: int) -> dict[str, object]:
    queue = await connect()
    gate = asyncio.Semaphore(AT_ONCE)
    ids: dict[int, str] = {}
    errors: list[str] = []
    policy = buquet.RetryPolicy(initial_interval_ms=100, max_interval_ms=2000, multiplier=2.0, jitter_percent=0.25)

    async def one(x: int) -> None:
        async with gate:
            for n in range(N_TRIES):
                try:
                    task = await queue.submit(
                        "row",
                        {"x": x, "wait_s": wait_s},
                        timeout_seconds=lease_s,
                        max_retries=100,
                        retry_policy=policy,
                        idempotency_key=f"x{x}",  # so that asking again makes no second task
                    )
                except Exception as error:
                    errors.append(str(error).splitlines()[0][:120])
                    await asyncio.sleep(0.1 * 2 ** min(n, 4))
                else:
                    ids[x] = task.id
                    return

    await asyncio.gather(*(one(x) for x in range(n_tasks)))
    return {"ids": ids, "errors": errors}


async def work(name: str) -> None:
    queue = await connect()
    worker = buquet.Worker(queue, name, queue.all_shards())

    @worker.task("row")
    async def row(input):  # noqa: A002 - the name in its documentation
        note([input["x"]])
        await asyncio.sleep(input["wait_s"])
        return {"x": input["x"], "y": 2 * input["x"], "call": uuid.uuid4().hex}

    await worker.run(
        buquet.WorkerRunOptions(
            polling=buquet.PollingStrategy.adaptive(100, 1000, 2.0),
            with_monitor=True,
            monitor_check_interval_s=2,
            monitor_worker_health_threshold_s=15,
            monitor_sweep_interval_s=5,
        )
    )


if __name__ == "__main__":
    if sys.argv[1] == "work":
        asyncio.run(work(f"{sys.argv[2]}-{os.getpid()}"))
    else:
        print(json.dumps(asyncio.run(submit(int(sys.argv[2]), float(sys.argv[3]), int(float(sys.argv[4]))))))
