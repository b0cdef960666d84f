"""What requests cost on AWS: S3 Standard, us-east-1, https://aws.amazon.com/s3/pricing, seen 2026-11."""

from __future__ import annotations

from collections.abc import Mapping

DOLLARS = {"put": 0.005 / 1000, "list": 0.005 / 1000, "get": 0.0004 / 1000, "delete": 0.0}
"""Dollars a request, by kind."""


def dollars(requests: Mapping[str, int]) -> float:
    """Return what a count of requests costs at AWS prices, without storage and traffic."""
    return sum(DOLLARS[kind] * n for kind, n in requests.items())
