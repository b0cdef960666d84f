"""What tests of code on oqkit need: the contract of a store, fakes, and real S3 servers."""

from __future__ import annotations

import contextlib

with contextlib.suppress(ImportError):  # the servers and fakes work without pytest
    import pytest

    # Before anybody imports it: a failing assertion of the contract then shows its values.
    pytest.register_assert_rewrite("oqkit.testing.contract", "oqkit.testing.race")

from oqkit.testing.fault import S3_LATENCY_S, Fault, FaultKind, weather
from oqkit.testing.proxy import FaultProxy
from oqkit.testing.server import S3Server, ministack, moto, rclone, restarted, seaweedfs
from oqkit.testing.trial import Trial, try_out

__all__ = [
    "S3_LATENCY_S",
    "Fault",
    "FaultKind",
    "FaultProxy",
    "S3Server",
    "Trial",
    "ministack",
    "moto",
    "rclone",
    "restarted",
    "seaweedfs",
    "try_out",
    "weather",
]
