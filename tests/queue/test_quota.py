"""What workers take of a limit: windows, shares, starts that follow each other, places until a time."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace

import pytest

from oqkit.errors import FormatError, UsageError
from oqkit.queue.limit import Limit, concurrency_of, rate_of, said
from oqkit.queue.quota import (
    GRACE_S,
    QUOTA,
    Quota,
    places_taken,
    starts_taken,
    tokens_of,
    window_at,
)

NOW = 1_760_000_000.0


def rate(most, per_s):
    return Quota(name="rate/score", most=most, per_s=per_s)


def taken(quota, worker, *, wanted=None, now=NOW, ahead_s=1.0):
    """Let a worker take, and return the limit and how many starts it got."""
    grant_id = f"g{random.random()}"[:40]
    new = starts_taken(quota, grant_id, worker=worker, wanted=wanted, now=now, ahead_s=ahead_s)
    return new, sum(grant.n for grant in new.grants if grant.id == grant_id)


@pytest.mark.parametrize(
    ("text", "most", "per_s", "name"),
    (
        ("100/min", 100, 60.0, "rate/score"),
        ("10/s", 10, 1.0, "rate/score"),
        ("5000/h", 5000, 3600.0, "rate/score"),
        (" 7 / d  open-ai.v2 ", 7, 86_400.0, "rate/open-ai.v2"),
    ),
)
def test_rate_is_read(text, most, per_s, name):
    assert rate_of(text, job_type="score") == Limit(name=name, most=most, per_s=per_s)


@pytest.mark.parametrize(
    "text", ("", "100", "0/min", "-1/s", "1.5/s", "100/week", "100/min a/b", 100, None, "1/s " + "x" * 65)
)
def test_rate_that_is_none_is_refused_with_what_to_write(text):
    with pytest.raises(UsageError, match="100/min openai"):
        rate_of(text, job_type="score")


@pytest.mark.parametrize("most", (0, -1, 1.5, "8", True))
def test_concurrency_that_is_none_is_refused(most):
    with pytest.raises(UsageError, match="max_concurrency"):
        concurrency_of(most, name="type/score")


def test_limits_are_named_as_they_were_given():
    assert said([rate_of("100/min", job_type="score")]) == "its rate limit of 100/min"
    assert said([concurrency_of(8, name="type/score")]) == "its limit of 8 calls at once"


@pytest.mark.parametrize(
    ("most", "per_s"),
    ((600, 60.0), (100, 60.0), (7, 60.0), (1, 60.0), (5000, 3600.0), (5, 3600.0), (10, 1.0), (1000, 86_400.0)),
)
def test_windows_follow_each_other_and_hold_what_a_period_has(most, per_s):
    period_s, per_period = max(per_s, 60.0), round(most * max(per_s, 60.0) / per_s)
    start = NOW // period_s * period_s
    at, n_starts = start, 0
    while at < start + period_s:
        window = window_at(at, most=most, per_s=per_s)
        assert window.start == at < window.end
        assert window_at((window.start + window.end) / 2, most=most, per_s=per_s) == window
        n_starts, at = n_starts + window.n, window.end
    assert at == start + period_s
    assert n_starts == per_period


def test_no_window_gives_more_than_it_has_whoever_asks():
    rng = random.Random(1)
    quota, now = rate(600, 60.0), NOW
    given: dict[float, int] = {}
    for _ in range(3000):
        now += rng.random() * 0.1
        quota, _n = taken(quota, f"w{rng.randrange(20)}", wanted=rng.choice((None, 1, 5, 400)), now=now)
        for grant in quota.grants:
            assert sum(one.n for one in quota.grants if one.start == grant.start) <= 50
        given.update(
            {grant.start: sum(one.n for one in quota.grants if one.start == grant.start) for grant in quota.grants}
        )
    assert sum(given.values()) >= 0.9 * 50 * len(given)
    QUOTA.dump(quota)


def test_starts_of_all_workers_are_evenly_spaced_in_their_window():
    quota = rate(600, 60.0)
    for n in range(8):
        quota, _ = taken(quota, f"w{n}", wanted=100)
    window = window_at(NOW, most=600, per_s=60.0)
    own = [grant for grant in quota.grants if grant.start == window.start]
    dues = sorted(token.due for grant in own for token in tokens_of(grant, n_window=window.n))
    gaps = [late - early for early, late in itertools.pairwise(dues)]
    assert all(abs(gap - 0.1) < 1e-6 for gap in gaps)
    assert all(token.until == window.end + GRACE_S for grant in own for token in tokens_of(grant, n_window=window.n))


def test_a_worker_alone_takes_a_window_at_once_and_several_share_it():
    alone, n = taken(rate(600, 60.0), "a", wanted=1000)
    assert n == 50
    later = window_at(NOW, most=600, per_s=60.0).end
    shared, n = taken(alone, "b", wanted=1000, now=later)
    assert n == 25
    assert taken(shared, "a", wanted=1000, now=later)[1] == 25


def test_the_next_window_is_given_only_shortly_before_it_begins():
    window = window_at(NOW, most=600, per_s=60.0)
    full, _ = taken(rate(600, 60.0), "a", wanted=1000)
    assert taken(full, "a", wanted=1000, now=window.start + 0.1)[1] == 0
    assert taken(full, "a", wanted=1000, now=window.end - 0.5)[1] == 50


def test_what_was_taken_is_taken_by_the_clock_of_a_worker_that_is_ahead():
    full, _ = taken(rate(600, 60.0), "a", wanted=1000)
    later = window_at(NOW, most=600, per_s=60.0).end + 3.0
    pruned, _ = taken(full, "ahead", wanted=1, now=later)
    assert taken(pruned, "behind", wanted=1000, now=NOW)[1] == 0


def test_the_youngest_job_says_what_holds_for_all():
    quota = rate(600, 60.0).under(Limit(name="rate/score", most=100, per_s=60.0), stated=5.0)
    assert quota.most == 100
    assert quota.under(Limit(name="rate/score", most=7, per_s=60.0), stated=4.0).most == 100


def test_another_rate_in_the_middle_of_a_window_counts_what_was_given():
    full, n = taken(rate(600, 60.0), "a", wanted=1000)
    lower = replace(full, most=60, per_s=60.0)
    assert n == 50
    assert taken(lower, "b", wanted=10)[1] == 0


# --- places --------------------------------------------------------------------------------------


def places(quota, worker, wanted, *, now=NOW, lease_s=60.0):
    return places_taken(quota, f"{worker}{now}", worker=worker, wanted=wanted, now=now, lease_s=lease_s)


def n_of(quota, worker):
    return sum(grant.n for grant in quota.grants if grant.worker == worker)


def test_no_more_places_are_given_than_there_are():
    quota = places(places(Quota(name="type/score", most=3), "a", 2), "b", 5)
    assert (n_of(quota, "a"), n_of(quota, "b")) == (2, 1)
    assert n_of(places(quota, "c", 1), "c") == 0


def test_places_of_a_dead_worker_are_free_when_their_time_is_over():
    quota = places(Quota(name="type/score", most=3), "dead", 3)
    assert n_of(places(quota, "b", 2, now=NOW + 59.0), "b") == 0
    assert n_of(places(quota, "b", 2, now=NOW + 61.0), "b") == 2


def test_places_are_kept_and_given_back():
    quota = places(Quota(name="type/score", most=3), "a", 3)
    quota = places(quota, "a", 1, now=NOW + 20.0)
    assert n_of(quota, "a") == 1
    assert quota.grants[0].end == NOW + 80.0
    assert places(quota, "a", 0, now=NOW + 21.0).grants == ()


def test_document_is_that_of_its_key():
    data = QUOTA.dump(rate(600, 60.0))
    assert QUOTA.load(data, "limits/rate/score.json").most == 600
    with pytest.raises(FormatError, match="another key"):
        QUOTA.load(data, "limits/rate/other.json")
