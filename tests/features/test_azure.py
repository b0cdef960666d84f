"""A queue on Azure Blob Storage, and the rights that each role needs there, given as shared access signatures."""

from __future__ import annotations

import contextlib
import itertools
import pickle
import re
from pathlib import Path

import pandas as pd
import pytest

pytest.importorskip("azure.storage.blob", reason="pip install 'oqkit[azure]'")

from azure.storage.blob import ContainerSasPermissions, generate_container_sas

import oqkit as oq
from oqkit.client import connect
from oqkit.errors import Denied
from tests.local import WAIT_S

pytestmark = [pytest.mark.server, pytest.mark.usefixtures("azure")]

CONTAINER = "features"
PAGE = Path(__file__).parents[2] / "docs/how-to/azure.md"
RIGHTS = dict(re.findall(r"^\| (\w+) \| [^|]+ \| `([a-z]+)` \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE))
_numbers = itertools.count()


@oq.task
def halve(x):
    return x / 2


@pytest.fixture
def url(azurite_server, monkeypatch):
    azurite_server.create_container(CONTAINER)
    monkeypatch.setattr(connect, "_default", [])
    return f"az://{CONTAINER}/team/{next(_numbers)}"


@contextlib.contextmanager
def role(server, name):
    """Let what connects meanwhile have the rights of a role, and nothing else."""
    signature = generate_container_sas(
        server.account,
        CONTAINER,
        account_key=server.key,
        permission=ContainerSasPermissions.from_string(RIGHTS[name]),
        expiry="2100-01-01T00:00:00Z",
        protocol="https,http",
    )
    with pytest.MonkeyPatch.context() as patch:
        said = f"BlobEndpoint={server.endpoint_url};SharedAccessSignature={signature}"
        patch.setenv("AZURE_STORAGE_CONNECTION_STRING", said)
        yield


def test_queue_on_azure_works_a_frame_and_a_call_off(url):
    queue = oq.connect(url, shards=2)
    job = queue.submit_frame(pd.DataFrame({"x": range(500)}), halve, part_rows=50)
    task = queue.submit(halve, {"x": 8.0}, key="eight")
    oq.Worker(queue, [halve], concurrency=4).run(until_idle=True)
    assert job.result(WAIT_S)["halve"].tolist() == [x / 2 for x in range(500)]
    assert (task.result(WAIT_S), queue.submit(halve, {"x": 8.0}, key="eight").id) == (4.0, task.id)
    assert queue.get(task.id).status == "completed"
    assert pickle.loads(pickle.dumps(task)).result(WAIT_S) == 4.0
    assert len(queue.jobs()) == 2


def test_each_role_needs_the_rights_that_the_documentation_says(url, azurite_server):
    oq.connect(url)  # made with the account's own key
    queues = {}
    for name in ("viewer", "submitter", "worker"):
        with role(azurite_server, name):
            queues[name] = oq.connect(url)
    job = queues["submitter"].submit_frame(pd.DataFrame({"x": [1.0, 2.0, 3.0]}), "halve", name="halves")
    oq.Worker(queues["worker"], [halve]).run(until_idle=True)
    seen = queues["viewer"].job("halves")
    assert seen.wait(WAIT_S).status == "completed"
    assert seen.result(WAIT_S)["halve"].tolist() == [0.5, 1.0, 1.5]
    assert job.cancel() == 0
    with pytest.raises(Denied, match=r"AuthorizationPermissionMismatch.*which rights it takes"):
        queues["viewer"].submit("halve", {"x": 1.0})
    with pytest.raises(Denied):
        queues["submitter"].storage.delete("queue.json")
