"""How shards are divided: each has one who lists it, whoever comes, goes or dies, and few change hands."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oqkit.queue.eligibility import Ability
from oqkit.queue.rows import NONE, Rows, covers_once
from oqkit.queue.shard_table import (
    MAX_SHARES,
    SHARD_TABLE,
    ShardTable,
    Share,
    divided,
    given_back,
    group_of,
    key_of,
    renewed,
)

LEASE_S = 90.0


def take(table, name, *, now=0.0, n_shards=16):
    return renewed(table, name, worker=name, until=now + LEASE_S, now=now, n_shards=n_shards)


def table_of(*names, n_shards=16):
    table = ShardTable(group="g")
    for name in names:
        table = take(table, name, n_shards=n_shards)
    return table


def sizes(table):
    return sorted(len(share.shards) for share in table.shares)


def moved(old, new):
    """How many shards are with somebody else than before."""
    before = {shard: share.id for share in old.shares for shard in share.shards}
    after = {shard: share.id for share in new.shares for shard in share.shards}
    return sum(before.get(shard) not in (None, owner) for shard, owner in after.items())


def test_first_worker_has_all_shards():
    assert take(ShardTable(group="g"), "a").share("a").shards == Rows.span(0, 16)


@pytest.mark.parametrize("n_workers", range(1, 20))
def test_shares_are_fair(n_workers):
    found = sizes(table_of(*map(str, range(n_workers))))
    assert sum(found) == 16
    assert found[-1] - found[0] <= 1


@pytest.mark.parametrize("n_workers", range(1, 20))
def test_newcomer_takes_its_share_and_no_more_changes_hands(n_workers):
    old = table_of(*map(str, range(n_workers)), n_shards=256)
    new = take(old, "new", n_shards=256)
    assert moved(old, new) == len(new.share("new").shards) == 256 // (n_workers + 1)


def test_what_one_gives_back_the_others_have_at_once_and_keep_what_they_had():
    old = table_of("a", "b", "c")
    new = given_back(old, "b")
    assert covers_once((share.shards for share in new.shares), 16)
    assert moved(old, new) == len(old.share("b").shards)
    assert sizes(new) == [8, 8]


def test_what_ran_out_goes_to_whoever_writes_next():
    table = take(table_of("dead", "a"), "a", now=LEASE_S + 1)
    assert [share.id for share in table.shares] == ["a"]
    assert table.share("a").shards == Rows.span(0, 16)


def test_who_is_late_takes_nothing_from_those_that_live():
    table = take(take(table_of("late"), "a", now=80.0), "late", now=LEASE_S + 1)
    assert sizes(table) == [8, 8]


def test_original_1_6_release_of_one_that_ran_out_ends_no_share_of_a_successor():
    """The fault of `buquet` 0.1.0: a release was a DELETE without a condition."""
    successor = take(table_of("first"), "second", now=LEASE_S + 1)
    assert given_back(successor, "first") == successor


def test_full_table_is_left_as_it_is():
    shares = tuple(Share(id=f"{n:04}", worker="w", until=LEASE_S) for n in range(MAX_SHARES))
    table = ShardTable(group="g", n_shards=16, shares=shares)
    assert take(table, "one more") == table
    assert take(table, "0007", now=1.0).share("0007").until == LEASE_S + 1.0


def test_who_knows_of_fewer_shards_takes_none_away():
    table = take(table_of("a", n_shards=64), "old", n_shards=16)
    assert table.n_shards == 64
    assert sizes(table) == [32, 32]


def test_shards_that_were_added_are_divided_too():
    table = take(table_of("a", "b"), "a", n_shards=64)
    assert covers_once((share.shards for share in table.shares), 64)
    assert sizes(table) == [32, 32]


rows = st.sets(st.integers(0, 80)).map(Rows.of)


@given(st.lists(rows, max_size=9), st.integers(1, 70))
def test_any_division_is_whole_and_fair_and_keeps_what_it_can(held, n_shards):
    """Whatever the table said: also shares that overlap, or hold shards that there are not."""
    shares = [Share(id=f"s{n}", worker="w", until=1.0, shards=shards) for n, shards in enumerate(held)]
    found = divided(shares, n_shards)
    assert {share.id for share in found} == {share.id for share in shares}
    if not shares:
        return
    assert covers_once((share.shards for share in found), n_shards)
    least = n_shards // len(shares)
    assert all(len(share.shards) in (least, least + 1) for share in found)


@given(st.lists(st.integers(0, 6), min_size=70, max_size=70), st.integers(1, 6))
def test_any_division_leaves_everybody_what_it_may_keep(owners, n_extra):
    """Whoever had less than a fair share keeps all of it, and whoever had more keeps a fair share."""
    held = [Rows.of(n for n, owner in enumerate(owners) if owner == k) for k in range(7)] + [NONE] * n_extra
    shares = [Share(id=f"{n:02}", worker="w", until=1.0, shards=shards) for n, shards in enumerate(held)]
    least = 70 // len(shares)
    for before, after in zip(shares, divided(shares, 70), strict=True):
        n_kept = len(before.shards & after.shards)
        assert n_kept >= min(len(before.shards), least)
        assert n_kept in (len(before.shards), least, least + 1)


@given(st.lists(st.tuples(st.sampled_from(["take", "leave", "die"]), st.integers(0, 5)), max_size=30))
def test_no_shard_is_ever_without_one_who_lists_it(steps):
    table, now = ShardTable(group="g"), 0.0
    for verb, n in steps:
        now += 10.0
        if verb == "take":
            table = take(table, f"w{n}", now=now)
        elif verb == "leave":
            table = given_back(table, f"w{n}")
        else:
            now += LEASE_S
        assert not table.shares or covers_once((share.shards for share in table.shares), table.n_shards)


def test_table_reads_what_it_wrote():
    table = table_of("a", "b", "c")
    assert SHARD_TABLE.load(SHARD_TABLE.dump(table), key_of("g")) == table


def test_workers_that_run_the_same_are_one_group_and_others_are_not():
    one = Ability(types=frozenset({"a", "b"}), trusts_code=False, python="3.12", magic="cb0d0d0a")
    assert group_of(one) == group_of(
        Ability(types=frozenset({"b", "a"}), trusts_code=False, python="3.12", magic="cb0d0d0a")
    )
    others = [
        Ability(types=frozenset({"a"}), trusts_code=False, python="3.12", magic="cb0d0d0a"),
        Ability(types=one.types, trusts_code=True, python="3.12", magic="cb0d0d0a"),
        Ability(types=one.types, trusts_code=False, python="3.11", magic="a70d0d0a"),
    ]
    assert len({group_of(each) for each in (one, *others)}) == 4
