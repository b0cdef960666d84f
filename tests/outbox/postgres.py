"""A real PostgreSQL, started for the tests on a free port of this machine, in a folder that is gone afterwards."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

USER = "oqkit"


def programs() -> Path | None:
    """Return the folder of PostgreSQL's programs, the newest there is; None if it is not installed."""
    places = [Path(found).parent for found in [shutil.which("initdb")] if found]
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name), reverse=True)
    return next((place for place in places if (place / "initdb").exists()), None)


@contextlib.contextmanager
def postgres(where: Path) -> Iterator[int]:
    """Run a server of the programs in `where`, and give its port; it takes connections of this machine, without a password."""
    folder = Path(tempfile.mkdtemp(prefix="oqkit-postgres-"))
    user = _user()
    if user is not None:
        shutil.chown(folder, user)
    port = _free_port()
    run(where / "initdb", "-D", folder / "data", "-U", USER, "-A", "trust", "-N", "-E", "UTF8", "--locale=C", user=user)
    options = f"-F -p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder}"
    try:
        run(where / "pg_ctl", "-D", folder / "data", "-w", "-l", folder / "log", "-o", options, "start", user=user)
        try:
            yield port
        finally:
            run(where / "pg_ctl", "-D", folder / "data", "-w", "-m", "immediate", "stop", user=user)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def run(*command: object, user: str | None) -> None:
    subprocess.run([str(word) for word in command], user=user, cwd="/", check=True, capture_output=True, text=True)


def _user() -> str | None:
    """Return whom to run it as, since it refuses root; None: as who runs the tests."""
    if os.geteuid() != 0:
        return None
    known = {one.pw_name for one in pwd.getpwall()}
    return next(name for name in ("postgres", "nobody") if name in known)


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
