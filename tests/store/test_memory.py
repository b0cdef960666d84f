from __future__ import annotations

import itertools

import pytest

from oqkit.errors import UsageError
from oqkit.store.memory import MemoryStore
from oqkit.testing.contract import StoreContract
from tests.clock import FakeClock

_names = itertools.count()


class TestMemoryStore(StoreContract):
    @pytest.fixture
    def store(self):
        return MemoryStore.named(f"contract-{next(_names)}")

    @pytest.fixture
    def another_client(self, store):
        return MemoryStore.named(store.url.removeprefix("memory://"))


def test_named_returns_the_same_content_for_the_same_name():
    MemoryStore.named("shared").overwrite("a", b"x")
    assert MemoryStore.named("shared").read("a").data == b"x"
    assert MemoryStore.named("other").list("").entries == ()


def test_store_is_its_own_when_not_named():
    name = f"mine-{next(_names)}"
    MemoryStore(name).create("a", b"x")
    assert MemoryStore(name).list("").entries == ()
    assert MemoryStore.named(name).list("").entries == ()


def test_url_holds_the_name():
    assert MemoryStore.named("x").url == "memory://x"


def test_etag_changes_with_every_write_when_the_bytes_are_the_same():
    store = MemoryStore()
    assert len({store.overwrite("a", b"same") for _ in range(100)}) == 100


def test_now_follows_the_injected_clock():
    clock = FakeClock(100.0)
    store = MemoryStore(clock=clock)
    before = store.now()
    clock.sleep(3600)
    assert store.now() - before == pytest.approx(3600, abs=1e-3)
    store.create("a", b"")
    assert store.now() - before == pytest.approx(3600, abs=1e-3)


def test_now_follows_the_injected_wall():
    clock = FakeClock(100.0)
    store = MemoryStore(clock=clock, wall=lambda: 5_000.0 + clock.time_s)
    assert store.now() == pytest.approx(5_100, abs=1e-3)
    store.create("a", b"")
    assert next(store.versions("a")).modified_s == pytest.approx(5_100, abs=1e-3)


def test_now_believes_the_newest_date_when_the_wall_is_set():
    wall = [1_000.0]
    store = MemoryStore(clock=FakeClock(), wall=lambda: wall[0])
    assert store.now() == pytest.approx(1_000, abs=1e-3)
    wall[0] = 500.0
    store.create("a", b"")
    assert store.now() == pytest.approx(500, abs=1e-3)


def test_data_is_a_copy_when_the_caller_goes_on_to_change_it():
    store = MemoryStore()
    data = bytearray(b"first")
    store.create("a", data)
    data[:] = b"later"
    assert store.read("a").data == b"first"


def test_versions_outlive_the_object():
    store = MemoryStore()
    store.create("a", b"1")
    store.overwrite("a", b"2")
    store.delete("a")
    assert [version.data for version in store.versions("a")] == [b"1"]


@pytest.mark.parametrize("key", ("", "/a", "a/", "a//b", "../a", "a/..", ".a", "a/.b", "a\\b", "a\0b"))
def test_verbs_refuse_a_key_that_no_directory_could_hold(key):
    store = MemoryStore()
    for call in (
        lambda: store.create(key, b""),
        lambda: store.read(key),
        lambda: store.replace(key, b"", etag=""),
        lambda: store.delete(key),
    ):
        with pytest.raises(UsageError):
            call()


def test_list_refuses_a_limit_below_1():
    with pytest.raises(UsageError):
        MemoryStore().list("", limit=0)
