"""Options take the numbers, durations and times of numpy and pandas as they take Python's: as a matrix."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

import oqkit as oq
from oqkit.client.option import parse_time, policy_of
from oqkit.plain import plain
from oqkit.task.function import options_of, seconds

WHOLE = (np.int64(5), np.int32(5), np.uint8(5))
SPANS = (
    np.float64(90), np.float32(90), np.int64(90), timedelta(seconds=90), pd.Timedelta("90s"), np.timedelta64(90, "s"),
    np.timedelta64(90_000_000_000, "ns"), np.timedelta64(1500, "ms") * 60,
)  # fmt: skip
MOMENT = datetime(2033, 5, 18, 3, 33, 20, tzinfo=UTC)
TIMES = (
    MOMENT, 2e9, np.float64(2e9), np.int64(2_000_000_000), pd.Timestamp(MOMENT), np.datetime64("2033-05-18T03:33:20"),
    np.datetime64("2033-05-18T03:33:20.000000000"), pd.Series([pd.Timestamp(MOMENT)]).to_numpy(dtype="datetime64[us]")[0],
)  # fmt: skip


def stored(queue, **options):
    job = queue.submit("work", {"x": 1}, **options).job
    return queue.repository.read_job(job.id).doc


@pytest.mark.parametrize("value", WHOLE, ids=repr)
@pytest.mark.parametrize(
    "name", ("retries", "max_losses", "max_reschedules", "priority", "max_concurrency", "max_pending")
)
def test_whole_number_of_numpy_is_stored_as_pythons(queue, name, value):
    job, same = stored(queue, **{name: value}), stored(queue, **{name: 5})
    assert (job.policy, job.priority, job.options_digest) == (same.policy, same.priority, same.options_digest)
    assert [limit.most for limit in job.limits] == [limit.most for limit in same.limits]


@pytest.mark.parametrize("value", SPANS, ids=repr)
@pytest.mark.parametrize("name", ("timeout", "ttl", "delay", "backoff", "keep"))
def test_duration_of_numpy_or_pandas_is_stored_in_seconds(queue, name, value):
    assert seconds(value, what=name) == 90.0
    job, same = stored(queue, **{name: value}), stored(queue, **{name: 90})
    assert (job.timeout_s, job.policy.backoff, job.policy.keep_s) == (
        same.timeout_s, same.policy.backoff, same.policy.keep_s,
    )  # fmt: skip
    assert job.options_digest == same.options_digest


@pytest.mark.parametrize("value", TIMES, ids=repr)
@pytest.mark.parametrize("name", ("at", "expires_at"))
def test_time_of_numpy_or_pandas_is_that_moment(name, value):
    assert parse_time(value, what=name) == 2e9
    policy = policy_of(options_of({"retries": 0, "max_losses": 1, "backoff": 1, name: value}), now=1.9e9)
    assert 2e9 in (policy.not_before, policy.expires_at)


def test_verbs_take_numbers_of_numpy(queue):
    job = queue.map("work", [1, 2, 3], part_rows=np.int64(2), payload=np.int64(5), tags={"n": np.str_("1")})
    assert queue.reprioritize(job, np.int64(200)) == 200
    job.reprioritize(np.uint8(7))
    assert len(queue.jobs(limit=np.int64(5))) == 1
    assert len(queue.jobs(since=np.datetime64("2020-01-01"), limit=np.int16(1))) == 1
    job.pause(resume_after=pd.Timedelta("1h"))
    job.resume()
    queue.pause("maintenance", resume_after=np.timedelta64(1, "h"))
    queue.resume()
    with pytest.raises(oq.WaitTimeout):
        job.wait(np.float32(0.01))
    assert queue.cancel(job) == 3
    assert queue.retry(job, "cancelled", limit=np.int64(5)) == 3
    queue.submit("work", 1, key="k", key_ttl=pd.Timedelta(days=1))
    queue.gc(np.timedelta64(30, "D"))


@pytest.mark.parametrize(
    "value", (np.bool_(1), np.float64(5), np.float64("nan"), np.array([5]), np.datetime64("NaT")), ids=repr
)
@pytest.mark.parametrize("name", ("retries", "priority", "max_concurrency"))
def test_what_is_no_whole_number_is_refused(queue, name, value):
    with pytest.raises(oq.errors.UsageError, match=name):
        queue.submit("work", 1, **{name: value})


@pytest.mark.parametrize(
    "value",
    (np.bool_(1), np.float64("nan"), np.float64("inf"), np.timedelta64("NaT"), pd.NaT, timedelta(-1)),
    ids=repr,
)
def test_what_is_no_duration_is_refused(value):
    with pytest.raises(oq.errors.UsageError, match="timeout"):
        seconds(value, what="timeout")


@pytest.mark.parametrize("value", (np.bool_(1), pd.NaT, np.datetime64("NaT"), np.float64("nan")), ids=repr)
def test_what_is_no_time_is_refused(value):
    with pytest.raises(oq.errors.UsageError, match="at="):
        parse_time(value, what="at")


def test_other_values_stay_as_they_are():
    array = np.array([1, 2])
    assert plain(array) is array
    assert plain("5m") == "5m"
    assert plain(None) is None
