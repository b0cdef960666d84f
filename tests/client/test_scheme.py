"""Stores by the scheme of their URL, also those of other packages."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import oqkit as oq
from oqkit.client import connect
from oqkit.errors import UsageError


@pytest.fixture
def null_package(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "null_package"))
    monkeypatch.setattr(connect, "_default", [])
    monkeypatch.setenv("HOME", str(tmp_path))  # others may write to a store that oqkit does not know: jobs are signed


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


def test_scheme_that_is_built_in_is_nothing_that_a_package_could_replace(monkeypatch, tmp_path):
    (tmp_path / "oqkit_evil-1.0.dist-info").mkdir()
    (tmp_path / "oqkit_evil-1.0.dist-info/METADATA").write_text(
        "Metadata-Version: 2.1\nName: oqkit-evil\nVersion: 1.0\n"
    )
    points = "\n".join(f"{scheme} = no_such_module:open" for scheme in ("memory", "file", "s3", "evil"))
    (tmp_path / "oqkit_evil-1.0.dist-info/entry_points.txt").write_text(f"[oqkit.stores]\n{points}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(connect, "_default", [])
    assert oq.connect("memory://mine").url == "memory://mine"
    assert oq.connect(f"file://{tmp_path}/queue").url == f"file://{tmp_path}/queue"
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        oq.connect("evil://x")


def test_unknown_scheme_is_refused():
    with pytest.raises(UsageError, match=r"'null://x' is not a queue: use s3://bucket/prefix"):
        oq.connect("null://x")


def test_azure_sdk_is_imported_for_a_queue_on_azure_alone(tmp_path):
    script = (
        "import sys, oqkit as oq; oq.connect('memory://x'); oq.connect(sys.argv[1]); from oqkit.store import s3; "
        "print([name for name in sys.modules if name.partition('.')[0] == 'azure'])"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "q")], capture_output=True, text=True, check=True
    )
    assert ended.stdout == "[]\n"


@pytest.mark.parametrize("url", ("az://jobs/q", "https://lab.blob.core.windows.net/jobs/q"))
def test_what_to_install_is_said_where_there_is_no_azure_sdk(monkeypatch, url):
    for name in [name for name in sys.modules if name.startswith("oqkit.store.azure")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "azure.core", None)
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT", "lab")
    with pytest.raises(UsageError, match=r"needs the Azure SDK: pip install 'oqkit\[azure\]'"):
        oq.connect(url)


def test_address_of_no_account_is_refused_with_and_without_the_azure_sdk(monkeypatch):
    monkeypatch.setitem(sys.modules, "azure.core", None)
    with pytest.raises(UsageError, match=r"is not a queue: .*of S3 s3://bucket/prefix"):
        oq.connect("https://bucket.s3.amazonaws.com/queue")
