"""pailq under attack: ``submit N`` prints what became of each submission, ``work`` is one worker. Its own Python runs it."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pail import Pail

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchmarks.chaos.record import note

N_TRIES = 10
POLL_S = 1.0  # its default is 20


def connect(lease_s: float) -> Pail:
    return Pail.connect(os.environ["CHAOS_BUCKET"], visibility_timeout=lease_s, max_retries=None)


def submit(n_tasks: int, wait_s: float, lease_s: float) -> dict[str, object]:
    local = threading.local()
    errors: list[str] = []

    def one(x: int) -> str | None:
        if not hasattr(local, "pail"):
            local.pail = connect(lease_s)
        for n in range(N_TRIES):
            try:
                return local.pail.enqueue({"x": x, "wait_s": wait_s})
            except Exception as error:
                errors.append(str(error).splitlines()[0][:120])
                time.sleep(0.1 * 2 ** min(n, 4))
        return None

    connect(lease_s)  # botocore's first client is not to be made by several threads at once
    with ThreadPoolExecutor(8) as pool:
        ids = dict(enumerate(pool.map(one, range(n_tasks))))
    return {"ids": {x: job_id for x, job_id in ids.items() if job_id is not None}, "errors": errors}


def row(payload):
    note([payload["x"]])
    time.sleep(payload["wait_s"])
    return {"x": payload["x"], "y": 2 * payload["x"], "call": uuid.uuid4().hex}


if __name__ == "__main__":
    if sys.argv[1] == "work":
        connect(float(sys.argv[2])).work(row, poll_interval=POLL_S)
    else:
        print(json.dumps(submit(int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4]))))
