"""A child process as its parent sees it: started, given orders, listened to, killed.

It is a fresh interpreter rather than a `multiprocessing.Process`: it never imports the program's main module, so a
script needs no ``if __name__ == "__main__"`` and a notebook is as good as a file. What it does is in
`oqkit.worker.child`.
"""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from dataclasses import fields
from itertools import count
from multiprocessing import Pipe

from oqkit.limits import Limits
from oqkit.task.code import code_of, dump
from oqkit.task.function import TaskFunction
from oqkit.task.modules import LoadedModules
from oqkit.worker.call import Work
from oqkit.worker.child import METER_BYTES, shared_meter
from oqkit.worker.wire import ASIDE, Aside, Kind, Order

_SIGNALS = {signal.SIGINT, signal.SIGTERM}
_PROGRAM = """
import json, sys
sys.path[:] = json.loads(sys.argv.pop())
from oqkit.worker.child import main
fds = [int(fd) for fd in sys.argv[1:]]
del sys.argv[1:]
main(*fds)
"""


class ChildProcess:
    """A child process from outside."""

    def __init__(self, modules: LoadedModules, *, limits: Limits) -> None:
        self._modules = modules
        self._limits = limits
        self._connection, theirs = Pipe()
        life, self._life = Pipe(duplex=False)  # both ends close with their objects: the child dies with this process
        self._sent: dict[TaskFunction, int] = {}
        self._numbers, self._serials = count(), count()
        self._sending = threading.Lock()
        self._is_killed = False
        self.was_killed = False
        """Whether somebody else killed it; known after `death`."""
        memory = _shared_file()
        try:
            self.meter = shared_meter(memory)
            self._process = _spawn(theirs.fileno(), memory, life.fileno())
        finally:
            os.close(memory)
            theirs.close()
            life.close()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def is_alive(self) -> bool:
        """Whether it can take an order."""
        return not self._is_killed and self._process.poll() is None

    def order(self, work: Work) -> int:
        """Send work, and return its serial number; raise `UsageError` if it cannot travel.

        Whether it arrives shows in what is received.
        """
        order = self._order(work)
        data = pickle.dumps(order, pickle.HIGHEST_PROTOCOL)
        with suppress(OSError):
            self._connection.send_bytes(data)
        return order.serial

    def tell(self, aside: Aside) -> None:
        """Tell it something that it carries out at once, whatever its function does."""
        with suppress(OSError), self._sending:
            self._connection.send_bytes(ASIDE + pickle.dumps(aside))

    def _order(self, work: Work) -> Order:
        task = work.handler.task
        code: str | bytes = ""
        if task not in self._sent:
            code = self._code(task)
        number = self._sent.setdefault(task, next(self._numbers))
        apart = {"handler", "inputs", "table", "ask"}
        return Order(
            task=number,
            code=code,
            name=task.name,
            is_batch=task.batch,
            inputs=work.inputs.only(work.rows),
            options={f.name: getattr(work, f.name) for f in fields(work) if f.name not in apart},
            serial=next(self._serials),
        )

    def _code(self, task: TaskFunction) -> str | bytes:
        """Return the import name of a function, or all of it if a file that the child would import is not what it was."""
        self._modules.note()
        if changed := self._modules.changed():
            return dump(task, limits=self._limits.task, modules=changed)
        reference, data = code_of(task, limits=self._limits.task)
        return reference.reference or data or b""

    def forget(self, task: TaskFunction) -> None:
        """Send the code of `task` again with its next work: the child could not make use of it."""
        self._sent.pop(task, None)

    def receive(self) -> tuple[Kind, object] | None:
        """Return the next message, or None when the process has died."""
        try:
            while not self._connection.poll(
                self._limits.worker.child_poll_s
            ):  # asks, since a process forked there would keep the socket open
                if self._process.poll() is not None and not self._connection.poll(0):
                    return None
            data = self._connection.recv_bytes()
        except (EOFError, OSError):
            return None
        kind, content = pickle.loads(data)  # noqa: S301 - from a process that this one started
        return kind, content

    def kill(self) -> None:
        """Kill it, and wait until it is dead."""
        self._is_killed = True
        self._process.kill()
        with suppress(subprocess.TimeoutExpired):  # stuck in the kernel: as good as dead
            self._process.wait(self._limits.worker.child_kill_s)

    def end(self) -> None:
        """Let it end, or kill it if it does not."""
        if self.is_alive():
            self._connection.close()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(self._limits.worker.child_end_s)
        self.kill()

    def death(self) -> str:
        """Say how it died."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(self._limits.worker.child_end_s)
        self.was_killed = self._process.returncode == -signal.SIGKILL
        self.kill()
        code = self._process.returncode
        if code is None or code >= 0:
            return f"exited with code {code}"
        known = {number.value: number.name for number in signal.Signals}
        return f"killed by signal {-code}" + (f" ({known[-code]})" if -code in known else "")


def _spawn(*fds: int) -> subprocess.Popen[bytes]:
    path = json.dumps([str(entry) for entry in sys.path])
    command = [sys.executable, "-P", "-c", _PROGRAM, *map(str, fds), path]
    # Blocked signals stay blocked in the child: Ctrl-C cannot hit it before it can ignore it.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        return subprocess.Popen(command, pass_fds=fds, stdin=subprocess.DEVNULL)  # noqa: S603 - this very Python
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _shared_file() -> int:
    if sys.platform == "linux":
        fd = os.memfd_create("oqkit-meter")
    else:
        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
    os.truncate(fd, METER_BYTES)
    return fd
