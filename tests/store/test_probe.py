from __future__ import annotations

import random
from dataclasses import replace

import pytest

from oqkit.errors import Unavailable, Unsupported
from oqkit.store.base import Entry, Page
from oqkit.store.memory import MemoryStore
from oqkit.store.probe import probe
from tests.clock import FakeClock
from tests.store.gcs import GcsStore, fake_gcs_server


class CreatesAnyway(MemoryStore):
    def create(self, key, data):
        return self.overwrite(key, data)


class ReplacesAnyway(MemoryStore):
    def replace(self, key, data, *, etag):
        return self.overwrite(key, data)


class RevivesTheDead(MemoryStore):
    def replace(self, key, data, *, etag):
        if not self.list(key).entries:
            return self.create(key, data)
        return super().replace(key, data, etag=etag)


class ShowsTheDead(MemoryStore):
    def delete(self, key):
        pass


class ListsLate(MemoryStore):
    def list(self, prefix, *, after=None, limit=1000, folders=False):
        return Page(entries=())


class ListsFolders(MemoryStore):
    """As an Azure account with a hierarchical namespace does."""

    def list(self, prefix, *, after=None, limit=1000, folders=False):
        page = super().list(prefix, after=after, limit=limit, folders=folders)
        made = [Entry(key=one.key.rpartition("/")[0], etag='"0"', size_bytes=0) for one in page.entries]
        return replace(page, entries=(*(one for one in made if one.key.startswith(prefix)), *page.entries))


class LosesRaces(MemoryStore):
    """Tests the condition and then acts, as moto does: any number of racing creates win."""

    def create(self, key, data):
        if data.startswith(b"writer"):
            return self.overwrite(key, data)
        return super().create(key, data)


class LosesReplaceRaces(MemoryStore):
    def replace(self, key, data, *, etag):
        if data.startswith(b"writer"):
            return self.overwrite(key, data)
        return super().replace(key, data, etag=etag)


class LiesAboutTheWinner(MemoryStore):
    def create(self, key, data):
        return super().create(key, b"another" if data.startswith(b"writer") else data)


def test_probe_accepts_a_store_that_keeps_its_promises_and_leaves_nothing():
    store = MemoryStore()
    probe(store, rng=random.Random(1))
    assert store.list("").entries == ()


@pytest.mark.parametrize(
    ("kind", "text"),
    (
        (CreatesAnyway, "created an object that existed"),
        (ReplacesAnyway, "replaced an object that had changed"),
        (RevivesTheDead, "replaced an object that was gone"),
        (ShowsTheDead, "still shows an object that was deleted"),
        (ListsLate, "does not list what was just written"),
        (ListsFolders, "lists a folder as an object"),
        (LosesRaces, "let 16 of 16 racing writers win"),
        (LosesReplaceRaces, "let 8 of 8 racing writers win"),
        (LiesAboutTheWinner, "shows another writer than the one it told had won"),
    ),
)
def test_probe_refuses_a_store_that_breaks_a_promise(kind, text):
    store = kind()
    with pytest.raises(Unsupported, match=f"cannot hold a queue: it {text}"):
        probe(store, rng=random.Random(1))
    assert store.list("probe/").entries == () or kind is ShowsTheDead


class Busy(MemoryStore):
    """Gives no answer to every so many writes, although it made them."""

    def __init__(self, *, every):
        super().__init__(clock=FakeClock(0.0))
        self._every = every
        self._n_writes = 0

    def create(self, key, data):
        etag = super().create(key, data)
        self._n_writes += 1
        if self._n_writes % self._every == 0:
            raise Unavailable("409 ConditionalRequestConflict")
        return etag


def test_probe_asks_again_when_the_store_gives_no_answer():
    store = Busy(every=3)
    probe(store, rng=random.Random(1))
    assert store.clock.time_s > 0


def test_probe_is_unavailable_when_the_store_never_answers():
    with pytest.raises(Unavailable):
        probe(Busy(every=1), rng=random.Random(1))


@pytest.mark.server
def test_probe_refuses_fake_gcs_server_which_ignores_preconditions():
    try:
        with fake_gcs_server() as url:
            store = GcsStore(url)
            store.overwrite("a", b"1")
            assert store.read("a").data == b"1"
            with pytest.raises(Unsupported, match="cannot hold a queue: it created an object that existed"):
                probe(store, rng=random.Random(1))
            assert [entry.key for entry in store.list("").entries] == ["a"]
    except FileNotFoundError as error:
        pytest.skip(str(error))
