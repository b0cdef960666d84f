"""Worker processes, and what is done to them: killed and replaced, stopped beyond their lease and let go on."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from benchmarks.chaos.record import n_calls

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How hard. Kills and stops are spread over the calls, not over time: so they hit work on a slow machine too."""

    n_workers: int
    n_kills: int
    n_stops: int
    lease_s: float
    n_tasks: int
    seed: int


class Fleet:
    """Worker processes that end with the `with` block; `command` starts one, wherever it is called."""

    def __init__(self, command: Callable[[], Sequence[str]], environment: dict[str, str], folder: Path) -> None:
        self.folder = folder
        self._command = command
        self._environment = environment
        self._log = (folder / "workers.log").open("ab")
        self.members: list[subprocess.Popen[bytes]] = []
        self.n_quit = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for member in self.members:
            if member.poll() is None:
                member.send_signal(signal.SIGCONT)
                member.terminate()
        for member in self.members:
            try:
                member.wait(15)
            except subprocess.TimeoutExpired:
                member.kill()
                member.wait()
        self._log.close()

    def start(self) -> None:
        self.members.append(
            subprocess.Popen(
                self._command(),
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=self._log,
                cwd=ROOT,
            )
        )

    def replace_those_that_quit(self) -> None:
        for member in [member for member in self.members if member.poll() is not None]:
            self.members.remove(member)
            self.n_quit += 1
            self.start()

    def kill(self, member: subprocess.Popen[bytes]) -> None:
        member.kill()
        member.wait()
        self.members.remove(member)
        self.start()

    def has_called(self, member: subprocess.Popen[bytes]) -> bool:
        return (self.folder / f"{member.pid}.calls").exists()


@dataclass
class Attack:
    """Strikes when it is due, whenever `step` is called."""

    fleet: Fleet
    plan: Plan
    restart: Callable[[], object]
    n_kills: int = 0
    n_stops: int = 0
    n_restarts: int = 0
    _stopped: dict[subprocess.Popen[bytes], float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._rng = random.Random(self.plan.seed)
        # All while there is work: those that are due when nobody is left to be struck come later, in their order.
        first, last = self.plan.n_tasks // 50, self.plan.n_tasks * 3 // 4
        acts = [self._kill] * self.plan.n_kills + [self._stop] * self.plan.n_stops
        due = ((self._rng.randrange(first, last), act) for act in acts)
        self._strikes = sorted(due, key=lambda strike: strike[0], reverse=True)
        self._restarts = [self._rng.randrange(first, last)]

    @property
    def is_over(self) -> bool:
        return not (self._strikes or self._restarts or self._stopped)

    def step(self) -> None:
        now = time.monotonic()
        for member in [member for member, until in self._stopped.items() if now >= until]:
            del self._stopped[member]
            member.send_signal(signal.SIGCONT)
        self.fleet.replace_those_that_quit()
        called = n_calls(self.fleet.folder)
        if self._strikes and called >= self._strikes[-1][0] and (victim := self._victim()):
            _, act = self._strikes.pop()
            act(victim)
        if self._restarts and called >= self._restarts[-1]:
            self._restarts.pop()
            self.restart()
            self.n_restarts += 1

    def _kill(self, victim: subprocess.Popen[bytes]) -> None:
        self.fleet.kill(victim)
        self.n_kills += 1

    def _stop(self, victim: subprocess.Popen[bytes]) -> None:
        victim.send_signal(signal.SIGSTOP)
        self._stopped[victim] = time.monotonic() + self.plan.lease_s * self._rng.uniform(1.3, 2.0)
        self.n_stops += 1

    def _victim(self) -> subprocess.Popen[bytes] | None:
        """Choose among those at work, and leave half of them alone."""
        if 2 * len(self._stopped) >= self.plan.n_workers:
            return None
        found = [
            m for m in self.fleet.members if m not in self._stopped and m.poll() is None and self.fleet.has_called(m)
        ]
        return self._rng.choice(found) if found else None


def environment(**more: str) -> dict[str, str]:
    """Return what a worker process gets: nothing that points it elsewhere."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "OQ_", "S3_", "PYTHON"))}
    return (
        kept | {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull, "OMP_NUM_THREADS": "1"} | more
    )
