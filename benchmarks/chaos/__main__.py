"""Real worker processes under attack, on a real S3 server behind a proxy that spoils requests; then the truth is counted.

python -m benchmarks.chaos                    # all three, and docs/evidence/chaos.md: about half an hour
python -m benchmarks.chaos oqkit --tasks 5000 --kills 15 --stops 4     # a short one, without a page
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

from benchmarks.chaos.attack import ROOT, Attack, Fleet, Plan
from benchmarks.chaos.record import calls
from benchmarks.chaos.report import write
from benchmarks.chaos.subject import SUBJECTS, Subject
from oqkit.errors import StoreError
from oqkit.testing.fault import S3_LATENCY_S, weather
from oqkit.testing.proxy import FaultProxy
from oqkit.testing.server import restarted, seaweedfs

#: Tasks, SIGKILLs and SIGSTOPs. The others take minutes for a few hundred tasks: pailq lists its whole queue for each.
SIZES = {"oqkit": (50_000, 160, 34), "buquet": (500, 12, 3), "pailq": (200, 5, 2)}
LEASE_S = 8.0
OBSERVE_EVERY_S = 15.0
QUIET_S = 75.0
ENDLESS_S = 120.0
RESULTS = ROOT / "build" / "chaos"
PAGE = ROOT / "docs" / "evidence" / "chaos.md"
SHARED_MEMORY = Path("/dev/shm")


def main() -> int:
    """Attack what was asked for, write what became of it, and return 1 if oqkit lost, doubled or stuck a task."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("subjects", nargs="*", metavar="NAME", help=f"of {', '.join(SUBJECTS)} (default: all)")
    parser.add_argument("--tasks", type=int, help="(default: 50,000 for oqkit, a few hundred for others)")
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--kills", type=int, help="SIGKILLs (default: 160 for oqkit)")
    parser.add_argument("--stops", type=int, help="SIGSTOPs beyond the lease (default: 34 for oqkit)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--page", action="store_true", help=f"write {PAGE.relative_to(ROOT)} from the last runs")
    options = parser.parse_args()
    RESULTS.mkdir(parents=True, exist_ok=True)
    is_good = True
    for name in options.subjects or list(SUBJECTS):
        is_ours = name == "oqkit"
        n_tasks, n_kills, n_stops = SIZES[name]
        plan = Plan(
            n_workers=options.workers,
            n_kills=options.kills or n_kills,
            n_stops=options.stops or n_stops,
            lease_s=LEASE_S,
            n_tasks=options.tasks or n_tasks,
            seed=options.seed,
        )
        found = run(name, plan)
        print(json.dumps(found, indent=1))
        (RESULTS / f"{name}.json").write_text(json.dumps(found, indent=1), encoding="utf-8")
        is_good &= not is_ours or holds(found)
    if options.page or not options.subjects:
        write(RESULTS, PAGE)
    return 0 if is_good else 1


def holds(found: dict) -> bool:
    """Whether each task has exactly one outcome, the right one, and the attack was what it was to be."""
    bad = ("wrong", "failed", "stuck", "lost", "held", "extra", "changed")
    is_complete = found["kills"] >= found["plan"]["n_kills"] and found["stops"] >= found["plan"]["n_stops"]
    return is_complete and found["outcomes"] == found["tasks"] and not any(found[name] for name in bad)


def run(name: str, plan: Plan) -> dict:
    """Attack one library and return the figures."""
    shared = SHARED_MEMORY if SHARED_MEMORY.is_dir() else None
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="oqkit-chaos-", dir=shared)))
        server = stack.enter_context(seaweedfs(folder / "server"))
        proxy = stack.enter_context(FaultProxy(server.endpoint_url, seed=plan.seed, latency_s=S3_LATENCY_S))
        record = folder / "record"
        record.mkdir()
        subject = SUBJECTS[name](server, proxy.url, n_tasks=plan.n_tasks, lease_s=plan.lease_s, folder=record)
        fleet = stack.enter_context(Fleet(subject.command, subject.environment, record))
        for fault in weather():
            proxy.inject(fault)
        for _ in range(plan.n_workers):
            fleet.start()
        attack = Attack(fleet, plan, restart=lambda: stack.enter_context(restarted(server)))
        try:
            return Siege(subject, proxy, attack).run()
        except BaseException:
            print((record / "workers.log").read_text(encoding="utf-8", errors="replace")[-5000:], file=sys.stderr)
            raise


class Siege:
    """One run: the attack, then bad weather only, then none; it ends early when everything is done."""

    def __init__(self, subject: Subject, proxy: FaultProxy, attack: Attack) -> None:
        self._subject, self._proxy, self._attack = subject, proxy, attack
        self._plan = attack.plan
        self._submitter = threading.Thread(target=self._submit)
        self._broken: list[BaseException] = []
        self._seen: dict[int, str] = {}
        self._changed: set[int] = set()
        self._observed = self._progressed = time.monotonic()

    def run(self) -> dict:
        started = time.monotonic()
        self._submitter.start()
        self._until(lambda: self._attack.is_over or self._is_quiet(ENDLESS_S), "under attack")
        attacked_s = time.monotonic() - started
        self._until(lambda: self._is_quiet(QUIET_S), "in bad weather")
        weather_s = time.monotonic() - started
        self._proxy.clear()
        self._progressed = time.monotonic()
        self._until(lambda: self._is_quiet(QUIET_S), "in fair weather")
        done_s = time.monotonic() - started
        n_requests, faults = self._faults()
        self._proxy.settle()
        time.sleep(2 * self._plan.lease_s)  # for those that were stopped, and for late writes, to do what harm they can
        return self._figures(
            seconds=round(done_s),
            attacked_s=round(attacked_s),
            fair_s=round(done_s - weather_s),
            requests=n_requests,
            faults=faults,
        )

    def _submit(self) -> None:
        try:
            self._subject.submit()
        except BaseException as error:
            self._broken.append(error)

    def _until(self, is_over, what: str) -> None:
        self._progressed = time.monotonic()
        while not is_over() and not self._is_done:
            self._attack.step()  # also once the attack is over: for those that quit
            if self._broken:
                raise self._broken[0]
            if time.monotonic() - self._observed > OBSERVE_EVERY_S:
                self._observe(what)
            time.sleep(0.05)

    def _observe(self, what: str) -> None:
        try:
            found = self._subject.observe()
        except StoreError as error:  # the server is restarting
            found = self._seen
            print(f"not observed: {error}", file=sys.stderr)
        self._changed |= {x for x, call in self._seen.items() if found.get(x, call) != call}
        if len(found) > len(self._seen):
            self._progressed = time.monotonic()
        self._seen |= found
        self._observed = time.monotonic()
        done, kills = len(self._seen), self._attack.n_kills
        print(
            f"{self._subject.name} {what}: {done:,} done, {kills} killed, {self._attack.n_stops} stopped",
            file=sys.stderr,
        )

    @property
    def _is_done(self) -> bool:
        if self._submitter.is_alive() or self._broken:
            return False
        return len(self._seen) >= len(self._subject.acknowledged)

    def _is_quiet(self, quiet_s: float) -> bool:
        return time.monotonic() - self._progressed > quiet_s and not self._submitter.is_alive()

    def _faults(self) -> tuple[int, dict[str, int]]:
        log = self._proxy.log
        kinds = (f"{e.fault} {e.refusal}" if e.refusal else str(e.fault) for e in log if e.fault is not None)
        return len(log), dict(Counter(kinds))

    def _figures(self, **more: object) -> dict:
        subject, attack = self._subject, self._attack
        verdict = subject.verify()
        called = calls(attack.fleet.folder)
        changed = self._changed | {x for x, call in verdict.outcomes.items() if self._seen.get(x, call) != call}
        return {
            "name": subject.name,
            "configured": subject.configured,
            "plan": asdict(self._plan),
            "tasks": self._plan.n_tasks,
            "acknowledged": len(subject.acknowledged),
            "submit_errors": dict(subject.errors.most_common(8)),
            "outcomes": len(verdict.outcomes),
            "wrong": verdict.n_wrong,
            "failed": verdict.n_failed,
            "stuck": verdict.n_stuck,
            "lost": verdict.n_lost,
            "held": verdict.n_held,
            "extra": verdict.n_extra,
            "changed": len(changed),
            "states": dict(verdict.states),
            "calls": called.total(),
            "called_again": sum(n - 1 for n in called.values()),
            "tasks_called_again": sum(n > 1 for n in called.values()),
            "never_called": self._plan.n_tasks - len(called),
            "kills": attack.n_kills,
            "stops": attack.n_stops,
            "restarts": attack.n_restarts,
            "quits": attack.fleet.n_quit,
            **more,
        }


if __name__ == "__main__":
    sys.exit(main())
