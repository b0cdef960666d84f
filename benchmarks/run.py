"""Run the scenarios, each in a process of its own, and write the page: ``run.py [NAME ...]``, all of them without a name.

Figures stay in build/bench, so that one scenario can be run again by itself when the machine is quiet.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import page
from stage import save

HERE = Path(__file__).parent
SCENARIOS = ("throughput", "single", "latency", "rows", "frame", "growth", "memory", "workers")


def main() -> int:
    chosen = sys.argv[1:] or SCENARIOS
    unknown = set(chosen) - {*SCENARIOS, "page"}
    if unknown:
        print(f"There is no scenario {', '.join(sorted(unknown))}; there are {', '.join(SCENARIOS)}, and page.")
        return 2
    for name in chosen:
        if name != "page":
            print(f"== {name}", flush=True)
            subprocess.run([sys.executable, HERE / f"{name}.py"], check=True)
            save("machine", {**_known(), name: _machine()})
    page.write()
    return 0


def _known() -> dict[str, object]:
    path = page.FIGURES / "machine.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def _machine() -> dict[str, object]:
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text(encoding="utf-8").splitlines() if facts.exists() else []
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return {
        "processor": model or platform.processor(),
        "processors": os.cpu_count(),
        "load_after": round(os.getloadavg()[0], 1),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


if __name__ == "__main__":
    sys.exit(main())
