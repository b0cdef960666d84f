"""The promises of a store as tests: subclass `StoreContract` and give it a store.

class TestMyStore(StoreContract):
    @pytest.fixture
    def store(self):
        return MyStore(...)          # new and empty for each test
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar

import pytest

from oqkit.errors import Conflict, Missing
from oqkit.store.base import Blob, Entry, Page, Store
from oqkit.testing.race import StoreRaces, create_if_absent


def pages(store: Store, prefix: str, *, limit: int, folders: bool = False) -> list[Page]:
    """Return the pages of a whole listing."""
    found = [store.list(prefix, limit=limit, folders=folders)]
    while (after := found[-1].next) is not None:
        found.append(store.list(prefix, after=after, limit=limit, folders=folders))
    return found


def keys(store: Store, prefix: str, *, limit: int = 1000) -> list[str]:
    """Return the keys of a whole listing, in its order."""
    return [entry.key for page in pages(store, prefix, limit=limit) for entry in page.entries]


class StoreContract(StoreRaces):
    """Every promise of `oqkit.store.base.Store`; a test may be skipped with a reason, never overridden."""

    #: Whether `versions` shows what a key held before; False where the backend keeps no past.
    keeps_versions: ClassVar[bool] = True

    @pytest.fixture
    def store(self) -> Store:
        raise NotImplementedError("give this class a fixture `store`: a new, empty store for each test")

    @pytest.fixture
    def another_client(self, store: Store) -> Store:
        """Another store object on the same data, as another process would have; the same one by default."""
        return store

    # --- reading ---------------------------------------------------------------------------------

    def test_read_returns_what_was_created(self, store: Store, another_client: Store) -> None:
        etag = store.create("a/b.json", b"one")
        assert another_client.read("a/b.json") == Blob(key="a/b.json", data=b"one", etag=etag)

    def test_read_raises_missing_when_there_is_no_object(self, store: Store) -> None:
        with pytest.raises(Missing) as raised:
            store.read("a/b.json")
        assert raised.value.key == "a/b.json"

    def test_read_raises_missing_when_the_key_is_a_folder(self, store: Store) -> None:
        store.create("a/b.json", b"one")
        with pytest.raises(Missing):
            store.read("a")

    @pytest.mark.parametrize(
        "data", [b"", b"\0\xff\r\n", bytes(range(256)) * 4096 * 8], ids=["empty", "binary", "8MiB"]
    )
    def test_read_returns_every_byte(self, store: Store, data: bytes) -> None:
        store.create("payload", data)
        assert store.read("payload").data == data

    @pytest.mark.parametrize(
        "key", ["a_b", "a.b-c", "k=v/x~y", "0/1/2/3/4/5", "A/a", "a/b.", "a b/c+d", "_-.=~0", "ü/é"]
    )
    def test_read_finds_keys_with_special_characters(self, store: Store, key: str) -> None:
        store.create(key, b"x")
        assert store.read(key).data == b"x"
        assert keys(store, "") == [key]

    def test_read_changed_returns_none_when_the_etag_is_the_same(self, store: Store, another_client: Store) -> None:
        etag = store.create("bell", b"1")
        assert another_client.read_changed("bell", etag=etag) is None

    def test_read_changed_returns_the_object_when_it_changed(self, store: Store, another_client: Store) -> None:
        etag = store.create("bell", b"1")
        new_etag = another_client.overwrite("bell", b"2")
        assert store.read_changed("bell", etag=etag) == Blob(key="bell", data=b"2", etag=new_etag)

    def test_read_changed_raises_missing_when_there_is_no_object(self, store: Store) -> None:
        etag = store.create("bell", b"1")
        store.delete("bell")
        with pytest.raises(Missing):
            store.read_changed("bell", etag=etag)

    @pytest.mark.parametrize(
        ("start", "length", "expected"),
        [
            (0, 4, b"0123"),
            (3, 4, b"3456"),
            (8, 4, b"89"),
            (9, 1, b"9"),
            (0, 100, b"0123456789"),
            (-3, 3, b"789"),
            (-10, 10, b"0123456789"),
            (-100, 100, b"0123456789"),
            (-4, 2, b"67"),
            (10, 1, b""),
            (50, 5, b""),
        ],
    )
    def test_read_range_returns_the_bytes_that_exist(
        self, store: Store, start: int, length: int, expected: bytes
    ) -> None:
        store.create("digits", b"0123456789")
        assert store.read_range("digits", start=start, length=length) == expected

    def test_read_range_returns_nothing_when_the_object_is_empty(self, store: Store) -> None:
        store.create("empty", b"")
        assert store.read_range("empty", start=0, length=5) == b""
        assert store.read_range("empty", start=-5, length=5) == b""

    def test_read_range_raises_missing_when_there_is_no_object(self, store: Store) -> None:
        with pytest.raises(Missing):
            store.read_range("absent", start=0, length=1)

    # --- writing ---------------------------------------------------------------------------------

    def test_create_raises_conflict_when_the_key_exists(self, store: Store, another_client: Store) -> None:
        store.create("a", b"first")
        with pytest.raises(Conflict) as raised:
            another_client.create("a", b"second")
        assert raised.value.key == "a"
        assert store.read("a").data == b"first"

    def test_create_raises_conflict_when_the_bytes_are_the_same(self, store: Store) -> None:
        store.create("a", b"same")
        with pytest.raises(Conflict):
            store.create("a", b"same")

    def test_create_succeeds_when_the_key_was_deleted(self, store: Store) -> None:
        store.create("a/b", b"first")
        store.delete("a/b")
        store.create("a/b", b"second")
        assert store.read("a/b").data == b"second"

    def test_replace_writes_when_the_etag_is_current(self, store: Store, another_client: Store) -> None:
        etag = store.create("a", b"first")
        new_etag = another_client.replace("a", b"second", etag=etag)
        assert new_etag != etag
        assert store.read("a") == Blob(key="a", data=b"second", etag=new_etag)

    def test_replace_raises_conflict_when_the_etag_is_stale(self, store: Store, another_client: Store) -> None:
        etag = store.create("a", b"first")
        store.replace("a", b"second", etag=etag)
        with pytest.raises(Conflict):
            another_client.replace("a", b"third", etag=etag)
        assert store.read("a").data == b"second"

    def test_replace_creates_nothing_when_the_object_is_gone(self, store: Store) -> None:
        etag = store.create("a", b"first")
        store.delete("a")
        with pytest.raises((Conflict, Missing)):
            store.replace("a", b"second", etag=etag)
        assert keys(store, "") == []

    def test_replace_accepts_the_etag_of_a_listing(self, store: Store) -> None:
        store.create("a", b"first")
        (entry,) = store.list("a").entries
        store.replace("a", b"second", etag=entry.etag)
        assert store.read("a").data == b"second"

    def test_overwrite_writes_whether_or_not_the_key_exists(self, store: Store) -> None:
        first = store.overwrite("a", b"first")
        assert store.read("a") == Blob(key="a", data=b"first", etag=first)
        second = store.overwrite("a", b"second!")
        assert store.read("a") == Blob(key="a", data=b"second!", etag=second)

    def test_etag_changes_with_the_bytes(self, store: Store) -> None:
        etags = [store.overwrite("a", bytes([number])) for number in range(50)]
        assert len(set(etags)) == 50

    def test_delete_removes_the_object(self, store: Store, another_client: Store) -> None:
        store.create("a/b", b"x")
        another_client.delete("a/b")
        assert keys(store, "") == []
        with pytest.raises(Missing):
            store.read("a/b")

    def test_delete_accepts_a_key_that_does_not_exist(self, store: Store) -> None:
        store.create("a/b", b"x")
        store.delete("a/c")
        store.delete("x/y/z")
        store.delete("a/c")
        assert keys(store, "") == ["a/b"]

    def test_delete_many_removes_what_is_there(self, store: Store, another_client: Store) -> None:
        for key in ("a/1", "a/2", "b & c/ä?", "d"):
            store.create(key, b"x")
        another_client.delete_many(["a/1", "a/3", "b & c/ä?", "a/2", "x/y/z"])
        assert keys(store, "") == ["d"]
        another_client.delete_many([])
        another_client.delete_many(["d"])
        assert keys(store, "") == []

    # --- listing ---------------------------------------------------------------------------------

    def test_list_shows_each_write_at_once(self, store: Store, another_client: Store) -> None:
        etag = store.create("a/1", b"x")
        assert another_client.list("a/").entries == (Entry(key="a/1", etag=etag, size_bytes=1),)
        etag = store.replace("a/1", b"xyz", etag=etag)
        assert another_client.list("a/").entries == (Entry(key="a/1", etag=etag, size_bytes=3),)
        (entry,) = store.list("a/").entries
        assert entry.modified_s is not None
        assert abs(entry.modified_s - store.now()) < 60.0
        store.delete("a/1")
        assert another_client.list("a/") == Page(entries=())

    def test_list_returns_all_that_start_with_the_prefix(self, store: Store) -> None:
        for key in ("a/1", "a/2", "a/b/3", "ab", "b/1"):
            store.create(key, b"")
        assert sorted(keys(store, "")) == ["a/1", "a/2", "a/b/3", "ab", "b/1"]
        assert sorted(keys(store, "a")) == ["a/1", "a/2", "a/b/3", "ab"]
        assert sorted(keys(store, "a/")) == ["a/1", "a/2", "a/b/3"]
        assert keys(store, "a/b") == ["a/b/3"]
        assert keys(store, "a/b/3") == ["a/b/3"]
        assert keys(store, "a/b/3/") == []
        assert keys(store, "c") == []

    def test_list_is_sorted_within_a_folder(self, store: Store) -> None:
        names = ["10", "9", "B", "a", "a-1", "a.b", "a0", "a_b", "b~", "~"]
        for name in reversed(names):
            store.create(f"f/{name}", b"")
        assert keys(store, "f/") == [f"f/{name}" for name in sorted(names)]

    @pytest.mark.parametrize("limit", [1, 2, 5, 10, 11])
    def test_list_returns_each_key_once_when_paged(self, store: Store, limit: int) -> None:
        expected = [f"f/{number:02}" for number in range(10)]
        for key in expected:
            store.create(key, b"")
        store.create("g/1", b"")
        found = pages(store, "f/", limit=limit)
        assert all(len(page.entries) <= limit for page in found)
        assert [entry.key for page in found for entry in page.entries] == expected

    def test_list_returns_keys_of_many_folders_once_when_paged(self, store: Store) -> None:
        expected = {f"f/{folder}/{name}" for folder in "ab" for name in "123"} | {"f/0", "f/a0", "f/z"}
        for key in expected:
            store.create(key, b"")
        found = keys(store, "f/", limit=2)
        assert len(found) == len(expected)
        assert set(found) == expected

    def test_list_starts_after_any_given_name(self, store: Store) -> None:
        for key in ("f/1", "f/3", "f/5"):
            store.create(key, b"")
        assert [entry.key for entry in store.list("f/", after="f/3").entries] == ["f/5"]
        assert [entry.key for entry in store.list("f/", after="f/2").entries] == ["f/3", "f/5"]
        assert store.list("f/", after="f/5").entries == ()

    def test_list_goes_on_behind_a_folder_after_a_name_that_sorts_last_in_it(self, store: Store) -> None:
        for key in (
            "f/0/code/later/1",
            "f/0/type-b/ready/1",
            "f/0/type-c/ready/1",
            "f/1/code/ready/1",
            "f/2/type-a/ready/1",
        ):
            store.create(key, b"")
        found = [entry.key for entry in store.list("f/", after="f/0/~").entries]
        assert found == ["f/1/code/ready/1", "f/2/type-a/ready/1"]

    def test_list_gives_at_most_1000_keys_and_says_where_to_go_on(self, store: Store) -> None:
        expected = [f"f/{number:04}" for number in range(1003)]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda key: store.create(key, b""), expected))
        page = store.list("f/", limit=5000)
        assert [entry.key for entry in page.entries] == expected[:1000]
        assert page.next is not None
        assert [entry.key for page in store.list_all("f/") for entry in page.entries] == expected

    def test_list_rolls_deeper_keys_up_when_asked_for_folders(self, store: Store) -> None:
        for key in ("f/a/1", "f/a/b/2", "f/b", "f/c/1", "fa/1"):
            store.create(key, b"")
        page = store.list("f/", folders=True)
        assert [entry.key for entry in page.entries] == ["f/b"]
        assert page.folders == ("f/a/", "f/c/")
        assert store.list("f", folders=True).folders == ("f/", "fa/")
        assert page.next is None

    @pytest.mark.parametrize("limit", [1, 2, 3])
    def test_list_returns_each_folder_once_when_paged(self, store: Store, limit: int) -> None:
        for key in ("f/a/1", "f/a/2", "f/a-", "f/a0", "f/b", "f/c/1", "f/c/2", "f/d"):
            store.create(key, b"")
        found = pages(store, "f/", limit=limit, folders=True)
        assert all(len(page.entries) + len(page.folders) <= limit for page in found)
        assert [folder for page in found for folder in page.folders] == ["f/a/", "f/c/"]
        assert [entry.key for page in found for entry in page.entries] == ["f/a-", "f/a0", "f/b", "f/d"]

    def test_list_skips_the_folder_it_starts_after(self, store: Store) -> None:
        for key in ("f/a/1", "f/a/2", "f/b/1"):
            store.create(key, b"")
        assert store.list("f/", after="f/a/", folders=True).folders == ("f/b/",)

    def test_list_shows_no_folder_whose_keys_are_deleted(self, store: Store) -> None:
        store.create("f/a/b/c/1", b"")
        store.create("g/1", b"")
        store.delete("f/a/b/c/1")
        assert store.list("f/a/", folders=True).folders == ()
        assert store.list("", folders=True).folders == ("g/",)

    # --- the rest --------------------------------------------------------------------------------

    def test_versions_start_with_the_present(self, store: Store, another_client: Store) -> None:
        etag = store.create("a/b", b"1")
        etag = store.replace("a/b", b"2", etag=etag)
        store.overwrite("a/b", b"3")
        found = list(another_client.versions("a/b"))
        assert [version.data for version in found] == ([b"3", b"2", b"1"] if self.keeps_versions else [b"3"])
        assert {version.key for version in found} == {"a/b"}
        assert len({version.id for version in found}) == len(found)
        times = [version.modified_s for version in found]
        assert times == sorted(times, reverse=True)
        assert abs(times[0] - store.now()) < 60

    def test_versions_are_of_this_key_only(self, store: Store) -> None:
        store.create("a", b"1")
        store.create("ab", b"2")
        assert [version.data for version in store.versions("a")] == [b"1"]

    def test_versions_are_none_when_the_key_never_existed(self, store: Store) -> None:
        assert list(store.versions("never")) == []

    def test_requests_counts_one_for_each_verb(self, store: Store) -> None:
        before = store.requests.snapshot()
        etag = store.create("a", b"1")
        etag = store.replace("a", b"2", etag=etag)
        create_if_absent(store, "a", b"3")
        store.read("a")
        store.read_changed("a", etag=etag)
        store.read_range("a", start=0, length=1)
        store.list("")
        store.overwrite("a", b"4")
        store.delete("a")
        assert store.requests.snapshot() - before == {"put": 4, "get": 3, "list": 1, "delete": 1}

    def test_now_agrees_between_clients(self, store: Store, another_client: Store) -> None:
        assert abs(store.now() - another_client.now()) <= 2 * store.date_granularity_s + 0.5

    def test_now_goes_on_when_writes_are_answered(self, store: Store) -> None:
        before = store.now()
        store.create("a", b"")
        assert before <= store.now() + store.date_granularity_s
        assert store.now() - before < 60
