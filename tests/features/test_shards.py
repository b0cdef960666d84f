"""Shards: workers that divide them, and a queue that is given another number of them."""

from __future__ import annotations

from dataclasses import replace

import pytest

import oqkit
from oqkit.claim.shard_share import ShardShare
from oqkit.limits import ClaimLimits, Limits
from oqkit.queue.key import LEASES
from oqkit.queue.rows import Rows, covers_once
from oqkit.queue.shard_table import SHARD_TABLE
from tests.local import WAIT_S, connect_with, until

N_SHARDS = 16


@oqkit.task
def double(x):
    return 2 * x


@pytest.fixture
def crowded(queue, monkeypatch) -> oqkit.Queue:
    """A queue of 16 shards with more open jobs than a listing shows: ten."""
    connect_with(Limits(claim=ClaimLimits(page_markers=10)), monkeypatch)
    monkeypatch.setenv("OQ_URL", f"{queue.url}/crowded")
    crowded = oqkit.connect(f"{queue.url}/crowded", shards=N_SHARDS)
    for n in range(40):
        crowded.submit("other", n)
    return crowded


def shares(queue):
    """What the only table of leases says, by worker."""
    tables = [SHARD_TABLE.load(queue.storage.read(one.key).data, one.key) for one in queue.storage.list(LEASES).entries]
    return {share.worker: share.shards for table in tables for share in table.shares}


def test_original_1_6_workers_divide_the_shards_of_a_crowded_queue(crowded, start):
    first = start(double, queue=crowded, shard_leases=True)
    until(lambda: shares(crowded) == {first.name: Rows.span(0, N_SHARDS)}, what="the first worker has all shards")
    second = start(double, queue=crowded, shard_leases=True)
    until(lambda: list(map(len, shares(crowded).values())) == [8, 8], what="each has half of them")
    assert set(shares(crowded)) == {first.name, second.name}
    tasks = [crowded.submit(double, n) for n in range(20)]
    assert [task.result(WAIT_S) for task in tasks] == [2 * n for n in range(20)]
    second.stop()
    until(lambda: shares(crowded) == {first.name: Rows.span(0, N_SHARDS)}, what="what it gave back is the other's")
    assert all(task.attempt == 1 for task in tasks)


def test_worker_with_a_share_goes_on_until_all_shards_are_worked_off(crowded, monkeypatch):
    """Also those that another worker has leased, which perhaps can run nothing of it."""
    tasks = [crowded.submit(double, n) for n in range(20)]
    worker = oqkit.Worker(crowded, [double], shard_leases=True)
    other, share = (ShardShare(crowded.repository, worker="w", ability=worker._registry.ability), worker._source.share)
    for one in (other, share):  # as if both had been at it for a while
        one.note(is_crowded=True)
        one.perform()
    share.begin_walk()
    assert len(share.begin_walk()) == N_SHARDS // 2
    worker.run(until_idle=True)
    assert [task.result(0) for task in tasks] == [2 * n for n in range(20)]


def test_worker_command_leases_shards(crowded, oq, monkeypatch):
    """The command runs in this process, and ends once nothing is left for it: then it has given its share back."""
    monkeypatch.setattr("oqkit.cli.worker_command.tasks_of", lambda name: [double])
    task, seen = crowded.submit(double, 21), []
    original = SHARD_TABLE.dump
    wrote = replace(SHARD_TABLE, dump=lambda table: seen.append(table) or original(table))
    monkeypatch.setattr("oqkit.claim.shard_share.SHARD_TABLE", wrote)
    oq("worker", "tests.features.test_shards:double", "--shard-leases", "--until-idle")
    assert task.result(WAIT_S) == 42
    assert covers_once([share.shards for share in seen[0].shares], N_SHARDS)
    assert shares(crowded) == {}
