"""oqkit as a contender: submitter or worker, on S3 or on a directory."""

from __future__ import annotations

import os
import threading
import time
from typing import Any

import pandas as pd
from talk import serve, timed
from work import noop, note, started

import oqkit as oq

state: dict[str, Any] = {}


def open_queue(endpoint: str, bucket: str) -> None:
    state["queue"] = oq.connect(f"s3://{bucket}/oqkit", endpoint_url=endpoint, region="us-east-1")


def submit(n: int) -> Any:
    frame = pd.DataFrame({"i": range(n)})
    return timed(lambda: state.update(job=state["queue"].submit_frame(frame, noop, on_duplicate="rerun")))


def collect(n: int) -> Any:
    took = timed(lambda: state.update(result=state["job"].result(60)))
    if len(state["result"]) != n:
        raise AssertionError(len(state["result"]))
    return took


def drain(n: int) -> Any:  # noqa: ARG001 - it drains what there is
    return timed(lambda: oq.Worker(state["queue"], [noop, note]).run(until_idle=True))


def start(concurrency: int = 1) -> None:
    worker = oq.Worker(state["queue"], [noop, note], concurrency=concurrency)
    threading.Thread(target=worker.run, daemon=True).start()


def submit_one(tag: str) -> list[float]:
    before = time.monotonic()
    state["queue"].submit(note, {"tag": tag})
    return [before, time.monotonic()]


def wait(n: int) -> dict[str, float]:
    while len(started) < n:
        time.sleep(0.005)
    return started


if __name__ == "__main__":
    os.environ.setdefault("AWS_EC2_METADATA_DISABLED", "true")
    serve(open=open_queue, submit=submit, collect=collect, drain=drain, start=start, submit_one=submit_one, wait=wait)
