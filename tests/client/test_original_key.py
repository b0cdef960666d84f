"""The faults of the original's idempotency keys, which must not come back: research notes §1.1 (a) to (g), by their letters."""

from __future__ import annotations

import contextlib
import sqlite3

import pytest

import oqkit as oq
from oqkit.cli.main import main
from oqkit.client.queue import Queue
from oqkit.config import Settings
from oqkit.errors import DuplicateJob
from oqkit.queue.repository import open_repository
from oqkit.store.memory import MemoryStore
from tests.client.sample import n_jobs, other, scaled
from tests.local import keys_in
from tests.queue.faulty import FaultyStore


def test_original_1_1_a_two_submissions_at_once_made_two_tasks():
    """The key was on record before its task: whoever read the record in between took the key for free."""
    store = MemoryStore()
    queue = Queue(open_repository(store), Settings(url=store.url))
    meanwhile = []

    def come_between(verb, key):
        slow.before_write = None
        meanwhile.append((key, queue.submit(scaled, {"x": 1}, key="k")))

    slow = FaultyStore(store)
    late = Queue(open_repository(slow), Settings(url=store.url))
    slow.before_write = come_between
    task = late.submit(scaled, {"x": 1}, key="k")
    ((first_key, first),) = meanwhile
    assert first_key.startswith("jobs/")  # nothing is written before the job itself
    assert task.id == first.id
    assert n_jobs(queue) == 1


def test_original_1_1_b_there_was_no_outbox(queue, tmp_path):
    """A submission could not be part of a transaction; more in tests/outbox."""

    def connect():
        return sqlite3.connect(tmp_path / "app.db")

    with contextlib.closing(connect()) as connection:
        queue.outbox_setup(connection)
        for act in (connection.rollback, connection.commit):
            with queue.outbox(connection) as box:
                box.submit("score", act.__name__)
            act()
    assert [queue.outbox_relay(connect).deliver_all().n_delivered for _ in range(2)] == [1, 0]
    assert [queue.get(f"{job_id}.0").input for job_id in queue.jobs().index] == ["commit"]


def test_original_1_1_c_conflict_was_a_plain_runtime_error(queue):
    queue.submit(scaled, {"x": 1}, key="k")
    with pytest.raises(DuplicateJob) as caught:
        queue.submit(scaled, {"x": 2}, key="k")
    assert isinstance(caught.value, oq.OqError)
    assert not isinstance(caught.value, RuntimeError)


def test_original_1_1_d_other_task_type_in_one_scope_got_the_first_task(queue):
    queue.submit(scaled, {"x": 1}, key="k", scope="queue")
    with pytest.raises(DuplicateJob, match="of type 'scaled' there and 'other' here"):
        queue.submit(other, {"x": 1}, key="k", scope="queue")


def test_original_1_1_e_many_calls_and_the_command_line_took_no_key(queue, capsys):
    """Schedules take none either, nor need one: the id of a slot's job follows from the slot."""
    first = queue.submit_many("score", [{"id": 1}, {"id": 2}], key="id")
    assert len(queue.submit_many("score", [{"id": 2}, {"id": 3}], key="id")) == 1
    assert len(first) == 2
    task = queue.submit("score", 7, key="k", scope="own", key_ttl="1h")
    assert main(["submit", "score", "7", "--key", "k", "--scope", "own", "--key-ttl", "1h", "--url", queue.url]) == 0
    assert capsys.readouterr().out.strip() == task.id


@pytest.mark.parametrize("scope", ("a/b", "../../jobs", "/", "..", "a\x00b", "\ud800"))
def test_original_1_1_f_scope_was_put_into_the_layout_as_it_is(queue, scope):
    plain = queue.submit(scaled, {"x": 1}, key="k", scope="plain")
    strange = queue.submit(scaled, {"x": 1}, key="k", scope=scope)
    assert strange.id != plain.id
    names = [key.replace(strange.job.id, plain.job.id) for key in keys_in(queue) if key.startswith("jobs/")]
    assert names == [names[0]] * 2  # the same places, under another id
    assert len([key for key in keys_in(queue) if strange.job.id in key]) == 2  # job and marker


def test_original_1_1_g_scope_queue_met_a_task_type_of_that_name(queue):
    named = oq.task(name="queue")(scaled)
    assert queue.submit(named, {"x": 1}, key="k").id != queue.submit(named, {"x": 1}, key="k", scope="queue").id
    assert n_jobs(queue) == 2
