"""What is attacked: oqkit, and the same for buquet and pailq. Each knows its workers, its submission and the truth."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import boto3
import pandas as pd

import oqkit as oq
from benchmarks.chaos import task
from benchmarks.chaos.attack import ROOT, environment
from benchmarks.chaos.record import FOLDER
from benchmarks.peer import python_of
from oqkit.errors import OqError
from oqkit.store.s3 import S3Store
from oqkit.testing.server import S3Server

BUCKET = "chaos"
RETRIES = 100
WAIT_S = 0.02
SUBMIT_TIMEOUT_S = 600
N_TRIES = 10


@dataclass(kw_only=True)
class Verdict:
    """What became of the tasks, as the store says, asked past the proxy."""

    outcomes: dict[int, str] = field(default_factory=dict)  #: task → which call became its outcome
    n_wrong: int = 0  #: an outcome with the value of another task
    n_failed: int = 0
    n_stuck: int = 0  #: there, and without an outcome
    n_lost: int = 0  #: acknowledged, and not there
    n_held: int = 0  #: an outcome is there, and so is what makes a worker run it again
    n_extra: int = 0  #: more than one task for one submission
    states: Counter[str] = field(default_factory=Counter)


class Subject(ABC):
    """One library on its own bucket: through the proxy for its workers and submitter, past it for the truth."""

    name: str
    configured: str

    def __init__(self, server: S3Server, proxy_url: str, *, n_tasks: int, lease_s: float, folder: Path) -> None:
        self.n_tasks, self.lease_s = n_tasks, lease_s
        self._server, self._proxy_url = server, proxy_url
        self.acknowledged: dict[int, str] = {}
        self.errors: Counter[str] = Counter()
        self.environment = environment(
            **{**server.env(), "AWS_ENDPOINT_URL": proxy_url, FOLDER: str(folder), "PYTHONPATH": str(ROOT)}
        )
        server.create_bucket(BUCKET)
        os.environ.update(server.env())
        self._store = S3Store(BUCKET, endpoint_url=server.endpoint_url)

    @abstractmethod
    def command(self) -> list[str]:
        """Return the command of one worker."""

    @abstractmethod
    def submit(self) -> None:
        """Submit all tasks, as a careful user does: what raised is asked for again."""

    @abstractmethod
    def observe(self) -> dict[int, str]:
        """Return the outcomes so far, which must never change: task → the call it is of."""

    @abstractmethod
    def verify(self) -> Verdict:
        """Ask the store for everything."""


class Oqkit(Subject):
    """Six frames of rows, two of them for a batch function, and single submits."""

    name = "oqkit"
    configured = (
        f"`oq worker --lease 8`, {RETRIES} retries, everything else at its default; two thirds of the tasks are rows of "
        "4 frames, a third are rows of 2 frames for a batch function, and 1 % were submitted one by one with a key"
    )

    def __init__(self, *arguments: object, **options: object) -> None:
        super().__init__(*arguments, **options)
        self.environment |= {"OQ_URL": f"s3://{BUCKET}/queue", "OQ_ENDPOINT_URL": self._proxy_url}
        self._truth = oq.connect(self.environment["OQ_URL"], endpoint_url=self._server.endpoint_url)
        self._jobs: list[tuple[str, int, int]] = []
        self._handles: dict[str, object] = {}
        self._singles: dict[int, str] = {}

    def command(self) -> list[str]:
        return [
            *(sys.executable, "-m", "oqkit", "worker", "--exit-with", str(os.getpid())),
            *("--lease", f"{self.lease_s:g}", "--grace", "5", "benchmarks.chaos.task"),
        ]

    def submit(self) -> None:
        queue = self._persistent(lambda: oq.connect(self.environment["OQ_URL"], endpoint_url=self._proxy_url))
        n_singles = self.n_tasks // 100
        size = (self.n_tasks - n_singles) // 6
        for n in range(6):
            first, last = n * size, (n + 1) * size if n < 5 else self.n_tasks - n_singles
            function, wait_s = (task.batch, WAIT_S / 10) if n % 3 == 2 else (task.row, WAIT_S)
            frame = pd.DataFrame({"x": range(first, last), "wait_s": wait_s}, index=range(first, last))
            job = self._persistent(lambda f=frame, fn=function: queue.submit_frame(f, fn, retries=RETRIES))
            self._jobs.append((job.id, first, last))
            self.acknowledged |= dict.fromkeys(range(first, last), job.id)

        def single(x: int) -> None:
            call = {"x": x, "wait_s": WAIT_S}
            found = self._persistent(lambda: queue.submit(task.single, call, key=f"x{x}", retries=RETRIES))
            self._singles[x] = self.acknowledged[x] = found.id

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(single, range(self.n_tasks - n_singles, self.n_tasks)))

    def _persistent(self, call: Callable[[], object]) -> object:
        for n in range(N_TRIES):
            try:
                return call()
            except OqError as error:
                self.errors[type(error).__name__] += 1
                if n == N_TRIES - 1:
                    raise
                time.sleep(0.1 * 2 ** min(n, 4))
        raise AssertionError

    def observe(self) -> dict[int, str]:
        found: dict[int, str] = {}
        for job_id, _, _ in list(self._jobs):
            job = self._handles.get(job_id) or self._handles.setdefault(job_id, self._truth.job(job_id))
            frame = job.partial()
            found |= dict(zip(frame["x"].tolist(), frame["call"].tolist(), strict=True)) if len(frame) else {}
        if len(found) == sum(last - first for _, first, last in self._jobs):
            for x, task_id in list(self._singles.items()):
                job = self._truth.get(task_id)
                if job.done():
                    found[x] = job.result()["call"]
        return found

    def verify(self) -> Verdict:
        verdict = Verdict()
        for job_id, first, last in self._jobs:
            job = self._truth.job(job_id)
            self._count(job_id, verdict)
            frame = job.result(timeout=1, errors="drop")
            verdict.n_lost += last - first - len(job)
            verdict.n_wrong += int((frame["y"] != 2 * frame.index).sum() + (frame["x"] != frame.index).sum())
            verdict.n_extra += int(frame.index.duplicated().sum())
            verdict.outcomes |= dict(zip(frame.index.tolist(), frame["call"].tolist(), strict=True))
        for x, task_id in self._singles.items():
            self._count(task_id.rpartition(".")[0], verdict)
            value = self._truth.get(task_id).result(timeout=1)
            verdict.n_wrong += (value["x"], value["y"]) != (x, 2 * x)
            verdict.outcomes[x] = value["call"]
        jobs = {entry.key.split("/")[3] for page in self._store.list_all("queue/jobs/") for entry in page.entries}
        verdict.n_extra += len(jobs) - len(self._jobs) - len(self._singles)
        return verdict

    def _count(self, job_id: str, verdict: Verdict) -> None:
        """Read every part of a job: each row in exactly one state, no row held."""
        repository = self._truth.repository
        job = repository.read_job(job_id).doc
        for index in range(job.n_parts):
            part = repository.read_part(job, index).doc
            assert [row for one in part.stretches() for row in range(one.first, one.stop)] == list(range(part.n_rows))
            for state, rows in part.states.items():
                verdict.states[state.status.value] += len(rows)
                verdict.n_failed += len(rows) * (state.status.is_final and state.status.value != "completed")
                verdict.n_stuck += len(rows) * (not state.status.is_final)
                verdict.n_held += len(rows) * (bool(state.lease) and state.status.is_final)


class Peer(Subject):
    """A library in an environment of its own, driven by a script."""

    script: str

    def _program(self, *arguments: object) -> list[str]:
        return [str(python_of(self.name)), str(Path(__file__).with_name(self.script)), *map(str, arguments)]

    def submit(self) -> None:
        asked = subprocess.run(
            self._program("submit", self.n_tasks, WAIT_S, self.lease_s),
            env=self.environment,
            check=True,
            stdout=subprocess.PIPE,
            timeout=SUBMIT_TIMEOUT_S,
        )
        told = json.loads(asked.stdout)
        self.acknowledged = {int(x): task_id for x, task_id in told["ids"].items()}
        self.errors.update(told["errors"])

    def _documents(self, prefix: str, known: dict[str, tuple[str, dict]]) -> dict[str, dict]:
        """Return every object below a prefix, reading only what changed since `known` was filled."""
        listed = {entry.key: entry.etag for page in self._store.list_all(prefix) for entry in page.entries}
        for key, etag in listed.items():
            if key not in known or known[key][0] != etag:
                try:
                    known[key] = (etag, json.loads(self._store.read(key).data or b"{}"))
                except OqError:  # it went to another state meanwhile
                    known.pop(key, None)
        return {key: known[key][1] for key in listed if key in known}


class Buquet(Peer):
    """One object a task, with its status in it."""

    name, script = "buquet", "buquet_peer.py"
    configured = (
        f"timeout_seconds = the lease, max_retries={RETRIES}, idempotency_key for each submission, adaptive polling of "
        "0.1 to 1 s, monitor every 2 s and sweep every 5 s in each worker, a versioned bucket, as it demands"
    )

    def __init__(self, *arguments: object, **options: object) -> None:
        super().__init__(*arguments, **options)
        region = self.environment["AWS_DEFAULT_REGION"]
        self.environment |= {"S3_ENDPOINT": self._proxy_url, "S3_BUCKET": BUCKET, "S3_REGION": region}
        client = boto3.client("s3", endpoint_url=self._server.endpoint_url)
        client.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})  # it asks for it
        self._known: dict[str, tuple[str, dict]] = {}

    def command(self) -> list[str]:
        return self._program("work", "worker")

    def _tasks(self) -> list[dict]:
        return list(self._documents("tasks/", self._known).values())

    def observe(self) -> dict[int, str]:
        return {t["input"]["x"]: t["output"]["call"] for t in self._tasks() if t["status"].lower() == "completed"}

    def verify(self) -> Verdict:
        verdict, found, ids = Verdict(), Counter(), set()
        for document in self._tasks():
            status, x = document["status"].lower(), document["input"]["x"]
            ids.add(document["id"])
            verdict.states[status] += 1
            found[x] += 1
            if status == "completed":
                verdict.outcomes[x] = document["output"]["call"]
                verdict.n_wrong += (document["output"]["x"], document["output"]["y"]) != (x, 2 * x)
            elif status in {"pending", "running"}:
                verdict.n_stuck += 1
            else:
                verdict.n_failed += 1
        verdict.n_extra = sum(n - 1 for n in found.values())
        verdict.n_lost = len(set(self.acknowledged.values()) - ids)
        return verdict


class Pailq(Peer):
    """One object a job, with its state in the name."""

    name, script = "pailq", "pailq_peer.py"
    configured = "visibility_timeout = the lease, max_retries=None (no ceiling), poll_interval=1 s instead of 20"

    def __init__(self, *arguments: object, **options: object) -> None:
        super().__init__(*arguments, **options)
        self.environment |= {"CHAOS_BUCKET": BUCKET}
        self._known: dict[str, tuple[str, dict]] = {}

    def command(self) -> list[str]:
        return self._program("work", self.lease_s)

    def _done(self) -> dict[str, dict]:
        return {key.removeprefix("done/"): doc for key, doc in self._documents("done/", self._known).items()}

    def observe(self) -> dict[int, str]:
        numbers = {job_id: x for x, job_id in self.acknowledged.items()}
        return {numbers[job_id]: doc["call"] for job_id, doc in self._done().items() if job_id in numbers}

    def verify(self) -> Verdict:
        done = self._done()
        where = {"done": set(done)} | {
            state: {e.key.partition("/")[2] for page in self._store.list_all(f"{state}/") for e in page.entries}
            for state in ("queue", "run", "dlq")
        }
        everything = set().union(*where.values())
        ours = set(self.acknowledged.values())
        verdict = Verdict(states=Counter({state: len(ids) for state, ids in where.items()}))
        verdict.states["queue and run at once"] = len(where["queue"] & where["run"])
        verdict.n_failed = len(where["dlq"] - where["done"])
        verdict.n_stuck = len((ours & (where["queue"] | where["run"])) - where["done"] - where["dlq"])
        verdict.n_held = len(ours & where["done"] & (where["queue"] | where["run"] | where["dlq"]))
        verdict.n_lost = len(ours - everything)
        verdict.n_extra = len(everything - ours)
        for x, job_id in self.acknowledged.items():
            if job_id in done:
                verdict.outcomes[x] = done[job_id]["call"]
                verdict.n_wrong += (done[job_id]["x"], done[job_id]["y"]) != (x, 2 * x)
        return verdict


SUBJECTS = {subject.name: subject for subject in (Oqkit, Buquet, Pailq)}
