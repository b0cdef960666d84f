"""Lifecycle rules: those of one queue, and all others."""

from __future__ import annotations

import pytest

from oqkit.errors import UsageError
from oqkit.store.lifecycle import MAX_RULES, Lifecycle

FOREIGN = {"ID": "logs", "Status": "Enabled", "Filter": {"Prefix": "logs/"}, "Expiration": {"Days": 3}}


def test_rules_remove_what_was_and_never_what_is():
    (rule,) = Lifecycle(root="team/queue/").keeping({"jobs/": 30}).rules
    assert rule["Filter"] == {"Prefix": "team/queue/jobs/"}
    assert rule["NoncurrentVersionExpiration"] == {"NoncurrentDays": 30}
    assert rule["Expiration"] == {"ExpiredObjectDeleteMarker": True}, "of what is there neither days nor a date"


def test_rules_of_others_and_of_other_queues_stay_as_they_are():
    others = Lifecycle(root="a/b/", rules=[FOREIGN, {"Prefix": "old", "Status": "Disabled"}], others={"Size": "x"})
    both = Lifecycle(root="a/", rules=others.keeping({"jobs/": 3}).rules, others=others.others)
    after = both.keeping({"jobs/": 9, "work/": 9}).keeping({"jobs/": 7})
    assert after.rules[:3] == both.rules
    assert after.days() == {"jobs/": 7}
    assert after.others == {"Size": "x"}
    assert Lifecycle(root="a/b/", rules=after.rules).days() == {"jobs/": 3}


def test_rule_that_is_switched_off_keeps_for_ever():
    (rule,) = Lifecycle(root="").keeping({"jobs/": 30}).rules
    assert Lifecycle(root="", rules=[{**rule, "Status": "Disabled"}]).days() == {}


def test_id_of_a_rule_is_short_enough_however_deep_the_queue_is():
    (rule,) = Lifecycle(root="deep/" * 200).keeping({"schedules/": 30}).rules
    assert len(rule["ID"]) <= 255


def test_more_rules_than_a_bucket_takes_are_refused():
    with pytest.raises(UsageError, match="1,001 lifecycle rules"):
        Lifecycle(root="", rules=[FOREIGN] * MAX_RULES).keeping({"jobs/": 1})
