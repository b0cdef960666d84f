"""The promises of a store about several writers at once: part of `oqkit.testing.contract.StoreContract`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, TypeVar

from oqkit.errors import Conflict, Missing
from oqkit.store.base import Blob, Store

T = TypeVar("T")


def race(functions: Sequence[Callable[[], T]]) -> list[T]:
    """Start all functions at the same moment, each in a thread of its own, and return what they return."""
    gate = threading.Barrier(len(functions))

    def run(function: Callable[[], T]) -> T:
        gate.wait()
        return function()

    with ThreadPoolExecutor(len(functions)) as pool:
        return [future.result() for future in [pool.submit(run, function) for function in functions]]


def create_if_absent(store: Store, key: str, data: bytes) -> str | None:
    """Return the etag, None if the key exists already."""
    try:
        return store.create(key, data)
    except Conflict:
        return None


def read_if_present(store: Store, key: str) -> Blob | None:
    """Return the object, None if there is none."""
    try:
        return store.read(key)
    except Missing:
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Increment:
    """One successful compare-and-set: the count it wrote, upon which etag, and the etag it got."""

    count: int
    upon: str
    etag: str


def increment(store: Store, key: str, *, times: int) -> list[Increment]:
    """Count an object up, a number of times, beginning again whenever somebody else was quicker."""
    done: list[Increment] = []
    while len(done) < times:
        blob = store.read(key)
        count = int(blob.data) + 1
        try:
            etag = store.replace(key, b"%d" % count, etag=blob.etag)
        except Conflict:
            continue
        done.append(Increment(count=count, upon=blob.etag, etag=etag))
    return done


def check_chain(first_etag: str, increments: Sequence[Increment]) -> None:
    """Assert that the increments follow one upon the other, and none was lost."""
    chain = sorted(increments, key=lambda one: one.count)
    assert [one.count for one in chain] == list(range(1, len(chain) + 1))
    assert [one.upon for one in chain] == [first_etag, *(one.etag for one in chain[:-1])]


class StoreRaces:
    """Tests with 8 threads, half of them with a client of their own."""

    #: How often a race for one key is run; each key is another chance for a store to go wrong.
    n_race_keys: ClassVar[int] = 20
    #: How many increments each of 8 threads makes.
    n_increments: ClassVar[int] = 25

    def test_create_has_one_winner_when_16_race(self, store: Store, another_client: Store) -> None:
        for number in range(self.n_race_keys):
            key = f"race/{number}"

            def create_two(thread: int, key: str = key) -> list[tuple[bytes, str | None]]:
                client = (store, another_client)[thread % 2]
                offers = [b"%d of %d" % (turn, thread) for turn in range(2)]
                return [(data, create_if_absent(client, key, data)) for data in offers]

            outcomes = [one for two in race([partial(create_two, thread) for thread in range(8)]) for one in two]
            won = [(data, etag) for data, etag in outcomes if etag is not None]
            assert len(outcomes) == 16
            assert len(won) == 1
            winner = store.read(key)
            assert (winner.data, winner.etag) == won[0]

    def test_replace_loses_no_increment_when_8_race(self, store: Store, another_client: Store) -> None:
        first_etag = store.create("count", b"0")
        clients = [store, another_client] * 4
        found = race([partial(increment, client, "count", times=self.n_increments) for client in clients])
        check_chain(first_etag, [one for some in found for one in some])
        assert store.read("count").data == b"%d" % (8 * self.n_increments)

    def test_replace_has_one_winner_when_8_hold_the_same_etag(self, store: Store, another_client: Store) -> None:
        etag = store.create("a", b"start")
        for turn in range(self.n_race_keys):

            def replace(thread: int, etag: str = etag, turn: int = turn) -> str | None:
                data = b"by %d in turn %d" % (thread, turn)  # S3: the same bytes would bring the same etag back
                try:
                    return (store, another_client)[thread % 2].replace("a", data, etag=etag)
                except Conflict:
                    return None

            (etag,) = [won for won in race([partial(replace, thread) for thread in range(8)]) if won is not None]
            assert store.read("a").etag == etag

    def test_create_succeeds_once_for_each_delete_when_they_race(self, store: Store, another_client: Store) -> None:
        n_turns = 2 * self.n_race_keys

        def create_often(thread: int) -> int:
            made = [create_if_absent(store, "f/a", b"%d-%d" % (thread, turn)) for turn in range(n_turns)]
            return sum(etag is not None for etag in made)

        def delete_often() -> int:
            for _ in range(n_turns):
                another_client.delete("f/a")
            return 0

        creators: list[Callable[[], int]] = [partial(create_often, thread) for thread in range(7)]
        n_created = sum(race([*creators, delete_often]))
        assert 1 <= n_created <= n_turns + 1
        present = read_if_present(store, "f/a")
        assert [entry.etag for entry in store.list("f/").entries] == ([] if present is None else [present.etag])
        store.delete("f/a")
        store.create("f/a", b"after")
        assert store.read("f/a").data == b"after"

    def test_replace_never_revives_an_object_when_deletes_race(self, store: Store, another_client: Store) -> None:
        for number in range(self.n_race_keys):
            key = f"race/{number}"
            etag = store.create(key, b"0")

            def replace_often(key: str = key, etag: str = etag) -> None:
                for turn in range(5):
                    try:
                        etag = store.replace(key, b"%d" % turn, etag=etag)
                    except (Conflict, Missing):
                        return

            def delete(key: str = key) -> None:
                another_client.delete(key)

            race([replace_often, replace_often, delete])
            assert read_if_present(store, key) is None

    def test_read_and_list_see_whole_objects_when_they_are_overwritten(
        self, store: Store, another_client: Store
    ) -> None:
        written: dict[str, bytes] = {}
        seen: list[tuple[str, int, bytes | None]] = []
        done = threading.Event()

        def write() -> None:
            try:
                for turn in range(3 * self.n_race_keys):
                    data = bytes([turn]) * (20_000 + 1_000 * turn)
                    written[store.overwrite("f/a", data)] = data
            finally:
                done.set()

        def watch() -> None:
            while not done.is_set():
                blob = another_client.read("f/a")
                seen.append((blob.etag, len(blob.data), blob.data))
                (entry,) = another_client.list("f/").entries
                seen.append((entry.etag, entry.size_bytes, None))

        written[store.create("f/a", b"start")] = b"start"
        race([write, watch, watch])
        assert seen
        for etag, size_bytes, data in seen:
            assert size_bytes == len(written[etag])
            assert data is None or data == written[etag]

    def test_list_shows_the_keys_that_stay_when_others_come_and_go(self, store: Store, another_client: Store) -> None:
        lasting = [f"f/{number:02}" for number in range(0, 20, 2)]
        for key in lasting:
            store.create(key, b"")
        done = threading.Event()

        def come_and_go(first: int) -> list[set[str]]:
            try:
                for _ in range(self.n_race_keys):
                    for number in range(first, 20, 4):
                        store.create(f"f/{number:02}", b"")
                    for number in range(first, 20, 4):
                        store.delete(f"f/{number:02}")
            finally:
                done.set()
            return []

        def watch() -> list[set[str]]:
            found: list[set[str]] = []
            while not done.is_set():
                keys = [entry.key for page in another_client.list_all("f/") for entry in page.entries]
                assert len(keys) == len(set(keys))
                found.append(set(keys))
            return found

        _, _, listings = race([lambda: come_and_go(1), lambda: come_and_go(3), watch])
        assert listings
        assert all(listing.issuperset(lasting) for listing in listings)
