"""The how-to of limits runs as it stands, against a service on this machine that refuses what is too fast."""

from __future__ import annotations

import json
import re
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import oqkit
from oqkit.client import connect

PAGE = Path(__file__).parents[2] / "docs/how-to/limits.md"
PER_S, BURST = 10.0, 101


class Service(ThreadingHTTPServer):
    """Adds two numbers, for at most four callers at once, who call at most as often as was paid for."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Reply)
        self.lock = threading.Lock()
        self.starts: list[float] = []
        self.n_running = self.most = self.n_refused = 0

    def is_allowed(self) -> bool:
        """Take in one more call."""
        now = time.monotonic()
        self.starts.append(now)
        self.most = max(self.most, self.n_running)
        recent = [start for start in self.starts if start > now - 5.0]
        return len(recent) <= BURST and self.n_running <= 4


class Reply(BaseHTTPRequestHandler):
    server: Service

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            self.server.n_running += 1
            is_allowed = self.server.is_allowed()
            self.server.n_refused += not is_allowed
        time.sleep(0.02)
        with self.server.lock:
            self.server.n_running -= 1
        answer = sum(map(int, re.findall(r"\d+", asked["question"])))
        data = json.dumps({"answer": str(answer)}).encode()
        self.send_response(200 if is_allowed else 429)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.mark.slow
def test_how_to_calls_a_rate_limited_service(tmp_path, monkeypatch):
    service = Service()
    threading.Thread(target=service.serve_forever, daemon=True).start()
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    (tmp_path / "page_of_limits.py").write_text(
        f"API = 'http://127.0.0.1:{service.server_port}'\n{code.partition('job =')[0]}"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(connect, "_default", [])
    oqkit.connect(tmp_path / "queue")
    import page_of_limits

    names = {"oq": oqkit, "ask": page_of_limits.ask}
    exec("job =" + code.partition("job =")[2], names)
    service.shutdown()
    service.server_close()
    sys.modules.pop("page_of_limits")
    assert sorted(names["answers"].iloc[:, 0].astype(int)) == [2 * n for n in range(40)]
    assert (len(service.starts), service.n_refused) == (40, 0)
    assert service.most <= 4
