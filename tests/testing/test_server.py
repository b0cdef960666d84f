from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from oqkit.testing.server import ministack

pytestmark = pytest.mark.server

_START_AND_DIE = """
import os, signal
from oqkit.testing.server import ministack
with ministack() as server:
    print(server.pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def is_gone(pid: int) -> bool:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.02)
    return False


def test_server_ends_with_the_block():
    with ministack() as server:
        server.create_bucket("bucket")
        server.create_bucket("bucket")
    assert is_gone(server.pid)


def test_server_ends_when_its_owner_is_killed():
    root = Path(__file__).parents[2]
    owner = subprocess.run(
        [sys.executable, "-c", _START_AND_DIE], capture_output=True, text=True, cwd=root, check=False
    )
    assert owner.returncode == -9
    assert is_gone(int(owner.stdout))


def test_create_bucket_says_what_the_server_answered(rclone_server):
    with pytest.raises(RuntimeError, match="answered 4"):
        rclone_server.create_bucket("a/b")


def test_server_refuses_a_request_that_another_key_signed(rclone_server):
    stranger = replace(rclone_server, secret_key="another")
    with pytest.raises(RuntimeError, match="answered 403"):
        stranger.create_bucket("bucket")
    rclone_server.create_bucket("bucket")
