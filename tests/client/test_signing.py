"""Where signing keys come from, and who thereby runs whose jobs."""

from __future__ import annotations

import logging
import os
import pwd
import stat
import subprocess
import sys
import threading

import pandas as pd
import pytest

import oqkit as oq
from oqkit.client import signing
from oqkit.client.signing import configured_keys, own_environment, own_key_file, own_keys, signer, verifier
from oqkit.config import Settings, settings
from oqkit.errors import NotSigned, UsageError
from tests.local import WAIT_S, refusal, until

KEY, OTHER = "k" * 40, "o" * 40
BUCKET = "s3://bucket/queue"
FRAME = pd.DataFrame({"x": [1, 2, 3]})


@pytest.fixture(autouse=True)
def home(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in [name for name in os.environ if name.startswith("OQ_")]:
        monkeypatch.delenv(name)
    return tmp_path / "home"


def key_file(path, text=KEY, mode=0o600):
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return path


# --- keys ----------------------------------------------------------------------------------------


def test_key_comes_from_a_variable_or_a_file(monkeypatch, tmp_path):
    monkeypatch.setenv("OQ_SIGNING_KEY", f"{KEY}\n{OTHER} ")
    assert configured_keys(settings(Settings())) == (KEY.encode(), OTHER.encode())
    monkeypatch.delenv("OQ_SIGNING_KEY")
    monkeypatch.setenv("OQ_SIGNING_KEY_FILE", str(key_file(tmp_path / "key", OTHER)))
    assert configured_keys(settings(Settings())) == (OTHER.encode(),)


def test_two_places_of_keys_are_refused(tmp_path):
    with pytest.raises(UsageError, match="both set"):
        configured_keys(Settings(signing_key=KEY, signing_key_file=str(key_file(tmp_path / "key"))))


@pytest.mark.parametrize("mode", (0o640, 0o604, 0o620, 0o602, 0o644))
def test_key_file_that_others_can_read_or_write_is_refused(tmp_path, mode):
    path = key_file(tmp_path / "key", mode=mode)
    with pytest.raises(UsageError, match="chmod 600"):
        configured_keys(Settings(signing_key_file=str(path)))


@pytest.mark.parametrize(("text", "why"), (("", "holds no signing key"), (" \n", "holds no"), ("short", "32 at least")))
def test_key_that_is_none_is_refused_by_name(tmp_path, text, why):
    chosen = Settings(signing_key_file=str(key_file(tmp_path / "key", text)))
    with pytest.raises(UsageError, match=why):
        verifier(chosen, url=BUCKET)
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        verifier(Settings(signing_key_file=str(tmp_path / "none")), url=BUCKET)


def test_key_is_never_shown(monkeypatch):
    monkeypatch.setenv("OQ_SIGNING_KEY", KEY)
    chosen = settings(Settings())
    assert KEY not in repr(chosen) + repr(verifier(chosen, url=BUCKET))


@pytest.mark.parametrize("name", ("signing_key_file", "signing_scope", "signing_key"))
def test_folder_that_came_from_elsewhere_cannot_choose_keys(monkeypatch, tmp_path, name):
    (tmp_path / "oq.toml").write_text(f'{name} = "{tmp_path / "key"}"', encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=name):
        settings(Settings())


def test_scope_is_the_url_unless_one_is_agreed_on():
    here, there = (verifier(Settings(signing_key=KEY), url=url) for url in (BUCKET, BUCKET + "2"))
    same = [verifier(Settings(signing_key=KEY, signing_scope="orders"), url=url) for url in (BUCKET, BUCKET + "2")]
    assert here.sign("text") != there.sign("text")
    ends = [f"http://{host}:9000" for host in ("test", "live", "live")]
    test, live, also = (verifier(Settings(signing_key=KEY, endpoint_url=end), url=BUCKET) for end in ends)
    live.verify(also.sign("text"), what="job")
    for other in (test, here):
        with pytest.raises(
            NotSigned, match=r"has '[0-9a-f]{16}' for s3://bucket/queue at http://live:9000; .*OQ_SIGNING_SCOPE"
        ):
            live.verify(other.sign("text"), what="job")
    assert same[0].sign("text") == same[1].sign("text")


# --- a key of one's own --------------------------------------------------------------------------


def test_own_key_is_made_once_for_its_owner_alone(home):
    path = own_key_file()
    assert path == home / ".oqkit" / "signing.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert own_keys() == own_keys() == (path.read_bytes().strip(),)
    assert [one.name for one in path.parent.iterdir()] == ["signing.key"]


def test_two_processes_make_one_own_key(home):
    keys, barrier = set(), threading.Barrier(8)

    def make():
        barrier.wait()
        keys.add(own_keys())

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(keys) == 1


def test_home_that_cannot_be_written_gives_a_key_for_this_process(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(key_file(tmp_path / "a file, no folder")))
    assert own_keys() == own_keys()
    assert own_environment(Settings(), url=BUCKET) == {"OQ_SIGNING_KEY": own_keys()[0].decode()}


def spoiled():
    def readable_by_others(path):
        path.chmod(0o644)  # as on a file system without permissions

    def empty(path):
        path.write_text("", encoding="utf-8")

    def folder(path):
        path.unlink()
        path.mkdir()

    def link_to_nothing(path):
        path.unlink()
        path.symlink_to("nowhere")

    return [readable_by_others, empty, folder, link_to_nothing]


@pytest.mark.parametrize("spoil", spoiled(), ids=lambda one: one.__name__)
def test_own_key_that_cannot_be_used_keeps_nobody_from_submitting_and_is_said_once(home, spoil, caplog):
    path = own_key_file()
    unused = path.read_text(encoding="utf-8").strip()
    spoil(path)
    with caplog.at_level(logging.WARNING, "oqkit"):
        keys = own_keys()
        assert signer(Settings(), url=BUCKET)().sign("text") == signer(Settings(), url=BUCKET)().sign("text")
    assert own_environment(Settings(), url=BUCKET) == {"OQ_SIGNING_KEY": keys[0].decode()}
    assert [record.getMessage().count(str(path)) > 0 for record in caplog.records] == [True]
    assert unused not in caplog.text


def test_user_without_a_home_directory_can_use_a_bucket(monkeypatch):
    def unknown(uid):
        raise KeyError(uid)

    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    assert settings(Settings(url=BUCKET)).url == BUCKET
    assert own_keys() == own_keys()
    for chosen in (Settings(), Settings(url=BUCKET, data_roots=None, signing_key_file="~/key")):
        with pytest.raises(UsageError, match="Write the path in full"):
            configured_keys(settings(chosen))


def test_what_is_for_its_owner_alone_needs_no_signature(home):
    for url in ("file:///somewhere", "memory://x"):
        assert signer(Settings(), url=url) is None
        assert own_environment(Settings(), url=url) == {}
    assert signer(Settings(signing_key=KEY), url="file:///somewhere") is not None
    assert not home.exists()


def test_own_key_is_made_by_the_first_submission_and_not_by_connecting(home):
    sign = signer(Settings(), url=BUCKET)
    assert not home.exists()
    assert sign() is sign()
    assert own_environment(Settings(), url=BUCKET) == {"OQ_SIGNING_KEY_FILE": str(home / ".oqkit" / "signing.key")}


# --- who runs whose jobs -------------------------------------------------------------------------


def connect(tmp_path, monkeypatch, key=None):
    if key is None:
        monkeypatch.delenv("OQ_SIGNING_KEY", raising=False)
    else:
        monkeypatch.setenv("OQ_SIGNING_KEY", key)
    return oq.connect(tmp_path / "queue")


@pytest.mark.usefixtures("quick_news")
def test_worker_with_a_key_runs_what_was_signed_with_it_and_says_why_not(tmp_path, monkeypatch, start, caplog):
    foreign = connect(tmp_path, monkeypatch).submit_frame(FRAME, lambda x: x + 1)
    theirs = connect(tmp_path, monkeypatch, OTHER).submit_frame(FRAME, lambda x: x + 2)
    queue = connect(tmp_path, monkeypatch, KEY)
    ours = queue.submit_frame(FRAME, lambda x: x + 3)
    with caplog.at_level(logging.WARNING, "oqkit"):
        start(queue=queue)
        assert ours.result(WAIT_S)["lambda_"].tolist() == [4, 5, 6]
        until(lambda: "it is signed with the key" in theirs.why())
        why = refusal(foreign)
        assert "1 worker saw it and cannot run it: job object 'jobs/" in why
        assert "has no valid signature for this worker: it is not signed, and this worker runs signed jobs only" in why
    assert foreign.counts()["pending"] == theirs.counts()["pending"] == 3
    said = [record.getMessage() for record in caplog.records]
    assert sum(foreign.id in line for line in said) == sum(theirs.id in line for line in said) == 1
    assert not any(KEY in line or OTHER in line for line in said)


def test_corrected_function_runs_on_workers_with_the_key(tmp_path, monkeypatch, start):
    queue = connect(tmp_path, monkeypatch, KEY)

    def wrong(x):
        raise oq.PermanentError("no")

    job = queue.submit_frame(FRAME, wrong)
    start(queue=queue)
    assert job.wait(WAIT_S).counts()["failed"] == 3
    job.retry(fn=lambda x: x * 2)
    assert job.result(WAIT_S).iloc[:, 0].tolist() == [2, 4, 6]


def test_everyone_cannot_be_trusted_where_a_key_is_configured(tmp_path, monkeypatch):
    queue = connect(tmp_path, monkeypatch, KEY)
    with pytest.raises(UsageError, match="contradicts the signing key"):
        oq.local_workers(1, queue=queue, trust="everyone")
    with pytest.raises(UsageError, match="'own' or 'everyone'"):
        oq.local_workers(1, queue=queue, trust="nobody")


SUBMITTER = """
import sys
import oqkit as oq
import pandas as pd
q = oq.connect(sys.argv[1], endpoint_url=sys.argv[2])
print(q.submit_frame(pd.DataFrame({"x": [1, 2, 3]}), lambda x: x * 10, name="theirs").id)
"""


@pytest.mark.server
@pytest.mark.slow
def test_local_workers_on_a_bucket_run_ones_own_jobs_alone(ministack_server, aws, tmp_path, monkeypatch):
    ministack_server.create_bucket("signed")
    url, endpoint = "s3://signed/queue", ministack_server.endpoint_url
    queue = oq.connect(url, endpoint_url=endpoint)
    command = [sys.executable, "-c", SUBMITTER, url, endpoint]
    environment = {**os.environ, "HOME": str(tmp_path / "another home")}
    subprocess.run(command, env=environment, check=True, timeout=WAIT_S)
    theirs = queue.job("theirs")
    with oq.local_workers(1, queue=queue):
        assert queue.submit_frame(FRAME, lambda x: x + 1).result(WAIT_S)["lambda_"].tolist() == [2, 3, 4]
        until(lambda: "no valid signature" in theirs.why())
        assert theirs.counts()["pending"] == 3
    with oq.local_workers(1, queue=queue, trust="everyone"):
        assert theirs.result(WAIT_S)["lambda_"].tolist() == [10, 20, 30]


def test_signing_names_no_key_in_its_errors(tmp_path):
    with pytest.raises(UsageError) as caught:
        verifier(Settings(signing_key="hunter2"), url=BUCKET)
    assert "hunter2" not in str(caught.value)
    assert signing.is_shared(BUCKET)
