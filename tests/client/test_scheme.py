"""Stores by the scheme of their URL, also those of other packages."""

from __future__ import annotations

from pathlib import Path

import pytest

import oqkit as oq
from oqkit.client import connect
from oqkit.errors import UsageError


@pytest.fixture
def null_package(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "null_package"))
    monkeypatch.setattr(connect, "_default", [])


def double(x: int) -> int:
    return 2 * x


@pytest.mark.usefixtures("null_package")
def test_store_of_an_installed_package_is_found_by_its_scheme_and_holds_a_queue():
    queue = oq.connect("null://anything")
    assert queue.url == "null://anything"
    task = queue.submit(double, {"x": 21})
    oq.Worker(queue, [double], trust_code=True).run(until_idle=True)
    assert task.result() == 42


@pytest.mark.usefixtures("null_package")
def test_unknown_scheme_is_refused_and_what_packages_add_is_named():
    with pytest.raises(UsageError, match=r"'nul://x' is not a queue: .*installed packages add null://"):
        oq.connect("nul://x")


def test_unknown_scheme_is_refused():
    with pytest.raises(UsageError, match=r"'null://x' is not a queue: use s3://bucket/prefix"):
        oq.connect("null://x")
