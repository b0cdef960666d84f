"""What people who run a queue ask for: where it is, workers of this machine, the pace of those that have nothing to do."""

from __future__ import annotations

import json
import os

import pytest

import oqkit
from oqkit.claim.poller import Poller, Topics
from oqkit.cli.command_registry import COMMANDS
from tests.clock import FakeClock
from tests.local import WAIT_S


@oqkit.task
def same(x):
    return x


def test_queue_is_where_the_arguments_say(queue, oq, monkeypatch):
    """A server that is not Amazon's is named by its URL."""
    task = queue.submit(same, 1)
    endpoint_url = os.environ.get("OQ_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.delenv("OQ_URL")
    monkeypatch.delenv("OQ_ENDPOINT_URL", raising=False)
    found = oqkit.connect(queue.url, endpoint_url=endpoint_url, region="eu-west-1")
    assert found.jobs().index.tolist() == [task.job.id]
    place = ("--url", queue.url, "--endpoint-url", endpoint_url, "--region", "eu-west-1")
    assert [row["job"] for row in json.loads(oq("jobs", *place, "--json"))] == [task.job.id]


def test_queue_is_where_the_profile_says(queue, oq, monkeypatch, tmp_path):
    task = queue.submit(same, 1)
    endpoint_url = os.environ.get("OQ_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.delenv("OQ_URL")
    monkeypatch.delenv("OQ_ENDPOINT_URL", raising=False)
    monkeypatch.chdir(tmp_path)
    place = {"url": queue.url, "endpoint_url": endpoint_url}
    lines = [f"{name} = {json.dumps(value)}" for name, value in place.items()]
    (tmp_path / "oq.toml").write_text("\n".join(["[profiles.there]", *lines]), encoding="utf-8")
    assert oqkit.connect(profile="there").jobs().index.tolist() == [task.job.id]
    assert [row["job"] for row in json.loads(oq("jobs", "--profile", "there", "--json"))] == [task.job.id]
    assert "has no [profiles.nowhere]" in oq("jobs", "--profile", "nowhere", code=2)


def test_workers_of_this_machine_work_a_queue_off(queue):
    """One in memory they cannot reach, which is said."""
    if queue.url.startswith("memory:"):
        with pytest.raises(oqkit.UsageError, match="exists in this process alone"):
            oqkit.local_workers(1)
        return
    with oqkit.local_workers(1):
        job = queue.map(lambda x: (x, os.getpid()), range(3))
        found = job.result(WAIT_S).iloc[:, 0].tolist()
    assert [x for x, _ in found] == [0, 1, 2]
    assert os.getpid() not in {pid for _, pid in found}


def test_worker_without_work_asks_ever_more_seldom(queue, monkeypatch):
    store, clock = queue.storage, FakeClock()
    monkeypatch.setattr(store, "clock", clock)
    monkeypatch.setattr(store, "poll_s", 2.0)
    queue.submit(same, 1)
    poller = Poller(queue.repository, Topics(types=frozenset({"other"})))
    poller.look()
    poller.found_work()
    paces_s, start_s = [], clock.time_s
    for idle_s in (0.0, 10.0, 20.0, 601.0):
        clock.time_s = start_s + idle_s
        paces_s.append(poller.poll_s())
    assert paces_s == [0.4, 1.0, 2.0, 14.0]
    before = store.requests.snapshot()
    while clock.time_s < start_s + 601.0 + 600.0:
        if poller.is_due(has_work=False):
            poller.look()
        clock.sleep(poller.next_look_s() + 0.001)
    requests = store.requests.snapshot() - before
    assert 1 <= requests["list"] <= 600 / 75 * 1.5, "a busy one lists 20 times"
    assert 1 <= requests["get"] <= 600 / 14 * 1.5, "and reads the bell 300 times"


def test_shell_completes_every_command_wherever_the_queue_is(queue, oq):
    pytest.importorskip("shtab")
    said = oq("completions", "bash")
    assert [name for name in COMMANDS if name not in said] == []
