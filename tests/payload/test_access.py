"""Which files outside of a queue are opened because a job asks for them, without a worker or a server."""

from __future__ import annotations

import json
import re
from pathlib import Path

import fsspec
import pandas as pd
import pyarrow as pa
import pytest

import oqkit as oq
from oqkit.arrow.table import Layout
from oqkit.cli.main import main
from oqkit.client import connect
from oqkit.config import Settings
from oqkit.errors import FormatError, NotAllowed, SchemaError, UsageError
from oqkit.limits import PayloadLimits
from oqkit.payload.access import Access, check_options, check_paths
from oqkit.payload.dataset import Dataset
from oqkit.payload.dataset_reader import DatasetReader
from oqkit.payload.part_input import PartFrame
from oqkit.queue.rows import Rows
from tests.local import WAIT_S
from tests.trust.corpus import NOT_ITS_OWN, Place, cases, hostile_metadata

FRAME = pd.DataFrame({"x": [1.0, 2.0, 3.0]})


def double(x):
    return 2 * x


@pytest.fixture
def place(tmp_path):
    allowed = tmp_path / "allowed"
    allowed.mkdir()
    FRAME.to_parquet(allowed / "0.parquet")
    FRAME.to_parquet(tmp_path / "secret.parquet")
    (allowed / "link.parquet").symlink_to(tmp_path / "secret.parquet")
    (allowed / "folder").symlink_to(tmp_path)
    (allowed / "up").symlink_to("..")
    return Place(
        bucket="bucket",
        allowed=allowed,
        secret=tmp_path / "secret.parquet",
        evil_url="http://127.0.0.1:1",
        foreign_key="work/x",
        code_digest="0" * 64,
    )


def sound(place):
    files = [["bucket/data/0.parquet", 100, "tag", [[3, 1]]]]
    return {"input": {"dataset": {"protocol": "s3", "options": {}, "stored": ["x"], "files": files}}}


class Untouchable:
    """A file system that must not be asked for anything."""

    def __getattr__(self, name):
        if name == "invalidate_cache":
            return lambda: None
        raise AssertionError(f"{name} of a file system was called")


@pytest.fixture
def opened(monkeypatch):
    """What `fsspec` was asked to open, in place of doing it."""
    found = []
    monkeypatch.setattr(
        fsspec, "filesystem", lambda protocol, **options: found.append((protocol, options)) or Untouchable()
    )
    return found


def test_hostile_datasets_are_refused_before_any_file_system_is_asked(place, opened):
    access = Access.of(Settings(url="s3://bucket/queue", data_roots={f"file://{place.allowed}": {}}))
    n_refused = 0
    for case in cases(place):
        if case.kind != "dataset" or case.name == "more rows than the job" or case.told == NOT_ITS_OWN:
            continue
        doc = sound(place)
        case.change(doc)
        with pytest.raises((NotAllowed, FormatError)) as caught:
            DatasetReader(Dataset.from_json(doc["input"]["dataset"]), access, limits=PayloadLimits()).frame(range(1))
        assert re.search(case.told, str(caught.value), re.DOTALL), case.name
        n_refused += 1
    assert n_refused > 100
    assert {(protocol, tuple(options)) for protocol, options in opened} <= {("s3", ()), ("file", ())}


@pytest.mark.parametrize(
    ("root", "path", "is_below"),
    (
        ("s3://b", "b/k", True),
        ("s3://b/", "b/k", True),
        ("s3://", "any/k", True),
        ("s3://b/in", "b/in/k", True),
        ("s3://b/in", "b/in", True),
        ("s3://b/in", "b/input/k", False),
        ("s3://b", "b2/k", False),
        ("https://host/data", "https://host/data/k", True),
        ("https://host", "https://host.evil/k", False),
        ("https://host", "https://host@evil/k", False),
        ("https://host", "https://host:81/k", False),
        ("https://host", "http://host/k", False),
        ("memory://x", "/x/k", True),
        ("memory://x", "/y/k", False),
    ),
)
def test_files_below_a_root_are_opened_and_others_not(opened, root, path, is_below):
    protocol = root.partition("://")[0]
    _, check = Access({root: {}}).open(protocol, {}, [[path, 1, "t", []]])
    if is_below:
        assert check(path) == path
    else:
        with pytest.raises(NotAllowed, match="is below none of the data roots here"):
            check(path)


def test_local_files_are_checked_where_they_lead(tmp_path, opened):
    real = tmp_path / "real"
    real.mkdir()
    (tmp_path / "root").symlink_to(real)
    (real / "f").touch()
    (real / "inner").symlink_to(real / "f")
    _, check = Access({f"file://{tmp_path}/root": {}}).open("local", {}, [["x", 1, "t", []]])
    assert {check(str(tmp_path / name)) for name in ("root/f", "real/f", "root/inner", "root/../real/f")} == {
        str(real / "f")
    }
    (real / "inner").unlink()
    (real / "inner").symlink_to("/etc/passwd")
    with pytest.raises(NotAllowed):
        check(str(tmp_path / "root/inner"))
    _, everything = Access({"file:///": {}}).open("file", {}, [["x", 1, "t", []]])
    assert everything("/etc/passwd") == "/etc/passwd"


def test_files_in_s3_are_reached_as_the_queue_is_and_others_as_their_root_says(opened):
    roots = {"s3://lab": {"endpoint_url": "http://lab"}, "s3://lab/deep": {"endpoint_url": "http://deep"}}
    chosen = Settings(
        url="s3://b/q",
        endpoint_url="http://own",
        region="r",
        aws_profile="p",
        addressing_style="path",
        data_roots=roots,
    )
    access = Access.of(chosen)
    for path in ("b/x", "lab/x", "lab/deep/x"):
        access.open("s3", {"anon": True}, [[path, 1, "t", []]])
    own = {"profile": "p", "client_kwargs": {"region_name": "r"}, "config_kwargs": {"s3": {"addressing_style": "path"}}}
    assert opened == [
        ("s3", {"endpoint_url": url, **own, "anon": True}) for url in ("http://own", "http://lab", "http://deep")
    ]


def test_option_that_holds_here_anyway_is_no_part_of_a_job_and_refused_nowhere(opened):
    own = {"endpoint_url": "http://own", "client_kwargs": {"region_name": "r"}}
    access = Access.of(Settings(url="s3://b/q", endpoint_url="http://own", region="r"))
    assert access.options_of_a_job("s3", "b/x", {**own, "anon": True}) == {"anon": True}
    access.open("s3", own, [["b/x", 1, "t", []]])
    assert opened == [("s3", own)]
    for other in (
        {"endpoint_url": "http://other"},
        {"client_kwargs": {"region_name": "r", "endpoint_url": "http://x"}},
    ):
        with pytest.raises(NotAllowed):
            access.open("s3", other, [["b/x", 1, "t", []]])


def test_files_below_roots_that_are_reached_differently_are_no_one_dataset(opened):
    access = Access({"s3://a": {}, "s3://b": {"endpoint_url": "http://x"}})
    _, check = access.open("s3", {}, [["a/x", 1, "t", []], ["b/y", 1, "t", []]])
    assert check("a/x") == "a/x"
    with pytest.raises(NotAllowed, match="use two jobs"):
        check("b/y")


def test_what_was_submitted_here_is_allowed_as_it_is_and_no_other_file(opened):
    access = Access()
    files = [["/a/x", 1, "t", []]]
    access.grant("file", files)
    assert access.open("file", {}, files)[1]("/a/x") == "/a/x"
    for other in ([["/a/y", 1, "t", []]], [*files, ["/a/y", 1, "t", []]], [["/a/x", 1, "other", []]]):
        with pytest.raises(NotAllowed):
            access.open("file", {}, other)


# --- what a job may hold -------------------------------------------------------------------------

SECRETS = (
    {"secret": "hush"},
    {"client_kwargs": {"aws_secret_access_key": "hush"}},
    {"connection_string": "AccountKey=hush"},
    {"headers": {"Authorization": "Bearer hush"}},
    {"client_kwargs": {"headers": {"X-Token": "hush"}}},
    {"password": "hush"},
    {"config_kwargs": {"proxies": {"https": "http://me:hush@proxy"}}},
    {"endpoint_url": "https://me:hush@host"},
    {"account_name": "hush"},
)


@pytest.mark.parametrize("protocol", ("s3", "gs", "abfs", "https", "file"))
@pytest.mark.parametrize("options", SECRETS)
def test_option_that_may_hold_a_secret_is_refused_and_its_value_not_repeated(protocol, options):
    with pytest.raises(NotAllowed, match=r"data_roots=\{") as caught:
        check_options(protocol, options)
    assert "hush" not in str(caught.value)


PATHS = (
    "https://me:hush@host/x.parquet",
    "https://hush@host/x.parquet",
    "s3://key:hush@bucket/x.parquet",
    "ftp://me:hush@host/x.parquet",
    "abfs://container:hush@account/x.parquet",
    "https://host/x.parquet?X-Amz-Signature=hush",
    "https://host/x.parquet?sv=1&sig=hush",
    "https://host/x.parquet?token=hush",
)


@pytest.mark.parametrize("path", PATHS)
def test_path_that_holds_a_secret_is_refused_and_not_repeated(queue, path):
    with pytest.raises(UsageError, match="data_roots") as caught:
        queue.submit_dataset(path, double)
    assert "hush" not in str(caught.value)


def test_paths_without_secrets_pass():
    check_paths(["/a@b/c", "s3://b/k@2", "abfs://container@account/x", "https://host/x?version=2", "~/x"])


@pytest.mark.parametrize("is_batch", (True, False))
@pytest.mark.parametrize("name", hostile_metadata())
def test_dangerous_columns_fail_their_rows_or_are_data(queue, name, is_batch):
    schema = pa.schema([pa.field("x", pa.binary(), metadata=hostile_metadata()[name])])
    table = pa.Table.from_arrays([pa.array([b"1", b"2"])], schema=schema)
    inputs = PartFrame(table, Layout(backend="pandas", columns=("x",)), Rows.span(0, 2), 0)
    try:
        said = inputs.frame(Rows.span(0, 2)) if is_batch else list(inputs.arguments(["x"], Rows.span(0, 2)))
    except SchemaError as error:
        said = str(error)
        assert "not readable here" in said
    assert len(said) >= 2


# --- how it feels --------------------------------------------------------------------------------


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "my data"
    folder.mkdir()
    FRAME.to_parquet(folder / "0.parquet")
    return folder


def test_worker_of_the_process_that_submitted_reads_its_files_without_trust(queue, start, data):
    start(double, trust_code=False)
    assert queue.submit_dataset(str(data), double).result(WAIT_S, join=True)["double"].tolist() == [2.0, 4.0, 6.0]


def test_another_client_is_told_the_setting_and_then_collects(folder_queue, start, data, monkeypatch):
    start(double, trust_code=False)
    folder_queue.submit_dataset(str(data), double, name="d").result(WAIT_S)
    monkeypatch.setattr(connect, "_default", [])
    other = oq.connect(folder_queue.url).job("d")
    assert other.result(WAIT_S)["double"].tolist() == [2.0, 4.0, 6.0]
    with pytest.raises(NotAllowed, match=r"name the folder or bucket: data_roots in ~/.oqkit/oq.toml, .*OQ_DATA_ROOTS"):
        other.result(WAIT_S, join=True)
    opened = oq.connect(folder_queue.url, data_roots=[data.parent]).job("d")
    assert opened.result(WAIT_S, join=True)["x"].tolist() == [1.0, 2.0, 3.0]


def test_worker_without_trust_says_which_file_and_which_setting(folder_queue, start, data):
    job = folder_queue.submit_dataset(str(data), double, retries=0)
    start(double, queue=oq.connect(folder_queue.url), trust_code=False)
    job.wait(WAIT_S)
    message = job.errors()["message"].iloc[0]
    assert "no file may be read by 'file' here" in message
    assert "`oq worker --data-root`" in message


@pytest.mark.slow
@pytest.mark.parametrize("way", ("local_workers", "oq worker --data-root"))
def test_processes_read_local_files(folder_queue, data, way, capfd):
    job = folder_queue.submit_dataset(f"{data}/*.parquet", len_of)
    if way == "local_workers":
        with oq.local_workers(1):
            assert job.result(WAIT_S)["len_of"].tolist() == [1, 1, 1]
        return
    options = ["--url", folder_queue.url, "--data-root", str(data), "--until-idle"]
    assert main(["worker", "tests.payload.test_access:len_of", *options]) == 0
    assert job.result(WAIT_S)["len_of"].tolist() == [1, 1, 1]


def len_of(x):
    return len([x])


def test_job_of_a_dataset_holds_nothing_of_how_its_files_are_reached(tmp_path, data, monkeypatch):
    monkeypatch.setattr(connect, "_default", [])
    queue = oq.connect(
        tmp_path / "q", endpoint_url="http://own", region="far", data_roots={str(data): {"auto_mkdir": False}}
    )
    job = queue.submit_dataset(str(data), double)
    text = Path(next((tmp_path / "q/jobs").rglob(f"{job.id}.json"))).read_text(encoding="utf-8")
    assert json.loads(text)["input"]["dataset"]["options"] == {}
    assert not re.search("own|far|auto_mkdir", text)
