"""Servers of tests as processes on 127.0.0.1, that end with the `with` block, also if its process is killed."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

READY_S = 60.0
POLL_S = 0.05
#: Below the ports that outgoing connections get, and low enough for SeaweedFS, which may add 10,000.
_PORTS = range(16_000, 32_000)

#: Starts the server and ends it as soon as the starting process is gone, however that died: only then
#: does the pipe on stdin close.
_GUARD = """
import subprocess, sys
server = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=sys.stderr)
print(server.pid, flush=True)
sys.stdin.read()
server.kill()
server.wait()
"""


def program(name: str, *, package: str) -> str:
    """Find a program beside this Python or on the path; `package` is how to install it."""
    path = shutil.which(name, path=sysconfig.get_path("scripts")) or shutil.which(name)
    if path is None:
        raise FileNotFoundError(f"{name} is not installed: {package}")
    return path


@contextlib.contextmanager
def running(
    name: str,
    command: Callable[[int], Sequence[str]],
    *,
    env: Callable[[int], dict[str, str]] = lambda _: {},
    n_ports: int = 1,
) -> Iterator[tuple[str, int]]:
    """Start `command(port)`, and yield its URL and process id once it answers; another may take the port first: then try again."""
    with contextlib.ExitStack() as stack:
        for n_left in (2, 1, 0):
            port = _free_ports(n_ports)
            url = f"http://127.0.0.1:{port}"
            log = stack.enter_context(tempfile.TemporaryFile())
            attempt = stack.enter_context(contextlib.ExitStack())
            guard, pid = attempt.enter_context(process(command(port), env(port), log.fileno()))
            if answers(url, guard, pid):
                yield url, pid
                return
            attempt.close()
            if not n_left:
                log.seek(0)
                raise RuntimeError(f"{name} did not start:\n{log.read().decode(errors='replace')[-3000:]}")


@contextlib.contextmanager
def process(command: Sequence[str], env: dict[str, str], log: int) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Run `command` under a guard and yield both: the guard, and the pid of the command."""
    with subprocess.Popen(  # noqa: S603 - no shell, and every word of the command is ours
        [sys.executable, "-I", "-S", "-c", _GUARD, *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        env=os.environ | env,
        start_new_session=True,  # Ctrl-C in the terminal is for the test, not for its server
    ) as guard:
        assert guard.stdout is not None
        pid = int(guard.stdout.readline() or 0)
        try:
            yield guard, pid
        finally:
            _stop(guard, pid)


def _stop(guard: subprocess.Popen[bytes], pid: int) -> None:
    if pid and guard.poll() is None:
        os.kill(pid, signal.SIGCONT)  # a test may have paused it
    assert guard.stdin is not None
    guard.stdin.close()
    try:
        guard.wait(10)
    except subprocess.TimeoutExpired:
        guard.kill()


def answers(url: str, guard: subprocess.Popen[bytes], pid: int) -> bool:
    """Wait until the server answers anything at all; False is that it has ended, or never does."""
    deadline = time.monotonic() + READY_S
    while guard.poll() is None and _is_alive(pid) and time.monotonic() < deadline:
        if status_of(url + "/"):
            return True
        time.sleep(POLL_S)
    return False


def _is_alive(pid: int) -> bool:
    """Whether the process runs. One that ended stays a zombie of its guard, which `/proc` shows where there is one."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return pid != 0 and not Path("/proc").exists()


def _free_ports(n_ports: int) -> int:
    """Return the first of `n_ports` neighbouring ports that nobody listens on."""
    chance = random.Random()  # noqa: S311 - not a secret; seeded tests in two processes must not meet
    while True:
        port = chance.randrange(_PORTS.start, _PORTS.stop - n_ports)
        if all(_is_free(port + offset) for offset in range(n_ports)):
            return port


def _is_free(port: int) -> bool:
    with socket.socket() as listener:
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def status_of(request: urllib.request.Request | str) -> int:
    """Return the status that a request is answered with; 0 is no answer."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # this machine, so never by a proxy
    try:
        with opener.open(request, timeout=10) as reply:
            return int(reply.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    except (OSError, ValueError):
        return 0
