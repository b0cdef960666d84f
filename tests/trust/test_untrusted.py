"""Hostile jobs on a worker without trust, and in the hands of a client: seen by an audit hook in real processes."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import re
import socket
import subprocess
import sys
import sysconfig
import threading
from ast import literal_eval
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import fsspec
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import oqkit as oq
from oqkit.client import connect
from oqkit.queue import key as keys
from tests.local import until
from tests.trust.corpus import PICKLE, Case, Place, cases, hostile_metadata

# the hostile jobs are run once for the whole file, so one process runs it
pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.xdist_group("untrusted")]

HERE = Path(__file__).parent
BUCKET = "untrusted"
WAIT_S = 300.0
FRAME = pd.DataFrame({"x": [1.0, 2.0, 3.0]})
#: Modules that a hostile job might want to have loaded, each with a trap in it.
TRAPS = (
    "evil_module",
    "evil_fs",
    "pygit2",
    "gcsfs",
    "adlfs",
    "paramiko",
    "smbprotocol",
    "dropbox",
    "huggingface_hub",
    "requests",
)
TRAP = "import pathlib; pathlib.Path({!r}).touch()\ndef run(*_): pathlib.Path({!r}).touch()\n"


def chosen(place: Place) -> list[Case]:
    """Return the cases for real processes: a third of the many protocols and options, or with OQ_HOSTILE_JOBS=all every one.

    `tests/payload/test_access.py` goes through all of them without a process.
    """
    every = list(cases(place))
    if os.environ.get("OQ_HOSTILE_JOBS") == "all":
        return every
    many = [case for case in every if case.name.startswith(("protocol ", "options "))]
    return [case for case in every if case not in many or many.index(case) % 3 == 0]


class Attack:
    """A queue in a bucket, a worker without trust, sound jobs of every kind, and somebody who may write the bucket."""

    def __init__(self, server, folder: Path) -> None:
        self.server, self.folder = server, folder
        self.endpoint = urlsplit(server.endpoint_url)
        self.allowed, self.cwd = folder / "allowed", folder / "cwd"
        self.sprung = folder / "sprung"
        self.evil = socket.create_server(("127.0.0.1", 0))
        self.n_connections = 0
        threading.Thread(target=self._count, daemon=True).start()
        self._files()
        self.queue = oq.connect(f"s3://{BUCKET}/queue", endpoint_url=server.endpoint_url)
        self.store = self.queue.repository.store
        self.code = self._stored_code()
        self.sound = self._sound_jobs()
        self.docs = {kind: self._read(job.id) for kind, job in self.sound.items()}
        self.place = Place(
            bucket=BUCKET,
            allowed=self.allowed,
            secret=folder / "secret.parquet",
            evil_url=f"http://127.0.0.1:{self.evil.getsockname()[1]}",
            foreign_key=self.docs["frame"]["input"]["files"][0][0],
            code_digest=self.code,
        )

    def _count(self) -> None:
        while True:
            try:
                connection, _ = self.evil.accept()
            except OSError:
                return
            self.n_connections += 1
            connection.close()

    def _files(self) -> None:
        self.allowed.mkdir()
        self.cwd.mkdir()
        FRAME.to_parquet(self.folder / "secret.parquet")
        FRAME.to_parquet(self.allowed / "0.parquet")
        (self.allowed / "link.parquet").symlink_to(self.folder / "secret.parquet")
        (self.allowed / "folder").symlink_to(self.folder)
        (self.allowed / "up").symlink_to("..")
        for name in TRAPS:
            (self.cwd / f"{name}.py").write_text(TRAP.format(str(self.sprung), str(self.sprung)), encoding="utf-8")
        files = fsspec.filesystem("s3", endpoint_url=self.server.endpoint_url)
        for bucket in (BUCKET, f"{BUCKET}-evil", "private"):
            self.server.create_bucket(bucket)
        for path in (f"{BUCKET}/data/0.parquet", f"{BUCKET}-evil/secret.parquet", "private/secret.parquet"):
            files.pipe_file(path, (self.allowed / "0.parquet").read_bytes())

    def _stored_code(self) -> str:
        class Evil:
            def __reduce__(self):
                return exec, (TRAP.format(str(self_sprung), ""),)

        self_sprung = self.sprung
        data = pickle.dumps(Evil())
        digest = hashlib.sha256(data).hexdigest()
        self.store.overwrite(keys.code_key(digest), data)
        return digest

    def _sound_jobs(self):
        queue, many = self.queue, ["x" * 100] * 1000
        return {
            "dataset": queue.submit_dataset(f"s3://{BUCKET}/data/*.parquet", "score", name="dataset"),
            "local": queue.submit_dataset(str(self.allowed / "0.parquet"), "score", name="local"),
            "frame": queue.submit_frame(FRAME, "score", name="frame"),
            "json": queue.map("value", many, name="json", part_rows=1000, payload="reference"),
            "values": queue.map("score", [{"x": 1.0}], name="values"),
            # its errors warm up what failing, retrying and showing errors need
            "broken": queue.map("score", [{"y": 1.0}], name="broken", retries=0),
        }

    def _read(self, job_id: str):
        return json.loads(self.store.read(keys.job_key(job_id, 1)).data)

    def plant(self, case: Case, *, priority: int = 200) -> str:
        """Store the hostile job of a case, as somebody would who can write the bucket, and put up its marker."""
        doc = json.loads(json.dumps(self.docs[case.kind]))
        job_id = keys.timed_job_id(self.queue.repository.now(), self.queue.repository.rng)
        doc.update(job=job_id, name=case.name, origin=job_id, created=self.queue.repository.now(), priority=priority)
        doc["policy"]["retries"] = 0
        doc.pop("signature", None)  # which the attacker cannot make; this worker asks for none
        case.change(doc)
        self.store.create(keys.job_key(job_id, 1), json.dumps(doc).encode())
        job = replace(self.queue.repository.read_job(self.sound[case.kind].id).doc, id=job_id, priority=priority)
        self.queue.repository.put_marker(self.queue.repository.marker(job, due=job.created))
        return job_id

    def plant_file(self, name: str, data: bytes) -> str:
        """Store a job whose own input file is hostile."""
        case = Case(name=name, kind="frame", change=lambda _: None, told=None)
        return self.plant(replace(case, change=lambda doc: self._own_file(doc, data)))

    def _own_file(self, doc, data: bytes) -> None:
        job = replace(self.queue.repository.read_job(self.sound["frame"].id).doc, id=doc["job"], created=doc["created"])
        key = self.queue.repository.keys_of(job).input(0, "0" * 32)
        self.store.overwrite(key, data)
        doc["input"]["files"][0] = [key, 0, len(FRAME), len(data)]  # without the digest of another

    def environment(self, roots: str) -> dict[str, str]:
        return {
            **os.environ,
            **self.server.env(),
            "OQ_URL": self.queue.url,
            "OQ_ENDPOINT_URL": self.server.endpoint_url,
            "OQ_DATA_ROOTS": roots,
            "PYTHONPATH": str(HERE.parents[1]),
            "HOME": str(self.folder),
            "PYTHONUNBUFFERED": "1",
        }

    def process(self, log: Path, *arguments: str, roots: str = "") -> subprocess.Popen[str]:
        command = [sys.executable, "-P", str(HERE / "audited.py"), str(log), *arguments]
        return subprocess.Popen(
            command,
            cwd=self.cwd,
            env=self.environment(roots),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
        )


@pytest.fixture(scope="module")
def attack(ministack_server, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ministack_server.env().items():
            patch.setenv(name, value)
        patch.setenv("AWS_CONFIG_FILE", os.devnull)
        patch.setattr(connect, "_default", [])
        made = Attack(ministack_server, tmp_path_factory.mktemp("untrusted"))
        yield made
        made.evil.close()


@pytest.fixture(scope="module")
def told(attack):
    """Run all hostile jobs on one worker, after sound ones; return what was told of each, and what the process did."""
    log = attack.folder / "worker.audit"
    worker = attack.process(log, "worker", "tests.trust.task", "-c", "2", roots=str(attack.allowed))
    try:
        until(lambda: all(job.done() for job in attack.sound.values()), wait_s=WAIT_S)
        before = log.stat().st_size
        ids = {case.name: attack.plant(case) for case in chosen(attack.place)}
        for name, data in hostile_files().items():
            ids[name] = attack.plant_file(name, data)
        last = attack.plant(Case(name="last", kind="values", change=lambda _: None, told=None), priority=0)
        until(lambda: attack.queue.job(last).done(), wait_s=WAIT_S)
    finally:
        worker.terminate()
        said, _ = worker.communicate(timeout=30)
    assert all(
        attack.queue.job(job.id).status == "completed" for kind, job in attack.sound.items() if kind != "broken"
    ), said
    return ids, events_after(log, before), said


def hostile_files() -> dict[str, bytes]:
    found = {}
    for name, metadata in hostile_metadata().items():
        found[name] = parquet(pa.schema([pa.field("x", pa.binary(), metadata=metadata)]), [[b"1", b"2", b"3"]])
    for name, facts in {
        "pandas metadata of an unknown dtype": {"numpy_type": "evil_fs.Dtype", "pandas_type": "evil_fs"},
        "pandas metadata with a pickle": {
            "numpy_type": "object",
            "pandas_type": "pickled",
            "metadata": {"pickle": PICKLE},
        },
    }.items():
        column = {"name": "x", "field_name": "x", "metadata": None, **facts}
        pandas = {"columns": [column], "index_columns": ["__import__('evil_module')"], "column_indexes": []}
        schema = pa.schema([pa.field("x", pa.float64())], metadata={b"pandas": json.dumps(pandas).encode()})
        found[name] = parquet(schema, [[1.0, 2.0, 3.0]])
    return found


def parquet(schema: pa.Schema, columns) -> bytes:
    sink = pa.BufferOutputStream()
    arrays = [pa.array(values, field.type) for values, field in zip(columns, schema, strict=True)]
    pq.write_table(pa.Table.from_arrays(arrays, schema=schema), sink, row_group_size=1)
    return sink.getvalue().to_pybytes()


def events_after(log: Path, offset: int) -> list[tuple[str, str]]:
    return [tuple(json.loads(line)) for line in log.read_bytes()[offset:].splitlines()]


def check_events(attack, events) -> None:
    """Check that a process did nothing but read its own libraries and roots, and call the endpoint."""
    libraries = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    own = [
        *map(os.path.realpath, libraries),
        *libraries,
        str(HERE.parents[1] / "oqkit"),
        str(HERE),
        str(attack.allowed),
    ]
    endpoint = (attack.endpoint.hostname, attack.endpoint.port)
    strange = []
    for event, what in events:
        if event == "socket.connect":
            is_fine = literal_eval(what)[:2] == endpoint
        elif event == "socket.getaddrinfo":
            is_fine = what == endpoint[0]
        elif event == "open":
            is_fine = what.startswith(tuple(f"{folder}/" for folder in own)) or what in {os.devnull, "/proc/stat"}
        elif event == "import":
            is_fine = False
        else:
            is_fine = False
        if not is_fine:
            strange.append((event, what))
    assert not strange
    assert not attack.n_connections, "the attacker's endpoint was called"
    assert not attack.sprung.exists(), "a trap was sprung"


def test_corpus_is_large_enough(attack):
    names = [case.name for case in cases(attack.place)]
    assert len(set(names)) == len(names) >= 100
    assert len(chosen(attack.place)) >= 70


def test_worker_without_trust_imports_opens_and_calls_nothing_that_a_job_asks_for(attack, told):
    ids, events, _ = told
    check_events(attack, events)
    assert len(ids) >= 70


def test_hostile_input_is_refused_with_its_reason(attack, told):
    ids, _, said = told
    wrong = []
    for case in chosen(attack.place):
        if case.told is None:
            continue
        job = attack.queue.job(ids[case.name])
        messages = job.errors()["message"].tolist()
        if not messages or not all(re.search(case.told, message, re.DOTALL) for message in messages):
            wrong.append((case.name, job.status, messages[:1]))
    assert not wrong, said[-3000:]


def test_hostile_code_is_left_alone_or_stands_for_the_workers_own_function(attack, told):
    ids, _, _ = told
    for case in chosen(attack.place):
        if case.told is None:
            job = attack.queue.job(ids[case.name])
            assert job.status == "pending" or job.result()["score"].tolist() == [2.0], case.name


def test_client_that_collects_imports_opens_and_calls_nothing_that_a_job_asks_for(attack, told):
    ids, _, _ = told
    log = attack.folder / "client.audit"
    sound = [job.id for job in attack.sound.values()]
    client = attack.process(log, "collect", *sound, "--", *ids.values(), roots=str(attack.allowed))
    said, _ = client.communicate(timeout=WAIT_S)
    assert client.returncode == 0, said
    parts = dict(part.split("\n", 1) for part in said.split("== ")[1:])
    assert not parts[attack.sound["dataset"].id], parts[attack.sound["dataset"].id]
    events = events_after(log, 0)
    check_events(attack, events[events.index(("mark", "hostile")) + 1 :])
    for case in chosen(attack.place):
        if case.told is not None and case.kind == "dataset":
            assert re.search(case.told, parts[ids[case.name]], re.DOTALL), case.name
