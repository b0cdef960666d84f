"""For how long a bucket keeps what was."""

from __future__ import annotations

import json
import re

import pytest

import oqkit
from oqkit.errors import Unsupported, UsageError
from oqkit.queue import key as keys
from oqkit.store.lifecycle import Lifecycle

FOREIGN = {"ID": "logs", "Status": "Enabled", "Filter": {"Prefix": "logs/"}, "Expiration": {"Days": 3}}


def test_original_1_5_every_prefix_that_is_written_is_retained():
    table = keys.__doc__.split("===\n")[1]
    written = {name.partition("/")[0] for name in re.findall(r"^``([a-z.]+/?)", table, re.MULTILINE)}
    assert {prefix.rstrip("/") for prefix in keys.WRITTEN} == written


def test_bucket_forgets_earlier_versions_under_every_prefix_and_keeps_the_rules_of_others(queue, oq):
    store = queue.repository.store
    if queue.url.startswith("memory"):
        with pytest.raises(Unsupported, match="keeps no earlier versions"):
            queue.retention()
        assert "no lifecycle rules" in oq("retention", "apply", "--days", 30, code=1)
        return
    store.set_lifecycle(Lifecycle(root="", rules=[FOREIGN]))
    assert queue.retention()["days"].isna().all()
    planned = queue.retention(30, dry_run=True)
    assert queue.retention()["days"].isna().all()
    told = json.loads(oq("retention", "apply", "--days", 30, "--json"))
    assert {row["prefix"]: row["days"] for row in told} == planned["days"].to_dict()
    assert planned["days"].to_dict() == dict.fromkeys(keys.WRITTEN, 30) | dict.fromkeys(keys.EPHEMERAL, 1)
    assert queue.retention().equals(planned)
    assert "jobs/" in oq("retention", "show")
    rules = store.lifecycle().rules
    assert [rule["Expiration"] for rule in rules if rule["ID"] == "logs"] == [{"Days": 3}]
    assert not [rule for rule in rules if rule["ID"] != "logs" and "Days" in rule.get("Expiration", {})]
    assert len(rules) == 1 + len(keys.WRITTEN)


def test_number_of_days_that_cannot_be_is_refused(queue):
    with pytest.raises(UsageError, match="days"):
        queue.retention(0)


def test_directory_says_what_to_do_instead(tmp_path):
    with pytest.raises(Unsupported, match=r"\.versions"):
        oqkit.connect(f"file://{tmp_path}/queue").retention(30)
