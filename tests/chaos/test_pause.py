"""A worker that was stopped beyond its lease finds its rows taken over: it can change nothing, and nothing of it is used."""

from __future__ import annotations

import signal

import pandas as pd
import pytest

from tests.chaos.fleet import Fleet, check_outcomes, parts_of
from tests.chaos.task import bulky
from tests.local import names_below, until

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.timeout(150), pytest.mark.xdist_group("chaos")]

N_ROWS = 60
CALL_S = 0.05
LEASE_S = 2.0
LOST = "was taken over: its results are not used"


def lease_of(queue, job, member):
    part = next(parts_of(queue.repository, job.id))
    return next((lease.id for lease in part.leases if member.holds(lease.worker)), None)


def committed(queue, job):
    """Return the rows that have an outcome."""
    part = next(parts_of(queue.repository, job.id))
    return set(part.rows(lambda task: task.status.is_final))


def start_and_pause(queue, fleet):
    """Let a worker take a job, call some rows and commit some of them, and stop it with others uncommitted."""
    (paused,) = fleet.start_ready(lease_s=LEASE_S)
    frame = pd.DataFrame({"label": "pause", "x": range(N_ROWS), "wait_s": CALL_S})
    job = queue.submit_frame(frame, bulky, part_rows=N_ROWS)
    until(lambda: len(committed(queue, job)) > 0, what="a first commit")
    n_before = paused.n_calls
    until(lambda: paused.n_calls >= n_before + 3, what="more calls")
    paused.signal(signal.SIGSTOP)
    lease_id = lease_of(queue, job, paused)
    before = committed(queue, job)
    called = {x for _, x in paused.calls}
    assert lease_id is not None
    assert called - before, "it has called rows that it has not committed"
    return job, paused, lease_id, before, called


@pytest.mark.parametrize("is_over", (True, False), ids=("job is over", "job is running"))
def test_paused_worker_is_fenced_when_its_lease_was_taken_over(anywhere, tmp_path, is_over, capsys):
    queue = anywhere.queue()
    with Fleet(anywhere, tmp_path / "fleet") as fleet:
        job, paused, lease_id, before, called = start_and_pause(queue, fleet)
        (heir,) = fleet.start(lease_s=LEASE_S)
        if is_over:
            job.wait(timeout=60)
        else:
            until(lambda: called - before <= {x for _, x in heir.calls}, what="the rows are taken over")
        paused.signal(signal.SIGCONT)
        until(lambda: LOST in paused.log, what=f"the paused worker notices: {paused.log}")
        result = job.result(timeout=60)

        assert f"lease {lease_id} {LOST}" in paused.log
        assert LOST not in heir.log
        assert list(result["y"]) == [2 * x for x in range(N_ROWS)]
        by_paused = set(result.index[result["pid"] == paused.pid])
        by_heir = set(result.index[result["pid"] == heir.pid])
        assert by_paused | by_heir == set(range(N_ROWS))
        if is_over:
            assert by_paused == before, "what was committed in time counts, and nothing else"
        assert before <= by_paused, "what was committed in time counts; more only under a new lease"
        taken_over = {x for _, x in heir.calls}
        assert called - before <= taken_over, "rows called but not committed are called again by the heir"
        assert called - before <= by_heir, "and only the heir's values count"
        assert not before & taken_over
        check_outcomes(queue, job.id)
        check_fenced_output(queue, job, lease_id)
        with capsys.disabled():
            print(
                f"\n[pause] stopped with {len(called - before)} rows called and not committed; {len(by_heir)} of "
                f"{N_ROWS} rows are the heir's, {len(by_paused)} had been committed in time"
            )


def check_fenced_output(queue, job, lease_id):
    """The fenced worker has uploaded what it had, for it could not know: but no part names it."""
    repository = queue.repository
    folder = repository.keys_of(repository.read_job(job.id).doc).folder
    stored = {key.rpartition("/")[2].removesuffix(".parquet") for key in names_below(repository.store, f"{folder}out/")}
    named = {f"0000000-{name}" for part in parts_of(repository, job.id) for name in part.outputs}
    fenced = stored - named
    assert fenced, "there is an output that lost"
    assert all(name.startswith(f"0000000-{lease_id}.") for name in fenced)
