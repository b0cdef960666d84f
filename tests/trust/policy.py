"""A server that enforces an IAM policy: a proxy in front of one that does not, which decides as IAM and S3 say.

Of IAM: an explicit Deny wins, then an Allow, else nothing is allowed; `*` and `?` in actions and resources;
`StringLike`, `StringEquals` and their `…IfExists` on `s3:prefix`. Of S3: an object that is not there is 404 only for who
may list the bucket, else 403, and that question has no prefix. A request that is not known here is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.etree import ElementTree as ET

from oqkit.testing.fault import Fault, FaultKind
from oqkit.testing.proxy import FaultProxy, _refusal, _Reply, _Request

PAGE = Path(__file__).parents[2] / "docs/permissions.md"


def documented(role: str, *, bucket: str, prefix: str) -> dict[str, Any]:
    """Return the policy that the documentation gives for a role, filled in as it says."""

    section = PAGE.read_text(encoding="utf-8").split(f"\n## {role}\n")[1].split("\n## ")[0]
    text = re.search(r"```json\n(.*?)```", section, re.DOTALL)[1]
    return json.loads(text.replace("BUCKET", bucket).replace("PREFIX", prefix))


@dataclass(frozen=True)
class Ask:
    action: str
    resource: str
    prefix: str | None = None


def allows(policy: dict[str, Any], ask: Ask) -> bool:
    effects = {one["Effect"] for one in policy["Statement"] if _fits(one, ask)}
    return "Allow" in effects and "Deny" not in effects


def _fits(statement: dict[str, Any], ask: Ask) -> bool:
    return (
        any(_like(ask.action, pattern) for pattern in _list(statement["Action"]))
        and any(_like(ask.resource, pattern) for pattern in _list(statement["Resource"]))
        and all(_holds(kind, tests, ask) for kind, tests in statement.get("Condition", {}).items())
    )


def _holds(kind: str, tests: dict[str, Any], ask: Ask) -> bool:
    assert kind.removesuffix("IfExists") in {"StringLike", "StringEquals"}, kind
    assert set(tests) == {"s3:prefix"}, tests
    if ask.prefix is None:
        return kind.endswith("IfExists")
    values = _list(tests["s3:prefix"])
    return any(_like(ask.prefix, one) if kind.startswith("StringLike") else ask.prefix == one for one in values)


def _like(text: str, pattern: str) -> bool:
    parts = ("[\\s\\S]*" if c == "*" else "[\\s\\S]" if c == "?" else re.escape(c) for c in pattern)
    return re.fullmatch("".join(parts), text) is not None


def _list(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else value


def asks_of(request: _Request) -> Iterator[Ask]:
    """Say what a request needs to be allowed."""
    url = urlsplit(request.target)
    bucket, _, key = unquote(url.path).lstrip("/").partition("/")
    query = parse_qs(url.query, keep_blank_values=True)
    arn = f"arn:aws:s3:::{bucket}"
    plain = set(query) <= {"x-id", "versionId", "delete"}
    if request.verb == "GET" and not key and ("list-type" in query or "versions" in query):
        action = "s3:ListBucketVersions" if "versions" in query else "s3:ListBucket"
        yield Ask(action, arn, query.get("prefix", [None])[0])
    elif request.verb == "POST" and not key and "delete" in query:
        for one in ET.fromstring(request.body).iter():
            if one.tag.endswith("Key"):
                yield Ask("s3:DeleteObject", f"{arn}/{one.text}")
    elif key and plain and request.verb in {"GET", "HEAD"}:
        yield Ask("s3:GetObjectVersion" if "versionId" in query else "s3:GetObject", f"{arn}/{key}")
    elif key and plain and request.verb in {"PUT", "DELETE"}:
        yield Ask("s3:PutObject" if request.verb == "PUT" else "s3:DeleteObject", f"{arn}/{key}")
    else:
        yield Ask(f"unknown:{request.verb} {request.target}", arn)


class PolicyProxy(FaultProxy):
    """Lets through what a policy allows; `refused` is what it did not."""

    def __init__(self, upstream_url: str, policy: dict[str, Any]) -> None:
        super().__init__(upstream_url)
        self.policy = policy
        self.refused: list[Ask] = []

    def choose(self, request: _Request) -> Fault | None:
        bad = [ask for ask in asks_of(request) if not allows(self.policy, ask)]
        self.refused += bad
        return Fault(FaultKind.STATUS, status=403) if bad else super().choose(request)

    def answer(self, request: _Request, reply: _Reply) -> _Reply:
        bucket = urlsplit(request.target).path.lstrip("/").partition("/")[0]
        listing = Ask("s3:ListBucket", f"arn:aws:s3:::{bucket}")
        if reply.status == 404 and request.verb in {"GET", "HEAD"} and not allows(self.policy, listing):
            self.refused.append(listing)
            return _refusal(403)
        return reply
