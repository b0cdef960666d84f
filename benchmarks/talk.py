"""How a scenario talks to the process of a contender: a line of JSON there, a line of JSON back.

The contenders' side (`serve`) needs nothing but Python, since it runs in their own environments too.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

HERE = Path(__file__).parent


class Client:
    """A running ``client_*.py``, which does what it is asked, one thing after the other."""

    def __init__(self, name: str, *, python: Path | None = None, **environment: str) -> None:
        clean = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
        self._process = subprocess.Popen(
            [python or sys.executable, HERE / f"client_{name}.py"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**clean, **environment},
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """End it, by force: whatever it still does is of no interest."""
        self._process.kill()
        self._process.communicate()

    def ask(self, do: str, **arguments: Any) -> Any:
        """Have a command done and return its answer."""
        self.tell(do, **arguments)
        return self.answer()

    def tell(self, do: str, **arguments: Any) -> None:
        """Have a command done; the answer is fetched later."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
        self._process.stdin.flush()

    def answer(self) -> Any:
        """Wait for the answer to what was told."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._process.args} ended with {self._process.wait()}")
        return json.loads(line)


def serve(**commands: Callable[..., Any]) -> None:
    """Do what standard input asks for, until it closes. What libraries print goes to standard error."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    commands = {"peak_mib": peak_mib, "cpu_s": cpu_s, **commands}
    for line in sys.stdin:
        request = json.loads(line)
        answers.write(json.dumps(commands[request.pop("do")](**request)) + "\n")
        answers.flush()
    os._exit(0)


def _end_with(parent: int) -> None:
    """End this process, whatever it is doing, when the one that started it is gone."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)


def peak_mib() -> float:
    """Return the most memory this process ever had, in MiB; `getrusage` would count that of its parent, too."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def cpu_s() -> float:
    """Return the processor time that this process has used, in seconds."""
    return time.process_time()


def timed(run: Callable[[], object]) -> dict[str, float]:
    """Return how long `run` takes on the clock and on the processor, in seconds."""
    began, used = time.perf_counter(), time.process_time()
    run()
    return {"s": time.perf_counter() - began, "cpu_s": time.process_time() - used}
