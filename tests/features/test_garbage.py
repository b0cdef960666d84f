"""Removing what nobody needs any more."""

from __future__ import annotations

import json

import oqkit
from oqkit.queue.sweep import Sweep
from tests.local import work_off


@oqkit.task(name="double")
def double(x):
    return 2 * x


def test_old_jobs_and_what_belongs_to_none_are_removed(queue, oq, monkeypatch):
    job = queue.map(double, [1, 2, 3], name="report", payload="reference")
    work_off(queue, double)
    job.wait()
    assert len(queue.gc()) == len(queue.gc("1d")) == 0
    monkeypatch.setattr(
        queue.repository.store.server, "now", lambda now=queue.repository.store.server.now: now() + 3 * 86_400
    )
    planned = json.loads(oq("gc", "--older-than", "30d", "--dry-run", "--json"))
    assert planned == []
    found = queue.gc("2d", dry_run=True)
    assert [(row.Index, row.kind, row.name) for row in found.itertuples()] == [
        (job.id, "job", "report"),
        ("", "workers", ""),
    ]
    assert found["bytes"].min() > 0
    assert len(queue.jobs()) == 1
    assert queue.gc("2d").equals(found)
    assert len(queue.jobs()) == 0
    assert queue.repository.store.list("work/").entries == ()


def test_job_with_a_keep_goes_by_itself_and_others_stay(queue, oq, monkeypatch):
    kept = queue.submit(double, 1, keep="1d")
    shell = oq("submit", "double", "2", "--keep", "1d").strip()
    other = queue.submit(double, 3)
    assert (kept.options.keep, queue.get(shell).options.keep, other.options.keep) == (86_400.0, 86_400.0, None)
    work_off(queue, double)
    assert [task.wait().result() for task in (kept, other)] == [2, 6]
    duty = Sweep(queue.repository)
    real, ahead_s = queue.repository.store.server.now, [600.0]
    monkeypatch.setattr(queue.repository.store.server, "now", lambda: real() + ahead_s[0])
    duty.perform()
    assert len(queue.jobs()) == 3
    ahead_s[0] += 2 * 86_400.0
    duty.perform()
    assert list(queue.jobs().index) == [other.job.id]
    assert other.result() == 6
