"""From the command line to the queue."""

from __future__ import annotations

import argparse

from oqkit.cli.command_registry import Opens
from oqkit.cli.terminal import complain
from oqkit.client.connect import connect
from oqkit.client.queue import Queue
from oqkit.clock import SystemClock
from oqkit.errors import Unavailable

CONNECT_WAIT_S = 2.0


def connected(options: argparse.Namespace) -> Queue:
    """Open the queue; `options.connect_s`, if a command sets it, is how long to try again while the store does not answer."""
    clock = SystemClock()
    end = clock.monotonic() + getattr(options, "connect_s", 0.0)
    while True:
        try:
            return connect(
                options.url,
                endpoint_url=options.endpoint_url,
                region=options.region,
                profile=options.profile,
                data_roots=getattr(options, "data_root", None),
                create=options.opens is Opens.ANY,
            )
        except Unavailable as error:
            if clock.monotonic() >= end:
                raise
            complain(f"{error}; trying again")
            clock.sleep(CONNECT_WAIT_S)
