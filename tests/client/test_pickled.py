"""What a pickled handle carries, where it is read, and what it is there."""

from __future__ import annotations

import gc
import pickle
import subprocess
import sys
from dataclasses import replace

import pytest

import oqkit as oq
from oqkit.client import connect
from oqkit.client.spec import function_of
from oqkit.limits import Limits
from tests.local import WAIT_S

_ELSEWHERE = """
import pickle, sys
import oqkit.client.connect
import oqkit as oq
try:
    task = pickle.load(sys.stdin.buffer)
except oq.UsageError as error:
    sys.exit(str(error))
print(task.id, task.job.created.isoformat(), task.input, oq.client.connect._default == [])
"""


def read_elsewhere(data: bytes) -> tuple[str, str]:
    """Return what another process says of a pickled task, and what is wrong with it."""
    done = subprocess.run([sys.executable, "-c", _ELSEWHERE], input=data, capture_output=True, check=False)
    return done.stdout.decode().strip(), done.stderr.decode().strip()


def test_another_process_connects_by_itself_and_keeps_its_default_queue(folder_queue):
    task = folder_queue.submit("any", [1, 2])
    told, wrong = read_elsewhere(pickle.dumps(task))
    assert (told, wrong) == (f"{task.id} {task.job.created.isoformat()} [1, 2] True", "")


@pytest.mark.server
def test_another_process_finds_the_endpoint_of_a_bucket_and_credentials_of_its_own(aws, seaweed):
    seaweed.create_bucket("pickled")
    task = oq.connect("s3://pickled/elsewhere", endpoint_url=seaweed.endpoint_url).submit("any", [1, 2])
    assert read_elsewhere(pickle.dumps(task)) == (f"{task.id} {task.job.created.isoformat()} [1, 2] True", "")
    aws.delenv("AWS_SECRET_ACCESS_KEY")
    told, wrong = read_elsewhere(pickle.dumps(task))
    assert told == ""
    assert "credentials" in wrong.lower()


def test_another_process_refuses_a_queue_in_memory(queue):
    told, wrong = read_elsewhere(pickle.dumps(queue.submit("any", 1)))
    assert told == ""
    assert wrong.startswith(f"{queue.url} was in the memory of another process")


def test_this_process_uses_the_connection_that_it_has(queue, monkeypatch):
    monkeypatch.setattr(connect, "_default", [])
    task = queue.submit("any", 1)
    assert pickle.loads(pickle.dumps(task))._connection is queue
    assert connect._default == []


def test_a_queue_in_memory_is_opened_again_if_nobody_holds_it(queue, monkeypatch):
    data = pickle.dumps(queue.submit("any", 1))
    pickled_queue, url = pickle.dumps(queue), queue.url
    monkeypatch.setattr(connect, "_default", [])
    del queue
    gc.collect()
    assert (pickle.loads(pickled_queue).url, pickle.loads(data).input) == (url, 1)


@pytest.mark.server
def test_no_secret_and_no_setting_of_this_machine_travels(folder_queue, aws, seaweed, monkeypatch):
    monkeypatch.setenv("OQ_SIGNING_KEY", "s" * 32)
    signed = oq.connect(folder_queue.url, data_roots={"s3://other": {"secret": "option-that-stays-here"}})
    seaweed.create_bucket("pickled")
    bucket = oq.connect("s3://pickled/queue", endpoint_url=seaweed.endpoint_url)
    data = pickle.dumps((signed, signed.submit("any", 1), bucket, bucket.submit("any", 1)))
    for secret in (b"stays-here", b"s" * 32, seaweed.secret_key.encode()):
        assert secret not in data


def test_a_handle_of_a_deleted_job_is_unknown(queue):
    task = queue.submit("any", 1)
    data = pickle.dumps(task)
    for page in list(queue.storage.list_all("jobs/")):
        queue.storage.delete_many(entry.key for entry in page.entries)
    with pytest.raises(oq.UnknownJob, match=task.id):
        pickle.loads(data)


def test_a_function_that_refers_to_a_handle_is_known_by_it(queue):
    job, other = queue.map("any", [1], name="a"), queue.map("any", [1], name="b")

    def fingerprint(handle):
        def on_handle(x):
            return handle.id, x

        return function_of(on_handle, limits=Limits().task).code.fingerprint

    first = fingerprint(job)
    assert first != ""
    assert first != fingerprint(other)
    queue.job(job.id).cancel()
    assert first == fingerprint(queue.job(job.id)), "orders do not change which job it is"


@pytest.mark.server
def test_queues_of_one_bucket_name_at_two_endpoints_differ(aws, seaweed, ministack_server):
    url, queues = "s3://twice/queue", []
    for server in (seaweed, ministack_server):
        server.create_bucket("twice")
        queues.append(oq.connect(url, endpoint_url=server.endpoint_url))
    assert queues[0] != queues[1]
    assert queues[0] == oq.connect(url, endpoint_url=f"{seaweed.endpoint_url}/")


# --- times ---------------------------------------------------------------------------------------


def flawless(x):
    return x


def test_times_that_the_log_of_a_part_forgot_are_those_of_its_versions(queue, start):
    task = queue.submit(flawless, 1)
    start(flawless)
    task.wait(WAIT_S)
    known = task.started, task.completed
    assert None not in known
    job = task.job._view.state.job
    queue.repository.update_part(job, 0, lambda part: replace(part, log=()), applied=lambda part: not part.log)
    again = queue.get(task.id)
    assert known[0] <= again.started <= known[1] <= again.completed
