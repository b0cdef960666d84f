"""A JupyterLab on this machine and a headless Chromium in front of it, for the tests that look."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE_S = int(os.environ.get("OQ_TEST_PATIENCE_S", "120"))
THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}


class Lab:
    """A running server; `folder` holds its notebooks."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.folder = folder

    def theme(self, name: str) -> None:
        """Set the theme for pages that are opened from now on."""
        self.put_setting("apputils-extension:themes", {"theme": THEMES[name]})

    def put_setting(self, name: str, value: dict) -> None:
        """Write one group of JupyterLab's settings."""
        data = json.dumps({"raw": json.dumps(value)}).encode()
        path = f"lab/api/settings/@jupyterlab/{name}"
        request = urllib.request.Request(f"{self.url}/{path}", data=data, method="PUT")
        with urllib.request.urlopen(request, timeout=PATIENCE_S):
            pass


@contextlib.contextmanager
def jupyterlab(folder: Path) -> Iterator[Lab]:
    """Serve a folder; the server and its kernels end with the block."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    home = Path(tempfile.mkdtemp(prefix="oqkit-lab-"))
    environment = {
        **os.environ,
        "HOME": str(home),
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "IPYTHONDIR": str(home / "ipython"),
        "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
    }
    options = {
        "ServerApp.ip": "127.0.0.1",
        "ServerApp.port": port,
        "ServerApp.port_retries": 0,
        "ServerApp.root_dir": str(folder),
        "ServerApp.open_browser": False,
        "ServerApp.allow_root": True,
        "ServerApp.disable_check_xsrf": True,
        "IdentityProvider.token": "",
        "LabApp.expose_app_in_browser": True,
        "LabApp.news_url": None,
        "LabApp.check_for_updates_class": "jupyterlab.NeverCheckForUpdate",
    }
    config = home / "config.json"
    config.write_text(json.dumps(_nested(options)))
    command = [sys.executable, "-m", "jupyterlab", "--config", str(config)]
    with (home / "lab.log").open("wb") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{port}"
        _until_ready(url, server, home / "lab.log")
        lab = Lab(url, folder)
        lab.put_setting("apputils-extension:notification", {"fetchNews": "false", "checkForUpdates": False})
        lab.put_setting("notebook-extension:tracker", {"windowingMode": "none"})  # all cells are in the page
        yield lab
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        shutil.rmtree(home, ignore_errors=True)


def _nested(options: dict) -> dict:
    nested: dict = {}
    for name, value in options.items():
        section, _, key = name.partition(".")
        nested.setdefault(section, {})[key] = value
    return nested


def _until_ready(url: str, server: subprocess.Popen, log: Path) -> None:
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        if server.poll() is not None:
            break
        with contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError):
            urllib.request.urlopen(f"{url}/api/status", timeout=5).close()
            return
        time.sleep(0.3)
    raise RuntimeError(f"JupyterLab did not start:\n{log.read_text(errors='replace')[-3000:]}")
