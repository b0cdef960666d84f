"""Where a queue is: URLs, configuration files, profiles and variables."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import oqkit as oq
from oqkit import config
from oqkit.client import connect
from oqkit.config import Settings, settings, to_environment
from oqkit.errors import UsageError


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    """Nothing of this machine's configuration, and a default queue of the test's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(connect, "_default", [])
    for name in [name for name in os.environ if name.startswith("OQ_")]:
        monkeypatch.delenv(name)


def write(text, path="oq.toml"):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text, encoding="utf-8")


def chosen(profile=None, environ=None, **given):
    return settings(Settings(**given), profile=profile, environ=environ or {})


# --- precedence ----------------------------------------------------------------------------------


def test_default_is_a_directory_at_home(tmp_path):
    assert chosen().url == (tmp_path / "home/.oqkit/queue").as_uri()


def test_arguments_win_over_variables_over_file():
    write('url = "file:///file"\nregion = "file"\nendpoint_url = "http://file"')
    environ = {"OQ_URL": "file:///variable", "OQ_REGION": "variable"}
    found = chosen(environ=environ, url="file:///argument")
    assert (found.url, found.region, found.endpoint_url) == ("file:///argument", "variable", "http://file")


def test_file_at_home_is_read_when_there_is_none_here(tmp_path):
    write('url = "file:///home"', "home/.oqkit/oq.toml")
    assert chosen().url == "file:///home"
    write('url = "file:///here"')
    assert chosen().url == "file:///here"


def test_empty_variables_say_nothing():
    write('url = "file:///file"\n[profiles.x]\n')
    assert chosen(environ={"OQ_URL": "", "OQ_PROFILE": ""}).url == "file:///file"


PROFILES = """
url = "file:///base"
region = "base"
[profiles.prod]
url = "s3://prod"
"""


def test_profile_stands_above_the_rest_of_its_file():
    write(PROFILES)
    found = chosen(profile="prod")
    assert (found.url, found.region) == ("s3://prod", "base")
    assert chosen(environ={"OQ_PROFILE": "prod"}).url == "s3://prod"
    assert chosen().url == "file:///base"


def test_profile_that_is_asked_for_in_the_call_wins_over_variables():
    write(PROFILES)
    assert chosen(profile="prod", environ={"OQ_URL": "file:///variable"}).url == "s3://prod"
    assert chosen(environ={"OQ_URL": "file:///variable", "OQ_PROFILE": "prod"}).url == "file:///variable"


def test_trust_comes_from_the_variable_or_the_file():
    assert chosen().trust_code is None
    assert chosen(environ={"OQ_TRUST_CODE": "yes"}).trust_code is True
    write("trust_code = true", "home/.oqkit/oq.toml")
    assert chosen().trust_code is True
    assert chosen(environ={"OQ_TRUST_CODE": "0"}).trust_code is False


ROOTS = {"file:///srv/a b": {}, "s3://orders/2026": {"endpoint_url": "http://x", "client_kwargs": {"verify": False}}}


@pytest.mark.parametrize("name", ("trust_code = true", 'data_roots = ["/etc"]', 'observers = "count"'))
@pytest.mark.parametrize("table", ("", "[profiles.prod]\n"))
def test_folder_that_came_from_elsewhere_widens_nothing(name, table):
    write(f"{table}{name}")
    with pytest.raises(UsageError, match=r"is not read from the oq.toml of a folder, .* set OQ_"):
        chosen(profile="prod" if table else None)


def test_observers_at_home_are_told_of_whatever_queue_a_folder_names():
    write('observers = "count"', "home/.oqkit/oq.toml")
    write('url = "s3://somebody-else/queue"')
    assert chosen() == Settings(url="s3://somebody-else/queue", observers="count")


def test_trust_at_home_is_not_for_the_queue_that_a_folder_names():
    write("trust_code = true", "home/.oqkit/oq.toml")
    write('url = "s3://somebody-else/queue"')
    assert chosen() == Settings(url="s3://somebody-else/queue")


@pytest.mark.parametrize(
    ("value", "expected"),
    (
        ("/srv/data/", {"file:///srv/data": {}}),
        (["s3a://b/c/", Path("/x"), "gcs://g"], {"s3://b/c": {}, "file:///x": {}, "gs://g": {}}),
        (ROOTS, ROOTS),
        (["s3://", "file:///"], {"s3://": {}, "file://": {}}),
    ),
)
def test_data_roots_are_read_from(value, expected):
    assert config.data_roots(value) == expected


def test_data_roots_at_home_hold_in_every_folder():
    write('data_roots = ["/srv/data"]', "home/.oqkit/oq.toml")
    write('url = "file:///here"')
    assert (chosen().url, chosen().data_roots) == ("file:///here", {"file:///srv/data": {}})
    write('[data_roots."s3://orders"]\nendpoint_url = "http://x"', "home/.oqkit/oq.toml")
    assert chosen().data_roots == {"s3://orders": {"endpoint_url": "http://x"}}
    assert chosen(environ={"OQ_DATA_ROOTS": "/a, s3://b"}).data_roots == {"file:///a": {}, "s3://b": {}}


@pytest.mark.parametrize(
    ("value", "told"),
    (
        (5, "must be a URL or path, a list of them"),
        ({"/a": 5}, "must be a URL or path, a list of them"),
        ([""], "'' is neither a URL nor a path"),
        (["/a/../b"], "must be a plain URL"),
        (["https://me:pass@host"], "data root 'host' must be a plain URL"),
        (["file://a"], "with three slashes"),
        (["simplecache::s3://b"], "is no plain protocol"),
    ),
)
def test_data_roots_that_cannot_be_are_told(value, told):
    with pytest.raises(UsageError, match=told) as caught:
        config.data_roots(value)
    assert "pass@" not in str(caught.value)


@pytest.mark.parametrize("name", ("url", "endpoint_url"))
def test_password_in_an_address_is_refused_and_not_repeated(name):
    with pytest.raises(UsageError, match="has a user name or password in it") as caught:
        chosen(**{name: "https://me:pa55@host/x"})
    assert "pa55" not in str(caught.value)


@pytest.mark.parametrize("name", ("url", "endpoint_url"))
def test_signature_in_an_address_is_refused_and_not_repeated(name):
    with pytest.raises(UsageError, match="has a user name or password in it, or a signature") as caught:
        chosen(**{name: "https://lab.blob.core.windows.net/jobs?sv=2026&sig=pa55"})
    assert "pa55" not in str(caught.value)


def test_settings_show_no_credentials_of_data_roots():
    assert "hush" not in repr(Settings(data_roots={"s3://b": {"secret": "hush"}}))


def test_settings_travel_to_another_process_by_variables():
    given = Settings(
        url="s3://b",
        endpoint_url="http://x",
        region="r",
        aws_profile="p",
        trust_code=True,
        data_roots=ROOTS,
        observers="count",
    )
    assert settings(Settings(), environ=to_environment(given)) == given


# --- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "told"),
    (
        ("url = ", "oq.toml is not valid TOML: "),
        ('ulr = "x"', "oq.toml: ulr is none of url, endpoint_url, region"),
        ("url = 5", "oq.toml: url=5 must be text"),
        ('trust_code = "yes"', "oq.toml: trust_code='yes' must be true or false"),
        ('[profiles.prod]\nulr = "x"', "oq.toml: profiles.prod.ulr is none of url"),
        ("profiles = 3", "oq.toml: write each profile as a table, [profiles.NAME]"),
        ('[profiles]\nprod = "s3://x"', "oq.toml: write each profile as a table"),
        ('[profiles.test]\nurl = "x"', "oq.toml has no [profiles.prod]; it has: test"),
    ),
)
def test_bad_file_is_told(text, told):
    write(text)
    with pytest.raises(UsageError) as caught:
        chosen(profile="prod")
    assert told in str(caught.value)


def test_profile_without_a_file_is_told():
    with pytest.raises(UsageError, match=r"profile 'prod' is asked for, but there is no oq.toml here or in ~/.oqkit"):
        chosen(profile="prod")


def test_bad_variable_is_told():
    with pytest.raises(UsageError, match="OQ_TRUST_CODE='maybe' must be 1 or 0"):
        chosen(environ={"OQ_TRUST_CODE": "maybe"})


@pytest.mark.parametrize(
    ("url", "told"),
    (
        (
            "gs://bucket",
            "'gs://bucket' is not a queue: use s3://bucket/prefix, az://container/prefix, file:///dir, a path, or memory://name",
        ),
        ("s3://", "'s3://' names no bucket: use s3://bucket/prefix"),
        ("s3:/bucket", "names no bucket"),
        ("file://folder/queue", "write file:///dir, with three slashes"),
        ("", "url is empty: give s3://bucket/prefix, a directory or memory://name, or leave it out"),
        (" ", "url is empty"),
    ),
)
def test_connect_refuses_a_url(url, told):
    with pytest.raises(UsageError) as caught:
        oq.connect(url)
    assert told in str(caught.value)


# --- connect -------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ("path", "text", "uri", "relative", "home"))
def test_connect_takes_a_directory_as(tmp_path, form):
    folder = tmp_path / ("home/q" if form == "home" else "q")
    url = {"path": folder, "text": str(folder), "uri": folder.as_uri(), "relative": "q", "home": "~/q"}[form]
    queue = oq.connect(url)
    assert queue.url == folder.as_uri()
    assert repr(queue) == f"<oqkit queue {folder.as_uri()}>"
    assert (folder / "queue.json").is_file()


def test_connect_takes_a_name_in_memory():
    one, two = oq.connect("memory://opening-a"), oq.connect("memory://opening-b")
    one.submit("score", 1)
    assert (len(oq.connect("memory://opening-a").jobs()), len(two.jobs())) == (1, 0)


def test_connect_reads_url_and_profile_from_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("OQ_URL", "memory://opening-env")
    assert oq.connect().url == "memory://opening-env"
    write('[profiles.lab]\nurl = "memory://opening-lab"')
    assert oq.connect(profile="lab").url == "memory://opening-lab"


def test_functions_of_the_package_use_the_queue_connected_last(tmp_path):
    oq.connect("memory://opening-first")
    queue = oq.connect("memory://opening-last")
    task = oq.submit("score", 1)
    job = oq.map("score", [1, 2], name="both")
    assert queue.get(task.id).id == oq.get(task.id).id == task.id
    assert oq.job("both").id == job.id
    assert len(oq.jobs()) == 2
    assert len(oq.history(task.id)) == 1
    assert oq.default_queue() is queue


def test_functions_of_the_package_connect_by_themselves(monkeypatch):
    monkeypatch.setenv("OQ_URL", "memory://opening-self")
    assert oq.default_queue().url == "memory://opening-self"


def test_connect_keeps_the_shards_of_a_queue(tmp_path):
    oq.connect(tmp_path / "q", shards=4)
    assert oq.connect(tmp_path / "q").repository.settings.shards == 4
    with pytest.raises(UsageError, match="was created with 4 shards, not 2"):
        oq.connect(tmp_path / "q", shards=2)
    with pytest.raises(UsageError, match="shards=0 must be a whole number from 1 to 4,096"):
        oq.connect(tmp_path / "r", shards=0)


def test_every_file_that_is_looked_for_is_of_this_test(tmp_path):
    assert [str(path.expanduser()) for path in config.FILES] == ["oq.toml", str(tmp_path / "home/.oqkit/oq.toml")]
