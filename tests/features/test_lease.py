"""More time for a call that asks for it, and the end of calls whose outcome nobody wants any more."""

from __future__ import annotations

import pytest

from tests.local import WAIT_S, until
from tests.worker.test_extend import WAYS, has_begun, part_of
from tests.worker.test_unwanted import ignore, is_alive, items, mind, take_over, there


@pytest.mark.parametrize("way", WAYS)
def test_call_that_extends_its_lease_outlives_its_time_out_and_no_heartbeat_takes_that_back(
    queue, start, tmp_path, way
):
    executor, function = WAYS[way]
    start(function, executor=executor, lease_s=0.6)
    start(function, executor=executor, lease_s=0.6)
    now, options = queue.repository.now(), {"timeout": 1.0, "retries": 0, "part_rows": 1}
    asks = queue.map(function, [{"x": 0, "folder": str(tmp_path), "extension_s": 600.0}], **options)
    until(lambda: has_begun(tmp_path, "0.1"))
    does_not = queue.map(function, [{"x": 1, "folder": str(tmp_path), "extension_s": 0.0}], **options)
    assert does_not.wait(WAIT_S).errors()["type"].tolist() == ["TimeoutError"]
    commits = part_of(asks).leases[0].commits
    until(lambda: part_of(asks).leases[0].commits > commits)
    assert part_of(asks).leases[0].expires >= now + 600.0
    (tmp_path / "end").touch()
    assert asks.wait(WAIT_S).counts()["completed"] == 1


@pytest.mark.parametrize("executor", ("thread", "process"))
@pytest.mark.parametrize("end", ("cancelled", "taken over"))
def test_running_call_is_told_that_nobody_wants_its_outcome(queue, start, tmp_path, executor, end):
    start(mind, executor=executor, grace_s=WAIT_S, lease_s=0.6)
    job = queue.map(mind, items(tmp_path, 0))
    there(tmp_path / "0.pid")
    job.cancel() if end == "cancelled" else take_over(queue, job)
    until((tmp_path / "0.refused").exists)
    job.cancel()
    assert job.counts()["cancelled"] == 1


def test_process_of_a_cancelled_task_is_killed_when_it_does_not_end_in_the_grace_time(queue, start, tmp_path, oq):
    start(ignore, executor="process", grace_s=0.2, lease_s=0.6)
    job = queue.map(ignore, items(tmp_path, 0))
    pid = there(tmp_path / "0.pid")
    oq("cancel", job.id)
    oq("cancel", job.id)
    until(lambda: not is_alive(pid))
    assert job.counts()["cancelled"] == 1
