"""The contract of a store on every S3 server, and which of them can hold a queue."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar

import pytest

from oqkit.clock import system_random
from oqkit.errors import Unsupported
from oqkit.store.probe import probe
from oqkit.testing.contract import StoreContract
from oqkit.testing.race import StoreRaces
from tests.store.bucket import new_store

pytestmark = [pytest.mark.server, pytest.mark.usefixtures("aws")]


class S3Contract(StoreContract):
    """The contract, less what a server is known to get wrong."""

    keeps_versions = False
    n_race_keys = 5
    n_increments = 8
    known_faults: ClassVar[dict[str, str]] = {}

    @pytest.fixture(autouse=True)
    def skip_known_faults(self, request):
        if reason := self.known_faults.get(request.function.__name__):
            pytest.skip(reason)

    @pytest.fixture
    def another_client(self, store):
        return pickle.loads(pickle.dumps(store))


class TestS3StoreOnSeaweed(S3Contract):
    n_race_keys = 3  # losers of a race can wait 1 to 4 s for their answer
    known_faults: ClassVar = {
        "test_list_shows_no_folder_whose_keys_are_deleted": "SeaweedFS goes on listing a folder whose keys are deleted"
    }

    @pytest.fixture
    def store(self, seaweed):
        return new_store(seaweed)


@pytest.mark.slow
class TestS3StoreOnVersionedSeaweed(S3Contract):
    keeps_versions = True
    n_race_keys = 3
    known_faults: ClassVar = {
        **TestS3StoreOnSeaweed.known_faults,
        "test_replace_never_revives_an_object_when_deletes_race": (
            "SeaweedFS 4.48, with versioning: a delete that races with replaces is answered 204 and can leave no trace"
        ),
    }

    @pytest.fixture
    def store(self, seaweed):
        return new_store(seaweed, bucket="versioned")


class TestS3StoreOnMinistack(S3Contract):
    @pytest.fixture
    def store(self, ministack_server):
        return new_store(ministack_server)


class TestS3StoreOnVersionedMinistack(S3Contract):
    keeps_versions = True

    @pytest.fixture
    def store(self, ministack_server):
        return new_store(ministack_server, bucket="versioned")


class TestS3StoreOnMoto(S3Contract):
    known_faults: ClassVar = dict.fromkeys(
        vars(StoreRaces), "moto tests a condition and then acts without a lock: it is no judge of races"
    )

    @pytest.fixture
    def store(self, moto_server):
        return new_store(moto_server)


# --- versions ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_versions_go_on_over_many_pages(ministack_server):
    store = new_store(ministack_server, bucket="versioned")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: store.overwrite("a", b"%d" % number), range(1003)))
    store.create("a.json", b"another")
    versions = list(store.versions("a"))
    assert sorted(int(version.data) for version in versions) == list(range(1003))
    assert versions[0].data == store.read("a").data


def test_versions_outlive_the_object(seaweed):
    store = new_store(seaweed, bucket="versioned")
    store.create("a", b"1")
    store.delete("a")
    assert [version.data for version in store.versions("a")] == [b"1"]


def test_versions_are_the_present_alone_when_the_server_has_none(rclone_server):
    store = new_store(rclone_server)
    store.overwrite("a", b"1")
    assert [version.data for version in store.versions("a")] == [b"1"]
    assert list(store.versions("absent")) == []


# --- which stores can hold a queue ---------------------------------------------------------------


@pytest.mark.parametrize("name", ("seaweed", "ministack_server"))
def test_probe_accepts_a_server_that_honours_conditions(request, name):
    store = new_store(request.getfixturevalue(name))
    probe(store, rng=system_random())
    assert store.list("").entries == ()


def test_probe_refuses_a_server_that_ignores_conditions(rclone_server):
    store = new_store(rclone_server)
    with pytest.raises(Unsupported, match="cannot hold a queue: it created an object that existed"):
        probe(store, rng=system_random())
    assert store.list("").entries == ()
