"""The policies of docs/permissions.md, on a server that enforces them: enough for the role, and no more."""

from __future__ import annotations

import contextlib

import pandas as pd
import pytest

import oqkit as oq
from oqkit.client import connect
from oqkit.errors import Denied
from oqkit.queue.key import task_id
from oqkit.testing.proxy import _Request
from tests.local import WAIT_S, until
from tests.trust.policy import Ask, PolicyProxy, allows, asks_of, documented

ROLES = ("Viewer", "Submitter", "Worker", "Scheduler")
BUCKET, PREFIX = "permissions", "team/queue"
FRAME = pd.DataFrame({"x": [1.0, 2.0, 3.0, 4.0]})


@oq.task
def halve(x):
    if x == 3:
        raise oq.PermanentError("not three")
    return x / 2


@oq.task
def later(x):
    if x > 0:
        raise oq.Reschedule(0.2)
    return x


class Team:
    """A queue that an administrator made, and a connection for each role, behind a server that enforces its policy."""

    def __init__(self, seaweed, stack) -> None:
        seaweed.create_bucket(BUCKET)
        self.url = f"s3://{BUCKET}/{PREFIX}"
        self.admin = oq.connect(self.url, endpoint_url=seaweed.endpoint_url)
        self.proxies, self.queues = {}, {}
        for role in ROLES:
            policy = documented(role, bucket=BUCKET, prefix=PREFIX)
            self.proxies[role] = stack.enter_context(PolicyProxy(seaweed.endpoint_url, policy))
            self.queues[role] = oq.connect(self.url, endpoint_url=self.proxies[role].url)

    def refused(self, role):
        return self.proxies[role].refused


@pytest.fixture(scope="module")
def team(seaweed):
    with contextlib.ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        patch.setattr(connect, "_default", [])
        for name, value in seaweed.env().items():
            patch.setenv(name, value)
        patch.delenv("AWS_ENDPOINT_URL")
        yield Team(seaweed, stack)


@pytest.mark.server
@pytest.mark.slow
@pytest.mark.timeout(400)
def test_each_role_can_do_its_work_and_asks_for_nothing_else(team, start):
    viewer, submitter = team.queues["Viewer"], team.queues["Submitter"]
    start(halve, later, queue=team.queues["Worker"], trust_code=False, concurrency=2)
    job = submitter.submit_frame(FRAME, "halve", name="halves", part_rows=2)
    many = submitter.map("later", [0] * 20, name="zeros")
    one = submitter.submit("halve", {"x": 8.0}, key="eight")
    held = submitter.map("halve", [{"x": 2.0}], name="held", delay=3600)
    submitter.submit_frame(FRAME, lambda x: x, name="by value")  # which no worker here runs
    assert one.result(WAIT_S) == 4.0
    assert many.result(WAIT_S)["later"].tolist() == [0] * 20
    assert job.result(WAIT_S, errors="coerce", join=True)["halve"].tolist()[:2] == [0.5, 1.0]
    assert job.errors()["message"].tolist() == ["not three"]
    assert (held.cancel(), held.status) == (1, "cancelled")
    assert (job.retry(), job.wait(WAIT_S).status) == (1, "failed")
    other = submitter.map("later", [1], name="other", max_reschedules=1)
    other.pause()
    other.resume()
    other.wait(WAIT_S)
    assert len(submitter.jobs()) == 6

    seen = viewer.job("halves")
    assert seen.wait(WAIT_S).counts() == job.counts()
    assert seen.result(errors="coerce", join=True).equals(job.result(errors="coerce", join=True))
    assert len(seen.errors()) == 1
    assert (len(seen.tasks()), len(seen.partial())) == (4, 3)
    assert len(viewer.jobs()) == 6
    assert len(viewer.workers()) == 1
    assert len(viewer.history(task_id(job.id, 2)))
    assert viewer.get(one.id).result(WAIT_S) == 4.0
    start_over = submitter.submit_frame(FRAME, "halve", name="halves", part_rows=2)  # attaches
    assert start_over.id == job.id
    assert {role: team.refused(role) for role in ROLES} == {role: [] for role in ROLES}


@pytest.mark.server
@pytest.mark.slow
def test_viewer_who_waits_for_what_runs_needs_no_more(team, start):
    job = team.queues["Submitter"].map("later", [0] * 3, name="waited for")
    seen = team.queues["Viewer"].job("waited for")
    start(later, queue=team.queues["Worker"], trust_code=False)
    assert seen.result(WAIT_S)["later"].tolist() == [0, 0, 0]
    assert job.done()


@pytest.mark.server
@pytest.mark.slow
def test_schedule_is_fired_by_who_may_and_left_alone_by_who_may_not(team, start, caplog):
    submitter, n_before = team.queues["Submitter"], {role: len(team.refused(role)) for role in ROLES}
    submitter.schedule("often", "halve", {"x": 8.0}, every=1.0)
    start(halve, queue=team.queues["Worker"], trust_code=False)
    until(lambda: "schedule often is put off" in caplog.text)
    assert len(team.queues["Viewer"].schedules()) == 1
    start(later, queue=team.queues["Scheduler"], trust_code=False)
    until(lambda: submitter.schedules().loc[0, "last"] is not pd.NaT)
    submitter.unschedule("often")
    refused = {role: {ask.action for ask in team.refused(role)[n_before[role] :]} for role in ROLES}
    assert refused["Scheduler"] == refused["Viewer"] == set()
    assert refused["Worker"] == {"s3:PutObject"}


@pytest.mark.server
@pytest.mark.slow
def test_submitter_may_pause_the_queue_and_steer_a_job_and_all_who_look_may_read_of_it(team, start):
    submitter, n_before = team.queues["Submitter"], {role: len(team.refused(role)) for role in ROLES}
    submitter.pause("look first", by="ana@lab")
    job = submitter.map("later", [0] * 3, name="paused")
    job.reprioritize("urgent")
    job.tag(team="a")
    worker = start(later, queue=team.queues["Worker"], trust_code=False)
    until(lambda: worker._source._claimer.discovery.pauses.sign("later") is not None)
    assert [one.by for one in team.queues["Viewer"].status().paused] == ["ana@lab"]
    assert "look first" in until(team.queues["Viewer"].job("paused").why)
    assert submitter.resume()
    assert job.result(WAIT_S)["later"].tolist() == [0, 0, 0]
    assert {role: team.refused(role)[n_before[role] :] for role in ROLES} == {role: [] for role in ROLES}
    with pytest.raises(oq.Denied):
        team.queues["Viewer"].pause("no")


@pytest.mark.server
@pytest.mark.slow
def test_job_that_waits_is_let_go_by_who_may_and_left_alone_by_who_may_not(team, start, caplog):
    submitter, n_before = team.queues["Submitter"], {role: len(team.refused(role)) for role in ROLES}
    first = submitter.submit("halve", {"x": 8.0})
    job = submitter.map("later", [0], name="waits", depends_on=[first])
    worker = start(halve, later, queue=team.queues["Worker"], trust_code=False)
    assert first.result(WAIT_S) == 4.0
    until(lambda: f"job {first.job.id} is left to others" in caplog.text)
    assert submitter.submit("halve", {"x": 2.0}).result(WAIT_S) == 1.0, "it goes on with other work"
    assert submitter.job("waits").status == "blocked"
    worker.stop()
    start(halve, later, queue=team.queues["Scheduler"], trust_code=False)
    assert job.result(WAIT_S)["later"].tolist() == [0]
    refused = {role: {ask.action for ask in team.refused(role)[n_before[role] :]} for role in ROLES}
    assert refused["Scheduler"] == refused["Submitter"] == set()
    assert refused["Worker"] == {"s3:PutObject"}


@pytest.mark.server
def test_submitter_may_say_which_items_are_known(team):
    submitter, n_before = team.queues["Submitter"], len(team.refused("Submitter"))
    submitter.map("later", [{"n": 1}], key="n")
    assert len(submitter.map("later", [{"n": 1}, {"n": 2}], key="n")) == 1
    assert team.refused("Submitter")[n_before:] == []


KEYS = {
    "jobs": "jobs/0000/x.json",
    "code": "code/x",
    "items": "items/x/0000000001.parquet",
    "parts": "work/0000/a-x/parts/0000000.json",
    "outputs": "work/0000/a-x/out/0000000-a.1.parquet",
    "markers": "open/0000/type-x/ready/x",
    "tags": "tags/team/=a/x",
    "schedules": "schedules/x.json",
    "schemas": "schemas/x.json",
    "workers": "workers/x.json",
    "settings": "queue.json",
    "bell": "bell",
    "elsewhere": "../other/x",
}
WRITES = {
    "Viewer": set(),
    "Submitter": {"jobs", "code", "items", "parts", "outputs", "markers", "tags", "schedules", "schemas", "bell"},
    "Worker": {"parts", "outputs", "markers", "tags", "workers", "bell"},
    "Scheduler": {"jobs", "parts", "outputs", "markers", "tags", "schedules", "workers", "bell"},
}
DELETES = {"Viewer": set(), "Submitter": {"markers", "tags"}, "Worker": {"markers"}, "Scheduler": {"markers"}}


def ask(action, key):
    return Ask(f"s3:{action}", f"arn:aws:s3:::{BUCKET}/{PREFIX}/{key}".replace(f"{PREFIX}/../", "team/"))


@pytest.mark.parametrize("role", ROLES)
def test_policy_allows_a_role_what_the_table_says_and_nothing_else(role):
    policy = documented(role, bucket=BUCKET, prefix=PREFIX)
    assert {name for name, key in KEYS.items() if allows(policy, ask("PutObject", key))} == WRITES[role]
    assert {name for name, key in KEYS.items() if allows(policy, ask("DeleteObject", key))} == DELETES[role]
    assert {name for name, key in KEYS.items() if allows(policy, ask("GetObject", key))} == set(KEYS) - {"elsewhere"}
    bucket = f"arn:aws:s3:::{BUCKET}"
    assert allows(policy, Ask("s3:ListBucket", bucket, f"{PREFIX}/jobs/"))
    assert allows(policy, Ask("s3:ListBucket", bucket))
    assert not allows(policy, Ask("s3:ListBucket", bucket, "team/other/"))
    for action in ("PutBucketPolicy", "PutObjectAcl", "DeleteObjectVersion", "DeleteBucket"):
        assert not allows(policy, Ask(f"s3:{action}", bucket))
        assert not allows(policy, ask(action, "jobs/0000/x.json"))


@pytest.mark.server
@pytest.mark.slow
@pytest.mark.parametrize("role", ROLES)
def test_server_refuses_a_role_what_its_policy_does_not_allow(team, role):
    store = team.queues[role].repository.store
    for name, key in KEYS.items():
        if name not in WRITES[role] and name != "elsewhere":
            with pytest.raises(Denied):
                store.overwrite(key, b"x")
        if name not in DELETES[role] and name != "elsewhere":
            with pytest.raises(Denied):
                store.delete(key)
    with pytest.raises(Denied):
        oq.connect(f"s3://{BUCKET}/team/other", endpoint_url=team.proxies[role].url)


@pytest.mark.server
@pytest.mark.slow
def test_viewer_who_submits_is_told_that_it_is_not_allowed(team):
    with pytest.raises(Denied, match="403"):
        team.queues["Viewer"].submit("halve", {"x": 1.0})


def test_request_that_is_not_known_is_refused():
    policy = {"Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
    for verb, target in (("PUT", "/b?policy"), ("PUT", "/b/k?acl"), ("GET", "/b?location"), ("POST", "/b/k?uploads")):
        asked = list(asks_of(_Request(verb=verb, target=target, headers=(), body=b"")))
        assert not all(allows(policy, one) for one in asked)
