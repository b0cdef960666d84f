"""A feature from one end to the other: a queue in memory, then one on a real S3 server; workers; and the command line.

A test asks for `queue`, works it off with `work_off` of `tests.local` (or `start`, for workers that go on), and for what the command
line says with `oq`. It runs twice, and is part of the fast tests with the queue in memory.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest

import oqkit
from oqkit.cli.main import main
from oqkit.client import connect
from tests.chaos.fleet import s3_place

_numbers = itertools.count()


@pytest.fixture(params=("memory", pytest.param("seaweedfs", marks=pytest.mark.server)))
def queue(request, monkeypatch) -> oqkit.Queue:
    """A new queue, which is also the default queue, and the one that commands and other processes find."""
    monkeypatch.setattr(connect, "_default", [])
    url = f"memory://feature-{next(_numbers)}"
    if request.param == "seaweedfs":
        request.getfixturevalue("aws")
        place = s3_place(request.getfixturevalue("seaweed"), f"feature-{next(_numbers)}")
        monkeypatch.setenv("OQ_ENDPOINT_URL", place.env["OQ_ENDPOINT_URL"])
        url = place.url
    monkeypatch.setenv("OQ_URL", url)
    return oqkit.connect()


@pytest.fixture
def oq(queue, capsys) -> Callable[..., str]:
    """Run a command on `queue`, in this process; return what it wrote to the standard output.

    It is to end with the exit code `code`; with another one than 0, or with `errors`, what it wrote to the standard error comes too.
    """

    def oq(*arguments: Any, code: int = 0, errors: bool = False) -> str:
        capsys.readouterr()
        found = main([str(each) for each in arguments])
        said = capsys.readouterr()
        assert found == code, said.err
        return said.out + said.err if code or errors else said.out

    return oq
