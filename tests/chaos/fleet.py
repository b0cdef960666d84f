"""Real worker processes on a real queue, and what they did."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from oqkit.client.queue import Queue
from oqkit.client.scheme import open_store
from oqkit.config import Settings
from oqkit.limits import Limits
from oqkit.queue import key as keys
from oqkit.queue.document import FORMAT, dump
from oqkit.queue.repository import open_repository
from oqkit.store.base import Store
from oqkit.store.s3 import S3Store
from tests.chaos.task import RECORD
from tests.local import names_below, until

ROOT = Path(__file__).parents[2]
BUCKET = "chaos"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a queue is, for processes (`env`) and for this one (`queue`)."""

    url: str
    env: dict[str, str]
    endpoint_url: str | None = None

    def store(self, *, read_timeout_s: float = 10.0) -> Store:
        if self.endpoint_url is None:
            return open_store(Settings(url=self.url))
        bucket, _, prefix = self.url.removeprefix("s3://").partition("/")
        return S3Store(bucket, prefix, endpoint_url=self.endpoint_url, read_timeout_s=read_timeout_s)

    def queue(
        self, *, read_timeout_s: float = 10.0, poll_s: float | None = None, limits: Limits | None = None
    ) -> Queue:
        store = self.store(read_timeout_s=read_timeout_s)
        if poll_s is not None:
            store.poll_s = poll_s
        return Queue(open_repository(store, limits=limits), Settings(url=self.url, endpoint_url=self.endpoint_url))


def s3_place(server, prefix, *, endpoint_url=None):
    """Return a queue of its own on `server`, already there, so that nobody needs to probe the store."""
    endpoint_url = endpoint_url or server.endpoint_url
    server.create_bucket(BUCKET)
    env = {**server.env(), "AWS_ENDPOINT_URL": endpoint_url, "OQ_ENDPOINT_URL": endpoint_url}
    place = Place(url=f"s3://{BUCKET}/{prefix}", env=env, endpoint_url=endpoint_url)
    direct = Place(url=place.url, env=env, endpoint_url=server.endpoint_url)
    direct.store().overwrite(keys.SETTINGS, dump({"format": FORMAT, "shards": 1}))
    return place


def azure_place(server, prefix, *, endpoint_url=None):
    """Return the same on Azurite; workers go to `endpoint_url`, which is that of a proxy, and this process past it."""
    server.create_container(BUCKET)
    account_url = f"{endpoint_url}/{server.account}" if endpoint_url else None
    place = Place(url=f"az://{BUCKET}/{prefix}", env=server.env(endpoint_url=account_url))
    place.store().overwrite(keys.SETTINGS, dump({"format": FORMAT, "shards": 1}))
    return place


def directory_place(path):
    return Place(url=f"file://{path}", env={})


class Member:
    """One worker process."""

    def __init__(self, place: Place, record: Path, log: Path, arguments: list[str]) -> None:
        self._log = log
        self._record = record
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "OQ_"))}
        environment |= place.env
        environment |= {
            "OQ_URL": place.url,
            RECORD: str(record),
            "PYTHONPATH": str(ROOT),
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "OMP_NUM_THREADS": "1",
        }
        with log.open("ab") as file:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "oqkit",
                    "worker",
                    "--exit-with",
                    str(os.getpid()),
                    "tests.chaos.task",
                    *arguments,
                ],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                cwd=record,
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def log(self) -> str:
        return self._log.read_text(encoding="utf-8")

    @property
    def is_ready(self) -> bool:
        return " INFO worker " in self.log

    @property
    def calls(self) -> list[tuple[str, int]]:
        """Every call of a function in this process: (label, number)."""
        lines = self._recorded().decode().splitlines()
        return [(label, int(number)) for label, number in (line.split() for line in lines)]

    @property
    def n_calls(self) -> int:
        """The number of calls so far."""
        return self._recorded().count(b"\n")

    def _recorded(self) -> bytes:
        try:
            return (self._record / f"{self.pid}.calls").read_bytes()
        except FileNotFoundError:
            return b""

    def holds(self, worker: str) -> bool:
        """Whether `worker`, from a lease, is the name of this one: it ends in the process id and four letters."""
        return worker.split("-")[-2] == str(self.pid)

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)


class Fleet:
    """Worker processes that end with the `with` block."""

    def __init__(self, place: Place, folder: Path) -> None:
        self._place = place
        self._folder = folder
        folder.mkdir(exist_ok=True)
        self.members: list[Member] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for member in self.living:
            member.signal(signal.SIGCONT)
            member.process.terminate()
        for member in self.members:
            try:
                member.process.wait(20)
            except subprocess.TimeoutExpired:
                member.kill()
        if kind is not None:
            for member in self.members:
                print(f"--- worker {member.pid}, exit code {member.process.returncode}\n{member.log[-2000:]}")

    def start(self, n: int = 1, *, place: Place | None = None, lease_s: float = 60.0) -> list[Member]:
        new = []
        for _ in range(n):
            log = self._folder / f"{len(self.members)}.log"
            new.append(Member(place or self._place, self._folder, log, ["--lease", f"{lease_s:g}", "--grace", "5"]))
            self.members.append(new[-1])
        return new

    def start_ready(self, n: int = 1, *, lease_s: float = 60.0) -> list[Member]:
        """Start workers and wait until all of them look for work."""
        new = self.start(n, lease_s=lease_s)
        for member in new:
            until(lambda m=member: m.is_ready, what=f"worker {member.pid} is up: {member.log}")
        return new

    @property
    def living(self) -> list[Member]:
        return [member for member in self.members if member.process.poll() is None]

    def calls(self) -> Counter[tuple[str, int]]:
        """How often each function was called with what, by all that ever ran."""
        return Counter(call for member in self.members for call in member.calls)

    def check_health(self) -> None:
        """Nobody gave up by itself, and no error was logged."""
        for member in self.members:
            assert member.process.poll() in {None, -signal.SIGKILL}, member.log
            assert " ERROR " not in member.log, member.log
            assert "Traceback" not in member.log, member.log


# --- what a queue holds --------------------------------------------------------------------------


def parts_of(repository, job_id) -> Iterator:
    job = repository.read_job(job_id).doc
    return (repository.read_part(job, index).doc for index in range(job.n_parts))


def uncommitted(view, member, *, part_rows):
    """Return the rows (of the job) that are held under leases of one worker."""
    view.refresh()
    rows = set()
    for part in view.state.parts():
        mine = {lease.id for lease in part.leases if member.holds(lease.worker)}
        first = part.index * part_rows
        rows |= {first + row for task, rows in part.states.items() if task.lease in mine for row in rows}
    return rows


def check_outcomes(queue, job_id, *, statuses=("completed",)):
    """Every task has one outcome, nothing is held any more, and each outcome named is there."""
    repository = queue.repository
    job = repository.read_job(job_id).doc
    outputs = set(names_below(repository.store, f"{repository.keys_of(job).folder}out/"))
    for part in parts_of(repository, job_id):
        assert sum(map(len, part.states.values())) == part.n_rows
        assert {task.status.value for task in part.states} <= set(statuses), part.states
        assert not any(task.lease for task in part.states), part.states
        assert not part.leases, part.leases
        for name, inline in part.outputs.items():
            assert inline is not None or repository.keys_of(job).output(part.index, name) in outputs


def check_at_rest(queue):
    """No marker is left, so no worker is kept busy with what is over."""
    assert names_below(queue.repository.store, keys.OPEN) == []
